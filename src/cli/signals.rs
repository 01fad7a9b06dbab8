//! A run that is told to end takes its temporary files away first.

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc;

use bstr::ByteSlice;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::fsio;
use crate::report::for_terminal;

/// Waits for the signals that a person or a supervisor ends a program with: then the temporary files go, an edit in place
/// that was begun is finished, and the signal does what it always does. Where no thread can be had for that, it does so
/// at once.
pub(super) fn watch() {
    let ignored = ignored();
    let signals = [SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().filter(move |signal| !is_in(ignored, *signal));
    let (is_watching, watches) = mpsc::channel();
    let wait = move || {
        let Ok(mut signals) = Signals::new(signals) else { return };
        // The run goes on whether it is heard or not.
        let _ = is_watching.send(());
        for signal in signals.forever() {
            fsio::remove_temporary_files().iter().for_each(|left| {
                let left = left.as_os_str().as_bytes().to_str_lossy();
                let left = if io::stderr().is_terminal() { for_terminal(&left) } else { left.into_owned() };
                let _ = writeln!(io::stderr(), "error: {left}: this temporary file could not be removed");
            });
            let _ = emulate_default_handler(signal);
        }
    };
    if std::thread::Builder::new().name("signals".to_owned()).spawn(wait).is_ok() {
        // An error says that the thread has ended: there is nothing to wait for.
        let _ = watches.recv();
    }
}

/// What `nohup` and shells made this process ignore, it goes on to ignore (`proc_pid_status(5)`, SigIgn).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0)
}

fn is_in(mask: u64, signal: i32) -> bool {
    let bit = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
    bit.and_then(|bit| mask.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
}
