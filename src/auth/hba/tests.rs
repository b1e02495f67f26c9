//! Rules and maps, from text to verdict. What PostgreSQL makes of the same rules: `tests/hba.rs`.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::wire::fault::Fault;

/// A disk that is a map.
struct Shelf(BTreeMap<PathBuf, &'static str>);

impl Files for Shelf {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).map(|text| text.to_string()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let inside = |path: &&PathBuf| path.parent() == Some(folder);
        Ok(self.0.keys().rev().filter(inside).map(|path| path.file_name().unwrap().into()).collect())
    }
}

fn shelf(files: &[(&str, &'static str)]) -> Shelf {
    Shelf(files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect())
}

fn hba(rules: &str) -> Hba {
    mapped(rules, "")
}

fn mapped(rules: &str, maps: &str) -> Hba {
    let maps = Text::Inline("auth.ident", maps);
    Hba::read(Text::Inline("auth.hba", rules), Some(maps), Allowed::default(), &shelf(&[])).unwrap()
}

fn error(rules: &str) -> String {
    let read = Hba::read(Text::Inline("auth.hba", rules), None, Allowed::default(), &shelf(&[]));
    read.unwrap_err().to_string()
}

fn unix<'a>(database: &'a str, user: &'a str) -> Visitor<'a> {
    Visitor { database, user, line: Line::Unix }
}

fn tcp<'a>(address: &str, tls: bool, database: &'a str, user: &'a str) -> Visitor<'a> {
    let address: IpAddr = address.parse().unwrap();
    Visitor { database, user, line: Line::Tcp { address, tls, certificate: None } }
}

fn shows<'a>(common_name: Option<&'a str>, user: &'a str) -> Visitor<'a> {
    let certificate = Some(Certificate { common_name });
    let address = [10, 0, 0, 1].into();
    Visitor { database: "shop", user, line: Line::Tcp { address, tls: true, certificate } }
}

/// The number of the line that decides, or 0.
fn line(hba: &Hba, visitor: Visitor<'_>) -> usize {
    hba.rules().iter().find(|rule| rule.fits(&visitor)).map_or(0, |rule| rule.place().line)
}

fn verdict(hba: &Hba, visitor: Visitor<'_>, system_user: Option<&str>) -> Result<Method, Fault> {
    hba.judge(hba.rule(&visitor)?, &visitor, system_user)
}

#[test]
fn the_first_rule_that_fits_decides() {
    let hba = hba("\
# comment
local     all       all                              peer
host      shop      ann,bob    10.0.0.0/8            md5   # behind a rule
hostssl   all       all        10.0.0.0  255.0.0.0   scram-sha-256
hostnossl sameuser  all        ::1/128               password
host      all       \"all\"      all                   trust
host      replication all      all                   trust
");
    assert_eq!(line(&hba, unix("shop", "ann")), 2);
    assert_eq!(line(&hba, tcp("10.1.2.3", false, "shop", "bob")), 3);
    assert_eq!(line(&hba, tcp("10.1.2.3", true, "shop", "eve")), 4);
    assert_eq!(line(&hba, tcp("10.1.2.3", false, "shop", "eve")), 0);
    assert_eq!(line(&hba, tcp("::ffff:10.1.2.3", true, "shop", "eve")), 4);
    assert_eq!(line(&hba, tcp("::1", false, "ann", "ann")), 5);
    assert_eq!(line(&hba, tcp("::1", true, "ann", "ann")), 0);
    assert_eq!(line(&hba, tcp("::1", false, "shop", "ann")), 0);
    assert_eq!(line(&hba, tcp("1.1.1.1", false, "shop", "all")), 6);
    assert_eq!(line(&hba, tcp("1.1.1.1", false, "replication", "ann")), 0);
}

#[test]
fn addresses_and_masks() {
    let fits = |address: &str, client: &str| {
        line(&hba(&format!("host all all {address} md5")), tcp(client, false, "d", "u")) > 0
    };
    for (address, inside, outside) in [
        ("0.0.0.0/0", "255.1.2.3", "::1"),
        ("::/0", "2001:db8::1", "1.2.3.4"),
        ("192.168.7.9/32", "192.168.7.9", "192.168.7.8"),
        // Bits behind the mask don't count.
        ("192.168.7.9/24", "192.168.7.255", "192.168.8.0"),
        ("fe80::/10", "febf::1", "fec0::1"),
        ("127.0.0.1 255.255.255.255", "127.0.0.1", "127.0.0.2"),
        ("10.0.0.7 255.0.0.255", "10.9.9.7", "10.9.9.8"),
        ("2001:db8:: ffff:ffff::", "2001:db8:5::", "2001:db9::"),
    ] {
        assert!(fits(address, inside), "{address} {inside}");
        assert!(!fits(address, outside), "{address} {outside}");
    }
}

#[test]
fn names_as_they_are_written() {
    let hba = hba("\
local \"all\" all md5
local s1 \"a b\", \"say \"\"hi\"\"\",\"c#d\" md5
local s2 /^web_,\"/^x{1,2}$\" md5
local /shop$ \"+staff\" md5
local \"sameuser\" Ann md5
");
    for (database, user, found) in [
        ("all", "x", 1),
        ("s1", "a b", 2),
        ("s1", "say \"hi\"", 2),
        ("s1", "c#d", 2),
        ("s1", "c", 0),
        ("s2", "web_1", 3),
        ("s2", "my_web_1", 0),
        ("s2", "xx", 3),
        ("s2", "xxx", 0),
        ("workshop", "+staff", 4),
        ("workshop", "staff", 0),
        ("sameuser", "Ann", 5),
        ("sameuser", "ann", 0),
        ("Ann", "Ann", 0),
    ] {
        assert_eq!(line(&hba, unix(database, user)), found, "{database} {user}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (rules, expected) in [
        ("", "auth.hba: holds no rule, so nobody could come in"),
        ("\nlocla all all trust", "auth.hba:2: unknown connection type \"locla\""),
        ("local all all scramsha256", "auth.hba:1: unknown method \"scramsha256\""),
        ("local all", "auth.hba:1: ends before its user"),
        ("host all all", "auth.hba:1: ends before its address"),
        ("host all all 10.0.0.1 md5", "auth.hba:1: \"10.0.0.1 md5\" is not an address with a mask"),
        ("host all all 10.0.0.1", "auth.hba:1: ends before its mask"),
        ("host all all 10.0.0.0/33 md5", "auth.hba:1: \"10.0.0.0/33\" is not an address with a mask"),
        ("host all all 10.0.0.1 ffff:: md5", "auth.hba:1: \"10.0.0.1 ffff::\" is not an address"),
        (
            "host all all db.example.com md5",
            "auth.hba:1: \"db.example.com\" is not supported: names of hosts",
        ),
        ("host all all samenet md5", "auth.hba:1: \"samenet\" is not supported: name the addresses"),
        ("host all +staff all md5", "auth.hba:1: \"+staff\" is not supported: pgweir doesn't know who"),
        ("host samerole all all md5", "auth.hba:1: \"samerole\" is not supported"),
        ("host all all all ldap ldapserver=x", "auth.hba:1: \"ldap\" is not supported"),
        ("host all all all ident", "auth.hba:1: \"ident\" is not supported"),
        ("hostgssenc all all all md5", "auth.hba:1: \"hostgssenc\" is not supported"),
        ("host all all all peer", "auth.hba:1: peer is for local lines only"),
        ("host all all all cert", "auth.hba:1: cert is for hostssl lines only"),
        (
            "host all all all md5 clientcert=verify-ca",
            "auth.hba:1: clientcert and clientname are for hostssl",
        ),
        ("hostssl all all all cert clientcert=verify-ca", "auth.hba:1: cert always verifies in full"),
        ("hostssl all all all md5 clientcert=1", "auth.hba:1: unknown clientcert \"1\""),
        ("hostssl all all all cert clientname=DN", "auth.hba:1: \"clientname=DN\" is not supported"),
        ("hostssl all all all cert map=x", "auth.hba:1: unknown map \"x\""),
        ("hostssl all all all md5 map=x", "auth.hba:1: map is for cert and peer only"),
        ("local all all peer mapp=x", "auth.hba:1: unknown option \"mapp\""),
        ("local all all peer map", "auth.hba:1: \"map\" is not an option as in name=value"),
        ("local,host all all trust", "auth.hba:1: more than one connection type"),
        ("local \"a all trust", "auth.hba:1: a quoted name has no end"),
        ("local /( all trust", "auth.hba:1: regular expression \"(\": unclosed group"),
        ("local all \\\nall \\\n nobody", "auth.hba:1: unknown method \"nobody\""),
    ] {
        let error = error(rules);
        assert!(error.starts_with(expected), "{rules}: {error}");
    }
}

#[test]
fn lines_go_on_behind_a_backslash() {
    let hba = hba("local all \\\n  all \\\n  trust\n# a comment \\\nlocal all all md5\nlocal all all peer");
    let lines: Vec<_> = hba.rules().iter().map(|rule| (rule.place().line, rule.method())).collect();
    assert_eq!(lines, [(1, Method::Trust), (6, Method::Peer)]);
}

#[test]
fn files_include_others() {
    let files = shelf(&[
        ("/etc/hba", "include more/a.conf\ninclude_if_exists absent\ninclude_dir d\nlocal all @names md5"),
        ("/etc/more/a.conf", "include b"),
        ("/etc/more/b", "local a all trust"),
        ("/etc/d/2.conf", "local d2 all trust"),
        ("/etc/d/10.conf", "local d10 all trust"),
        ("/etc/d/.hidden.conf", "nonsense"),
        ("/etc/d/other.txt", "nonsense"),
        ("/etc/names", "ann, bob\neve # not mallory"),
        ("/etc/loop", "include loop"),
        ("/etc/lost", "\ninclude_if_exists lost2"),
        ("/etc/lost2", "include nowhere"),
    ]);
    let read = |path: &str| Hba::read(Text::File(Path::new(path)), None, Allowed::default(), &files);
    let hba = read("/etc/hba").unwrap();
    let places: Vec<_> = hba.rules().iter().map(|rule| rule.place().to_string()).collect();
    assert_eq!(places, ["/etc/more/b:1", "/etc/d/10.conf:1", "/etc/d/2.conf:1", "/etc/hba:4"]);
    for (user, found) in [("ann", 4), ("bob", 4), ("eve", 4), ("mallory", 0)] {
        assert_eq!(line(&hba, unix("shop", user)), found, "{user}");
    }
    let error = |path: &str| read(path).unwrap_err().to_string();
    assert_eq!(error("/etc/loop"), "/etc/loop: files include one another more than 10 deep");
    assert_eq!(error("/etc/absent"), "/etc/absent: can't read it: entity not found");
    assert_eq!(error("/etc/lost"), "/etc/nowhere: can't read it: entity not found");
}

#[test]
fn refusals_are_worded_like_postgresqls() {
    let hba = hba("hostssl shop ann 10.0.0.0/8 reject");
    let text = |visitor| verdict(&hba, visitor, None).unwrap_err().to_string();
    assert_eq!(
        text(tcp("10.0.0.1", true, "shop", "ann")),
        "pgweir: an HBA rule rejects connection for host \"10.0.0.1\", user \"ann\", database \"shop\", SSL encryption"
    );
    assert_eq!(
        text(tcp("10.0.0.1", false, "shop", "ann")),
        "pgweir: no HBA rule for host \"10.0.0.1\", user \"ann\", database \"shop\", no encryption"
    );
    assert!(
        text(unix("shop", "ann"))
            .ends_with("host \"[local]\", user \"ann\", database \"shop\", no encryption")
    );
}

#[test]
fn trust_and_clear_passwords_stay_on_this_machine() {
    let hba = hba("host all t all trust\nhost all c all password\nlocal all all trust");
    let may = |visitor: Visitor<'_>| verdict(&hba, visitor, None).is_ok();
    assert!(
        may(unix("d", "t")) && may(tcp("127.0.0.9", false, "d", "t")) && may(tcp("::1", false, "d", "t"))
    );
    assert!(!may(tcp("10.0.0.1", false, "d", "t")) && !may(tcp("10.0.0.1", true, "d", "t")));
    assert!(may(tcp("10.0.0.1", true, "d", "c")) && may(tcp("127.0.0.1", false, "d", "c")));
    assert!(!may(tcp("10.0.0.1", false, "d", "c")));
    let allowed = Allowed { remote_trust: true, remote_cleartext: true };
    let text = Text::Inline("auth.hba", "host all t all trust\nhost all c all password");
    let open = Hba::read(text, None, allowed, &shelf(&[])).unwrap();
    for user in ["t", "c"] {
        assert!(verdict(&open, tcp("10.0.0.1", false, "d", user), None).is_ok());
    }
}

#[test]
fn certificates() {
    let hba = mapped(
        "\
hostssl all ann,bob     all cert
hostssl all app         all cert map=apps
hostssl all carl        all md5 clientcert=verify-ca
hostssl all dora        all md5 clientcert=verify-full
hostssl all eve         all trust clientcert=verify-full
hostssl all frank       all trust clientcert=verify-ca
",
        "apps /^app-(.*)$ app",
    );
    let judged = |name: Option<&str>, user: &str| verdict(&hba, shows(name, user), None);
    let without = |user: &str| verdict(&hba, tcp("10.0.0.1", true, "shop", user), None);
    assert_eq!(judged(Some("ann"), "ann"), Ok(Method::Cert));
    for name in [Some("bob"), Some("Ann"), Some(""), None] {
        let refused = Err(Fault::NotThisUser { method: "certificate", user: "ann".into() });
        assert_eq!(judged(name, "ann"), refused, "{name:?}");
    }
    assert_eq!(judged(Some("app-7"), "app"), Ok(Method::Cert));
    assert!(judged(Some("app"), "app").is_err());
    assert_eq!(judged(Some("anyone"), "carl"), Ok(Method::Md5));
    assert_eq!(judged(Some("dora"), "dora"), Ok(Method::Md5));
    assert_eq!(judged(Some("carl"), "dora"), Err(Fault::LoginFailed { user: "dora".into() }));
    assert_eq!(judged(Some("eve"), "eve"), Ok(Method::Trust));
    assert!(judged(Some("frank"), "frank").is_err(), "anyone with a certificate could be frank");
    for user in ["ann", "app", "carl", "dora", "eve", "frank"] {
        let refused = Err(Fault::RefusedByRule("a valid client certificate is required"));
        assert_eq!(without(user), refused, "{user}");
    }
}

#[test]
fn peers_and_maps() {
    let hba = mapped(
        "local shop all peer map=m\nlocal all all peer",
        "\
m root          postgres
m root          /^admin
m \"joe doe\"     joe
m /^(.*)@x\\.org$ \\1_of_x
m daemon        all
m daemon        \"all\"
n other         ann
",
    );
    let may = |system: Option<&str>, database: &str, user: &str| {
        verdict(&hba, unix(database, user), system) == Ok(Method::Peer)
    };
    for (system, user, expected) in [
        ("root", "postgres", true),
        ("root", "admin7", true),
        ("root", "root", false),
        ("joe doe", "joe", true),
        ("joe", "joe", false),
        ("ann@x.org", "ann_of_x", true),
        ("ann@x.org", "bob_of_x", false),
        ("ann@y.org", "ann_of_x", false),
        ("daemon", "whoever", true),
        ("other", "ann", false),
    ] {
        assert_eq!(may(Some(system), "shop", user), expected, "{system} as {user}");
    }
    assert!(may(Some("ann"), "other", "ann") && !may(Some("ann"), "other", "bob"));
    assert!(!may(None, "other", "ann"), "a process whose owner has no name");
}

#[test]
fn maps_that_are_wrong() {
    let error = |maps: &str| {
        let (rules, maps) =
            (Text::Inline("auth.hba", "local all all peer"), Text::Inline("auth.ident", maps));
        Hba::read(rules, Some(maps), Allowed::default(), &shelf(&[])).unwrap_err().to_string()
    };
    assert_eq!(error("m"), "auth.ident:1: ends before its system name");
    assert_eq!(error("m a"), "auth.ident:1: ends before its user's name");
    assert_eq!(error("m a b c"), "auth.ident:1: something stands behind the user's name");
    assert_eq!(error("m a,b c"), "auth.ident:1: more than one system name");
    assert_eq!(
        error("\nm /^x \\1"),
        "auth.ident:2: \"^x\" has no parenthesised part that \\1 could stand for"
    );
    assert!(error("m a +b").starts_with("auth.ident:1: \"+b\" is not supported"));
}

fn printed(hba: &Hba) -> String {
    hba.rules().iter().map(|rule| format!("{rule}\n")).collect()
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let text = "\
local all,\"all\",/^a \"@b\",\"+c\",\"d\"\"e\",\"\",\"f,g\" ident map=m
host sameuser,replication all 10.0.0.0/8 reject
";
    let text = text.to_owned() + "hostssl all all ::1 ffff::1 cert map=m\nhostnossl all all all md5\n";
    let maps = "m \"a b\" all\nm /^(.*)@x\\.org$ x\\1y\\1\n\"m\" a\\1 \"/^a|b\"\n";
    let hba = mapped(&text, maps);
    assert_eq!(
        printed(&hba),
        "local all,\"all\",\"/^a\" \"@b\",\"+c\",\"d\"\"e\",\"\",\"f,g\" peer \"map=m\"\n\
         host sameuser,replication all 10.0.0.0 255.0.0.0 reject\n\
         hostssl all all ::1 ffff::1 cert clientcert=verify-full \"map=m\"\n\
         hostnossl all all all md5\n"
    );
    let maps = |hba: &Hba| hba.mappings().map(|mapping| format!("{mapping}\n")).collect::<String>();
    assert_eq!(
        maps(&hba),
        "\"m\" \"a b\" all\n\"m\" \"/^(.*)@x\\.org$\" \"x\\1y\\1\"\n\"m\" \"a\\1\" \"/^a|b\"\n"
    );
    let again = mapped(&printed(&hba), &maps(&hba));
    assert_eq!((printed(&again), maps(&again)), (printed(&hba), maps(&hba)));
}

#[test]
fn one_method_for_everybody() {
    let of = |method| Hba::of_method(method, Allowed::default());
    let local = |method| verdict(&of(method), unix("d", "ann"), Some("ann")).is_ok();
    let host = |method| verdict(&of(method), shows(Some("ann"), "ann"), None).is_ok();
    use Method::{Cert, Cleartext, Md5, Peer, ScramSha256, Trust};
    assert_eq!(
        [Trust, Cleartext, Md5, ScramSha256, Cert, Peer].map(local),
        [true, true, true, true, false, true]
    );
    assert_eq!(
        [Trust, Cleartext, Md5, ScramSha256, Cert, Peer].map(host),
        [false, true, true, true, true, false]
    );
}

proptest! {
    /// Words that mean something, in any order, and characters that do.
    #[test]
    fn any_text_is_read_or_refused(
        words in prop::collection::vec(
            prop_oneof![
                "[ \t\n,\"#\\\\@/+=]{1,2}",
                prop::sample::select(vec![
                    "local", "host", "hostssl", "all", "sameuser", "10.0.0.0/8", "::1", "255.0.0.0", "md5", "peer",
                    "cert", "map=m", "clientcert=verify-full", "include", "include_dir", "/^a(b)", "\\1", " ",
                ]).prop_map(str::to_owned),
            ],
            0..40,
        ),
    ) {
        let text = words.concat();
        let files = shelf(&[("x", "host all all all md5")]);
        if let Ok(read) = Hba::read(Text::Inline("auth.hba", &text), None, Allowed::default(), &files) {
            let _ = verdict(&read, tcp("10.0.0.1", false, "shop", "ann"), None);
            prop_assert_eq!(printed(&hba(&printed(&read))), printed(&read));
        }
        let rules = Text::Inline("auth.hba", "local all all peer");
        let _ = Hba::read(rules, Some(Text::Inline("auth.ident", &text)), Allowed::default(), &files);
    }
}
