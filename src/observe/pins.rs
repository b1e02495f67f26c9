//! `/pins.json`: the clients that keep a server, and why.

use serde_json::{Value, json};

use crate::client::pinned::PinnedClient;

/// The page; whoever has kept a server for longest comes first.
pub fn page(mut clients: Vec<PinnedClient>) -> String {
    clients.sort_by_key(|client| std::cmp::Reverse(client.held_for));
    let pins: Vec<Value> = clients.iter().map(row).collect();
    format!("{}\n", json!({ "pins": pins }))
}

fn row(client: &PinnedClient) -> Value {
    let reasons: Vec<Value> = client
        .reasons
        .iter()
        .map(|reason| json!({ "reason": reason.as_str(), "hint": reason.hint() }))
        .collect();
    json!({
        "client": client.client,
        "server": client.server,
        "database": client.database,
        "user": client.user,
        "application": client.application,
        "reasons": reasons,
        "held_s": client.held_for.as_secs_f64(),
    })
}
