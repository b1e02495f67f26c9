//! `pgweir healthcheck`: `GET /healthz` of the pgweir next to us, for container images without a shell.

use std::process::ExitCode;

use hyper::StatusCode;

use crate::config::{self, Environment};

use super::args::Options;
use super::{NO_ENDPOINT, endpoint, fail, inputs};

/// The upstream is of no interest here, and may be unknown: only the address of the endpoint counts.
pub(super) fn healthcheck(options: Options, environment: Environment) -> ExitCode {
    let Some(address) = config::http_address(inputs(options, environment)) else {
        return fail(NO_ENDPOINT);
    };
    match endpoint::get(&address, "/healthz") {
        Ok((StatusCode::OK, _)) => ExitCode::SUCCESS,
        Ok(_) => fail(&format!("http://{address}/healthz did not answer 200")),
        Err(error) => fail(&format!("http://{address}/healthz: {error}")),
    }
}
