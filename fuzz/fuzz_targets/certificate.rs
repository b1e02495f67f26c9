//! Certificates that a peer shows.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| pgweir::net::tls::read_certificate(der));
