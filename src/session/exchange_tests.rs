//! Clients that share servers hear what they would hear from a server of their own.

use proptest::prelude::*;

use super::world::*;

fn send(messages: impl IntoIterator<Item = Vec<u8>>) -> Vec<Act> {
    messages.into_iter().map(Act::Send).collect()
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
