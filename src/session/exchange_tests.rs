//! Clients that share servers hear what they would hear from a server of their own.

use proptest::prelude::*;

use super::world::*;

fn send(messages: impl IntoIterator<Item = Vec<u8>>) -> Vec<Act> {
    messages.into_iter().map(Act::Send).collect()
}

/// Plays scripts in many orders, on one server and two, that keep one statement or many. Each ends with a Sync.
fn alike(scripts: &[&[&[Vec<u8>]]]) {
    let acts = |script: &&[&[Vec<u8>]]| {
        let steps = script.iter().flat_map(|step| [send(step.iter().cloned()), vec![Act::Listen]]);
        [steps.flatten().collect(), send([sync()])].concat()
    };
    for seed in 0..40 {
        let (servers, kept) = (1 + seed as usize % 2, if seed % 4 < 2 { 1 } else { 100 });
        World::new(servers, kept, seed << 32 | seed, scripts.iter().map(acts).collect()).play();
    }
}

/// Someone else, who leaves his own statements on the servers meanwhile.
fn other() -> [Vec<u8>; 5] {
    [parse("", "ok secret"), parse("s1", "ok other"), bind("", "s1", &[]), execute(""), sync()]
}

fn run(name: &str, text: &str) -> [Vec<u8>; 3] {
    [parse(name, text), bind("", name, &[]), execute("")]
}

fn use_of(name: &str) -> [Vec<u8>; 3] {
    [bind("", name, &[]), execute(""), sync()]
}

// -- statements; numbers are those of the conformance scenarios

#[test]
fn s83_one_name_for_different_texts() {
    let a: &[&[_]] = &[&[parse("s1", "ok a"), sync()], &use_of("s1"), &use_of("s1")];
    let b: &[&[_]] =
        &[&[parse("s1", "ok b"), sync()], &use_of("s1"), &[describe("Ss1"), sync()], &use_of("s1")];
    alike(&[a, b, &[&other(), &other()]]);
}

#[test]
fn s84_the_unnamed_statement_outlives_sync() {
    let a: &[&[_]] = &[
        &[parse("", "ok a"), describe("S"), sync()],
        &use_of(""),
        &[describe("S"), sync()],
        &[query("")],
        &use_of(""),
    ];
    alike(&[a, &[&other(), &other(), &other()]]);
}

#[test]
fn s85_a_failed_parse_drops_the_unnamed_statement() {
    let failed: &[&[_]] = &[&[parse("", "ok a"), sync()], &[parse("", "bad"), sync()], &use_of("")];
    let kept: &[&[_]] = &[&[parse("", "ok a"), sync()], &run("nm", "ok b"), &[sync()], &use_of("")];
    alike(&[failed, kept, &[&other(), &other()]]);
}

#[test]
fn s86_a_used_name_is_refused_by_the_server() {
    let a: &[&[_]] = &[
        &[parse("a", "ok a"), parse("a", "ok a"), sync()],
        &[parse("a", "ok b"), sync(), query("begin"), parse("a", "bad"), sync()],
        &[parse("a", "rollback"), sync(), parse("a", ""), sync(), query("rollback")],
        &use_of("a"),
    ];
    alike(&[a, &[&other(), &other()]]);
}

#[test]
fn s87_unknown_names_are_told_as_they_were_said() {
    let a: &[&[_]] = &[
        &[bind("", "nope", &[]), sync(), close("Snope"), describe("Snope"), sync()],
        &[bind("", "_pgweir_1000", &[]), sync(), close("S_pgweir_1000"), describe("S_pgweir_0"), sync()],
        &[query("execute _pgweir_1000"), query("deallocate _pgweir_1000"), query("execute nope")],
        &[parse("", "execute _pgweir_1000"), bind("", "", &[]), execute(""), sync()],
    ];
    alike(&[a, &[&other(), &other()]]);
}

#[test]
fn s88_statements_outlive_rollback() {
    let a: &[&[_]] = &[
        &[parse("rb", "rollback"), query("begin"), parse("x", "ok a"), query("rollback"), sync()],
        &use_of("x"),
        &[query("begin"), query("err"), parse("y", "ok b"), sync(), bind("", "rb", &[]), execute(""), sync()],
        &[query("begin"), query("err"), parse("", "rollback"), bind("", "", &[]), execute(""), sync()],
        &use_of("x"),
    ];
    alike(&[a, &[&other(), &other()]]);
}

#[test]
fn s89_what_came_before_an_error_stays() {
    let a: &[&[_]] = &[
        &[&[parse("x", "ok a")][..], &run("", "err"), &[parse("y", "ok b"), sync()]].concat(),
        &use_of("x"),
        &use_of("y"),
        &[&[close("Sx")][..], &run("", "err"), &[close("Sy"), sync()]].concat(),
        &use_of("x"),
    ];
    alike(&[a, &[&other(), &other()]]);
}

#[test]
fn s91_sql_knows_names_given_by_protocol() {
    let a: &[&[_]] = &[
        &[parse("a b", "ok a"), parse("c", "ok c"), parse("p", "ok $1"), sync()],
        &[query("execute c"), query("execute \"a b\""), query("execute p")],
        &[&run("", "execute c")[..], &[sync()]].concat(),
        &[&run("d", "deallocate c")[..], &[sync()], &use_of("c")].concat(),
        &[query("deallocate \"a b\""), sync()],
        &use_of("a b"),
        &[
            query("begin"),
            query("err"),
            query("deallocate p"),
            query("rollback"),
            bind("", "p", &["1"]),
            sync(),
        ],
        &[query("deallocate p;err"), query("deallocate p"), parse("p", "ok p"), sync()],
        &use_of("p"),
    ];
    alike(&[a, &[&other(), &other(), &other()]]);
}

#[test]
fn s92_deallocate_all_with_parses_behind_it() {
    let pipelined = |text| {
        [&[parse("z", "ok old"), sync()][..], &run("", text), &[parse("z", "ok new"), sync()]].concat()
    };
    let a: &[&[_]] = &[
        &pipelined("deallocate all"),
        &use_of("z"),
        &[query("deallocate all"), parse("z", "ok 3"), sync()],
        &use_of("z"),
    ];
    let b: &[&[_]] = &[
        &pipelined("discard all"),
        &use_of("z"),
        &[query("begin"), query("discard all"), query("rollback")],
        &use_of("z"),
    ];
    alike(&[a, b]);
}

#[test]
fn s98_more_names_than_a_server_keeps() {
    let names = ["a", "b", "c", "d", "e"];
    let prepare: Vec<_> =
        names.iter().map(|name| parse(name, &format!("ok {name}"))).chain([sync()]).collect();
    let round: Vec<_> = names.iter().flat_map(|name| use_of(name)).collect();
    let failed = [&[query("begin"), query("err")][..], &round, &[query("rollback")]].concat();
    let a: &[&[_]] = &[&prepare, &round, &failed, &round];
    alike(&[a, a]);
}

#[test]
fn f83_a_failed_parse_is_not_remembered() {
    let a: &[&[_]] = &[&[parse("x", "bad"), sync(), parse("x", "ok a"), sync()], &use_of("x")];
    alike(&[a]);
}

#[test]
fn a_skipped_parse_binds_nobody_elses_statement() {
    let a: &[&[_]] = &[&[&run("", "err")[..], &[parse("", "ok a"), sync()], &use_of("")].concat()];
    let b: &[&[_]] =
        &[&[bind("", "x", &[]), parse("x", "ok a"), sync(), parse("x", "ok b"), sync()], &use_of("x")];
    alike(&[a, b, &[&other(), &other()]]);
}

#[test]
fn errors_tell_the_name_that_was_used_of_two() {
    let a: &[&[_]] = &[
        &[parse("one", "ok $1"), parse("two", "ok $1"), sync()],
        &[bind("", "two", &[]), sync(), bind("", "one", &[]), sync()],
        &[query("execute two"), query("execute one"), query("deallocate one;deallocate two")],
        &[bind("", "two", &[]), sync()],
    ];
    alike(&[a]);
}

#[test]
fn an_execute_whose_statement_cannot_be_parsed_now_is_still_answered() {
    let a: &[&[_]] = &[
        &[parse("x", "ok x"), parse("y", "ok y"), sync()],
        &[query("begin"), query("err"), query("execute x"), query("execute y"), query("rollback")],
        &[query("execute x")],
    ];
    alike(&[a, &[&other(), &other()]]);
}

// -- pipelines and copies; numbers are those of the fault catalogue

#[test]
fn f13_a_query_in_an_unfinished_batch() {
    let a: &[&[_]] = &[
        &[&run("", "ok a")[..], &[query("ok b")], &run("", "ok c"), &[sync()]].concat(),
        &[&run("", "err")[..], &[query("ok b"), parse("", "ok c"), sync(), query("ok d")]].concat(),
        &[parse("x", "ok x"), sync()],
        &[&run("", "ok a")[..], &[query("execute x"), query("execute x"), sync()]].concat(),
    ];
    alike(&[a, &[&other(), &other()]]);
}

#[test]
fn f12_long_pipelines_with_errors() {
    let texts = ["ok a", "err", "ok b", "bad", "ok c"];
    let pipeline: Vec<_> = (0..40).flat_map(|at| [&run("", texts[at % 5])[..], &[sync()]].concat()).collect();
    alike(&[&[&pipeline, &use_of("")], &[&pipeline]]);
}

fn copy() -> [Vec<u8>; 3] {
    run("", "copyin")
}

#[test]
fn f88_syncs_within_a_copy() {
    let a: &[&[_]] = &[
        &[&copy()[..], &[sync(), data("x"), copy_done(), sync()]].concat(),
        &[query("copyin"), sync(), data("x"), sync(), copy_done(), sync()],
    ];
    let unfinished: &[&[_]] =
        &[&[&copy()[..], &[sync(), data("x"), copy_done(), flush()]].concat(), &[query("ok a")]];
    alike(&[a, unfinished, &[&other(), &other(), &other()]]);
}

#[test]
fn f87_late_copy_data_after_an_error() {
    let late = [data("bad"), data("x"), sync(), data("x"), copy_done()];
    let a: &[&[_]] = &[
        &[&[query("copyin")], &late[..]].concat(),
        &[query("ok a")],
        &[&[query("begin")], &copy()[..], &late].concat(),
        &[query("ok b")],
        &[data("x"), copy_done(), sync()],
        &[&copy()[..], &[data("x"), copy_fail(), parse("", "ok skipped"), sync()]].concat(),
    ];
    alike(&[a, &[&other(), &other(), &other()]]);
}

#[test]
fn a_sync_that_a_failed_copy_did_not_read_ends_the_skipping() {
    let a: &[&[_]] = &[&[&copy()[..], &[sync(), data("bad"), sync()]].concat(), &[query("ok a")]];
    alike(&[a, &[&other()]]);
}

#[test]
fn a_doubt_is_resolved_before_a_mixed_server_ends() {
    let a: &[&[_]] = &[
        &[close("Ss1"), query("copyin"), data("bad"), sync(), copy_done(), sync()],
        &[close("Ss1"), query("copyin"), sync(), data("bad"), copy_done(), sync()],
        &[query("ok a")],
    ];
    alike(&[a]);
}

#[test]
fn two_copies_in_one_query() {
    let a: &[&[_]] = &[
        &[query("copyin;ok a;copyin"), data("x"), copy_done(), data("y"), copy_done()],
        &[query("copyin;copyin"), data("x"), copy_done()],
        &[sync(), data("y"), copy_fail(), query("ok b")],
        &[query("copyout;copyout"), query("err;copyin"), data("x"), copy_done()],
    ];
    alike(&[a, &[&other(), &other()]]);
}

#[test]
fn anything_else_within_a_copy_ends_the_connection() {
    alike(&[&[&[query("copyin"), query("ok a")]], &[&other(), &other()]]);
    alike(&[&[&[&copy()[..], &[execute("")]].concat()], &[&other(), &other()]]);
}

// -- any scripts

const TEXTS: [&str; 10] =
    ["ok a", "ok b", "ok $1", "err c", "bad", "", "begin", "commit", "rollback", "copyout"];

/// What such texts name is looked up when they are bound, by PostgreSQL when they are executed. So nothing
/// comes in between.
const NAMING: [&str; 7] = [
    "deallocate s1",
    "deallocate s2",
    "deallocate all",
    "discard all",
    "execute s1",
    "execute s2",
    "deallocate _pgweir_1000",
];

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("ok a"), 2 => Just("ok b"), 4 => prop::sample::select(&TEXTS[..])]
}

fn naming() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMING[..])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["s1", "s2", ""][..])
}

fn portal() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => Just("p")]
}

fn target() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["Ss1", "Ss2", "S", "P", "Pp", "S_pgweir_1000"][..])
}

fn parameters() -> impl Strategy<Value = &'static [&'static str]> {
    prop_oneof![3 => Just(&[][..]), 1 => Just(&["7"][..])]
}

/// One message, or some that belong together.
fn group() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let single = prop_oneof![
        6 => (name(), text()).prop_map(|(name, text)| parse(name, text)),
        6 => (portal(), name(), parameters()).prop_map(|(portal, name, p)| bind(portal, name, p)),
        6 => portal().prop_map(execute),
        2 => target().prop_map(describe),
        2 => target().prop_map(close),
        6 => Just(sync()),
        1 => Just(flush()),
        4 => prop_oneof![text(), naming()].prop_map(query),
        1 => (prop_oneof![text(), naming()], prop_oneof![text(), naming()])
            .prop_map(|(a, b)| query(&format!("{a};{b}"))),
        1 => prop::sample::select(&["f", "err"][..]).prop_map(call),
        1 => prop::sample::select(vec![data("x"), copy_done(), copy_fail()]),
    ]
    .prop_map(|message| vec![message]);
    prop_oneof![20 => single, 4 => whole_statement(), 2 => copy_in()]
}

/// Leaves no statement and no portal without a name behind, whatever happens before it.
fn clear() -> Vec<Vec<u8>> {
    vec![sync(), close("S"), close("P"), sync()]
}

fn whole_statement() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![
        (name(), text()).prop_map(|(name, text)| vec![
            parse(name, text),
            bind("", name, &[]),
            execute(""),
            sync()
        ]),
        naming().prop_map(|text| {
            [vec![parse("", text), describe("S"), bind("", "", &[]), execute("")], clear()].concat()
        }),
    ]
}

/// A COPY with its data, which come in one piece, since anything else would end the connection.
fn copy_in() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop::sample::select(vec![data("x"), data("bad"), sync(), flush()]);
    let end = prop::sample::select(vec![copy_done(), copy_fail()]);
    let begin = prop_oneof![
        Just(vec![query("copyin")]),
        Just(vec![query("ok a;copyin;ok b")]),
        Just(vec![parse("", "copyin"), bind("", "", &[]), execute("")]),
    ];
    (begin, prop::collection::vec(piece, 0..4), end)
        .prop_map(|(begin, pieces, end)| [begin, pieces, vec![end], clear()].concat())
}

fn script() -> impl Strategy<Value = Vec<Act>> {
    let step = prop_oneof![4 => group().prop_map(send), 1 => Just(vec![Act::Listen])];
    prop::collection::vec(step, 0..14).prop_map(|steps| [steps.concat(), send([sync()])].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shared_servers_answer_as_own_ones(
        scripts in prop::collection::vec(script(), 1..4),
        servers in 1..3_usize,
        kept in prop_oneof![Just(1_u32), Just(100)],
        seed in any::<u64>(),
    ) {
        World::new(servers, kept, seed, scripts).play();
    }
}
