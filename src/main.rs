//! Arguments in, exit code out; everything else is `pgweir::cli`.
fn main() {}
