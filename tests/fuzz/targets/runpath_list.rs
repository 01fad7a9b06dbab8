//! See the function.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cuda_runpath_fuzz::runpath_list(bytes));
