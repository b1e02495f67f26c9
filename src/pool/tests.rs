//! What one pool promises, promise by promise. `simulation.rs` mixes them all.

use std::time::{Duration, Instant};

use super::core::{Checkout, Core, Ended, Held, IDLE_WATCH, Order, Permit, Pin, Refusal, Ticket};
use super::health::{NOT_PROVEN_STANDS, OpenError, OpenErrorKind};
use super::key::{Label, ProfileId, Wish};
use super::limits::Ceilings;
use super::settings::{PoolSettings, Totals};
use crate::meter::work::Work;
use crate::wire::sqlstate::SqlState;

/// Where virtual time begins.
#[allow(clippy::disallowed_methods)]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

const A: ProfileId = ProfileId(0);
const B: ProfileId = ProfileId(1);

fn wish(profile: ProfileId) -> Wish {
    Wish::plain(profile)
}

/// A client that can do without its server.
fn yielding(client: u32) -> Pin<u32> {
    Pin { reason: "sequence", is_replaced: false, yields: Some(client) }
}

fn size(size: u32) -> PoolSettings {
    PoolSettings { size, ..PoolSettings::default() }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A pool, its clock, and numbers for servers and clients.
struct Bench {
    core: Core<u32, u32>,
    now: Instant,
    servers: u32,
}

impl Bench {
    fn new(settings: PoolSettings) -> Self {
        Self::seated(settings, &Ceilings::default(), "u")
    }

    fn seated(settings: PoolSettings, ceilings: &Ceilings, user: &str) -> Self {
        let now = epoch();
        Self { core: Core::new(now, settings, ceilings.seat("d", user), 7), now, servers: 0 }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.expire(self.now);
    }

    fn checkout(&mut self, client: u32, profile: ProfileId) -> Checkout<u32> {
        self.core.checkout(self.now, &wish(profile), &client)
    }

    #[track_caller]
    fn lent(&mut self, client: u32, profile: ProfileId) -> Held<u32> {
        match self.checkout(client, profile) {
            Checkout::Lent(held) => held,
            other => panic!("lent nothing: {other:?}"),
        }
    }

    #[track_caller]
    fn queued(&mut self, client: u32, profile: ProfileId) -> Ticket {
        match self.checkout(client, profile) {
            Checkout::Queued(ticket) => ticket,
            other => panic!("not queued: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(&mut self, ticket: Ticket) -> Refusal {
        match self.core.collect(ticket, &0) {
            Checkout::Refused(why) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[track_caller]
    fn collected(&mut self, ticket: Ticket) -> Held<u32> {
        match self.core.collect(ticket, &0) {
            Checkout::Lent(held) => held,
            other => panic!("nothing collected: {other:?}"),
        }
    }

    fn give_back(&mut self, held: Held<u32>) -> Option<u32> {
        self.core.give_back(self.now, held, Work::default());
        self.core.next_wake()
    }

    /// The servers that are to be opened now.
    fn opens(&mut self) -> Vec<(Permit, ProfileId)> {
        let mut opens = Vec::new();
        while let Some(order) = self.core.next_order() {
            match order {
                Order::Open { permit, profile } => opens.push((permit, profile)),
                other => panic!("not to open: {other:?}"),
            }
        }
        opens
    }

    /// The one server that is to be closed now.
    #[track_caller]
    fn close(&mut self) -> (u32, Permit, Ended) {
        match self.core.next_order() {
            Some(Order::Close { server, permit, why }) => (server, permit, why),
            other => panic!("nothing to close: {other:?}"),
        }
    }

    fn open_all(&mut self) {
        loop {
            let opens = self.opens();
            if opens.is_empty() {
                return;
            }
            for (permit, _) in opens {
                self.servers += 1;
                self.core.opened(self.now, permit, self.servers);
            }
        }
    }

    fn fail(&mut self, permit: Permit, kind: OpenErrorKind) {
        self.core.failed(self.now, permit, &OpenError { kind, sqlstate: None, text: "no".into() });
    }

    /// `n` lent servers of one profile.
    fn lend(&mut self, n: u32, profile: ProfileId) -> Vec<Held<u32>> {
        let tickets: Vec<_> = (0..n).map(|client| self.queued(client, profile)).collect();
        self.open_all();
        while self.core.next_wake().is_some() {}
        tickets.into_iter().map(|ticket| self.collected(ticket)).collect()
    }
}

#[test]
fn the_first_in_line_is_woken_once_and_gets_the_server() {
    let mut pool = Bench::new(size(1));
    let held = pool.lend(1, A).remove(0);
    let (first, second) = (pool.queued(1, A), pool.queued(2, A));
    assert_eq!(pool.give_back(held), Some(1));
    assert_eq!(pool.core.next_wake(), None);
    let held = pool.collected(first);
    assert!(matches!(pool.core.collect(second, &9), Checkout::Queued(_)));
    assert_eq!(pool.give_back(held), Some(9), "the waker that was given last");
}

#[test]
fn a_granted_server_that_nobody_collects_goes_to_the_next() {
    let mut pool = Bench::new(size(1));
    let held = pool.lend(1, A).remove(0);
    let (first, second) = (pool.queued(1, A), pool.queued(2, A));
    pool.give_back(held);
    pool.core.cancel(pool.now, first);
    assert_eq!(pool.core.next_wake(), Some(2));
    let _held = pool.collected(second);
}

#[test]
fn cancelling_in_the_middle_leaves_no_hole() {
    let mut pool = Bench::new(size(1));
    let mut held = pool.lend(1, A).remove(0);
    let mut tickets: Vec<_> = (1..=5).map(|client| Some(pool.queued(client, A))).collect();
    for gone in [2, 0, 4] {
        pool.core.cancel(pool.now, tickets[gone].take().unwrap());
    }
    for client in [2, 4] {
        assert_eq!(pool.give_back(held), Some(client));
        held = pool.collected(tickets[client as usize - 1].take().unwrap());
    }
    assert_eq!(pool.give_back(held), None);
    assert_eq!(pool.core.snapshot(pool.now).waiting, 0);
}

#[test]
fn home_then_equal_label_then_baseline_then_the_latest() {
    let mut pool = Bench::new(size(4));
    let labels = [Label::of(5), Label::of(0), Label::of(0), Label::of(6)];
    let mut ids = Vec::new();
    for (mut held, label) in pool.lend(4, A).into_iter().zip(labels) {
        held.label = label;
        ids.push(held.id());
        pool.give_back(held);
    }
    let mut pick = |label: u32, home: Option<usize>| {
        let wish = Wish { label: Label::of(label), home: home.map(|home| ids[home]), ..Wish::plain(A) };
        let Checkout::Lent(held) = pool.core.checkout(pool.now, &wish, &0) else { panic!() };
        let at = ids.iter().position(|id| *id == held.id());
        let _ = held;
        at
    };
    assert_eq!(pick(6, Some(1)), Some(1), "home");
    assert_eq!(pick(5, Some(1)), Some(0), "home is lent, so the equal label");
    assert_eq!(pick(7, None), Some(2), "baseline");
    assert_eq!(pick(7, None), Some(3), "any");
}

#[test]
fn a_server_that_knows_more_names_than_its_client_may_is_not_lent() {
    let mut pool = Bench::new(size(2));
    let knows = |names| Label { settings: 1, names };
    let mut held = pool.lend(1, A).remove(0);
    held.label = knows(0b01);
    let id = held.id();
    pool.give_back(held);
    let mut ask = |names, home| {
        let wish = Wish { label: knows(names), home, ..Wish::plain(A) };
        pool.core.checkout(pool.now, &wish, &0)
    };
    assert!(matches!(ask(0b10, Some(id)), Checkout::Queued(_)), "there is room for another");
    let Checkout::Lent(held) = ask(0b11, None) else { panic!("it knows no more than this one") };
    assert_eq!(held.id(), id);
}

#[test]
fn a_server_that_is_opened_again_keeps_its_place() {
    let mut pool = Bench::new(size(1));
    let mut held = pool.lend(1, A).remove(0);
    held.label = Label { settings: 1, names: 1 };
    let id = held.id();
    let (server, permit) = pool.core.end(pool.now, held);
    let held = pool.core.reopened(pool.now, permit, server);
    assert_eq!((held.id(), held.label), (id, Label::BASELINE));
    let snapshot = pool.core.snapshot(pool.now);
    assert_eq!((snapshot.connect.count(), snapshot.servers_closed, snapshot.servers_active), (2, 1, 1));
    assert_eq!(pool.give_back(held), None);
}

#[test]
fn among_equals_the_latest_comes_first() {
    let mut pool = Bench::new(size(3));
    let held = pool.lend(3, A);
    let latest = held[2].id();
    held.into_iter().for_each(|held| assert_eq!(pool.give_back(held), None));
    assert_eq!(pool.lent(0, A).id(), latest);
}

#[test]
fn f106_connects_run_in_parallel_up_to_their_bound() {
    let mut pool = Bench::new(PoolSettings { parallel_connects: 3, ..size(20) });
    let tickets: Vec<_> = (0..500).map(|client| pool.queued(client, A)).collect();
    let mut opens = pool.opens();
    assert_eq!(opens.len(), 3);
    pool.core.opened(pool.now, opens.pop().unwrap().0, 1);
    assert_eq!(pool.opens().len(), 1);
    drop(tickets);
}

#[test]
fn f105_a_login_that_has_begun_is_kept_when_its_client_has_left() {
    let mut pool = Bench::new(size(5));
    let ticket = pool.queued(1, A);
    let (permit, _) = pool.opens().remove(0);
    pool.core.cancel(pool.now, ticket);
    pool.core.opened(pool.now, permit, 1);
    let _held = pool.lent(2, A);
}

#[test]
fn another_profile_gets_the_place_of_an_idle_server_when_that_is_really_gone() {
    let mut pool = Bench::new(size(1));
    let held = pool.lend(1, A).remove(0);
    pool.give_back(held);
    let ticket = pool.queued(1, B);
    let (_, permit, why) = pool.close();
    assert_eq!(why, Ended::Room);
    assert!(pool.opens().is_empty(), "its backend still exists");
    pool.core.gone(pool.now, permit);
    pool.open_all();
    assert_eq!(pool.collected(ticket).profile(), B);
}

#[test]
fn a_server_that_those_who_wait_can_not_use_makes_room_as_it_comes_back() {
    let mut pool = Bench::new(size(1));
    let held = pool.lend(1, A).remove(0);
    let _b = pool.queued(1, B);
    assert_eq!(pool.give_back(held), None);
    assert_eq!(pool.close().2, Ended::Room);
}

#[test]
fn the_shell_hears_when_there_is_a_server_to_watch() {
    let mut pool = Bench::new(size(1));
    let held = pool.lend(1, A).remove(0);
    assert_eq!(pool.core.next_deadline(pool.now), None, "nothing to wait for");
    assert!(!pool.core.wants_attention());
    pool.give_back(held);
    assert!(pool.core.wants_attention());
    assert_eq!(pool.core.next_deadline(pool.now), Some(pool.now + IDLE_WATCH));
    let held = pool.lent(1, A);
    pool.give_back(held);
    assert!(!pool.core.wants_attention(), "once is enough");
}

#[test]
fn a_client_is_passed_by_only_so_often() {
    let mut pool = Bench::new(size(1));
    let mut held = pool.lend(1, A).remove(0);
    let _b = pool.queued(1_000, B);
    let mut passed = 0;
    loop {
        let next = pool.queued(passed, A);
        if pool.give_back(held).is_none() {
            break;
        }
        held = pool.collected(next);
        passed += 1;
        assert!(passed < 1_000, "B starves");
    }
    assert_eq!(u64::from(passed), pool.core.bypass_limit());
    assert_eq!(pool.close().2, Ended::Room);
}

#[test]
fn the_queue_has_a_length_limit_beside_those_who_wait_for_new_servers() {
    let mut pool = Bench::new(PoolSettings { queue_limit: 2, ..size(3) });
    let mut tickets: Vec<_> = (0..5).map(|client| pool.queued(client, A)).collect();
    let Checkout::Refused(why) = pool.checkout(9, A) else { panic!() };
    assert_eq!(why, Refusal::QueueFull { size: 3, limit: 2 });
    pool.open_all();
    let held = pool.collected(tickets.remove(0));
    assert!(matches!(pool.checkout(9, A), Checkout::Refused(_)), "two wait");
    pool.give_back(held);
    let _queued = pool.queued(9, A);
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let mut pool = Bench::new(PoolSettings { queue_timeout: ms(100), ..size(1) });
    let _held = pool.lend(1, A);
    let first = pool.queued(1, A);
    pool.pass(ms(40));
    let second = pool.queued(2, B);
    assert_eq!(pool.core.next_deadline(pool.now), Some(pool.now + ms(60)));
    pool.pass(ms(60));
    assert_eq!(pool.core.next_wake(), Some(1));
    assert_eq!(pool.refused(first), Refusal::QueueTimeout { waited: ms(100), size: 1, pins: vec![] });
    assert!(matches!(pool.core.collect(second, &0), Checkout::Queued(_)));
}

#[test]
fn a_pinned_server_makes_room_for_another_up_to_their_limit() {
    let mut pool = Bench::new(PoolSettings { pinned_servers: 1, ..size(1) });
    let first = pool.lend(1, A).remove(0);
    let ticket = pool.queued(1, A);
    assert!(pool.opens().is_empty());
    pool.core.pin(pool.now, &first, Pin::needed("temp table"));
    pool.open_all();
    let second = pool.collected(ticket);
    let ticket = pool.queued(2, A);
    pool.core.pin(pool.now, &second, Pin::needed("LISTEN"));
    assert!(pool.opens().is_empty(), "one pinned server is all that is exempt");
    let (_, permit) = pool.core.end(pool.now, first);
    assert!(pool.opens().is_empty(), "the backend of the first one still exists");
    pool.core.gone(pool.now, permit);
    pool.open_all();
    let _third = pool.collected(ticket);
    assert_eq!(pool.core.pins().collect::<Vec<_>>(), ["LISTEN"]);
}

#[test]
fn a_server_that_its_client_can_do_without_is_asked_back_once_for_each_who_waits() {
    let mut pool = Bench::new(PoolSettings { pinned_servers: 0, ..size(2) });
    let mut lent = pool.lend(2, A);
    for (client, held) in lent.iter().enumerate() {
        pool.core.pin(pool.now, held, yielding(client as u32));
    }
    assert_eq!(pool.core.next_wake(), None, "nobody waits");
    let ticket = pool.queued(9, A);
    let asked = pool.core.next_wake().expect("one of the two");
    assert_eq!(pool.core.next_wake(), None, "one waits");
    let held = lent.remove(asked as usize);
    assert!(pool.core.is_asked_back(&held) && !pool.core.is_asked_back(&lent[0]));
    pool.give_back(held);
    let held = pool.collected(ticket);
    assert!(!pool.core.is_asked_back(&held));
}

#[test]
fn another_one_is_asked_if_the_first_is_needed_by_now() {
    let mut pool = Bench::new(PoolSettings { pinned_servers: 0, ..size(3) });
    let lent = pool.lend(3, A);
    for (client, held) in lent.iter().enumerate() {
        pool.core.pin(pool.now, held, yielding(client as u32));
    }
    let _ticket = pool.queued(9, A);
    let first = pool.core.next_wake().expect("one of the three");
    let due = pool.core.next_deadline(pool.now).expect("to look at it again");
    pool.now = due;
    pool.core.expire(due);
    let second = pool.core.next_wake().expect("another");
    assert_ne!(first, second);
    assert_eq!(pool.core.next_wake(), None, "one at a time");
    for asked in [first, second] {
        assert!(pool.core.is_asked_back(&lent[asked as usize]));
    }
}

#[test]
fn one_that_may_be_replaced_is_asked_back_when_no_more_may() {
    let mut pool = Bench::new(PoolSettings { pinned_servers: 1, ..size(1) });
    let pin = |client| Pin { reason: "sequence", is_replaced: true, yields: Some(client) };
    let first = pool.lend(1, A).remove(0);
    pool.core.pin(pool.now, &first, pin(1));
    let second = pool.lend(1, A).remove(0);
    assert_eq!(pool.core.next_wake(), None, "there was room for another");
    pool.core.pin(pool.now, &second, pin(2));
    let _ticket = pool.queued(9, A);
    assert!(pool.core.next_wake().is_some());
}

#[test]
fn a_server_is_asked_back_when_the_ceilings_leave_no_other() {
    let ceilings = Ceilings::new(Totals { servers: Some(1), ..Totals::default() });
    let mut pool = Bench::seated(size(5), &ceilings, "a");
    let held = pool.lend(1, A).remove(0);
    pool.core.pin(pool.now, &held, yielding(1));
    let ticket = pool.queued(9, A);
    assert_eq!(pool.core.next_wake(), Some(1));
    assert_eq!(pool.give_back(held), Some(9));
    let _held = pool.collected(ticket);
}

#[test]
fn a_server_is_asked_back_for_a_neighbour_that_has_none() {
    let ceilings = Ceilings::new(Totals { servers: Some(1), ..Totals::default() });
    let mut rich = Bench::seated(size(5), &ceilings, "a");
    let mut poor = Bench::seated(size(5), &ceilings, "b");
    let held = rich.lend(1, A).remove(0);
    rich.core.pin(rich.now, &held, yielding(1));
    let _ticket = poor.queued(9, A);
    rich.core.shed(rich.now);
    assert_eq!(rich.core.next_wake(), Some(1));
    rich.core.shed(rich.now);
    assert_eq!(rich.core.next_wake(), None, "once is enough");
    assert_eq!(rich.give_back(held), None);
    assert_eq!(rich.close().2, Ended::Yielded);
}

#[test]
fn a_server_that_is_pinned_while_a_neighbour_has_none_is_asked_back() {
    let ceilings = Ceilings::new(Totals { servers: Some(1), ..Totals::default() });
    let mut rich = Bench::seated(size(5), &ceilings, "a");
    let mut poor = Bench::seated(size(5), &ceilings, "b");
    let held = rich.lend(1, A).remove(0);
    let _ticket = poor.queued(9, A);
    rich.core.pin(rich.now, &held, yielding(1));
    assert!(rich.core.is_asked_back(&held));
}

#[test]
fn while_connecting_does_not_work_only_servers_of_use_are_asked_back() {
    for kind in [OpenErrorKind::TooMany, OpenErrorKind::Unreachable] {
        let mut pool = Bench::new(size(5));
        let (a, b) = (pool.lend(1, A).remove(0), pool.lend(1, B).remove(0));
        let _ticket = pool.queued(9, B);
        let (permit, _) = pool.opens().remove(0);
        for (client, held) in [(1, &a), (2, &b)] {
            pool.core.pin(pool.now, held, yielding(client));
        }
        assert_eq!(pool.core.next_wake(), None, "one is on its way");
        pool.fail(permit, kind);
        assert_eq!(pool.core.next_wake(), Some(2));
        assert!(!pool.core.is_asked_back(&a));
    }
}

#[test]
fn a_server_that_can_not_be_done_without_any_more_is_asked_for_no_more() {
    let mut pool = Bench::new(PoolSettings { pinned_servers: 0, ..size(2) });
    let lent = pool.lend(2, A);
    pool.core.pin(pool.now, &lent[0], yielding(0));
    let _ticket = pool.queued(9, A);
    assert_eq!(pool.core.next_wake(), Some(0));
    pool.core.pin(pool.now, &lent[0], Pin::needed("temp table"));
    assert!(!pool.core.is_asked_back(&lent[0]));
    pool.core.pin(pool.now, &lent[1], yielding(1));
    assert_eq!(pool.core.next_wake(), Some(1), "the other instead");
    pool.core.pin(pool.now, &lent[0], yielding(0));
    assert!(!pool.core.is_asked_back(&lent[0]));
}

#[test]
fn a_server_that_is_unpinned_beyond_the_size_ends() {
    let mut pool = Bench::new(size(1));
    let first = pool.lend(1, A).remove(0);
    pool.core.pin(pool.now, &first, Pin::needed("advisory lock"));
    let _second = pool.lend(1, A);
    pool.core.unpin(pool.now, &first);
    pool.give_back(first);
    assert_eq!(pool.close().2, Ended::Excess);
}

#[test]
fn the_reserve_opens_when_the_oldest_has_waited_and_closes_when_nobody_waits() {
    let mut pool = Bench::new(PoolSettings { reserve_size: 1, reserve_after: ms(500), ..size(1) });
    let _held = pool.lend(1, A);
    let ticket = pool.queued(1, A);
    assert_eq!(pool.core.next_deadline(pool.now), Some(pool.now + ms(500)));
    pool.pass(ms(499));
    assert!(pool.opens().is_empty());
    pool.pass(ms(1));
    pool.open_all();
    let reserve = pool.collected(ticket);
    pool.give_back(reserve);
    assert_eq!(pool.close().2, Ended::Excess);
}

#[test]
fn f107_servers_born_together_are_replaced_one_at_a_time() {
    let lifetime = Duration::from_secs(60);
    let mut pool = Bench::new(PoolSettings { server_lifetime: Some(lifetime), ..size(10) });
    let held = pool.lend(10, A);
    pool.pass(lifetime);
    let mut waiting: Vec<_> = (0..10).map(|client| pool.queued(client, A)).collect();
    for held in held {
        pool.give_back(held);
    }
    let (_, permit, why) = pool.close();
    assert_eq!(why, Ended::Age);
    assert!(pool.core.next_order().is_none(), "the nine others work on");
    let (first, second) = (pool.collected(waiting.remove(0)), pool.collected(waiting.remove(0)));
    pool.core.gone(pool.now, permit);
    let opens = pool.opens();
    pool.give_back(first);
    assert!(pool.core.next_order().is_none(), "not before the successor is there");
    for (permit, _) in opens {
        pool.core.opened(pool.now, permit, 99);
    }
    pool.give_back(second);
    assert_eq!(pool.close().2, Ended::Age);
}

#[test]
fn ages_are_spread() {
    let mut pool = Bench::new(PoolSettings {
        server_lifetime: Some(Duration::from_secs(1000)),
        server_idle_timeout: None,
        ..size(50)
    });
    pool.lend(50, A).into_iter().for_each(|held| assert_eq!(pool.give_back(held), None));
    let mut ends = Vec::new();
    let born = pool.now;
    while pool.core.snapshot(pool.now).servers_idle > 0 {
        pool.pass(ms(1000));
        while let Some(Order::Close { permit, .. }) = pool.core.next_order() {
            ends.push((pool.now - born).as_secs());
            pool.core.gone(pool.now, permit);
        }
    }
    assert!(ends[0] >= 800 && *ends.last().unwrap() <= 1001, "{ends:?}");
    ends.dedup();
    assert!(ends.len() > 25, "{ends:?}");
}

#[test]
fn idle_servers_end_down_to_the_minimum() {
    let mut pool = Bench::new(PoolSettings {
        min_size: 2,
        server_idle_timeout: Some(Duration::from_secs(10)),
        ..size(5)
    });
    pool.lend(5, A).into_iter().for_each(|held| assert_eq!(pool.give_back(held), None));
    pool.pass(Duration::from_secs(10));
    for _ in 0..3 {
        assert_eq!(pool.close().2, Ended::Idle);
    }
    assert!(pool.core.next_order().is_none());
}

#[test]
fn the_minimum_is_opened_once_the_pool_is_used() {
    let mut pool = Bench::new(PoolSettings { min_size: 3, ..size(5) });
    pool.pass(ms(10));
    assert!(pool.opens().is_empty());
    let _held = pool.lend(1, A);
    assert_eq!(pool.core.snapshot(pool.now).servers_idle, 2);
}

#[test]
fn f36_one_prober_backs_off_and_clients_wait() {
    let mut pool = Bench::new(size(20));
    let tickets: Vec<_> = (0..50).map(|client| pool.queued(client, A)).collect();
    for (permit, _) in pool.opens() {
        pool.fail(permit, OpenErrorKind::Unreachable);
    }
    let (mut pauses, began) = (Vec::new(), pool.now);
    while pool.now - began < Duration::from_secs(10) {
        let next = pool.core.next_deadline(pool.now).unwrap();
        pauses.push(next - pool.now);
        pool.pass(next - pool.now);
        let mut opens = pool.opens();
        assert_eq!(opens.len(), 1, "one prober");
        pool.fail(opens.remove(0).0, OpenErrorKind::Unreachable);
    }
    assert!(pauses[0] <= ms(50) && pauses[0] >= ms(25), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= ms(900)), "back within a second: {pauses:?}");
    assert!(pauses.len() < 30, "{pauses:?}");
    pool.pass(ms(900));
    pool.open_all();
    let served = tickets.into_iter().filter(|_| pool.core.next_wake().is_some()).count();
    assert_eq!(served, 20);
}

#[test]
fn whoever_waits_for_an_unreachable_server_hears_why_at_its_deadline() {
    let mut pool = Bench::new(PoolSettings { queue_timeout: ms(10), ..size(1) });
    let ticket = pool.queued(1, A);
    let permit = pool.opens().remove(0).0;
    pool.fail(permit, OpenErrorKind::Unreachable);
    assert!(pool.core.next_wake().is_none());
    pool.pass(ms(10));
    assert_eq!(pool.refused(ticket), Refusal::Unreachable { why: "no".into() });
}

#[test]
fn f41_too_many_connections_shrinks_the_target_and_servers_go_on() {
    let mut pool = Bench::new(size(10));
    let mut held = pool.lend(3, A);
    let tickets: Vec<_> = (0..4).map(|client| pool.queued(client, A)).collect();
    for (permit, _) in pool.opens() {
        pool.fail(permit, OpenErrorKind::TooMany);
    }
    assert_eq!(pool.core.snapshot(pool.now).size, 3);
    assert_eq!(pool.give_back(held.remove(0)), Some(0));
    pool.pass(ms(900));
    assert_eq!(pool.opens().len(), 1, "growth is tried again, alone");
    drop(tickets);
}

/// A client of this profile waits, and PostgreSQL is full until an idle server has gone.
fn is_made_room_for(mut pool: Bench, profile: ProfileId) {
    let ticket = pool.queued(9, profile);
    let (permit, _) = pool.opens().remove(0);
    pool.fail(permit, OpenErrorKind::TooMany);
    let (_, permit, why) = pool.close();
    assert_eq!(why, Ended::Room);
    pool.core.gone(pool.now, permit);
    pool.pass(ms(900));
    pool.open_all();
    let _held = pool.collected(ticket);
}

#[test]
fn while_postgresql_is_full_an_idle_server_makes_room_for_a_client_that_can_not_use_it() {
    let mut pool = Bench::new(size(10));
    for held in pool.lend(2, A) {
        pool.give_back(held);
    }
    is_made_room_for(pool, B);
}

#[test]
fn while_postgresql_is_full_a_server_that_knows_too_much_makes_room() {
    let mut pool = Bench::new(size(10));
    let mut held = pool.lend(1, A).remove(0);
    held.label.names = 1;
    pool.give_back(held);
    is_made_room_for(pool, A);
}

#[test]
fn f42_a_rejected_profile_fails_at_once_and_is_tried_once_a_second() {
    let rejected = OpenErrorKind::Rejected(SqlState::INVALID_PASSWORD);
    let mut pool = Bench::new(size(5));
    let tickets: Vec<_> = (0..3).map(|client| pool.queued(client, A)).collect();
    let other = pool.queued(3, B);
    for (permit, profile) in pool.opens() {
        match profile {
            A => pool.fail(permit, rejected),
            _ => pool.core.opened(pool.now, permit, 1),
        }
    }
    let why = Refusal::Rejected { sqlstate: SqlState::INVALID_PASSWORD, message: "no".into() };
    for ticket in tickets {
        assert_eq!(pool.refused(ticket), why);
    }
    let _held = pool.collected(other);
    let mut tries = 0;
    for _ in 0..50 {
        pool.pass(ms(100));
        match pool.checkout(4, A) {
            Checkout::Refused(told) => assert_eq!(told, why),
            Checkout::Queued(ticket) => {
                tries += 1;
                let mut opens = pool.opens();
                assert_eq!(opens.len(), 1);
                pool.fail(opens.remove(0).0, rejected);
                assert_eq!(pool.refused(ticket), why);
            }
            Checkout::Lent(_) => panic!(),
        }
    }
    assert_eq!(tries, 5);
}

#[test]
fn who_has_nothing_to_log_in_with_waits_for_a_login_that_changes_it() {
    let mut pool = Bench::new(PoolSettings { min_size: 1, ..size(2) });
    let ticket = pool.queued(1, A);
    let permit = pool.opens().remove(0).0;
    pool.fail(permit, OpenErrorKind::NotProven);
    let why = Refusal::Rejected { sqlstate: SqlState::INVALID_PASSWORD, message: "no".into() };
    assert_eq!(pool.refused(ticket), why);
    pool.pass(NOT_PROVEN_STANDS - ms(1));
    assert!(pool.opens().is_empty(), "the minimum waits, too");
    assert!(matches!(pool.checkout(2, A), Checkout::Refused(told) if told == why));
    pool.core.forgive(pool.now);
    let ticket = pool.queued(3, A);
    pool.open_all();
    let _held = pool.collected(ticket);
}

#[test]
fn a_rejected_login_does_not_fail_those_whom_a_server_still_serves() {
    let mut pool = Bench::new(size(2));
    let held = pool.lend(1, A).remove(0);
    let ticket = pool.queued(1, A);
    let permit = pool.opens().remove(0).0;
    pool.fail(permit, OpenErrorKind::Rejected(SqlState::INVALID_PASSWORD));
    assert_eq!(pool.give_back(held), Some(1));
    let _held = pool.collected(ticket);
}

#[test]
fn drain_serves_the_queue_until_its_deadline() {
    let mut pool = Bench::new(size(2));
    let mut held = pool.lend(2, A);
    let idle = held.remove(0);
    pool.give_back(idle);
    let again = pool.lent(0, A);
    let (first, second, third) = (pool.queued(1, A), pool.queued(2, A), pool.queued(3, A));
    pool.core.drain(pool.now, pool.now + ms(100));
    assert!(matches!(pool.checkout(3, A), Checkout::Refused(Refusal::Draining)));
    assert_eq!(pool.give_back(again), Some(1));
    let first = pool.collected(first);
    pool.core.cancel(pool.now, third);
    pool.pass(ms(100));
    assert_eq!(pool.refused(second), Refusal::Draining);
    pool.give_back(first);
    pool.give_back(held.remove(0));
    for _ in 0..2 {
        let (_, permit, why) = pool.close();
        assert_eq!(why, Ended::Drained);
        pool.core.gone(pool.now, permit);
    }
    assert!(pool.core.is_empty());
}

#[test]
fn f104_a_flooded_pool_yields_to_one_that_has_none() {
    let ceilings = Ceilings::new(Totals { servers: Some(2), ..Totals::default() });
    let mut flooded = Bench::seated(size(5), &ceilings, "a");
    let mut light = Bench::seated(size(5), &ceilings, "b");
    let mut held = flooded.lend(2, A);
    let _more = flooded.queued(9, A);
    assert!(matches!(flooded.core.next_order(), Some(Order::Share)));
    let ticket = light.queued(1, A);
    assert!(matches!(light.core.next_order(), Some(Order::Share)));
    flooded.pass(Duration::from_secs(2));
    assert_eq!(flooded.give_back(held.remove(0)), None);
    let (_, permit, why) = flooded.close();
    assert_eq!(why, Ended::Yielded);
    flooded.core.gone(flooded.now, permit);
    assert_eq!(ceilings.ready().len(), 1);
    light.core.retry(light.now);
    light.open_all();
    let _served = light.collected(ticket);
    assert_eq!(ceilings.used(), 2);
    drop(held);
}
