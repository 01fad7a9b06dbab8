//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cuda_runpath::cli::run()
}
