//! See the function.
#![no_main]

libfuzzer_sys::fuzz_target!(init: cuda_runpath_fuzz::write_specs(), |bytes: &[u8]| cuda_runpath_fuzz::cdi(bytes));
