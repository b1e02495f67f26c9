//! F114 by the clock, on demand: whether the time of a failed login tells which names exist.
//!
//! ```sh
//! cargo test --release --test auth f114_by_the_clock -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant};

use pgweir::demo::cluster::ROLE;

use super::kit::House;
use super::people::*;

/// Of each kind, unless `PGWEIR_TRIES` says otherwise.
fn tries() -> usize {
    std::env::var("PGWEIR_TRIES").map_or(10_000, |tries| tries.parse().expect("a number"))
}

/// Two samples come from one distribution with a probability of 0.1 % or less if their greatest distance (Kolmogorov
/// and Smirnov) is more than this.
fn bound(tries: usize) -> f64 {
    1.95 * (2.0 / tries as f64).sqrt()
}

#[test]
#[ignore = "a figure for docs/security.md, not a test: it takes minutes, and asserts nothing"]
fn f114_by_the_clock() {
    let tries = tries();
    let house = house(2, "limits.failed_logins_per_source = 'off'");
    let known = new_user(&house, "login password 'secret'");
    let kinds = [
        ("known", known.clone()),
        ("known, again", known),
        ("configured", ROLE.to_owned()),
        ("unknown", "nobody_of_this_name".to_owned()),
        ("expired", new_user(&house, "login password 'secret' valid until '2020-01-01'")),
        ("nologin", new_user(&house, "nologin password 'secret'")),
        ("no password", new_user(&house, "login")),
    ];
    let mut samples: Vec<Vec<Duration>> = kinds.iter().map(|_| Vec::with_capacity(tries)).collect();
    for _ in 0..tries {
        for ((_, user), sample) in kinds.iter().zip(&mut samples) {
            sample.push(failed_login(&house, user));
        }
    }
    samples.iter_mut().for_each(|sample| sample.sort());
    println!("distance that chance explains: {:.4}", bound(tries));
    for ((kind, _), sample) in kinds.iter().zip(&samples) {
        let distance = distance(&samples[0], sample);
        println!(
            "{kind:13} median {:?}  p90 {:?}  distance {distance:.4}",
            sample[tries / 2],
            sample[tries / 10 * 9]
        );
    }
}

fn failed_login(house: &House, user: &str) -> Duration {
    let begun = Instant::now();
    wrong_login(house, user);
    begun.elapsed()
}

/// The greatest distance of the two distribution functions. Both are sorted.
fn distance(a: &[Duration], b: &[Duration]) -> f64 {
    let below = |sample: &[Duration], at: &Duration| {
        sample.partition_point(|it| it <= at) as f64 / sample.len() as f64
    };
    a.iter().chain(b).map(|at| (below(a, at) - below(b, at)).abs()).fold(0.0, f64::max)
}
