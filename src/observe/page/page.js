// The status page: asks status.json once a second while it is visible, and shows the answers. docs/status.md explains
// the fields. All that comes from the network is shown as text, never as markup. words.js and elements.js stand before
// this file in the same script.

const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const KEPT_S = 15 * 60;
const CARDS = 5;

// Worst first. Behind the first group clients suffer, behind the second something could be better.
const SHORTAGES = [
  "upstream_down",
  "upstream_limit",
  "saturated",
  "starved_by_pins",
  "held_by_idle_transactions",
  "upstream_slow",
];
const IMPERFECT = ["tight", "oversized"];
const ORDER = [...SHORTAGES, ...IMPERFECT, "healthy", "idle"];

// ── What is known ───────────────────────────────────────────────────────────────────────────────────────────────────────

const SERIES = ["utilisation", "waiting", "wait_p50_s", "wait_p99_s", "transactions_per_s"];
const CHARTS = [
  { name: "Utilisation", series: [{ of: "utilisation" }], floor: 1, show: percent },
  { name: "Waiting", series: [{ of: "waiting" }], floor: 1, show: number },
  {
    name: "Wait p50 / p99",
    series: [{ of: "wait_p50_s", below: true }, { of: "wait_p99_s" }],
    floor: 0.001,
    show: seconds,
  },
  { name: "Transactions per second", series: [{ of: "transactions_per_s" }], floor: 1, show: number },
];
const CURRENT = [
  (pool) => percent(pool.now.utilisation),
  (pool) => number(pool.clients.waiting),
  (pool) => `${seconds(pool.now.wait.p50_s)} / ${seconds(pool.now.wait.p99_s)}`,
  (pool) => `${number(pool.now.transactions_per_s)}/s`,
];

let status = null; // the latest answer
let histories = new Map(); // pool → its points
let chosen = null; // the pool whose details are shown
let lostSince = null;

const keyOf = (pool) => `${encodeURIComponent(pool.database)}/${encodeURIComponent(pool.user)}`;
const nameOf = (pool) => `${pool.database} / ${pool.user}`;
const applicationOf = (name) => (name === "" ? "(no name)" : (name ?? "–"));
const inUse = ({ servers }) => servers.active + servers.idle_in_transaction + servers.pinned;
const points = () => Math.max(2, Math.round(KEPT_S / status.history.step_s));

function gravity(verdict) {
  if (SHORTAGES.includes(verdict)) return "bad";
  if (IMPERFECT.includes(verdict)) return "soon";
  return verdict === "idle" ? "rest" : "good";
}

/** Worst first. Utilisation counts in tenths, so that neighbours don't change places each second. */
function worstFirst(a, b) {
  return (
    ORDER.indexOf(a.standing.verdict) - ORDER.indexOf(b.standing.verdict) ||
    Math.round(10 * b.now.utilisation) - Math.round(10 * a.now.utilisation) ||
    (keyOf(a) < keyOf(b) ? -1 : 1)
  );
}

/** Joins the new points to those that are there; pools that have gone are forgotten. */
function remember() {
  const joined = new Map();
  for (const pool of status.pools) {
    const fresh = pool.history;
    const old = histories.get(keyOf(pool));
    const fits = old && old.next >= fresh.first;
    const history = { next: fresh.first + fresh.utilisation.length };
    for (const of of SERIES) {
      const before = fits ? old[of].slice(0, old[of].length - (old.next - fresh.first)) : [];
      history[of] = before.concat(fresh[of]).slice(-points());
    }
    joined.set(keyOf(pool), history);
  }
  histories = joined;
}

/** What stands in the columns of an item's row, and where there is none. */
const TABLES = {
  pins: {
    key: (pin) => pin.reason,
    cells: (pin) => [words(pin.reason), number(pin.now), number(pin.total), seconds(pin.held_s)],
    none: "Nothing has pinned a server.",
  },
  applications: {
    key: (a) => a.name,
    cells: (a) => [
      applicationOf(a.name),
      number(a.clients),
      number(a.servers),
      number(a.transactions),
      number(a.waits),
      seconds(a.waited_s),
    ],
    none: "No clients.",
  },
  servers: {
    key: (server, i) => `${server.pid || `number ${i}`}`,
    cells: (server) => [
      server.pid ? `${server.pid}` : "–",
      words(server.state),
      seconds(server.for_s),
      seconds(server.age_s),
      applicationOf(server.application),
      words(server.pin ?? ""),
    ],
    none: "No server is open.",
  },
  events: {
    key: (event) => `${event.number}`,
    cells: (event) => [
      moment(event.at),
      words(event.kind),
      event.database === null ? "" : `${event.database} / ${event.user}`,
      event.text,
    ],
    none: "Nothing has happened.",
  },
};

// ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────────

function show() {
  const pools = status.pools.toSorted(worstFirst);
  showProcess(status.process);
  showVerdict(pools);
  showPools(pools);
  const fromAddress = location.hash.startsWith("#pool=") ? location.hash.slice("#pool=".length) : null;
  const find = (key) => pools.find((pool) => keyOf(pool) === key);
  const pool = find(fromAddress) ?? find(chosen) ?? pools[0];
  chosen = pool ? keyOf(pool) : null;
  $("detail").hidden = !pool;
  if (pool) showDetail(pool);
  table("events", status.events.toReversed());
}

function showProcess(process) {
  const facts = [
    `${process.version}, ${process.phase} for ${seconds(process.uptime_s)}`,
    `${number(process.clients)} clients (at most ${number(process.clients_limit)})`,
    process.usage && `${bytes(process.usage.resident_bytes)} of memory`,
    !process.upstream_answers && status.pools.length > 0 && "PostgreSQL does not answer",
  ];
  text($("process"), facts.filter(Boolean).join(" · "));
}

function showVerdict(pools) {
  const short = pools.filter((pool) => gravity(pool.standing.verdict) === "bad").length;
  const some = (n) => (n === 1 ? "1 pool" : `${n} pools`);
  let headline = "No pool yet: nobody has logged in";
  if (short > 0) headline = `Clients suffer in ${short} of ${some(pools.length)}`;
  else if (pools.length > 0) headline = `Nobody waits worth speaking of (${some(pools.length)})`;
  text($("headline"), headline);
  document.title = short > 0 ? `(${short}) pgweir` : "pgweir";

  const told = pools.filter((pool) => gravity(pool.standing.verdict) === "bad" || pool.advice);
  children($("cards"), told.slice(0, CARDS), keyOf, makeCard, fillCard);
  const left = told.length - CARDS;
  text($("more"), left > 0 ? `The same goes for ${some(left)} more: see the table.` : "");
}

function makeCard(pool) {
  const link = element("a", { href: `#pool=${keyOf(pool)}` }, nameOf(pool));
  const title = element("h3", {}, link, " ", element("span", { class: "verdict" }));
  return element("article", {}, title, element("p"), element("ul"), element("p", { class: "advice" }));
}

function fillCard(card, pool) {
  const { verdict, since, text: why } = pool.standing;
  const [title, reason, causes, advice] = card.children;
  card.className = gravity(verdict);
  text(title.lastChild, `${words(verdict)} since ${moment(since)}`);
  text(reason, why);
  const causeKey = (cause) => `${cause.kind} ${cause.name}`;
  children(causes, pool.causes, causeKey, () => element("li"), (li, cause) => text(li, cause.text));
  text(advice, pool.advice?.text ?? "");
}

function showPools(pools) {
  const wanted = $("filter").value.trim().toLowerCase();
  const searched = (pool) => `${nameOf(pool)} ${words(pool.standing.verdict)}`.toLowerCase();
  const shown = pools.filter((pool) => searched(pool).includes(wanted));
  const body = $("pools").tBodies[0];
  // Rows stay where they are under a pointer or the keyboard.
  if (body.matches(":hover, :focus-within")) {
    const places = new Map([...body.children].map((row, i) => [row.dataset.key, i]));
    const place = (pool) => places.get(keyOf(pool)) ?? Infinity;
    shown.sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
  }
  children(body, shown, keyOf, makeRow, fillRow);
  text($("count"), wanted ? `${shown.length} of ${pools.length}` : `${pools.length}`);
}

function makeRow(pool) {
  const name = element("th", { scope: "row" }, element("a", { href: `#pool=${keyOf(pool)}` }, nameOf(pool)));
  const charts = CHARTS.map((chart) => element("td", { class: "number" }, spark(chart.series), element("span")));
  return element("tr", {}, name, element("td", { class: "verdict" }), element("td", { class: "number" }), ...charts);
}

function fillRow(row, pool) {
  const [, verdict, servers, ...charts] = row.cells;
  row.className = gravity(pool.standing.verdict);
  text(verdict, words(pool.standing.verdict));
  text(servers, `${inUse(pool)} of ${pool.size}`);
  charts.forEach((cell, i) => {
    draw(cell.firstChild, CHARTS[i], histories.get(keyOf(pool)), points());
    text(cell.lastChild, CURRENT[i](pool));
  });
}

function showDetail(pool) {
  for (const row of $("pools").tBodies[0].rows) {
    if (row.dataset.key === chosen) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  const { verdict, since, before, text: why } = pool.standing;
  text($("detail-title"), nameOf(pool));
  $("detail-verdict").className = gravity(verdict);
  const earlier = before ? ` (${words(before)} before)` : "";
  text($("detail-verdict").children[0], `${words(verdict)} since ${moment(since)}${earlier}`);
  text($("detail-verdict").children[1], why);
  children($("charts"), CHARTS, (chart) => chart.name, makeChart, (figure, chart) => fillChart(figure, chart, pool));
  const makeFact = ([name]) => element("div", {}, element("dt", {}, name), element("dd"));
  children($("facts"), factsOf(pool), ([name]) => name, makeFact, (fact, [, value]) => text(fact.lastChild, value));
  table("pins", pool.pins);
  table("applications", pool.applications);
  table("servers", pool.server_list);
}

function makeChart(chart) {
  const caption = element("figcaption", {}, `${chart.name}: `, element("strong"), element("span"));
  return element("figure", {}, caption, spark(chart.series));
}

function fillChart(figure, chart, pool) {
  const history = histories.get(keyOf(pool));
  const [caption, svg] = figure.children;
  text(caption.children[0], CURRENT[CHARTS.indexOf(chart)](pool));
  text(caption.children[1], `, at most ${chart.show(peak(history[chart.series.at(-1).of]))}`);
  if (svg.dataset.pool !== chosen) delete svg.dataset.drawn;
  svg.dataset.pool = chosen;
  draw(svg, chart, history, points());
}

/** Fills one of the tables of texts. */
function table(id, items) {
  const { key, cells, none } = TABLES[id];
  const heads = [...$(id).tHead.rows[0].cells];
  const body = $(id).tBodies[0];
  if (items.length === 0) {
    const make = () => element("tr", {}, element("td", { colspan: heads.length, class: "empty" }, none));
    return children(body, [none], () => "none", make, () => {});
  }
  const make = () => element("tr", {}, ...heads.map((head) => element("td", { class: head.className })));
  const fill = (row, item) => cells(item).forEach((cell, i) => text(row.cells[i], cell));
  children(body, items, (item, i) => `row ${key(item, i)}`, make, fill);
}

function factsOf({ mode, size, configured_size, reserve_size, servers, clients, queue, now, connections }) {
  const idle = clients.connected - clients.working - clients.waiting;
  const configured = configured_size === size ? "" : ` (configured: ${configured_size})`;
  const of = (quantiles) => `${seconds(quantiles.p50_s)} / ${seconds(quantiles.p99_s)}`;
  const upstream = connections && `${connections.used} of ${connections.max} in use, ${connections.reserved} reserved`;
  const states = Object.entries(servers).filter(([, n]) => n > 0).map(([state, n]) => `${n} ${words(state)}`);
  return [
    ["Size", `${size}${configured}, ${reserve_size} in reserve, ${mode} mode`],
    ["Servers", states.join(", ") || "none"],
    ["Clients", `${number(clients.connected)}: ${clients.working} work, ${clients.waiting} wait, ${number(idle)} rest`],
    ["Oldest in the queue", `${seconds(queue.oldest_wait_s)} (limit ${seconds(queue.timeout_s)})`],
    ["Waiting at once, last minute", `${queue.high_water} (limit ${number(queue.limit)})`],
    ["Checkouts that waited", `${percent(now.waited_share)} of the last ${seconds(now.span_s)}`],
    ["Waits given up, clients refused", `${now.timeouts}, ${now.refusals}`],
    ["Servers' time", `${percent(now.idle_in_transaction)} idle in transactions, ${percent(now.pinned)} pinned`],
    ["All servers busy", `${percent(now.full_share)} of the time; someone waits: ${percent(now.waiting_share)}`],
    ["Queries", `${number(now.queries_per_s)}/s; p50 / p99 ${of(now.query)}`],
    ["Transactions p50 / p99", of(now.transaction)],
    ["Traffic", `${bytes(now.to_server_bytes_per_s)}/s to servers, ${bytes(now.to_client_bytes_per_s)}/s to clients`],
    ["PostgreSQL's connections", upstream ?? "not known"],
  ];
}

// ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

let timer = null;
let asking = false;

/** One question and its answer; the next follows by itself while the page is visible. */
async function turn() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  try {
    await ask();
    lostSince = null;
  } catch {
    lostSince ??= Date.now() / 1000;
  }
  asking = false;
  text($("link"), lostSince === null ? "Live" : `Connection lost at ${moment(lostSince)}; asking again each second`);
  $("link").className = lostSince === null ? "" : "lost";
  if (!document.hidden) timer = setTimeout(turn, EVERY_MS);
  if (lostSince === null) show();
}

async function ask(since = status?.history.next ?? 0) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const answer = await fetch(`status.json?since=${since}`, { cache: "no-store", signal });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const fresh = await answer.json();
  const last = status?.process;
  // Another pgweir brings another page.
  if (last && last.version !== fresh.process.version) return location.reload();
  if (last && last.started !== fresh.process.started) {
    [status, histories] = [null, new Map()];
    return ask(0);
  }
  status = fresh;
  remember();
}

document.addEventListener("visibilitychange", turn);
$("filter").addEventListener("input", () => status && show());
addEventListener("hashchange", () => {
  if (!status || !location.hash.startsWith("#pool=")) return;
  show();
  $("detail-title").focus({ preventScroll: true });
  $("detail-title").scrollIntoView({ block: "nearest" });
});
turn();
