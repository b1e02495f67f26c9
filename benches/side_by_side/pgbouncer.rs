//! A PgBouncer as a child process, configured as for production: transaction mode, prepared statements on.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pgweir::demo::cluster::{Cluster, ROLE, free_port};

use crate::house::Files;
use crate::work::Access;
use crate::{Outcome, pgbench};

const START_LIMIT: Duration = Duration::from_secs(10);

/// Drop kills it.
pub(crate) struct PgBouncer {
    child: Child,
    address: SocketAddr,
}

impl PgBouncer {
    pub(crate) fn start(program: &Path, cluster: &Cluster, servers: u32, access: Access) -> Outcome<Self> {
        let port = free_port()?;
        let folder = cluster.socket_directory();
        let users = folder.join("userlist.txt");
        let config = folder.join(format!("pgbouncer-{port}.ini"));
        let log = folder.join(format!("pgbouncer-{port}.log"));
        // It refuses to run as root, like PostgreSQL; the cluster's folder belongs to a user that may.
        let owner = fs::metadata(folder)?;
        let write = |path: &Path, text: String| -> Outcome<()> {
            fs::write(path, text)?;
            Ok(chown(path, Some(owner.uid()), Some(owner.gid()))?)
        };
        write(&users, format!("\"{ROLE}\" \"{}\"\n", cluster.password()))?;
        write(&config, settings(program, cluster, port, servers, access, &users)?)?;
        let mut command = Command::new(program);
        command.arg("-q").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        if rustix::process::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut pooler = Self { child: command.spawn()?, address };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if pooler.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("PgBouncer doesn't listen: {}", fs::read_to_string(&log)?).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(pooler)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(
    program: &Path,
    cluster: &Cluster,
    port: u16,
    servers: u32,
    access: Access,
    users: &Path,
) -> Outcome<String> {
    let server = cluster.address();
    let auth_type = match access {
        Access::Trust | Access::Tls => "trust",
        Access::Scram => "scram-sha-256",
    };
    let tls = match access {
        Access::Trust | Access::Scram => "server_tls_sslmode = disable\n".to_owned(),
        Access::Tls => {
            let Files { certificate, key } = Files::beside(cluster);
            format!(
                "server_tls_sslmode = require\nclient_tls_sslmode = require\nclient_tls_cert_file = {}\n\
                 client_tls_key_file = {}\n",
                certificate.display(),
                key.display()
            )
        }
    };
    // Since 1.21; on by default since 1.24.
    let statements = if knows_prepared_statements(program)? { "max_prepared_statements = 200\n" } else { "" };
    Ok(format!(
        "[databases]\n{ROLE} = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = {auth_type}\nauth_file = {}\npool_mode = transaction\n\
         default_pool_size = {servers}\nmax_client_conn = 20000\nlog_connections = 0\nlog_disconnections = 0\n{statements}{tls}",
        server.ip(),
        server.port(),
        users.display()
    ))
}

fn knows_prepared_statements(program: &Path) -> Outcome<bool> {
    let told = pgbench::succeed(Command::new(program).arg("--version"))?;
    let version = told.split_whitespace().nth(1).unwrap_or_default();
    let mut numbers = version.split('.').filter_map(|number| number.parse::<u32>().ok());
    Ok((numbers.next(), numbers.next()) >= (Some(1), Some(21)))
}
