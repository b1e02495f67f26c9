//! The arithmetic of queues: what a number of clients makes of a number of servers.
//!
//! The clients are a closed population (M/M/c//N, the "machine repairman"): each of `clients` thinks for `think` on
//! average, then asks, waits its turn, and holds a server for `hold`. Both times are taken as exponential. A client that
//! waits asks for nothing else, so a queue can't outgrow the population; with many clients and long thoughts this
//! becomes Erlang's C formula. What an arriving client finds is the state of the same system with one client
//! less (the arrival theorem).
//!
//! Source: Kleinrock, "Queueing Systems", volume 1, 3.8; Lazowska and others, "Quantitative System Performance".

/// Who asks, how often, for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    pub clients: u32,
    /// Seconds.
    pub think: f64,
    pub hold: f64,
}

/// What comes of it with so many servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    servers: u32,
    hold: f64,
    /// Transactions in a second.
    pub throughput: f64,
    /// Servers in use, on average.
    pub busy: f64,
    /// Seconds that a checkout waits, on average.
    pub wait_mean: f64,
    /// The share of the time in which somebody waits.
    pub queued: f64,
    /// The probability that an arriving client finds `servers + i` others before it.
    behind: Vec<f64>,
}

/// More clients than this are taken for this many: the difference can't be seen.
const MOST_CLIENTS: u32 = 20_000;
/// A thought is at least so many times as long as the work, so that rates stay finite.
const SHORTEST_THINK: f64 = 1e-6;
/// Halvings of an interval of times.
const HALVINGS: u32 = 40;

impl Model {
    /// What these clients would do with so many servers, one at least.
    pub fn with(&self, servers: u32) -> Outcome {
        let servers = servers.max(1);
        let clients = self.clients.clamp(1, MOST_CLIENTS);
        let all = self.states(clients, servers);
        let (mut busy, mut waiting, mut queued) = (0.0, 0.0, 0.0);
        for (present, p) in (0_u32..).zip(&all) {
            busy += p * f64::from(present.min(servers));
            waiting += p * f64::from(present.saturating_sub(servers));
            queued += if present > servers { *p } else { 0.0 };
        }
        let throughput = busy / self.hold;
        let found = self.states(clients - 1, servers);
        let behind = found.get(servers as usize..).unwrap_or_default().to_vec();
        // Little's law: the queue is as long as what comes in a second, times the seconds that each stays.
        Outcome {
            servers,
            hold: self.hold,
            throughput,
            busy,
            wait_mean: waiting / throughput,
            queued,
            behind,
        }
    }

    /// The smallest number of servers with which 99 % of the waits are no longer than `goal` seconds, and somebody waits
    /// for no more than the share `calm` of the time; `None` if `most` don't suffice.
    pub fn servers_for(&self, goal: f64, calm: f64, most: u32) -> Option<u32> {
        let suffices = |servers| {
            let outcome = self.with(servers);
            outcome.queued <= calm && outcome.wait_is_within(goal, 0.99)
        };
        if !suffices(most) {
            return None;
        }
        let (mut too_few, mut enough) = (0, most);
        while enough - too_few > 1 {
            let between = too_few + (enough - too_few) / 2;
            if suffices(between) { enough = between } else { too_few = between }
        }
        Some(enough)
    }

    /// The probability of each number of clients that wait or are served, 0 to `clients`.
    fn states(&self, clients: u32, servers: u32) -> Vec<f64> {
        let think = self.think.max(self.hold * SHORTEST_THINK);
        // In logarithms, since they range over hundreds of orders of magnitude.
        let mut logs = vec![0.0_f64];
        for present in 1..=clients {
            let comes = f64::from(clients - present + 1) / think;
            let goes = f64::from(present.min(servers)) / self.hold;
            logs.push(logs[present as usize - 1] + (comes / goes).ln());
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }
}

impl Outcome {
    /// The probability that a checkout has to wait.
    pub fn waits(&self) -> f64 {
        self.behind.iter().sum()
    }

    /// The seconds that the part `q` of all checkouts don't exceed.
    pub fn wait_quantile(&self, q: f64) -> f64 {
        if self.wait_is_within(0.0, q) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, self.hold);
        while !self.wait_is_within(high, q) {
            high *= 2.0;
        }
        for _ in 0..HALVINGS {
            let between = f64::midpoint(low, high);
            if self.wait_is_within(between, q) { high = between } else { low = between }
        }
        high
    }

    fn wait_is_within(&self, time: f64, q: f64) -> bool {
        self.longer_than(time) <= 1.0 - q
    }

    /// The probability of a longer wait: whoever finds `i` others in line before it waits until `i + 1` servers have
    /// been given back, and of those fewer come back within `time`.
    fn longer_than(&self, time: f64) -> f64 {
        let returns = f64::from(self.servers) * time / self.hold;
        // Poisson's distribution, again in logarithms.
        let (mut log, mut fewer, mut sum) = (-returns, 0.0, 0.0);
        for (i, p) in self.behind.iter().enumerate() {
            if i > 0 {
                log += returns.ln() - (i as f64).ln();
            }
            fewer += log.exp();
            sum += p * fewer.min(1.0);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, known: f64, within: f64) {
        assert!((found - known).abs() <= within * known.abs().max(1e-9), "{found} and not {known}");
    }

    /// So many clients that they are a stream of `load` servers' work.
    fn stream(load: f64) -> Model {
        let clients = 20_000;
        Model { clients, think: f64::from(clients) / load - 1.0, hold: 1.0 }
    }

    #[test]
    fn many_clients_make_erlangs_formula() {
        // Erlang C, from tables: 1 server at 0.5; 10 servers at 8; 5 at 4.
        for (servers, load, waits) in [(1, 0.5, 0.5), (10, 8.0, 0.4092), (5, 4.0, 0.5541)] {
            let outcome = stream(load).with(servers);
            near(outcome.waits(), waits, 0.01);
            near(outcome.busy, load, 0.01);
            near(outcome.wait_mean, waits / (f64::from(servers) - load), 0.02);
            near(outcome.queued, waits * load / f64::from(servers), 0.02);
            // Of those who wait, e^-(c - a)t wait longer than t.
            near(outcome.wait_quantile(0.99), (waits / 0.01).ln() / (f64::from(servers) - load), 0.02);
        }
    }

    #[test]
    fn a_single_repairman() {
        // N = 3, one server, thought as long as work: p0 = 1 / (1 + 3 + 6 + 6) = 1/16.
        let outcome = Model { clients: 3, think: 2.0, hold: 2.0 }.with(1);
        near(outcome.busy, 15.0 / 16.0, 1e-9);
        near(outcome.throughput, 15.0 / 32.0, 1e-9);
        // Two others: 1, 2, 2 of 5 for 0, 1, 2 present.
        near(outcome.waits(), 4.0 / 5.0, 1e-9);
    }

    #[test]
    fn clients_without_a_thought_wait_for_one_another() {
        let outcome = Model { clients: 50, think: 0.0, hold: 0.1 }.with(10);
        near(outcome.throughput, 100.0, 1e-3);
        // 50 clients at 100 a second: half a second each, of which a tenth is work.
        near(outcome.wait_mean, 0.4, 1e-3);
        assert!(outcome.wait_quantile(0.99) > 0.4 && outcome.wait_quantile(0.99) < 0.8);
    }

    #[test]
    fn nobody_waits_where_there_is_a_server_for_each() {
        let outcome = Model { clients: 5, think: 0.1, hold: 1.0 }.with(5);
        assert_eq!((outcome.waits(), outcome.wait_quantile(0.99)), (0.0, 0.0));
        near(outcome.throughput, 5.0 / 1.1, 1e-9);
    }

    #[test]
    fn as_many_servers_as_are_needed_and_no_more() {
        let model = stream(8.0);
        let enough = model.servers_for(0.5, 1.0, 100).expect("a hundred would do");
        assert!(model.with(enough).wait_quantile(0.99) <= 0.5);
        assert!(model.with(enough - 1).wait_quantile(0.99) > 0.5);
        assert_eq!(model.servers_for(0.5, 1.0, 8), None);
        let calm = model.servers_for(0.5, 0.02, 100).expect("a hundred would do");
        assert!(model.with(calm).queued <= 0.02 && model.with(calm - 1).queued > 0.02);
    }
}
