//! What a client of the chaos does.

use std::sync::atomic::Ordering;

use pgweir_testkit::frontend::{bind, copy_data, copy_done, execute, parse, query, sync, unnamed};

use super::actor::{Actor, is_whole, rows};
use super::ledger::Fate;
use super::{ACCOUNTS, BALANCE, CLIENTS, PINNED, SERVERS};

impl Actor<'_> {
    pub fn step(&mut self) {
        match self.chance.below(30) {
            0..5 => self.transfer(),
            5..8 => self.insert(),
            8 => self.batch_that_fails(),
            9 => self.copy(),
            10..14 => self.read(),
            14..16 => self.look_at_the_session(),
            16..18 => self.set(),
            18..20 => self.lock(),
            20 => self.make_temporary(),
            21 => self.listen(),
            22..24 => self.notify(),
            24..26 => self.cancel(),
            26 => self.leave(),
            27 => self.sum(),
            28 => self.terminate_a_backend(),
            _ => self.session = None,
        }
    }

    fn entry(&self, op: &str) -> String {
        format!("insert into ledger values ('{op}', {})", self.number)
    }

    // -- what is committed, I3 and I4

    fn transfer(&mut self) {
        let op = self.name();
        let (from, to) = (self.chance.below(ACCOUNTS) + 1, self.chance.below(ACCOUNTS) + 1);
        let parts = [
            "begin".to_owned(),
            format!("update account set balance = balance - 1 where id = {from}"),
            format!("update account set balance = balance + 1 where id = {to}"),
            self.entry(&op),
        ];
        if self.chance.below(3) == 0 {
            let heard = self.ask(&format!("{}; commit", parts.join("; ")));
            if !is_whole(&heard) {
                // The block is still open if it failed before the COMMIT.
                self.ask("rollback");
            }
            return self.arena.ledger.note(op, Fate::of(&heard, "COMMIT"));
        }
        for part in parts {
            let heard = self.ask(&part);
            if !is_whole(&heard) {
                self.ask("rollback");
                return self.arena.ledger.note(op, Fate::Failed);
            }
        }
        let fate = match self.chance.below(8) {
            0 => {
                self.vanish();
                Fate::Failed
            }
            1 => {
                self.ask("rollback");
                Fate::Failed
            }
            2 => {
                self.tell(&query("commit"));
                self.vanish();
                Fate::Unknown
            }
            _ => Fate::of(&self.ask("commit"), "COMMIT"),
        };
        self.arena.ledger.note(op, fate);
    }

    fn insert(&mut self) {
        let op = self.name();
        let sql = self.entry(&op);
        let heard = match self.chance.below(3) {
            0 => self.ask(&sql),
            1 => self.say(&unnamed(&sql), 1),
            _ => self.insert_prepared(&op),
        };
        self.arena.ledger.note(op, Fate::of(&heard, "INSERT 0 1"));
    }

    fn insert_prepared(&mut self, op: &str) -> Vec<super::super::kit::Message> {
        let mut messages = Vec::new();
        let had = self.session.as_ref().is_some_and(|session| session.prepared);
        if !had {
            messages.extend(parse("ins", "insert into ledger values ($1, $2)", &[]));
        }
        messages.extend([bind("", "ins", &[op, &self.number.to_string()]), execute("", 0), sync()].concat());
        let heard = self.say(&messages, 1);
        let parsed = had || heard.iter().any(|message| message.tag == b'1');
        match &mut self.session {
            Some(session) if parsed => session.prepared = true,
            // Whether it is there is PostgreSQL's secret.
            _ => self.session = None,
        }
        heard
    }

    /// What stands in front of an error in a batch is undone, what stands behind its Sync isn't touched.
    fn batch_that_fails(&mut self) {
        let (before, behind) = (self.name(), self.name());
        let step = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
        let first = [step(&self.entry(&before)), step("select 1/0"), sync()].concat();
        let second = [step(&self.entry(&behind)), sync()].concat();
        let heard = self.say(&[first, second].concat(), 2);
        let sync = heard.iter().position(|message| message.tag == b'Z').map_or(heard.len(), |at| at + 1);
        self.arena.ledger.note(before, Fate::Failed);
        self.arena.ledger.note(behind, Fate::of(&heard[sync..], "INSERT 0 1"));
    }

    fn copy(&mut self) {
        let ops = [self.name(), self.name()];
        self.tell(&query("copy ledger from stdin"));
        let lines: Vec<_> = ops.iter().map(|op| copy_data(&format!("{op}\t{}\n", self.number))).collect();
        let heard = self.say(&[lines.concat(), copy_done()].concat(), 1);
        for op in ops {
            self.arena.ledger.note(op, Fate::of(&heard, "COPY 2"));
        }
    }

    fn sum(&mut self) {
        if let Some(rows) = rows(&self.ask("select sum(balance) from account")) {
            assert_eq!(rows, [[BALANCE.to_string()]], "I4");
        }
    }

    // -- what is read, I1

    fn read(&mut self) {
        let (tag, count) = (self.name(), self.chance.below(300));
        let sql = format!("select '{tag}', g, repeat('x', 100) from generate_series(1, {count}) g");
        let message = if self.chance.below(2) == 0 { query(&sql) } else { unnamed(&sql) };
        let Some(rows) = rows(&self.say(&message, 1)) else { return };
        assert_eq!(rows.len() as u64, count, "I1");
        assert!(rows.iter().all(|row| row[0] == tag), "I1: {tag}: {rows:?}");
    }

    // -- what the session has, I5

    fn look_at_the_session(&mut self) {
        const LOOK: &str =
            "select current_setting('app.marker', true), to_regclass('pg_temp.mine') is null, current_user";
        let heard = self.ask(LOOK);
        let (Some(rows), Some(session)) = (rows(&heard), &self.session) else { return };
        assert_eq!(rows, [[session.marker.as_str(), "t", "app"]], "I5");
    }

    fn set(&mut self) {
        let marker = self.name();
        let sql = match self.chance.below(3) {
            0 => format!("select set_config('app.marker', '{marker}', false)"),
            1 => format!("begin; set app.marker = '{marker}'; commit"),
            _ => format!("set app.marker = '{marker}'"),
        };
        if self.change(&sql)
            && let Some(session) = &mut self.session
        {
            session.marker = marker;
        }
        self.look_at_the_session();
    }

    fn lock(&mut self) {
        let key = self.number;
        if !self.change(&format!("select pg_advisory_lock({key})")) {
            return;
        }
        self.read();
        match rows(&self.ask(&format!("select pg_advisory_unlock({key})"))) {
            Some(rows) => assert_eq!(rows, [["t"]], "I5: the lock was another session's"),
            None => self.session = None,
        }
    }

    fn make_temporary(&mut self) {
        let tag = self.name();
        if !self.change(&format!("create temp table mine as select '{tag}'::text as tag")) {
            return;
        }
        if let Some(rows) = rows(&self.ask("select tag from mine")) {
            assert_eq!(rows, [[tag]], "I5");
        }
        self.change("drop table mine");
    }

    // -- notifications, I5

    fn listen(&mut self) {
        let (channel, payload) = (self.channel(), self.name());
        let Some(session) = &mut self.session else { return };
        if session.listens {
            if self.change("unlisten *")
                && let Some(session) = &mut self.session
            {
                session.listens = false;
            }
            return;
        }
        session.listens = true;
        if !self.change(&format!("listen {channel}")) {
            return;
        }
        let heard = self.ask(&format!("notify {channel}, '{payload}'"));
        let notified = heard.iter().any(|message| message.tag == b'A' && message.line().contains(&payload));
        assert!(notified || !is_whole(&heard), "I5: own notification {payload} isn't there: {heard:?}");
    }

    fn notify(&mut self) {
        let (other, payload) = (self.chance.below(CLIENTS as u64), self.name());
        self.ask(&format!("notify c{other}, '{payload}'"));
    }

    // -- what goes wrong

    /// I6: a cancel ends the query that it is meant for, or nothing.
    fn cancel(&mut self) {
        let tag = self.name();
        self.tell(&query(&format!("select '{tag}' from pg_sleep(0.01)")));
        if let Some(session) = &self.session {
            session.client.cancel();
        }
        if let Some(rows) = rows(&self.hear(1, true)) {
            assert_eq!(rows, [[tag]], "I1");
        }
    }

    fn leave(&mut self) {
        let op = self.name();
        match self.chance.below(4) {
            0 => self.tell(&query("select repeat('x', 1000) from generate_series(1, 5000)")),
            1 => self.tell(&query("select pg_sleep(10)")),
            2 => {
                let message = query(&self.entry(&op));
                self.tell(&message[..message.len() / 2]);
                self.arena.ledger.note(op, Fate::Failed);
            }
            _ => {
                self.tell(&[parse("", &self.entry(&op), &[]), bind("", "", &[]), execute("", 0)].concat());
                self.arena.ledger.note(op, Fate::Failed);
            }
        }
        self.vanish();
    }

    fn terminate_a_backend(&mut self) {
        let mut director = self.arena.house.director();
        director.tell(&query(
            "select pid, state, query from pg_stat_activity where usename = 'app' and datname = current_database() order by 1",
        ));
        let pids = rows(&director.until_ready()).expect("the director is served");
        assert!(pids.len() as u64 <= u64::from(SERVERS + PINNED), "I8: {pids:?}");
        if !pids.is_empty() {
            let pid = &pids[self.chance.below(pids.len() as u64) as usize][0];
            director.ask(&format!("select pg_terminate_backend({pid})"));
            self.arena.terminated.fetch_add(1, Ordering::Relaxed);
        }
    }
}
