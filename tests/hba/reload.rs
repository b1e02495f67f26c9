//! Rules that are replaced while pgweir runs.

use pgweir::demo::cluster::{Cluster, ROLE};
use pgweir::demo::pooler::Pooler;
use pgweir::net::tls::outbound::Mode;
use rustix::process::{Pid, Signal, kill_process};

use crate::authority::Folder;
use crate::kit::{Login, Outcome, recipe, start, tcp, tls, told};

async fn try_login(pooler: &Pooler, cluster: &Cluster) -> Outcome {
    let (host, tls) = (tcp(pooler.address()), tls(Mode::Disable, false));
    Login { host, tls, database: ROLE, user: ROLE, password: cluster.password() }.run().await
}

#[tokio::test]
async fn new_rules_are_taken_over_at_a_hangup_and_bad_ones_are_not() {
    let (cluster, folder) = (Cluster::new(&recipe()).unwrap(), Folder::new());
    let hba = folder.write("hba", "host all app 127.0.0.1/32 scram-sha-256\n");
    let text = format!("databases.'*'.url = {:?}\nauth.hba_file = {hba:?}", cluster.url());
    let pooler = start(&folder, &text, &[]);
    let replace = |text: &str| {
        folder.write("hba", text);
        kill_process(Pid::from_raw(pooler.pid() as i32).unwrap(), Signal::HUP).unwrap();
    };
    assert_eq!(try_login(&pooler, &cluster).await, Ok(()));

    replace("host all app 127.0.0.1/32 scram-sha-257\n");
    told(&pooler, "new HBA rules can't be used, the old ones stay", 1);
    assert!(pooler.log().contains("hba:1: unknown method"), "{}", pooler.log());
    assert_eq!(try_login(&pooler, &cluster).await, Ok(()));

    replace("host all app 127.0.0.1/32 reject\n");
    told(&pooler, "rules=1", 1);
    let (code, text) = try_login(&pooler, &cluster).await.unwrap_err();
    let expected = "pgweir: an HBA rule rejects connection for host \"127.0.0.1\", user \"app\", database \"app\", \
                    no encryption";
    assert_eq!((code.as_str(), text.as_str()), ("28000", expected));

    replace("host all app 127.0.0.1/32 scram-sha-256\n# nobody else\nlocal all all reject");
    told(&pooler, "rules=2", 1);
    assert_eq!(try_login(&pooler, &cluster).await, Ok(()));
}
