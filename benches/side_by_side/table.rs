//! Medians of ratios, with their spread, as Markdown.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

use crate::Outcome;
use crate::house::{Contestant, House};
use crate::work::{Bar, Sample, Work};

pub(crate) struct Table {
    machine: String,
    rows: Vec<Comparison>,
    costs: Vec<Comparison>,
    memory: Option<String>,
}

/// What two poolers did under one load, run by run.
pub(crate) struct Comparison {
    work: Work,
    rival: Vec<Sample>,
    ours: Vec<Sample>,
    /// Why there is nothing to compare.
    pub(crate) failed: Option<String>,
}

impl Comparison {
    pub(crate) fn of(work: &Work) -> Self {
        Self { work: *work, rival: Vec::new(), ours: Vec::new(), failed: None }
    }

    pub(crate) fn push(&mut self, rival: Sample, ours: Sample) {
        self.rival.push(rival);
        self.ours.push(ours);
    }

    /// Of each pair of runs; sorted.
    fn ratios(&self, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let pairs = self.rival.iter().zip(&self.ours);
        sorted(pairs.map(|(rival, ours)| figure(ours) / figure(rival)).collect())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failed) = &self.failed {
            return writeln!(f, "| {} | not run: {failed} |", self.work.name);
        }
        let Bar { cpu, throughput, p99 } = self.work.bar;
        let cpu = judged(&self.ratios(|sample| sample.cpu_us), '≤', cpu);
        let throughput = judged(&self.ratios(|sample| sample.throughput), '≥', throughput);
        let latency = self.ratios(|sample| sample.p99_ms.unwrap_or(f64::NAN));
        let latency = if latency.iter().all(|ratio| ratio.is_nan()) {
            "–".to_owned()
        } else {
            judged(&latency, '≤', p99)
        };
        let (rival, ours) = (figures(&self.work, &self.rival), figures(&self.work, &self.ours));
        writeln!(f, "| {} | {cpu} | {throughput} | {latency} | {rival} | {ours} |", self.work.name)
    }
}

/// The median, the least and the greatest, and the bar; bold if the median misses it.
fn judged(ratios: &[f64], sign: char, bar: Option<f64>) -> String {
    let ratio = median(ratios);
    let (least, greatest) = (ratios[0], ratios[ratios.len() - 1]);
    let spread = format!("({least:.2}–{greatest:.2})");
    match bar {
        None => format!("{ratio:.2} {spread}"),
        Some(bar) if (sign == '≤' && ratio > bar) || (sign == '≥' && ratio < bar) => {
            format!("**{ratio:.2}** {spread} {sign} {bar}")
        }
        Some(bar) => format!("{ratio:.2} {spread} {sign} {bar}"),
    }
}

fn figures(work: &Work, samples: &[Sample]) -> String {
    let middle = |figure: fn(&Sample) -> f64| median(&sorted(samples.iter().map(figure).collect::<Vec<_>>()));
    let (cpu, rate) = (middle(|sample| sample.cpu_us), middle(|sample| sample.throughput));
    let p99 = middle(|sample| sample.p99_ms.unwrap_or(f64::NAN));
    let p99 = if p99.is_nan() { String::new() } else { format!(", {p99:.2} ms") };
    format!("{cpu:.1} µs, {rate:.0}{}/s{p99}", work.unit())
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}

impl Table {
    pub(crate) fn new(rival: &Contestant, ours: &Contestant, house: &House) -> Outcome<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let load = fs::read_to_string("/proc/loadavg")?;
        let postgres = house.cluster.binaries().program("postgres");
        let postgres = crate::pgbench::succeed(std::process::Command::new(postgres).arg("--version"))?;
        let machine = format!(
            "{} × {}, Linux {}; load before: {}; {}; {}; {}",
            available_parallelism()?,
            model.unwrap_or("unknown"),
            kernel.trim(),
            load.split(' ').next().unwrap_or_default(),
            postgres.trim(),
            rival.version()?,
            ours.version()?,
        );
        Ok(Self { machine, rows: Vec::new(), costs: Vec::new(), memory: None })
    }

    pub(crate) fn push(&mut self, row: Comparison) {
        self.rows.push(row);
    }

    pub(crate) fn push_cost(&mut self, row: Comparison) {
        self.costs.push(row);
    }

    pub(crate) fn memory(&mut self, clients: usize, rival_kib: f64, ours_kib: f64) {
        self.memory = Some(format!(
            "Memory of an idle client (of {clients}): {rival_kib:.2} KiB and {ours_kib:.2} KiB; bar ≤ 1.2 KiB."
        ));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        writeln!(f, "| work | CPU | throughput | p99 | rival | pgweir |\n|---|---|---|---|---|---|")?;
        self.rows.iter().try_for_each(|row| write!(f, "{row}"))?;
        self.memory.iter().try_for_each(|memory| writeln!(f, "\n{memory}"))?;
        if !self.costs.is_empty() {
            writeln!(
                f,
                "\n| what it costs | CPU | throughput | p99 | without | with |\n|---|---|---|---|---|---|"
            )?;
        }
        self.costs.iter().try_for_each(|row| write!(f, "{row}"))
    }
}
