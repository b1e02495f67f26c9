//! The status page in a real browser: what it shows, that it follows, that it asks no more than it should.
//!
//! `scripts/test.sh` installs Chromium. The page's answers come from a stage that a test sets, or from pgweir itself.
#![allow(clippy::disallowed_methods)]

use std::{fs, path::Path, process::Command, time::Duration};

use browser::{Browser, Tab};
use house::House;
use pgweir::{advice::verdict::Verdict, observe::status::Status};
use serde_json::json;
use stage::Stage;

#[path = "page/browser.rs"]
mod browser;
#[path = "page/house.rs"]
mod house;
#[path = "page/sample.rs"]
mod sample;
#[path = "page/stage.rs"]
mod stage;

const ROWS: &str = "document.querySelectorAll('#pools tbody tr').length";
const A_MOMENT: &str = "new Promise(done => setTimeout(() => done(true), 100))";

/// A browser that has the page open, and what the page is told.
fn open(status: Status) -> (Stage, Browser, Tab) {
    let stage = Stage::new(status);
    let mut browser = Browser::start();
    let tab = browser.open(&stage.url());
    browser.wait_for(&tab, "document.querySelector('#link')?.textContent === 'Live'");
    (stage, browser, tab)
}

fn text_of(browser: &mut Browser, tab: &Tab, selector: &str) -> String {
    let text = browser.eval(tab, &format!("document.querySelector({selector:?}).innerText"));
    text.as_str().unwrap_or_default().to_owned()
}

#[test]
fn one_pool_is_shown_with_all_its_details() {
    let (_stage, mut browser, tab) = open(sample::quiet());
    assert_eq!(browser.eval(&tab, ROWS), 1);
    assert_eq!(text_of(&mut browser, &tab, "#headline"), "Nobody waits worth speaking of (1 pool)");
    assert_eq!(text_of(&mut browser, &tab, "#detail-title"), "shop / app");
    for (selector, wanted) in [
        ("#process", "412 clients"),
        ("#pools tbody tr", "healthy"),
        ("#pools tbody tr", "4 of 20"),
        ("#pins", "advisory lock"),
        ("#applications", "checkout"),
        ("#servers", "idle in transaction"),
        ("#facts", "74 of 100 in use"),
        ("#events", "Nothing has happened."),
    ] {
        let text = text_of(&mut browser, &tab, selector);
        assert!(text.contains(wanted), "{selector}: {wanted}\n{text}");
    }
    let drawn = "[...document.querySelectorAll('.spark path')].every(p => p.getAttribute('d').length > 500)";
    assert_eq!(browser.eval(&tab, drawn), true);
    assert_eq!(browser.complaints(&tab), [""; 0]);
}

#[test]
fn two_hundred_pools_are_shown_worst_first_and_can_be_filtered() {
    let (_stage, mut browser, tab) = open(sample::many(200));
    assert_eq!(browser.eval(&tab, ROWS), 200);
    assert_eq!(text_of(&mut browser, &tab, "#headline"), "Clients suffer in 4 of 200 pools");
    let verdicts = "[...document.querySelectorAll('#pools td.verdict')].map(cell => cell.textContent)";
    let verdicts = browser.eval(&tab, verdicts);
    let verdicts: Vec<_> = verdicts.as_array().expect("a list").iter().filter_map(|v| v.as_str()).collect();
    assert_eq!(verdicts[..9], [&["saturated"; 4][..], &["tight"; 4], &["healthy"]].concat());
    assert_eq!(verdicts.last(), Some(&"idle"));

    browser.eval(&tab, "document.querySelector('#filter').focus()");
    for letter in "tenant17".chars() {
        browser.press(&tab, &letter.to_string());
    }
    assert_eq!(browser.eval(&tab, ROWS), 10);
    assert_eq!(text_of(&mut browser, &tab, "#count"), "10 of 200");
    assert_eq!(browser.complaints(&tab), [""; 0]);
}

#[test]
fn a_pool_is_chosen_with_the_keyboard() {
    let (_stage, mut browser, tab) = open(sample::busy());
    assert_eq!(text_of(&mut browser, &tab, "#detail-title"), "shop / app");
    browser.eval(&tab, "document.querySelector('#pools tbody tr:last-child a').focus()");
    browser.press(&tab, "Enter");
    browser.wait_for(&tab, "document.querySelector('#detail-title').innerText === 'shop / reports'");
    browser.wait_for(&tab, "document.activeElement.id === 'detail-title'");
    let current = "document.querySelector('#pools [aria-current]').innerText";
    assert!(browser.eval(&tab, current).as_str().is_some_and(|row| row.contains("reports")));
}

#[test]
fn it_follows_what_changes() {
    let (stage, mut browser, tab) = open(sample::quiet());
    stage.show(sample::busy());
    browser
        .wait_for(&tab, "document.querySelector('#headline').innerText === 'Clients suffer in 1 of 3 pools'");
    assert_eq!(browser.eval(&tab, "document.title"), "(1) pgweir");
    let cards = text_of(&mut browser, &tab, "#cards");
    for wanted in ["size 20 → 26", "application checkout: 61 %", "size 20 → 6", "saturated since"] {
        assert!(cards.contains(wanted), "{wanted}\n{cards}");
    }
    assert!(text_of(&mut browser, &tab, "#events tbody tr").contains("limit hit"));
    stage.show(sample::quiet());
    browser.wait_for(&tab, "document.querySelector('#headline').innerText.startsWith('Nobody waits')");
    assert_eq!(browser.eval(&tab, ROWS), 1);
    assert_eq!(browser.complaints(&tab), [""; 0]);
}

/// The answers have the new points alone; the page has the old ones.
#[test]
fn new_points_join_the_old_ones() {
    let mut status = sample::quiet();
    status.pools[0].history.utilisation.fill(0.5);
    let (stage, mut browser, tab) = open(status.clone());
    let curve = "document.querySelector('.spark path').getAttribute('d')";
    let points = |curve: serde_json::Value| -> Vec<String> {
        let curve = curve.as_str().expect("a path").trim_start_matches('M').to_owned();
        curve.split('L').map(|point| point.split(' ').nth(1).expect("y").to_owned()).collect()
    };
    let old = points(browser.eval(&tab, curve));
    assert_eq!((old.len(), &*old[179]), (180, "50.0"));

    let history = &mut status.pools[0].history;
    for series in [
        &mut history.utilisation,
        &mut history.wait_p50_s,
        &mut history.wait_p99_s,
        &mut history.transactions_per_s,
    ] {
        *series = vec![1.0; 2];
    }
    (history.waiting, history.first) = (vec![0; 2], 180);
    status.history.next = 182;
    stage.show(status);
    browser.wait_for(&tab, &format!("{curve}.endsWith(' 0.0')"));
    let new = points(browser.eval(&tab, curve));
    assert_eq!((new.len(), &*new[177], &*new[178], &*new[179]), (180, "50.0", "0.0", "0.0"));
    while !browser.requests(&tab).iter().any(|url| url.ends_with("?since=182")) {
        browser.wait_for(&tab, A_MOMENT);
    }
}

#[test]
fn names_from_the_network_are_text() {
    let name = "<img src=x onerror=alert(1)>\"'&/#?";
    let mut status = sample::quiet();
    let mut pool = sample::pool(name, name, Verdict::Saturated, 1.0);
    pool.applications[0].name = name.to_owned();
    pool.causes[0].text = name.to_owned();
    status.pools.push(pool);
    let (_stage, mut browser, tab) = open(status);
    assert_eq!(browser.eval(&tab, "document.images.length"), 0);
    assert_eq!(text_of(&mut browser, &tab, "#pools th[scope=row]"), format!("{name} / {name}"));
    browser.eval(&tab, "document.querySelector('#pools tbody tr:last-child a').click()");
    browser.wait_for(&tab, "document.querySelector('#detail-title').innerText === 'shop / app'");
    browser.eval(&tab, "document.querySelector('#pools tbody a').click()");
    browser.wait_for(&tab, "document.querySelector('#detail-title').innerText.startsWith('<img')");
    assert!(text_of(&mut browser, &tab, "#applications").contains(name));
    assert_eq!(browser.complaints(&tab), [""; 0]);
}

/// As axe-core judges it, in light and dark, wide and narrow: structure, names, contrast, keyboard.
#[test]
fn everybody_can_use_it() {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page/node/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(script).expect("axe-core is missing: scripts/test.sh installs it");
    for (scheme, size) in [("light", (1200, 900)), ("dark", (1200, 900)), ("light", (360, 700))] {
        let (stage, mut browser, tab) = open(sample::busy());
        browser.look(&tab, size, scheme);
        browser.eval(&tab, &axe);
        let violations =
            "axe.run().then(found => found.violations.map(v => `${v.id}: ${v.nodes.map(n => n.html)}`))";
        assert_eq!(browser.eval(&tab, violations), json!([]), "{scheme} {size:?}");
        let wide = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll > *, .skip')
            && e.getBoundingClientRect().right > innerWidth + 1).map(e => `${e.tagName} ${e.id} ${e.className}`)";
        assert_eq!(browser.eval(&tab, wide), json!([]), "{size:?}");
        stage.stop();
        browser.wait_for(&tab, "document.querySelector('#link').className === 'lost'");
        assert_eq!(browser.eval(&tab, violations), json!([]), "{scheme}, lost");
    }
}

/// Another page in front is the clock: while it asks thrice, the hidden one doesn't once.
#[test]
fn a_hidden_page_asks_nothing() {
    let (stage, mut browser, tab) = open(sample::quiet());
    let front = browser.open(&stage.url());
    browser.wait_for(&tab, "document.hidden");
    let before = browser.requests(&tab).len();
    let asked = browser.requests(&front).len();
    while browser.requests(&front).len() < asked + 3 {
        browser.wait_for(&front, A_MOMENT);
    }
    assert_eq!(browser.requests(&tab).len(), before);
    browser.bring_to_front(&tab);
    browser.wait_for(&tab, "!document.hidden");
    while browser.requests(&tab).len() < before + 2 {
        browser.wait_for(&tab, A_MOMENT);
    }
}

#[test]
fn it_asks_for_nothing_but_the_status() {
    let (stage, mut browser, tab) = open(sample::busy());
    for url in browser.requests(&tab) {
        let path = url.strip_prefix(&stage.url());
        let is_ours = path.is_some_and(|path| path.is_empty() || path.starts_with("status.json?since="));
        assert!(is_ours || url.starts_with("data:"), "{url}");
    }
    let blocked = "fetch('data:,x').then(() => false, () => true)";
    assert_eq!(browser.eval(&tab, blocked), json!(true), "the policy lets the page ask elsewhere");
}

/// pgweir itself, its end and its return with other counts.
#[tokio::test]
async fn it_survives_a_restart_of_pgweir() {
    let house = House::new();
    let pooler = house.start(None);
    let addresses = [pooler.address(), pooler.http()];
    let client = house.client(&pooler, "app").await;
    let mut browser = Browser::start();
    let tab = browser.open(&format!("http://{}/", pooler.http()));
    browser.wait_for(&tab, "document.querySelector('#detail-title')?.innerText === 'app / app'");
    assert_eq!(browser.complaints(&tab), [""; 0]);

    drop((client, pooler));
    browser.wait_for(&tab, "document.querySelector('#link').innerText.startsWith('Connection lost')");
    assert_eq!(text_of(&mut browser, &tab, "#detail-title"), "app / app");
    let pooler = house.start(Some(addresses));
    browser.wait_for(&tab, "document.querySelector('#headline').innerText.startsWith('No pool yet')");
    let _client = house.client(&pooler, "app").await;
    browser.wait_for(&tab, &format!("document.querySelector('#link').innerText === 'Live' && {ROWS} === 1"));
    // The network's failures are told by the browser, and are all that is.
    let others = browser.complaints(&tab).into_iter().filter(|said| !said.contains("ERR_CONNECTION"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

/// pgweir itself, with a pool for each of many databases.
#[tokio::test]
async fn two_hundred_pools_of_pgweir_are_shown() {
    let house = House::new();
    let configuration: String = (0..200)
        .map(|i| format!("[databases.tenant{i}]\nurl = {:?}\n", house.cluster.url()))
        .chain(["[pool]\nserver_idle_timeout = \"1s\"\n".to_owned()])
        .collect();
    let pooler = house.start_with(&configuration);
    for i in 0..200 {
        house.client(&pooler, &format!("tenant{i}")).await;
    }
    let mut browser = Browser::start();
    let tab = browser.open(&format!("http://{}/", pooler.http()));
    browser.wait_for(&tab, &format!("{ROWS} === 200"));
    assert_eq!(browser.complaints(&tab), [""; 0]);
}

/// Makes the pictures in `docs/images/` of a real pgweir, first with little to do and then with too much:
/// `cargo test --test page -- --ignored`, which takes six minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes into docs/"]
async fn pictures() {
    let house = House::new();
    let pooler = house.start_with(&format!(
        "[databases.shop]\nurl = {url:?}\npool.size = 8\n[databases.stock]\nurl = {url:?}\npool.size = 4\n",
        url = house.cluster.url()
    ));
    let mut browser = Browser::start();
    let tab = browser.open(&format!("http://{}/#pool=shop/app", pooler.http()));
    let mut take = |name: &str, scheme, height| {
        browser.look(&tab, (1200, height), scheme);
        browser.eval(&tab, "document.fonts.ready.then(() => 0)");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name).with_extension("png"), browser.picture(&tab)).expect("a file");
    };
    for (application, clients, pause_ms) in [("web", 6, 150), ("worker", 2, 400)] {
        house.load(&pooler, "shop", application, clients, pause_ms).await;
    }
    house.load(&pooler, "stock", "sync", 2, 300).await;
    tokio::time::sleep(Duration::from_secs(150)).await;
    take("status-idle", "light", 1080);
    let pinning = house.client(&pooler, "shop").await;
    pinning.batch_execute("select pg_advisory_lock(1)").await.expect("a lock");
    house.load(&pooler, "shop", "import", 40, 20).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    take("status-saturated", "light", 1240);
    take("status-dark", "dark", 720);
    let top = Command::new(env!("CARGO_BIN_EXE_pgweir"))
        .args(["top", "--http", &pooler.http().to_string()])
        .output();
    println!("{}", String::from_utf8_lossy(&top.expect("it runs").stdout));
}
