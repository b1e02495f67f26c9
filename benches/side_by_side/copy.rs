//! 100 MB in either direction, by psql.

use std::fs::File;
use std::process::Stdio;

use crate::Outcome;
use crate::house::{House, Pooler};
use crate::pgbench::succeed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
}

/// Of the table that is copied: 100 000 lines of 1 000 bytes.
const MEGABYTES: f64 = 100.0;

/// Copies once; gives the MB that passed.
pub(crate) fn run(house: &House, pooler: &Pooler, direction: Direction) -> Outcome<f64> {
    let mut psql = pooler.client(house, "psql");
    psql.arg("-q");
    match direction {
        Direction::Out => psql.args(["-o", "/dev/null", "-c", "COPY bulk TO STDOUT"]),
        Direction::In => {
            let file = house.cluster.socket_directory().join("bulk.txt");
            if !file.exists() {
                let mut direct = house.client("psql", house.cluster.address());
                succeed(direct.args(["-q", "-c", "COPY bulk TO STDOUT", "-o"]).arg(&file))?;
            }
            psql.stdin(Stdio::from(File::open(file)?));
            psql.args(["-c", "TRUNCATE sink", "-c", "COPY sink FROM STDIN"])
        }
    };
    succeed(&mut psql)?;
    Ok(MEGABYTES)
}
