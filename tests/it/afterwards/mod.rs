//! What others do with an edited file.

use std::path::Path;

use crate::fixtures::{Shape, clean, host, run};

/// Where gdb stops at a function of a program or library, as a backtrace. A debug file is put beside it, where its debug
/// link leads.
pub(crate) fn backtrace(file: &Path, shape: Shape, function: &str, debug: Option<&Path>) -> String {
    let mut gdb = clean("gdb");
    gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    if let Some(debug) = debug {
        std::fs::copy(debug, file.with_file_name(debug.file_name().unwrap())).unwrap();
    }
    gdb.args([
        "-ex",
        "set breakpoint pending on",
        "-ex",
        &format!("break {function}"),
        "-ex",
        "run",
        "-ex",
        "backtrace",
    ]);
    gdb.arg("--args");
    if shape == Shape::Library {
        gdb.arg(host("host.c", 0));
    }
    run(gdb.arg(file)).out()
}
