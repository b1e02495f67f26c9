//! What the kernel accounts to a process.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// CPU time, of the process itself and in the kernel, all threads; in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may contain anything; utime and stime are fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>()?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> Outcome<f64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: usize = statm.split_whitespace().nth(1).ok_or("no pages in statm")?.parse()?;
    Ok((pages * rustix::param::page_size()) as f64 / 1024.0)
}
