//! Spellings and what they tell; the numbers in names are those of the session scenarios in `tests/scenarios`.

use proptest::prelude::*;

use super::words::{Sign, WORDS};
use super::*;

const OFF: Dialect = Dialect { standard_conforming_strings: false, ascii_safe_encoding: true };

fn whole(text: &str) -> Analysis {
    analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &NoWords)
}

/// `GUC|MULTI work_mem ~app.x`: effects, names, names known only to the backend, statements' names.
fn told(analysis: &Analysis) -> String {
    let mut words = vec![format!("{:?}", analysis.effects)];
    words.extend(analysis.names.iter().map(ToString::to_string));
    words.extend(analysis.local_custom.iter().map(|name| format!("~{name}")));
    words.extend(analysis.local_nameless.then(|| "~?".to_owned()));
    words.extend(analysis.statements.iter().map(|at| format!("{:?}:{}", at.usage, at.name.escape_ascii())));
    words.join(" ")
}

#[track_caller]
fn check(rows: &[(&str, &str)]) {
    let wrong: Vec<_> = rows
        .iter()
        .map(|(text, expected)| (*text, *expected, told(&whole(text))))
        .filter(|(_, expected, got)| expected != got)
        .collect();
    assert!(wrong.is_empty(), "(text, expected, got): {wrong:#?}");
}

#[test]
fn ordinary_statements_leave_no_sign() {
    check(&[
        ("", "-"),
        (" ; ;; ", "-"),
        ("-- nothing", "-"),
        ("/* a /* b */ c */", "-"),
        ("SELECT 1", "-"),
        ("select abalance from pgbench_accounts where aid = $1", "-"),
        ("INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = excluded.b", "SEQ_WRITE"),
        ("WITH d AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM d", "SEQ_WRITE"),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1", "SEQ_WRITE"),
        ("UPDATE t SET a = 1, temp = 2 WHERE load > 3", "-"),
        ("SELECT temp, reset, listen, seed FROM weather", "-"),
        ("SAVEPOINT s", "-"),
        ("SELECT case when a then b else c end from t", "-"),
        ("SHOW work_mem", "-"),
        ("SELECT * FROM pg_settings", "-"),
        ("SELECT currval, setseed FROM odd", "-"),
        ("DECLARE c CURSOR FOR SELECT 1", "-"),
        ("FETCH 10 FROM c", "-"),
        ("TRUNCATE t", "-"),
        ("VACUUM t", "-"),
        ("BEGIN", "TX_BEGIN"),
        ("START TRANSACTION READ ONLY", "TX_BEGIN"),
        ("COPY t FROM STDIN", "SEQ_WRITE"),
        ("SELECT 1; SELECT 2;", "MULTI"),
    ]);
}

#[test]
fn what_has_no_name_is_not_allocated() {
    let analysis = whole("INSERT INTO t (a) SELECT b FROM \"u\" WHERE c = 'x' AND d = $$y$$ -- z");
    assert_eq!(analysis, Analysis { effects: Effects::SEQ_WRITE, ..Analysis::default() });
    assert_eq!(analysis.names.capacity() + analysis.local_custom.capacity(), 0);
    assert_eq!(analysis.statements.capacity(), 0);
}

#[test]
fn signs_within_strings_names_and_comments_dont_count_23() {
    check(&[
        ("SELECT 'SET work_mem=1; LISTEN q'", "-"),
        ("SELECT $q$; SET ROLE x$q$", "-"),
        ("SELECT $$;DO$$, $a$; $$ ; $b$ $a$", "-"),
        ("SELECT 1 AS \"set\"", "-"),
        ("SELECT 1 AS \"; SET \"\"a\"", "-"),
        ("SELECT 1 -- ; SET a = 1", "-"),
        ("SELECT 1 /* ; SET a = 1 /* */ ; DO */", "-"),
        ("SELECT E'\\'; SET a = 1; --'", "-"),
        ("SELECT e'\\\\' , 'x'", "-"),
        ("SELECT 'it''s; SET a=1'", "-"),
        ("SELECT U&'\\0061'';set a=1'", "-"),
        ("SELECT E'a'\n  '\\'; SET a=1; --'", "-"),
        ("SELECT E'a' -- b\n '\\'; SET a=1; --'", "-"),
        ("SELECT B'01', X'1F', N';set a=1'", "-"),
        ("SELECT foo$1$; SELECT bar$1$", "MULTI"),
        ("SELECT $1; SET a=$1", "GUC|MULTI a"),
        ("SELECT 'a\\'; SET a=1; --'", "GUC|MULTI a"),
        ("SELECT namee'\\'; SET a=1; --'", "GUC|MULTI a"),
        ("SELECT U&'\\'; SET a=1; --'", "GUC|MULTI a"),
        ("SELECT E'a' '\\'; SET a=1; --'", "GUC|MULTI a"),
    ]);
}

#[test]
fn backslashes_escape_when_strings_dont_conform_24() {
    let of = |text: &str| told(&analyse(text.as_bytes(), OFF, Extent::Whole, &NoWords));
    assert_eq!(of("SELECT 'a\\'; SET ROLE r1; --'"), "-");
    assert_eq!(of("SELECT B'\\'; SET ROLE r1; --'"), "IDENT|MULTI");
    assert_eq!(told(&whole("SELECT 'a\\'; SET ROLE r1; --'")), "IDENT|MULTI");
}

#[test]
fn each_spelling_of_set_gives_the_settings_name() {
    check(&[
        ("SET work_mem='5MB'", "GUC work_mem"),
        ("set WORK_MEM to 5000", "GUC work_mem"),
        ("sEt/**/work_mem=5000", "GUC work_mem"),
        ("/* a /* b */ c */ SET work_mem='5MB'", "GUC work_mem"),
        ("-- x\nSET work_mem=1", "GUC work_mem"),
        (";;SET work_mem=1;;", "GUC work_mem"),
        ("SET SESSION work_mem = DEFAULT", "GUC work_mem"),
        ("SET \"Work_Mem\" = 1", "GUC work_mem"),
        ("SET sort_mem = 1", "GUC work_mem"),
        ("SET search_path=\"My, Schema\",public", "GUC search_path"),
        ("SET work_mem FROM CURRENT", "GUC work_mem"),
        ("SET TIME ZONE 'UTC'", "GUC timezone"),
        ("SET SESSION TIME ZONE LOCAL", "GUC timezone"),
        ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "GUC timezone"),
        ("SET timezone='Asia/Tokyo'", "GUC timezone"),
        ("SET NAMES 'LATIN1'", "GUC client_encoding"),
        ("SET NAMES", "GUC client_encoding"),
        ("SET SCHEMA 'x'", "GUC search_path"),
        ("SET XML OPTION DOCUMENT", "GUC xmloption"),
        ("SET app.tenant='a'", "GUC app.tenant"),
        ("SET App.\"Tenant\".X TO 'a'", "GUC app.tenant.x"),
        ("SET local.x = 1", "GUC local.x"),
        ("SET session.x = 1", "GUC session.x"),
        ("SET session = 1", "GUC session"),
        ("SET names = 1", "GUC names"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
            "GUC default_transaction_isolation default_transaction_read_only default_transaction_deferrable",
        ),
        (
            "SET SESSION SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "GUC default_transaction_isolation default_transaction_read_only default_transaction_deferrable",
        ),
        ("SET a=1; SET b=2; SET a=3", "GUC|MULTI a b"),
        ("RESET work_mem", "GUC work_mem"),
        ("RESET TIME ZONE", "GUC timezone"),
        ("RESET app.x", "GUC app.x"),
        ("RESET \"all\"", "GUC all"),
        ("RESET time", "GUC time"),
        ("RESET ALL", "GUC_ALL"),
        // What isn't understood is any setting.
        ("SET", "GUC_ALL"),
        ("SET 1 = 1", "GUC_ALL"),
        ("SET something strange", "GUC_ALL"),
        ("RESET", "GUC_ALL"),
        ("SET U&\"work_mem\" = 1", "GUC_ALL|OPAQUE"),
    ]);
}

#[test]
fn settings_of_the_transaction_stay_in_it_14_32() {
    check(&[
        ("SET LOCAL work_mem='9MB'", "-"),
        ("SET LOCAL app.t='x'", "- ~app.t"),
        ("SET LOCAL ROLE r1", "-"),
        ("SET LOCAL SESSION AUTHORIZATION r1", "-"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "-"),
        ("SET SESSION TRANSACTION READ ONLY", "-"),
        ("SET TRANSACTION SNAPSHOT '1'", "-"),
        ("SET CONSTRAINTS ALL DEFERRED", "-"),
        ("SET transaction_read_only = on", "-"),
        ("RESET TRANSACTION ISOLATION LEVEL", "-"),
        ("BEGIN; SET LOCAL work_mem='9MB'; SET work_mem='10MB'; COMMIT", "GUC|TX_BEGIN|MULTI work_mem"),
    ]);
}

#[test]
fn identity_and_seed_are_effects_of_their_own_44_to_48_101() {
    check(&[
        ("SET ROLE r1", "IDENT"),
        ("SET ROLE NONE", "IDENT"),
        ("SET SESSION ROLE 'r1'", "IDENT"),
        ("SET role = 'r1'", "IDENT"),
        ("SET \"role\" TO r1", "IDENT"),
        ("RESET ROLE", "IDENT"),
        ("SET SESSION AUTHORIZATION r1", "IDENT"),
        ("SET SESSION SESSION AUTHORIZATION DEFAULT", "IDENT"),
        ("SET session_authorization TO DEFAULT", "IDENT"),
        ("RESET SESSION AUTHORIZATION", "IDENT"),
        ("SELECT set_config('role','r1',false)", "IDENT"),
        ("SET work_mem=1; SET ROLE r1", "GUC|IDENT|MULTI work_mem"),
        ("SET session_replication_role=replica; SET ROLE r1", "GUC|IDENT|MULTI session_replication_role"),
        ("SET SEED TO 0.5", "SEED"),
        ("SET seed = 0.5", "SEED"),
        ("SELECT setseed(0.5)", "SEED"),
    ]);
}

#[test]
fn a_value_may_be_a_custom_settings_name() {
    let name = |value: &str| custom_setting_name(value.as_bytes());
    assert_eq!(name("App.tenant_1.x").as_deref(), Some("app.tenant_1.x"));
    for other in
        ["", "work_mem", "a.", ".a", "1.5", "a b.c", "a-b.c", "a..b", &format!("a.{}", "b".repeat(127))]
    {
        assert_eq!(name(other), None, "{other}");
    }
}

#[test]
fn set_config_names_its_setting_if_it_can_be_read_2_to_4() {
    check(&[
        ("SELECT set_config('work_mem','5MB',false)", "GUC work_mem"),
        ("SELECT pg_catalog.set_config('search_path','',false)", "GUC search_path"),
        ("SELECT \"set_config\"('Work_Mem'::text, 'x'||'y', false)", "GUC work_mem"),
        ("SELECT set_config /* c */ ($$work_mem$$, f(a,b), $1)", "GUC work_mem"),
        ("SELECT set_config(E'work_mem', '1', false), set_config('a.b', '2', false)", "GUC work_mem a.b"),
        ("SELECT set_config($1,$2,false)", "GUC_ALL|NAMELESS"),
        ("SELECT set_config($1,$2,$3)", "GUC_ALL|NAMELESS"),
        ("SELECT set_config('work'||'_mem','1',false)", "GUC_ALL|NAMELESS"),
        ("SELECT set_config('work'\n'_mem','1',false)", "GUC_ALL|NAMELESS"),
        ("SELECT set_config(E'work\\x5fmem','1',false)", "GUC_ALL|NAMELESS"),
        ("SELECT set_config('work'::text||'_mem','1',false)", "GUC_ALL|NAMELESS"),
        ("SELECT set_config(name, '1', false) FROM pg_settings", "GUC_ALL|NAMELESS"),
        ("SELECT set_config(new_value => 'a', setting_name => 'b', is_local => true)", "GUC_ALL|NAMELESS"),
        // Local ones stay in their transaction.
        ("SELECT set_config('work_mem','5MB',true)", "-"),
        ("SELECT set_config('app.t', format('%s,%s', $1, $2), TRUE)", "- ~app.t"),
        ("SELECT set_config($1, $2, true)", "- ~?"),
        ("SELECT set_config('a.b', set_config('c.d', 'x', false), true)", "GUC c.d ~a.b"),
        ("SELECT set_config('a.b', ARRAY[1,2]::text, true)", "- ~a.b"),
        ("SELECT set_config('a.b', 'x', true AND false)", "GUC a.b"),
    ]);
}

#[test]
fn other_ways_to_a_setting_29_30() {
    check(&[
        ("UPDATE pg_settings SET setting='9MB' WHERE name='work_mem'", "GUC_ALL"),
        ("WITH x AS (UPDATE \"pg_settings\" SET setting='1') SELECT 1", "GUC_ALL"),
        ("SELECT set_limit(0.6)", "GUC pg_trgm.similarity_threshold"),
        ("ALTER FUNCTION f() SET work_mem = 1", "DDL|CATALOG"),
        ("ALTER ROLE u SET work_mem='66MB'", "DDL|DEFAULTS"),
        ("ALTER ROLE ALL IN DATABASE d RESET ALL", "DDL|DEFAULTS"),
        ("ALTER DATABASE d SET work_mem=1", "DDL|DEFAULTS|DATABASE"),
        ("ALTER USER u PASSWORD 'x'", "DDL|DEFAULTS"),
        ("DROP ROLE IF EXISTS u", "DDL|DEFAULTS"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "DDL|DEFAULTS"),
        ("REVOKE CONNECT ON DATABASE d FROM public", "DEFAULTS"),
        ("GRANT SELECT ON t TO u", "-"),
        ("DROP DATABASE d", "DDL|DEFAULTS|DATABASE"),
        ("CREATE DATABASE d TEMPLATE t", "TEMP|DDL|DEFAULTS|DATABASE"),
        ("ALTER USER MAPPING FOR u SERVER s OPTIONS (SET password 'x')", "DDL|DEFAULTS"),
        (
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration=0",
            "GUC|LOAD|MULTI auto_explain.log_min_duration",
        ),
    ]);
}

#[test]
fn code_that_no_text_shows_is_opaque_25_28() {
    check(&[
        ("DO $$begin perform set_config('work_mem','44MB',false); end$$", "GUC|OPAQUE work_mem"),
        ("DO LANGUAGE 'plpgsql' 'begin set local a.b = 1; set role x; end'", "OPAQUE ~a.b"),
        ("DO $$ oh", "OPAQUE"),
        ("CALL pc()", "OPAQUE"),
        ("SELECT query_to_xml('select setseed(1)', true, false, '')", "OPAQUE"),
        ("CREATE EXTENSION pg_trgm", "TEMP|OPAQUE|DDL|CATALOG"),
        ("ALTER EXTENSION pg_trgm UPDATE", "OPAQUE|DDL|CATALOG"),
        // Cut short, whatever it was.
        ("SELECT 'a", "OPAQUE"),
        ("SELECT E'a\\'", "OPAQUE"),
        ("SELECT \"a", "OPAQUE"),
        ("SELECT $x$ $y$", "OPAQUE"),
        ("SELECT /* /* */", "OPAQUE"),
        ("SELECT (1; SET a=1", "OPAQUE"),
        ("SELECT U&\"d\\0061ta\" FROM t", "OPAQUE"),
    ]);
    let head = analyse(b"INSERT INTO t VALUES (1)", Dialect::default(), Extent::Head, &NoWords);
    assert_eq!(told(&head), "SEQ_WRITE|OPAQUE");
    let sjis = Dialect { ascii_safe_encoding: false, ..Dialect::default() };
    assert_eq!(told(&analyse(b"SELECT '\x83\x5c'", sjis, Extent::Whole, &NoWords)), "OPAQUE");
    assert_eq!(told(&analyse(b"SELECT 'plain'", sjis, Extent::Whole, &NoWords)), "-");
}

#[test]
fn temporary_objects_50_to_58() {
    check(&[
        ("CREATE TEMP TABLE t(a int)", "TEMP|DDL"),
        ("CREATE TABLE x(a int)", "TEMP|DDL|CATALOG"),
        ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'select 1'", "TEMP|DDL|CATALOG"),
        ("SELECT 1 AS a INTO TEMP t", "TEMP|DDL"),
        ("SELECT * INTO t FROM u", "TEMP|DDL"),
        ("EXPLAIN (ANALYZE, COSTS off) CREATE TABLE t AS SELECT 1", "TEMP|DDL|CATALOG"),
        ("DROP TABLE t", "DDL"),
        ("DISCARD TEMP", "TEMP|DISCARD"),
        ("DISCARD TEMPORARY", "TEMP|DISCARD"),
        ("DISCARD SEQUENCES", "DISCARD"),
        ("DISCARD PLANS", "DISCARD"),
        ("DISCARD ALL", "GUC_ALL|IDENT|DEALLOCATE_ALL|DISCARD_ALL"),
        ("discard all; select 1", "GUC_ALL|IDENT|DEALLOCATE_ALL|DISCARD_ALL|MULTI"),
    ]);
}

#[test]
fn locks_59_to_69() {
    check(&[
        ("SELECT pg_advisory_lock(1)", "ADVISORY"),
        ("SELECT pg_catalog.pg_try_advisory_lock_shared($1, $2)", "ADVISORY"),
        ("SELECT pg_advisory_lock(g), 1/(2-g) FROM generate_series(1,3) g", "ADVISORY"),
        ("SELECT pg_advisory_xact_lock(3), pg_try_advisory_xact_lock_shared(4)", "-"),
        (
            "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
            "GUC_ALL|ADVISORY|LISTEN|CLOSE|MULTI",
        ),
    ]);
}

#[test]
fn channels_and_cursors_70_to_80() {
    check(&[
        ("LISTEN c", "LISTEN"),
        ("UNLISTEN *", "LISTEN"),
        ("NOTIFY c, 'p'", "-"),
        ("SELECT pg_notify('c', 'p')", "-"),
        ("DECLARE h CURSOR WITH HOLD FOR SELECT 1", "CURSOR"),
        ("DECLARE h BINARY SCROLL CURSOR WITHOUT HOLD FOR SELECT 1", "-"),
        ("CLOSE h", "CLOSE"),
    ]);
}

#[test]
fn statements_that_are_named_90_to_93() {
    check(&[
        ("PREPARE p AS SELECT 1", "SQLPREP Prepare:p"),
        ("PREPARE P(int) AS SELECT $1", "SQLPREP Prepare:p"),
        ("PREPARE transaction AS SELECT 1", "SQLPREP Prepare:transaction"),
        ("EXECUTE p", "STMT_REF Execute:p"),
        ("EXECUTE \"a \"\"b\"(1, setseed(1))", "STMT_REF|SEED Execute:a \\\"b"),
        ("EXPLAIN EXECUTE p", "STMT_REF Execute:p"),
        ("EXPLAIN ANALYZE VERBOSE EXECUTE p", "STMT_REF Execute:p"),
        ("EXPLAIN (ANALYZE, FORMAT json) EXECUTE p(1)", "STMT_REF Execute:p"),
        ("CREATE TEMP TABLE t (a) WITH (fillfactor=10) AS EXECUTE p", "TEMP|STMT_REF|DDL Execute:p"),
        ("EXPLAIN ANALYZE CREATE TABLE t AS EXECUTE \"P\"(1)", "TEMP|STMT_REF|DDL|CATALOG Execute:P"),
        ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", "TEMP|DDL|CATALOG"),
        ("GRANT EXECUTE ON FUNCTION f() TO u", "-"),
        ("DEALLOCATE p", "STMT_REF Deallocate:p"),
        ("DEALLOCATE PREPARE \"_pg3_0\"", "STMT_REF Deallocate:_pg3_0"),
        ("DEALLOCATE prepare", "STMT_REF Deallocate:prepare"),
        ("DEALLOCATE \"all\"", "STMT_REF Deallocate:all"),
        ("DEALLOCATE ALL", "DEALLOCATE_ALL"),
        ("DEALLOCATE PREPARE ALL", "DEALLOCATE_ALL"),
        ("EXECUTE a; DEALLOCATE b", "STMT_REF|MULTI Execute:a Deallocate:b"),
        ("EXECUTE U&\"p\"", "OPAQUE"),
    ]);
}

#[test]
fn ends_of_transactions_88() {
    check(&[
        ("COMMIT", "TX_EXIT"),
        ("COMMIT AND CHAIN;", "TX_EXIT"),
        ("ROLLBACK WORK", "TX_EXIT"),
        ("ROLLBACK TO SAVEPOINT s", "TX_EXIT"),
        ("ABORT", "TX_EXIT"),
        ("END", "TX_EXIT"),
        ("PREPARE TRANSACTION 'z'", "TX_EXIT"),
        ("COMMIT PREPARED 'z'", "-"),
        ("ROLLBACK PREPARED 'z'", "-"),
        ("COMMIT; SELECT 1", "MULTI"),
        ("RELEASE s", "-"),
    ]);
}

#[test]
fn sequences_and_the_rest_100_to_107() {
    check(&[
        ("SELECT lastval(), currval('s_id_seq')", "SEQ_READ"),
        ("SELECT nextval('s')", "SEQ_WRITE"),
        ("SELECT dblink_connect('cn', '')", "EXTCONN"),
        ("SELECT public.dblink_connect_u('c(n', f('a', ')') || 'x')", "EXTCONN"),
        ("SELECT dblink_connect(concat('host=', 'x'))", "EXTCONN_UNNAMED"),
        ("SELECT dblink_connect(concat('host=', 'x')", "EXTCONN|OPAQUE"),
        ("SELECT dblink_disconnect('cn')", "CLOSE"),
        ("SELECT pg_create_logical_replication_slot('s', 'test_decoding', true)", "SLOT"),
        ("SELECT pg_replication_origin_session_setup('o')", "ORIGIN"),
        ("SELECT * FROM pg_backup_start('l')", "BACKUP"),
        ("COPY (SELECT setval('s', 1)) TO STDOUT", "SEQ_WRITE"),
    ]);
}

#[test]
fn semicolons_within_a_statement_dont_end_it() {
    check(&[
        ("CREATE RULE r AS ON INSERT TO t DO ALSO (SET a = 1; DO 'x'; LISTEN c)", "TEMP|DDL|CATALOG"),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; \
             SET a = 1; RETURN 2; END; SELECT 1",
            "TEMP|DDL|MULTI|CATALOG",
        ),
        ("CREATE PROCEDURE p() begin/**/atomic INSERT INTO t VALUES (1); LOAD 'x'; end", "TEMP|DDL|CATALOG"),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "TEMP|OPAQUE|DDL|CATALOG"),
        ("CREATE TABLE begin (a int); SET a = 1", "GUC|TEMP|DDL|MULTI|CATALOG a"),
        ("BEGIN; SET a = 1; END", "GUC|TX_BEGIN|MULTI a"),
    ]);
}

#[test]
fn what_changes_the_meaning_of_other_texts_26_27() {
    let catalog = |text: &str| whole(text).effects.contains(Effects::CATALOG);
    for text in [
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "create/**/procedure p() language sql as ''",
        "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION f()",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
        "CREATE OR REPLACE VIEW v AS SELECT f()",
        "CREATE RECURSIVE VIEW v (a) AS SELECT 1",
        "CREATE POLICY p ON t USING (f())",
        "CREATE TABLE t PARTITION OF p DEFAULT",
        "CREATE UNLOGGED TABLE t (a int DEFAULT f())",
        "CREATE SCHEMA s CREATE VIEW v AS SELECT f()",
        "ALTER TABLE t ATTACH PARTITION p DEFAULT",
        "ALTER ROUTINE f() RENAME TO g",
        "BEGIN; CREATE RULE r AS ON INSERT TO t DO ALSO SELECT f(); COMMIT",
        "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y",
        "DO $$begin create function f() returns int language sql as 'select 1'; end$$",
        "DO $$begin execute 'create function f() returns int language sql as ''select 1'''; end$$",
        "DO $do$begin execute format($$CREATE %s f()$$, kind); end$do$",
        "DO $$begin execute 'alter ' || what; end$$",
        "CALL run('CREATE VIEW v AS SELECT f()')",
    ] {
        assert!(catalog(text), "{text}");
    }
    for text in [
        "SELECT 'create function f'",
        "CREATE TEMP TABLE t (a int)",
        "CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1",
        "CREATE LOCAL TEMP TABLE t ()",
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "CREATE UNIQUE INDEX i ON t (a)",
        "CREATE ROLE r",
        "ALTER SYSTEM SET work_mem = 1",
        "ALTER DATABASE d SET work_mem = 1",
        "DROP FUNCTION f()",
        "SELECT 1 INTO t",
        "DO $$begin execute 'create table if not exists p partition of t'; end$$",
        "DO $$begin raise 'can''t create it'; end$$",
        "CALL p('created')",
    ] {
        assert!(!catalog(text), "{text}");
    }
    assert!(tag_changes_catalog(b"CREATE FUNCTION") && tag_changes_catalog(b"ALTER POLICY"));
    for tag in ["CREATE TABLE", "CREATE INDEX", "DROP FUNCTION", "SELECT 1", "DO", ""] {
        assert!(!tag_changes_catalog(tag.as_bytes()), "{tag}");
    }
}

#[test]
fn further_words_come_from_a_dictionary() {
    struct Stateful;
    impl Dictionary for Stateful {
        fn effects(&self, word: WordHash) -> Effects {
            if word == WordHash::of(b"f_hidden") { Effects::OPAQUE } else { Effects::NONE }
        }
    }
    let of = |text: &str| analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &Stateful).effects;
    assert_eq!(of("SELECT app.F_Hidden(1)"), Effects::OPAQUE);
    assert_eq!(of("SELECT * FROM \"f_hidden\""), Effects::OPAQUE);
    assert_eq!(of("SELECT 'f_hidden', f_hidden2()"), Effects::NONE);
}

#[test]
fn long_names_are_cut_as_postgres_cuts_them() {
    let long = format!("EXECUTE {}", "x".repeat(70));
    assert_eq!(whole(&long).statements[0].name.len(), 63);
    let wide = format!("EXECUTE \"{}é\"", "x".repeat(62));
    assert_eq!(whole(&wide).statements[0].name.len(), 62);
}

#[test]
fn words_are_lower_case_and_once() {
    for (at, (word, sign)) in WORDS.iter().enumerate() {
        assert_eq!(*word, word.to_lowercase());
        assert!(WORDS[..at].iter().all(|(other, _)| other != word), "{word} stands twice");
        assert_eq!(words::sign(word.to_uppercase().as_bytes(), WordHash::of(word.as_bytes())), Some(*sign));
    }
    assert!(WORDS.iter().any(|(_, sign)| *sign == Sign::SetConfig));
}

#[test]
fn only_the_names_are_rewritten() {
    let rename = |text: &str| {
        let mut out = b"<".to_vec();
        let renamed = rename_statements(
            text.as_bytes(),
            &whole(text),
            |at| (*at.name != *b"other").then(|| format!("_pgweir_{}", at.name.len())),
            &mut out,
        );
        (!renamed.is_empty(), String::from_utf8(out).unwrap())
    };
    assert_eq!(
        rename("explain/*x*/execute Ab(1); deallocate \"a\"\"b\" ;"),
        (true, "<explain/*x*/execute \"_pgweir_2\"(1); deallocate \"_pgweir_3\" ;".into())
    );
    assert_eq!(
        rename("EXECUTE other; DEALLOCATE b"),
        (true, "<EXECUTE other; DEALLOCATE \"_pgweir_1\"".into())
    );
    assert_eq!(rename("EXECUTE other"), (false, "<".into()));
    assert_eq!(rename("SELECT 1"), (false, "<".into()));
}

#[test]
fn positions_behind_new_names_are_told_as_before() {
    let text = "select 'é'; execute Ab(x); execute c + y";
    let mut out = b"<".to_vec();
    let renamed = rename_statements(text.as_bytes(), &whole(text), |_| Some("much longer".into()), &mut out);
    let new = String::from_utf8(out).unwrap();
    let position = |text: &str, what: &str| text.chars().position(|it| what.starts_with(it)).unwrap() + 1;
    for what in ["é", "x", "y"] {
        assert_eq!(renamed.position_before(position(&new[1..], what)), position(text, what), "{what}");
    }
    let name = position(text, "A");
    assert_eq!((renamed.position_before(name), renamed.position_before(name + 12)), (name, name));
}

#[test]
fn bodies_of_routines() {
    let of = |language, body: &str| {
        let mut words = Vec::new();
        let analysis = read_body(body.as_bytes(), language, |word| words.push(word));
        (told(&analysis), words.contains(&WordHash::of(b"other_routine")))
    };
    let plain = |language, body: &str| of(language, body).0;
    use Language::{Other, PlPgSql, Sql};
    assert_eq!(of(Sql, "SELECT other_routine(1)"), ("-".into(), true));
    assert_eq!(plain(Sql, "SELECT set_config('a','b',false)"), "GUC a");
    assert_eq!(plain(Sql, "SELECT set_config('a','b',true)"), "-");
    assert_eq!(plain(Sql, "SELECT 1 INTO t"), "TEMP");
    assert_eq!(plain(Sql, "INSERT INTO t SELECT nextval('s')"), "SEQ_WRITE");
    assert_eq!(plain(PlPgSql, "BEGIN SELECT 1 INTO x; UPDATE t SET a = 1; RETURN NEW; END"), "-");
    assert_eq!(
        plain(PlPgSql, "BEGIN INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2; END"),
        "SEQ_WRITE"
    );
    assert_eq!(plain(PlPgSql, "BEGIN SET work_mem = 1; END"), "GUC work_mem");
    assert_eq!(plain(PlPgSql, "BEGIN SET LOCAL work_mem = 1; END"), "-");
    assert_eq!(plain(PlPgSql, "BEGIN FOR r IN SELECT 1 FOR UPDATE LOOP SET ROLE x; END LOOP; END"), "IDENT");
    assert_eq!(plain(PlPgSql, "BEGIN UPDATE t SET a = 1; SET ROLE x; END"), "IDENT");
    assert_eq!(plain(PlPgSql, "BEGIN EXECUTE 'listen ' || c; END"), "OPAQUE");
    assert_eq!(
        plain(PlPgSql, "BEGIN CREATE TEMP TABLE t (a int); PERFORM pg_advisory_lock(1); END"),
        "ADVISORY|TEMP"
    );
    assert_eq!(plain(PlPgSql, "BEGIN UPDATE pg_settings SET setting = '1'; END"), "GUC_ALL");
    assert_eq!(plain(PlPgSql, "BEGIN OPEN c; DECLARE h CURSOR WITH HOLD FOR SELECT 1; END"), "CURSOR");
    assert_eq!(plain(Other, "GD['a'] = 1"), "PL_GLOBALS");
    assert_eq!(plain(Other, "plpy.execute('set work_mem = 1')"), "OPAQUE");
    assert_eq!(of(Other, "return plpy.quote('other_routine')"), ("-".into(), true));
}

/// Pieces that SQL is made of, and pieces that break it.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SET",
        "a.b",
        "=",
        "1",
        ";",
        "EXECUTE",
        "p1",
        "DEALLOCATE",
        "PREPARE",
        "\"x\"\"y\"",
        "'it''s'",
        "E'\\''",
        "$$;$$",
        "$t$;$t$",
        "--c\n",
        "/*/* */*/",
        "(",
        ")",
        "CREATE",
        "AS",
        "BEGIN",
        "ATOMIC",
        "END",
        "CASE",
        "EXPLAIN",
        "set_config",
        ",",
        "true",
        "U&'x'",
        "U&\"x\"",
        "LOCAL",
        "ALL",
        "SELECT",
        "INTO",
        "'",
        "\"",
        "/*",
        "$",
        "\\",
        "é",
        "RESET",
    ])
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), conforming: bool) {
        let dialect = Dialect { standard_conforming_strings: conforming, ascii_safe_encoding: !conforming };
        let analysis = analyse(&bytes, dialect, Extent::Whole, &NoWords);
        prop_assert!(analysis.statements.iter().all(|at| !at.span.is_empty() && at.span.end <= bytes.len()));
        for language in [Language::Sql, Language::PlPgSql, Language::Other] {
            read_body(&bytes, language, |_| {});
        }
    }

    #[test]
    fn renamed_text_means_the_same(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.join(" ");
        let before = whole(&text);
        let mut out = Vec::new();
        if !rename_statements(text.as_bytes(), &before, |_| Some("n\"1".into()), &mut out).is_empty() {
            let after = analyse(&out, Dialect::default(), Extent::Whole, &NoWords);
            prop_assert_eq!(after.effects, before.effects);
            prop_assert_eq!(&after.names, &before.names);
            prop_assert_eq!(after.statements.len(), before.statements.len());
            prop_assert!(after.statements.iter().all(|at| *at.name == *b"n\"1"));
        } else {
            prop_assert!(before.statements.is_empty() && out.is_empty());
        }
    }
}
