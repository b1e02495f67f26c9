//! Arguments in, exit code out; everything else is `pgweir::cli`.

use std::process::ExitCode;

/// `.cargo/config.toml` compiles its settings in.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pgweir::cli::main(std::env::args_os(), std::env::vars_os())
}
