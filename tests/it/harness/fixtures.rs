//! Builds the sources of `fixtures/` and runs what comes out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::build::{Cache, shared};
use super::targets::Target;
use super::{NATIVE, Run, binary, ensure, expect, require, run};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::DT_RPATH;

/// What `libdep.so` in the old and in the new directory returns, and so what a program exits with.
pub(crate) const OLD: i32 = 11;
pub(crate) const NEW: i32 = 22;
/// Exit code when the loader, or the host program, does not find a library.
pub(crate) const NOT_FOUND: i32 = 127;

/// The linkers that `cc -fuse-ld=` may know, with the program each needs.
pub(crate) const LINKERS: [(&str, &str); 4] =
    [("bfd", "ld.bfd"), ("gold", "ld.gold"), ("lld", "ld.lld"), ("mold", "mold")];

/// Those that are here.
pub(crate) fn linkers(test: &str) -> Vec<&'static str> {
    LINKERS.into_iter().filter(|(_, program)| require(program, test)).map(|(linker, _)| linker).collect()
}

/// A file of each kind that can be edited.
pub(crate) const PROGRAMS: [(&str, Shape); 3] =
    [("user_program.c", Shape::Exec), ("user_program.c", Shape::Pie), ("user_library.c", Shape::Library)];

/// For [`Link::flags`]: so much initialised data that the last PT_LOAD is too large to be copied cheaply.
pub(crate) const LARGE_DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/large_data.c");

/// For [`Link::flags`]: a second entry of the search path, so long that no page's padding takes the string table.
pub(crate) fn paths_longer_than_a_page() -> String {
    format!("-Wl,-rpath,/{}", "long/".repeat(900))
}

/// What the host program calls.
pub(crate) const USER_SYMBOL: &str = "user_number";

/// What a fixture becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// ET_EXEC with an interpreter.
    Exec,
    /// ET_DYN with an interpreter.
    Pie,
    /// ET_DYN without.
    Library,
    /// ET_EXEC without a dynamic section.
    Static,
    /// ET_DYN with a dynamic section and without an interpreter.
    StaticPie,
}

impl Shape {
    fn compile(self) -> &'static str {
        match self {
            Self::Exec | Self::Static => "-fno-pie",
            Self::Pie | Self::StaticPie => "-fPIE",
            Self::Library => "-fPIC",
        }
    }

    fn link(self) -> &'static [&'static str] {
        match self {
            Self::Exec => &["-no-pie"],
            Self::Pie => &["-pie"],
            Self::Library => &["-shared", "-Wl,-soname,libuser.so"],
            Self::Static => &["-static", "-no-pie"],
            Self::StaticPie => &["-static-pie"],
        }
    }
}

/// Runs a tool that must succeed, or gives its own words.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let run = run(command);
    ensure(run.code == 0, &format!("{command:?}\n{}", run.said()))
}

/// The search path that a file is linked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OldPath {
    /// DT_RUNPATH with the old directory.
    Runpath,
    /// DT_RPATH with the old directory.
    Rpath,
    /// Neither.
    None,
    /// DT_RUNPATH with the old directory before the new one.
    Both,
    /// DT_RUNPATH with `$ORIGIN/o`, where [`OldPath::prepare`] puts a link to the old directory.
    Short,
    /// The same with [`USER_SYMBOL`], whose name a linker that merges tails of strings keeps nowhere else.
    SymbolTail,
    /// DT_RUNPATH with the old directory and four KiB of directories that do not exist.
    Long,
    /// DT_RUNPATH with the old directory behind a link-time stub's, without which the new path is shorter than the old.
    Stubs,
    /// DT_RUNPATH with the old directory, and beside it a DT_RPATH, which loaders ignore then. Only `bfd` links it.
    TwoTags,
}

impl OldPath {
    /// The path as it is linked, and what `fix` leaves of it behind the new directory.
    fn texts(self, deps: &Deps) -> (String, String) {
        let old = deps.old.to_str().unwrap();
        let both = |text: String| (text.clone(), text);
        match self {
            Self::Runpath | Self::Rpath | Self::TwoTags => both(old.to_owned()),
            Self::None => both(String::new()),
            Self::Both => (format!("{old}:{}", deps.new.display()), old.to_owned()),
            Self::Short => both("$ORIGIN/o".to_owned()),
            Self::SymbolTail => both(format!("$ORIGIN/{USER_SYMBOL}")),
            Self::Long => both(format!("{old}{}", ":/no/such/directory".repeat(216))),
            Self::Stubs => (format!("/{}lib/stubs:{old}", "x/".repeat(200)), old.to_owned()),
        }
    }

    /// What the file's RUNPATH must be after `fix`.
    pub(crate) fn wanted(self, target: Target) -> String {
        let deps = deps(target);
        match (deps.new.display(), self.texts(deps).1.as_str()) {
            (new, "") => new.to_string(),
            (new, rest) => format!("{new}:{rest}"),
        }
    }

    /// The path as it is linked.
    pub(crate) fn linked(self, target: Target) -> String {
        self.texts(deps(target)).0
    }

    /// Makes a folder one where a file with this path finds what it needs.
    pub(crate) fn prepare(self, target: Target, folder: &Path) {
        let link = match self {
            Self::Short => folder.join("o"),
            Self::SymbolTail => folder.join(USER_SYMBOL),
            _ => return,
        };
        if !link.exists() {
            std::os::unix::fs::symlink(&deps(target).old, link).unwrap();
        }
    }

    fn arguments(self, deps: &Deps) -> Vec<String> {
        let tags = match self {
            Self::None => return Vec::new(),
            Self::Rpath => "-Wl,--disable-new-dtags",
            _ => "-Wl,--enable-new-dtags",
        };
        let mut arguments = vec![tags.to_owned(), format!("-Wl,-rpath,{}", self.texts(deps).0)];
        if self == Self::TwoTags {
            arguments.push(format!("-Wl,--depaudit={STALE}"));
        }
        arguments
    }
}

/// GNU extension, glibc elf/elf.h.
const DT_DEPAUDIT: u64 = 0x6fff_fefb;
/// The path in a DT_RPATH that no loader reads.
const STALE: &str = "/stale/directory";

/// One file to link.
pub(crate) struct Link<'a> {
    pub(crate) source: &'a str,
    pub(crate) shape: Shape,
    pub(crate) linker: &'a str,
    pub(crate) target: Target,
    pub(crate) path: OldPath,
    pub(crate) defines: &'a [&'a str],
    pub(crate) flags: &'a [&'a str],
}

impl<'a> Link<'a> {
    pub(crate) fn new(source: &'a str, shape: Shape) -> Self {
        Self { source, shape, linker: "", target: NATIVE, path: OldPath::Runpath, defines: &[], flags: &[] }
    }

    pub(crate) fn linker(mut self, linker: &'a str) -> Self {
        self.linker = linker;
        self
    }

    pub(crate) fn path(mut self, path: OldPath) -> Self {
        self.path = path;
        self
    }

    pub(crate) fn defines(mut self, defines: &'a [&'a str]) -> Self {
        self.defines = defines;
        self
    }

    pub(crate) fn flags(mut self, flags: &'a [&'a str]) -> Self {
        self.flags = flags;
        self
    }

    /// Links the file to `out`, or gives the linker's own words.
    pub(crate) fn try_to(&self, out: &Path) -> Result<(), String> {
        let directives = directives(self.source);
        let mut command = self.target.compiler(self.linker);
        command.args(self.shape.link());
        command.args(["-Wl,--build-id", "-Wl,--no-as-needed", "-o"]).arg(out);
        command.arg(object(self.source, self.shape.compile(), self.target, self.defines));
        let deps = deps(self.target);
        match directives.get("needs").map(String::as_str) {
            Some("dep") => {
                command.arg("-L").arg(&deps.old).arg("-ldep");
            }
            Some("user") => {
                // Its own dependency is the loader's business, not the linker's.
                command.arg(reference_library(self.target)).arg("-Wl,--unresolved-symbols=ignore-in-shared-libs");
            }
            Some(other) => panic!("{}: unknown `needs: {other}`", self.source),
            None => {}
        }
        if let Some(flags) = directives.get("ldflags") {
            command.args(flags.split_whitespace());
        }
        command.args(self.path.arguments(deps));
        command.args(self.flags);
        succeed(&mut command)?;
        self.path.prepare(self.target, out.parent().unwrap());
        if self.path == OldPath::TwoTags {
            // No linker writes both tags any more: another tag with a string becomes DT_RPATH.
            let file = Damage::of(out);
            let index = file.image.dynamic.iter().position(|(tag, _)| *tag == DT_DEPAUDIT).unwrap();
            let tag = file.dynamic(index).0;
            std::fs::write(out, file.put(tag, DT_RPATH).bytes).unwrap();
        }
        Ok(())
    }

    /// Links the file to `out`.
    pub(crate) fn to(&self, out: &Path) {
        self.try_to(out).unwrap_or_else(|message| panic!("{message}"));
    }
}

/// The two directories that both hold a `libdep.so`.
pub(crate) struct Deps {
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
}

/// Builds `libdep.so` twice, once per process and machine.
pub(crate) fn deps(target: Target) -> &'static Deps {
    static MADE: Cache<&'static Deps> = Cache::new();
    MADE.get(target.name, || {
        let build = |name: &str, number: i32| {
            shared(&format!("{name}-{}", target.name), |folder| {
                std::fs::create_dir_all(folder).unwrap();
                let object = object("dep.c", "-fPIC", target, &[&format!("-DDEP_NUMBER={number}")]);
                let mut linker = target.compiler("");
                linker.args(["-shared", "-Wl,-soname,libdep.so", "-o"]).arg(folder.join("libdep.so")).arg(object);
                expect(&mut linker, 0);
            })
        };
        Box::leak(Box::new(Deps { old: build("old", OLD), new: build("new", NEW) }))
    })
}

/// A program that loads the library given as its argument, or (`linked_host.c`) is linked with a `libuser.so`.
pub(crate) fn host(source: &str, target: Target) -> PathBuf {
    shared(&format!("{source}.{}", target.name), |out| {
        Link { target, ..Link::new(source, Shape::Pie).path(OldPath::None) }.to(out);
    })
}

fn reference_library(target: Target) -> PathBuf {
    shared(&format!("libuser-{}.so", target.name), |out| {
        Link { target, ..Link::new("user_library.c", Shape::Library).path(OldPath::None) }.to(out);
    })
}

/// Compiles a source once per set of flags; links of every kind share the object.
fn object(source: &str, code: &str, target: Target, defines: &[&str]) -> PathBuf {
    let flags = format!("{source} {code} {}", defines.join(" "));
    let name: String = flags.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    shared(&format!("{name}.{}.o", target.name), |out| {
        let mut compiler = target.compiler("");
        compiler.args(["-c", "-O1", "-g", code]).args(defines).arg(fixtures().join(source)).arg("-o").arg(out);
        expect(&mut compiler, 0);
    })
}

/// The `//# name: value` lines on top of a fixture; every fixture must say what it is for.
pub(crate) fn directives(source: &str) -> HashMap<String, String> {
    let path = fixtures().join(source);
    let content = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let found: HashMap<_, _> = content
        .lines()
        .map_while(|line| line.strip_prefix("//# "))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for name in ["purpose", "kind"] {
        assert!(found.contains_key(name), "{source} has no `//# {name}:` line on top");
    }
    found
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Runs a program, or a library through the host program, which calls `symbol`, with `library_path` as LD_LIBRARY_PATH.
pub(crate) fn run_file(file: &Path, shape: Shape, target: Target, symbol: &str, library_path: Option<&Path>) -> Run {
    let mut command = if shape == Shape::Library {
        let mut command = target.runner(host("host.c", target));
        command.arg(file).arg(symbol);
        command
    } else {
        target.runner(file)
    };
    if let Some(folder) = library_path {
        command.env("LD_LIBRARY_PATH", folder);
    }
    run(&mut command)
}

/// The same of this machine, with the usual symbol and without help.
pub(crate) fn start(file: &Path, shape: Shape) -> Run {
    run_file(file, shape, NATIVE, USER_SYMBOL, None)
}

/// `fix --driver NEW` for a machine, with more arguments to come.
pub(crate) fn fix(target: Target) -> Command {
    let mut command = binary();
    command.arg("fix").arg("--driver").arg(&deps(target).new);
    command
}

/// Zeroes the section header fields of the ELF header: what remains is all that a loader reads. With `truncate`, what
/// lies behind the last segment goes too.
pub(crate) fn drop_section_headers(file: &Path, truncate: bool) {
    let mut bytes = Damage::of(file);
    for name in ["e_shoff", "e_shnum", "e_shstrndx"] {
        let field = bytes.header(name);
        bytes = bytes.put(field, 0);
    }
    if truncate {
        let end = bytes.image.segments.iter().map(|segment| segment.offset + segment.file_size).max().unwrap();
        bytes.bytes.truncate(usize::try_from(end).unwrap());
    }
    std::fs::write(file, bytes.bytes).unwrap();
}
