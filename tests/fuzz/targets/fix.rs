//! See the harness.
#![no_main]

#[path = "../harness.rs"]
#[allow(dead_code, reason = "each target uses one of its functions")]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::fix(bytes));
