//! Runs the program under strace, which makes a chosen system call fail, end in a signal or stop.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Run, command, require, run};

/// Whether the tests of this folder can be run: the names of system calls are those of one machine.
pub(super) fn can_trace(test: &str) -> bool {
    require("cc", test) && cfg!(all(target_arch = "x86_64", target_os = "linux")) && crate::harness::can_trace(test)
}

/// A system call of a traced run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    /// Which of that name it is, counted from 1 over all of its thread.
    pub(super) nth: usize,
    /// As strace prints it.
    pub(super) text: String,
    /// Whether it is about what journals are signed with, by a path or by a descriptor.
    pub(super) is_of_the_key: bool,
}

impl Call {
    /// The option that does something to this call only, such as `error=EIO`.
    pub(super) fn inject(&self, what: &str) -> String {
        format!("inject={}:{what}:when={}", self.name, self.nth)
    }

    /// Whether it asks if a file is in a Nix store: there are several ways, and where this one fails another is left.
    pub(super) fn asks_where_it_is(&self) -> bool {
        let tells_a_place = ["\"..\"", "STATX_MNT_ID", "mountinfo"].iter().any(|word| self.text.contains(word));
        tells_a_place || ["read", "readlink"].contains(&self.name.as_str())
    }

    /// Whether the file system is another one after it.
    pub(super) fn changes_files(&self) -> bool {
        let changing = [
            "pwrite64",
            "ftruncate",
            "fallocate",
            "copy_file_range",
            "fchmod",
            "fchown",
            "fsetxattr",
            "fremovexattr",
            "utimensat",
            "link",
            "linkat",
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
        ];
        changing.contains(&self.name.as_str()) || self.text.contains("O_CREAT")
    }
}

/// Memory, time, identity and streams: whether they fail has nothing to do with the file.
const NOT_ABOUT_FILES: [&str; 17] = [
    "brk",
    "close",
    "execve",
    "exit_group",
    "fcntl",
    "futex",
    "getegid",
    "geteuid",
    "getrandom",
    "madvise",
    "munmap",
    "prctl",
    // Cannot fail: there is nothing that it could refuse.
    "prlimit64",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_yield",
    "sigaltstack",
];

/// A command that can be run again and again, each time with something else done to it.
pub(super) struct Traced {
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    always: Vec<String>,
}

impl Traced {
    pub(super) fn new(program: PathBuf, log: PathBuf) -> Self {
        Self { program, arguments: Vec::new(), log, always: Vec::new() }
    }

    pub(super) fn arguments<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&mut self, arguments: I) -> &mut Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// What is done to every run, as to [`Traced::run_with`]'s.
    pub(super) fn always(&mut self, injection: &str) -> &mut Self {
        self.always.push(injection.to_owned());
        self
    }

    /// Runs the command without strace.
    pub(super) fn run(&self) -> Run {
        run(command(&self.program).args(&self.arguments))
    }

    fn traced(&self, options: &[String]) -> Command {
        let mut traced = command("strace");
        traced.args(["-f", "-qq", "-o"]).arg(&self.log);
        traced.args(options).arg(&self.program).args(&self.arguments);
        traced
    }

    /// A run to which something is done, by [`Call::inject`]'s options.
    pub(super) fn run_with(&self, injections: &[String]) -> Run {
        run(&mut self.command_with(injections))
    }

    /// The command of such a run.
    pub(super) fn command_with(&self, injections: &[String]) -> Command {
        self.traced(&options(&[injections, &self.always].concat()))
    }

    /// The system calls of an undisturbed run that are about files, from the first one that names `file` to the report.
    pub(super) fn calls(&self, file: &Path) -> (Run, Vec<Call>) {
        let always = self.always.iter().flat_map(|injection| ["-e".to_owned(), injection.clone()]);
        let run = run(&mut self.traced(&["-s4096".to_owned()].into_iter().chain(always).collect::<Vec<_>>()));
        let log = String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned();
        // It is opened in its directory.
        let name = format!("\"{}\"", file.file_name().unwrap().display());
        // The thread that waits for signals has nothing to do with files; strace counts the calls of each thread.
        let waits = log.lines().filter(|line| line.contains("prctl(PR_SET_NAME, \"signals\")"));
        let waits: BTreeSet<_> = waits.filter_map(|line| line.split_once(' ')).map(|(pid, _)| pid.to_owned()).collect();
        let mut counts = BTreeMap::new();
        let mut calls = Vec::new();
        let mut of_the_key = BTreeSet::new();
        for line in log.lines() {
            let (pid, text) = line.split_once(' ').map_or(("", ""), |(pid, text)| (pid, text.trim_start()));
            if waits.contains(pid) {
                continue;
            }
            let Some((name, arguments)) = text.split_once('(').filter(|(name, _)| !name.contains(['+', '-', '<']))
            else {
                continue;
            };
            let nth = counts.entry((pid, name)).and_modify(|count| *count += 1).or_insert(1);
            let descriptor = arguments.split([',', ')']).next().unwrap_or_default();
            let places = ["/cuda-runpath\"", "/.cuda-runpath-key-"];
            let is_of_the_key = of_the_key.contains(descriptor) || places.iter().any(|place| arguments.contains(place));
            if name.starts_with("open")
                && let Some((_, opened)) = text.rsplit_once(" = ")
            {
                // The kernel gives the number of a closed descriptor to the next file.
                match is_of_the_key {
                    true => of_the_key.insert(opened.to_owned()),
                    false => of_the_key.remove(opened),
                };
            }
            calls.push(Call { name: name.to_owned(), nth: *nth, text: text.to_owned(), is_of_the_key });
        }
        let is_about_the_file = |call: &Call| {
            let streams = call.text.contains("TCGETS") || (call.name == "mmap" && call.text.contains("MAP_ANONYMOUS"));
            !NOT_ABOUT_FILES.contains(&call.name.as_str()) && !streams
        };
        let start = calls.iter().position(|call| call.name != "execve" && call.text.contains(&name));
        let start = start.unwrap_or_else(|| panic!("{name} is never looked at:\n{log}"));
        let report = |call: &Call| call.text.starts_with("write(1,") || call.text.starts_with("write(2,");
        let end = calls.iter().skip(start).position(report).map_or(calls.len(), |end| start + end);
        let calls = calls.drain(start..end).filter(is_about_the_file).collect();
        (run, calls)
    }

    /// Starts a run that stops when a call has returned.
    pub(super) fn stop_after(&self, call: &Call) -> Stopped {
        let _ = std::fs::remove_file(&self.log);
        let mut traced = self.traced(&options(&[&[call.inject("signal=SIGSTOP")], &*self.always].concat()));
        let mut child = traced.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace starts");
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains("--- stopped by SIGSTOP ---")) {
                let pid = line.split(' ').next().unwrap().parse().unwrap();
                return Stopped { child, pid: Pid::from_raw(pid).unwrap() };
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < patience, "{call:?} is never made: {ended:?}\n{log}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Only the calls that something is done to are traced: the others run at full speed.
fn options(injections: &[String]) -> Vec<String> {
    let name = |injection: &String| injection.split(['=', ':']).nth(1).unwrap().to_owned();
    let names: Vec<_> = injections.iter().map(name).collect();
    let mut options = vec!["-e".to_owned(), format!("trace={}", names.join(","))];
    options.extend(injections.iter().flat_map(|injection| ["-e".to_owned(), injection.clone()]));
    options
}

/// A run that waits between two system calls.
pub(super) struct Stopped {
    child: Child,
    pid: Pid,
}

impl Stopped {
    /// Lets it go on to its end.
    pub(super) fn finish(self) -> Run {
        kill_process(self.pid, Signal::CONT).unwrap();
        self.child.wait_with_output().unwrap().into()
    }

    /// Ends it where it is.
    pub(super) fn kill(self) {
        kill_process(self.pid, Signal::KILL).unwrap();
        self.child.wait_with_output().unwrap();
    }
}
