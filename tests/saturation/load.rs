//! Clients that think, ask, and count what they did; and what pgweir says of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pgweir::advice::verdict::Verdict;
use pgweir::observe::status::{Pool, Status};
use pgweir_testkit::chance::Chance;

use super::kit::{Client, House, eventually};

/// Verdicts look back for two seconds here, so that tests needn't take minutes.
pub const QUICK: &str = "advice.window = '2s'\n";

/// Clients at work. Each has a connection of its own, and a seed.
pub struct Load {
    stop: Arc<AtomicBool>,
    began: Instant,
    clients: Vec<JoinHandle<Done>>,
}

/// What clients did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub transactions: u64,
    /// From asking to the answer, summed over transactions.
    pub time: Duration,
    /// For how long they have been at it.
    pub span: Duration,
}

impl Load {
    /// `work` is one transaction.
    pub fn start(
        house: &House,
        application: &str,
        clients: u64,
        think: Duration,
        work: impl Fn(&mut Client) + Clone + Send + 'static,
    ) -> Self {
        let (stop, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let parameters = [("application_name".to_owned(), application.to_owned())];
        let begin = |seed| {
            let mut client = Client::connect(&house.place(), &parameters).expect("a login");
            let (stop, work, mut chance) = (stop.clone(), work.clone(), Chance::new(seed));
            thread::spawn(move || {
                let mut done = Done::default();
                while !stop.load(Relaxed) {
                    thread::sleep(exponential(&mut chance, think));
                    let asked = Instant::now();
                    work(&mut client);
                    done.transactions += 1;
                    done.time += asked.elapsed();
                }
                done
            })
        };
        Self { clients: (1..=clients).map(begin).collect(), stop, began }
    }

    /// Lets each client finish what it does.
    pub fn stop(self) -> Done {
        self.stop.store(true, Relaxed);
        let mut all = Done { span: self.began.elapsed(), ..Done::default() };
        for client in self.clients {
            let done = client.join().expect("a client that was served");
            all.transactions += done.transactions;
            all.time += done.time;
        }
        all
    }
}

/// A transaction that takes as long.
pub fn takes(time: Duration) -> impl Fn(&mut Client) + Clone + Send + 'static {
    let sql = format!("select pg_sleep({})", time.as_secs_f64());
    move |client| assert_eq!(client.ask(&sql), "T D[] C[SELECT 1] Z[I]")
}

/// Exponentially distributed, as the times between arrivals of a Poisson stream are.
fn exponential(chance: &mut Chance, mean: Duration) -> Duration {
    const STEPS: u64 = 1 << 40;
    let uniform = (chance.below(STEPS) + 1) as f64 / STEPS as f64;
    mean.mul_f64(-uniform.ln())
}

// -- what pgweir says

pub fn status(house: &House) -> Status {
    let answer = house.http("/status.json");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("the contract")
}

/// The only pool, once the watch has seen it.
pub fn pool(house: &House) -> Pool {
    let mut found = None;
    eventually("the pool is shown", || {
        found = status(house).pools.pop();
        found.is_some()
    });
    found.expect("it is shown")
}

/// Waits for a verdict; gives the pool as it is then.
#[track_caller]
pub fn verdict_becomes(house: &House, verdict: Verdict) -> Pool {
    let mut last = None;
    let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(&verdict.to_string(), || {
            let pool = pool(house);
            let is_it = pool.standing.verdict == verdict;
            last = Some(pool);
            is_it
        });
    }));
    let pool = last.expect("looked at");
    assert!(came.is_ok(), "not {verdict}: {:?} {:?} {:?}", pool.standing, pool.now, pool.servers);
    pool
}
