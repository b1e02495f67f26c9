//! pgweir beside PgBouncer, on this machine, in one command:
//!
//! ```sh
//! cargo bench --bench side_by_side                                   # everything, about 20 minutes
//! cargo bench --bench side_by_side -- --quick                        # short runs: does it work, roughly where are we
//! cargo bench --bench side_by_side -- --rival /opt/pgbouncer-1.25/bin/pgbouncer
//! cargo bench --bench side_by_side -- --rival target/before/pgweir --only "select 1"
//! ```
//!
//! Starts PostgreSQL and both poolers, lets pgbench load them in turns, and prints a Markdown table of ratios. A
//! pooler's CPU is what the kernel accounts to its process, so other programs on the machine disturb it little.
//! `docs/performance.md` says how to read the table.
#![allow(clippy::disallowed_methods)] // the pure rooms deny them

mod copy;
mod crowd;
mod house;
mod pgbench;
mod pgbouncer;
mod process;
mod table;
mod work;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

use house::{Contestant, House, Pair};
use table::{Comparison, Table};
use work::{Access, Sample, Work};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// pgweir beside PgBouncer: CPU, throughput and latency under the same loads, in turns
#[derive(Debug, Parser)]
struct Options {
    /// One short run of each
    #[arg(long)]
    quick: bool,
    /// Runs of each pooler under each load; the table shows medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a run takes
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Only loads whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// PgBouncer's program, or that of another pgweir
    #[arg(long, default_value = "pgbouncer")]
    rival: PathBuf,
    /// pgweir's program, if not the one that was just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_pgweir"))]
    pgweir: PathBuf,
    /// Idle clients of the last rows
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let mut options = Options::parse();
    if options.quick {
        (options.rounds, options.seconds, options.idle) = (1, 1, options.idle.min(1_000));
    }
    let house = House::new()?;
    let rival = Contestant::at(&options.rival);
    let ours = Contestant::Pgweir(options.pgweir.clone());
    let mut table = Table::new(&rival, &ours, &house)?;
    for access in [Access::Trust, Access::Scram, Access::Tls] {
        let works: Vec<_> = work::all().into_iter().filter(|work| work.access == access).collect();
        let works: Vec<_> = works.into_iter().filter(|work| work.name.contains(&options.only)).collect();
        if !works.is_empty() {
            let pair = Pair { rival: house.open(&rival, access)?, ours: house.open(&ours, access)? };
            works.iter().for_each(|work| table.push(compare(work, &house, &pair, &options)));
        }
    }
    if "idle clients".contains(&options.only) {
        idle(&house, &rival, &ours, &options, &mut table)?;
    }
    for cost in work::costs().into_iter().filter(|cost| cost.work.name.contains(&options.only)) {
        let rival = house.open_with(&ours, cost.access_without, cost.without)?;
        let pair = Pair { rival, ours: house.open(&ours, cost.work.access)? };
        table.push_cost(compare(&cost.work, &house, &pair, &options));
    }
    println!("{table}");
    Ok(())
}

/// Both poolers in turns, so that what else happens on the machine happens to both; who begins changes each time.
fn compare(work: &Work, house: &House, pair: &Pair, options: &Options) -> Comparison {
    let mut comparison = Comparison::of(work);
    for round in 0..options.rounds {
        let run = |pooler| work.run(house, pooler, options.seconds);
        let samples = if round % 2 == 0 {
            let rival = run(&pair.rival);
            (rival, run(&pair.ours))
        } else {
            let ours = run(&pair.ours);
            (run(&pair.rival), ours)
        };
        match samples {
            (Ok(rival), Ok(ours)) => {
                eprintln!("{:<44} {rival}   {ours}", work.name);
                comparison.push(rival, ours);
            }
            (rival, ours) => {
                let told = |sample: Outcome<Sample>| sample.err().map(|error| error.to_string());
                comparison.failed = told(rival).or_else(|| told(ours));
                eprintln!("{:<44} {}", work.name, comparison.failed.as_deref().unwrap_or_default());
                return comparison;
            }
        }
    }
    comparison
}

/// What idle clients cost: memory, and the speed of the others.
fn idle(
    house: &House,
    rival: &Contestant,
    ours: &Contestant,
    options: &Options,
    table: &mut Table,
) -> Outcome<()> {
    let others_kib = crowd::Crowd::gather(&house.open(rival, Access::Trust)?, options.idle)?.kib_each;
    let calm = Pair { rival: house.open(ours, Access::Trust)?, ours: house.open(ours, Access::Trust)? };
    let crowd = crowd::Crowd::gather(&calm.ours, options.idle)?;
    let work = Work { name: "idle clients beside 64 active, to none", ..work::beside_idle() };
    table.push(compare(&work, house, &calm, options));
    table.memory(options.idle, others_kib, crowd.kib_each);
    Ok(())
}
