//! The loads, and the bars that pgweir is held to: ratios to PgBouncer in the same run.

use std::fmt;
use std::time::{Duration, Instant};

use crate::copy::{self, Direction};
use crate::house::{House, Pooler};
use crate::pgbench::{self, Protocol, Script};
use crate::{Outcome, process};

/// How clients come in, and servers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Trust,
    Scram,
    /// Trust, over TLS on both sides.
    Tls,
}

/// What a pooler is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    Transactions { clients: u32, protocol: Protocol, script: Script, reconnect: bool },
    Copy(Direction),
}

/// At most, at least, at most; `None` where there is no bar.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bar {
    pub(crate) cpu: Option<f64>,
    pub(crate) throughput: Option<f64>,
    pub(crate) p99: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    pub(crate) access: Access,
    pub(crate) bar: Bar,
}

/// One run of one pooler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Of the pooler's process, for each transaction or MB.
    pub(crate) cpu_us: f64,
    /// Transactions or MB a second.
    pub(crate) throughput: f64,
    pub(crate) p99_ms: Option<f64>,
}

impl Work {
    pub(crate) fn run(&self, house: &House, pooler: &Pooler, seconds: u32) -> Outcome<Sample> {
        match self.load {
            Load::Transactions { clients, protocol, script, reconnect } => {
                let order = pgbench::Order { clients, protocol, script, reconnect, seconds };
                let report = pgbench::run(house, pooler, &order)?;
                let p99_ms = report.percentile(99).as_secs_f64() * 1e3;
                Ok(Sample::of(report.transactions(), report.took, report.cpu, Some(p99_ms)))
            }
            Load::Copy(direction) => {
                let (before, start) = (process::cpu(pooler.pid())?, Instant::now());
                let megabytes = copy::run(house, pooler, direction)?;
                let (took, after) = (start.elapsed(), process::cpu(pooler.pid())?);
                Ok(Sample::of(megabytes, took, after - before, None))
            }
        }
    }

    /// What is counted.
    pub(crate) fn unit(&self) -> &'static str {
        match self.load {
            Load::Transactions { .. } => "",
            Load::Copy(_) => " MB",
        }
    }
}

impl Sample {
    fn of(done: f64, took: Duration, cpu: Duration, p99_ms: Option<f64>) -> Self {
        Self { cpu_us: cpu.as_secs_f64() * 1e6 / done, throughput: done / took.as_secs_f64(), p99_ms }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.1} µs {:8.0}/s", self.cpu_us, self.throughput)?;
        self.p99_ms.map_or(Ok(()), |ms| write!(f, " {ms:7.2} ms"))
    }
}

const fn bar(cpu: f64, throughput: f64, p99: f64) -> Bar {
    Bar { cpu: Some(cpu), throughput: Some(throughput), p99: Some(p99) }
}

const BULK: Bar = Bar { cpu: Some(0.35), throughput: Some(1.5), p99: None };

/// Every row but those about idle clients.
pub(crate) fn all() -> Vec<Work> {
    use Protocol::{Extended, Prepared, Simple};
    let work = |name, clients, protocol, script, bar| Work {
        name,
        load: Load::Transactions { clients, protocol, script, reconnect: false },
        access: Access::Trust,
        bar,
    };
    let copy = |name, direction| Work { name, load: Load::Copy(direction), access: Access::Trust, bar: BULK };
    let reconnect = |name, access, bar| Work {
        name,
        load: Load::Transactions {
            clients: 16,
            protocol: Simple,
            script: Script::SelectOne,
            reconnect: true,
        },
        access,
        bar,
    };
    let tls = |name, protocol| Work {
        access: Access::Tls,
        ..work(name, 64, protocol, Script::SelectOne, bar(0.75, 1.25, 0.9))
    };
    vec![
        work("select 1, simple, 64 clients", 64, Simple, Script::SelectOne, bar(0.75, 1.25, 0.9)),
        work("select 1, extended, 64 clients", 64, Extended, Script::SelectOne, bar(0.75, 1.25, 0.9)),
        work("select 1, prepared, 64 clients", 64, Prepared, Script::SelectOne, bar(0.75, 1.25, 0.9)),
        work("primary key, prepared, 64 clients", 64, Prepared, Script::PrimaryKey, bar(0.75, 1.2, 0.9)),
        work("4 statements, simple, 64 clients", 64, Simple, Script::FourStatements, bar(0.95, 1.0, 1.0)),
        work("select 1, simple, 1 client", 1, Simple, Script::SelectOne, bar(0.95, 1.0, 1.0)),
        work("select 1, simple, 1000 clients", 1000, Simple, Script::SelectOne, bar(0.8, 1.2, 1.0)),
        work("5000 rows, 16 clients", 16, Simple, Script::Rows, BULK),
        copy("COPY out, 100 MB", Direction::Out),
        copy("COPY in, 100 MB", Direction::In),
        reconnect("reconnect for each query, trust", Access::Trust, bar(1.0, 1.1, 1.0)),
        reconnect("reconnect for each query, SCRAM", Access::Scram, bar(0.8, 1.1, 1.0)),
        tls("select 1, simple, 64 clients, TLS", Simple),
        tls("select 1, prepared, 64 clients, TLS", Prepared),
    ]
}

/// What one thing costs: pgweir with it, to pgweir without.
pub(crate) struct Cost {
    pub(crate) work: Work,
    /// How it is left out: by a setting, or by the other access.
    pub(crate) without: &'static str,
    pub(crate) access_without: Access,
}

pub(crate) fn costs() -> Vec<Cost> {
    use Protocol::{Prepared, Simple};
    let work = |name, protocol, script, access| Work {
        name,
        load: Load::Transactions { clients: 64, protocol, script, reconnect: false },
        access,
        bar: Bar::default(),
    };
    let state = |name, protocol, script| Cost {
        work: work(name, protocol, script, Access::Trust),
        without: "pool.session_state = \"off\"",
        access_without: Access::Trust,
    };
    let tls = |name, protocol| Cost {
        work: work(name, protocol, Script::SelectOne, Access::Tls),
        without: "",
        access_without: Access::Trust,
    };
    vec![
        state("session state: select 1, simple", Simple, Script::SelectOne),
        state("session state: select 1, prepared", Prepared, Script::SelectOne),
        state("session state: 4 statements, simple", Simple, Script::FourStatements),
        state("session state: inserts into a serial", Simple, Script::Insert),
        state("session state: a setting of each client's own", Simple, Script::OwnSetting),
        tls("TLS on both sides: select 1, simple", Simple),
        tls("TLS on both sides: select 1, prepared", Prepared),
    ]
}

/// With many idle clients, to without: within 5 %.
pub(crate) fn beside_idle() -> Work {
    Work { bar: bar(1.05, 0.95, 1.05), ..all()[0] }
}
