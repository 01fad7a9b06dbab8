//! What a dynamic loader and two readers make of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::complaints::{Complaints, Readers, complaints};
use crate::elfgen::read::Image;

/// Opens a library with everything that it needs, and says what the loader says. Nothing else of the library runs but its constructors.
const OPENER: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    (void)argc;
    if (dlopen(argv[1], RTLD_NOW)) _exit(0);
    fprintf(stderr, "%s\n", dlerror());
    _exit(1);
}
"#;

const PT_INTERP: u32 = 3;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
const ET_DYN: u16 = 3;

/// The checks that this machine can make.
pub(super) struct Checks {
    readers: Readers,
    /// The dynamic loader of this machine's programs, and what it can load: class, byte order and machine.
    loader: Option<(String, Kind)>,
    opener: Option<PathBuf>,
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

type Kind = (crate::elfgen::Class, crate::elfgen::Order, u16);

/// What was seen of one file.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `ld.so --list`, without addresses.
    listed: Option<String>,
    /// Whether `dlopen` succeeds, else what it says.
    opened: Option<String>,
    pub(super) complaints: Complaints,
}

impl Checks {
    pub(super) fn new(scratch: &Path) -> Self {
        Self {
            readers: Readers { readelf: found("readelf"), elflint: found("eu-elflint") },
            loader: own_loader(),
            opener: opener(scratch),
            counts: Mutex::default(),
        }
    }

    /// What cannot be checked here.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let there = [
            (self.readers.readelf, "readelf"),
            (self.readers.elflint, "eu-elflint"),
            (self.loader.is_some(), "ld.so --list"),
            (self.opener.is_some(), "dlopen"),
        ];
        there.into_iter().filter(|(there, _)| !there).map(|(_, name)| name).collect()
    }

    pub(super) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_insert(0) += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().unwrap().clone()
    }

    pub(super) fn see(&self, file: &Path) -> Seen {
        let Some(image) = std::fs::read(file).ok().and_then(|bytes| Image::parse(&bytes)) else {
            return Seen::default();
        };
        let mut seen = Seen::default();
        if image.dynamic.is_empty() {
            return seen;
        }
        if let Some((loader, kind)) = &self.loader
            && *kind == (image.class, image.order, image.machine)
        {
            self.count("ld.so --list");
            seen.listed =
                Some(without_addresses(&answer(Command::new("timeout").args(["30", loader, "--list"]).arg(file))));
            let is_library = image.kind == ET_DYN && image.tag(DT_FLAGS_1).is_none_or(|flags| flags & DF_1_PIE == 0);
            if let Some(opener) = self.opener.as_ref().filter(|_| is_library) {
                self.count("dlopen");
                seen.opened = Some(answer(Command::new("timeout").arg("30").arg(opener).arg(file)));
            }
        }
        self.count("readelf, eu-elflint");
        seen.complaints = complaints(file, self.readers);
        seen
    }
}

impl Seen {
    /// What the loader says now and did not say before.
    pub(super) fn changes(&self, after: &Self) -> Vec<String> {
        let pairs = [("ld.so --list", &self.listed, &after.listed), ("dlopen", &self.opened, &after.opened)];
        let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
        changed.map(|(what, before, after)| format!("{what} said {before:?} and says {after:?}")).collect()
    }
}

/// The exit code and what was printed; a library's own words on standard output are not the loader's.
fn answer(command: &mut Command) -> String {
    let command =
        command.env_remove("LD_LIBRARY_PATH").env_remove("LD_PRELOAD").env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output().expect("timeout starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lists = command.get_args().any(|argument| argument == "--list");
    let said = if lists { text(&output.stdout) + &text(&output.stderr) } else { text(&output.stderr) };
    // Sanitizers say which process they stop.
    let said = said.split("==").filter(|part| part.parse::<u32>().is_err()).collect::<Vec<_>>().join("==");
    format!("{}\n{said}", output.status)
}

fn without_addresses(text: &str) -> String {
    text.lines().map(|line| line.split(" (0x").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The loader that runs this very program.
fn own_loader() -> Option<(String, Kind)> {
    let own = Image::parse(&std::fs::read("/proc/self/exe").ok()?)?;
    let interpreter = own.segments.iter().find(|segment| segment.kind == PT_INTERP)?;
    let name = own.memory(interpreter.address, interpreter.file_size)?;
    let name = String::from_utf8(name.split(|byte| *byte == 0).next()?.to_vec()).ok()?;
    Some((name, (own.class, own.order, own.machine)))
}

fn opener(scratch: &Path) -> Option<PathBuf> {
    let (source, program) = (scratch.join("opener.c"), scratch.join("opener"));
    std::fs::write(&source, OPENER).expect("a source file");
    let status = Command::new("cc").arg("-o").args([&program, &source]).arg("-ldl").status().ok()?;
    status.success().then_some(program)
}

fn found(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}
