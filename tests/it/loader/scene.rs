//! Small trees of programs and libraries, each started under the loader's trace and explained; both must agree.

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::compare::{Ground, Searched, differences, explained, until_failure};
use super::{loaders, trace};
use crate::harness::build::compiled;
use crate::harness::{Run, Tree, binary, command, expect, require, run, skip};

/// Every object's code: a program ends at once, without libc.
const UNIT: &str = r#"
#if defined __x86_64__
__asm__(".globl _start\n_start: mov $60, %eax\n xor %edi, %edi\n syscall\n");
#elif defined __i386__
__asm__(".globl _start\n_start: mov $1, %eax\n xor %ebx, %ebx\n int $0x80\n");
#elif defined __aarch64__
__asm__(".globl _start\n_start: mov x8, #93\n mov x0, #0\n svc #0\n");
#endif
"#;

/// A program that opens its arguments; those that start with `via:` are opened by a library. Without arguments it prints
/// what is in its process.
const OPENER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
extern void *open_for(const char *name) __attribute__((weak));
static int print(struct dl_phdr_info *info, size_t size, void *data) {
    printf("%s\n", info->dlpi_name);
    return 0;
}
int main(int count, char **names) {
    if (count == 1)
        dl_iterate_phdr(print, 0);
    for (int i = 1; i < count; i++) {
        int via = strncmp(names[i], "via:", 4) == 0;
        struct link_map *map = via ? open_for(names[i] + 4) : dlopen(names[i], RTLD_LAZY);
        printf("%s\n", map ? map->l_name : "nothing");
    }
    return 0;
}
"#;

/// A library that opens what it is told to. The loader knows it by the return address.
const CALLER: &str = r#"
#include <dlfcn.h>
void *open_for(const char *name) {
    void *handle = dlopen(name, RTLD_LAZY);
    __asm__ volatile("" ::: "memory");
    return handle;
}
"#;

/// A temporary tree. In every path of a test `@` is its root.
pub(super) struct Scene {
    pub(super) tree: Tree,
    stubs: Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Library,
    Program,
    Opener,
    Caller,
}

/// An object to link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    kind: Kind,
    pub(super) path: &'a str,
    /// DT_NEEDED.
    pub(super) needs: &'a [&'a str],
    /// The file's name where nothing else is said.
    pub(super) soname: Option<&'a str>,
    pub(super) runpath: Option<&'a str>,
    pub(super) rpath: Option<&'a str>,
    /// 32 or 64.
    pub(super) class: u8,
    /// PT_INTERP.
    pub(super) interpreter: Option<&'a str>,
    /// What links objects with a C library.
    pub(super) compiler: &'a str,
    /// For the linker.
    pub(super) flags: &'a [&'a str],
    /// `@` and a file with more of the same.
    pub(super) response: Option<&'a str>,
}

impl<'a> Link<'a> {
    fn of(kind: Kind, path: &'a str) -> Self {
        let (needs, flags): (&[&str], &[&str]) = (&[], &[]);
        let (soname, runpath, rpath, interpreter) = (None, None, None, None);
        let (class, compiler, response) = (64, "cc", None);
        Self { kind, path, needs, soname, runpath, rpath, class, interpreter, compiler, flags, response }
    }

    pub(super) fn library(path: &'a str) -> Self {
        Self::of(Kind::Library, path)
    }

    pub(super) fn program(path: &'a str) -> Self {
        Self::of(Kind::Program, path)
    }

    /// A program that opens its arguments.
    pub(super) fn opener(path: &'a str) -> Self {
        Self::of(Kind::Opener, path)
    }

    /// The library that an opener may leave that to.
    pub(super) fn caller(path: &'a str) -> Self {
        Self::of(Kind::Caller, path)
    }

    pub(super) fn needs(self, needs: &'a [&'a str]) -> Self {
        Self { needs, ..self }
    }

    pub(super) fn soname(self, soname: &'a str) -> Self {
        Self { soname: Some(soname), ..self }
    }

    pub(super) fn runpath(self, runpath: &'a str) -> Self {
        Self { runpath: Some(runpath), ..self }
    }

    pub(super) fn rpath(self, rpath: &'a str) -> Self {
        Self { rpath: Some(rpath), ..self }
    }

    pub(super) fn class(self, class: u8) -> Self {
        Self { class, ..self }
    }

    pub(super) fn interpreter(self, interpreter: &'a str) -> Self {
        Self { interpreter: Some(interpreter), ..self }
    }

    /// An object of musl's.
    pub(super) fn musl(self) -> Self {
        Self { interpreter: Some(super::musl::LOADER), compiler: "musl-gcc", ..self }
    }

    pub(super) fn response(self, response: &'a str) -> Self {
        Self { response: Some(response), ..self }
    }

    pub(super) fn flags(self, flags: &'a [&'a str]) -> Self {
        Self { flags, ..self }
    }
}

/// How a program is started, or a library given to the loader.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start<'a> {
    pub(super) path: &'a str,
    /// The current directory; the tree's root where nothing else is said.
    pub(super) here: &'a str,
    /// LD_LIBRARY_PATH.
    pub(super) library_path: Option<&'a str>,
}

/// What the loader did, and `explain` foretold.
pub(super) struct Seen {
    searches: Vec<Searched>,
    root: String,
}

impl Seen {
    /// Where the last search for a name ended.
    pub(super) fn found(&self, name: &str) -> String {
        let last = self.searches.iter().rev().find(|search| search.name == name);
        let Some(last) = last else { return "not searched".to_owned() };
        last.found.as_ref().map_or_else(|| "nothing".to_owned(), |found| self.short(found))
    }

    /// What that search tried.
    pub(super) fn tried(&self, name: &str) -> Vec<String> {
        let last = self.searches.iter().rev().find(|search| search.name == name);
        last.map(|last| last.tried.iter().map(|file| self.short(file)).collect()).unwrap_or_default()
    }

    fn short(&self, path: &Path) -> String {
        path.to_str().expect("a name of ours").replace(&self.root, "@")
    }
}

impl Scene {
    /// `None` where there is nothing to link with.
    pub(super) fn new(test: &str) -> Option<Self> {
        if !require("cc", test) || !require("ld", test) {
            return None;
        }
        if loaders().is_empty() {
            skip(test, "no glibc loader that is known");
            return None;
        }
        Some(Self { tree: Tree::new(), stubs: Cell::new(0) })
    }

    pub(super) fn root(&self) -> &str {
        self.tree.path().to_str().expect("a UTF-8 path")
    }

    /// `@` is the tree's root.
    pub(super) fn text(&self, text: &str) -> String {
        text.replace('@', self.root())
    }

    pub(super) fn folder(&self, path: &str) {
        self.tree.folder(path);
    }

    pub(super) fn symlink(&self, target: &str, path: &str) {
        self.tree.symlink(self.text(target), path);
    }

    /// Libraries of the same kind, each by its path.
    pub(super) fn libraries(&self, paths: &[&str]) {
        for path in paths {
            self.link(Link::library(path));
        }
    }

    pub(super) fn link(&self, link: Link<'_>) -> PathBuf {
        let output = self.tree.place(link.path);
        let file_name = Path::new(link.path).file_name().and_then(OsStr::to_str).expect("a UTF-8 name");
        let mut flags = vec!["--no-as-needed".to_owned()];
        if matches!(link.kind, Kind::Library | Kind::Caller) || link.soname.is_some() {
            flags.extend(["-soname".to_owned(), self.text(link.soname.unwrap_or(file_name))]);
        }
        for (path, tags) in [(link.runpath, "--enable-new-dtags"), (link.rpath, "--disable-new-dtags")] {
            flags.extend(path.into_iter().flat_map(|path| [tags.to_owned(), "-rpath".to_owned(), self.text(path)]));
        }
        if matches!(link.kind, Kind::Program | Kind::Opener) {
            let usual = loaders().into_iter().find(|(class, _)| *class == link.class).expect("a loader").1;
            let interpreter = link.interpreter.map_or_else(|| usual.to_str().unwrap().to_owned(), |i| self.text(i));
            flags.extend(["-dynamic-linker".to_owned(), interpreter]);
        }
        flags.extend(link.flags.iter().map(|flag| self.text(flag)));
        let stubs: Vec<PathBuf> = link.needs.iter().map(|name| self.stub(name, link.class)).collect();
        let mut linker = match link.kind {
            Kind::Library | Kind::Program => {
                let mut linker = self.ld(link.class);
                linker.arg(if link.kind == Kind::Library { "-shared" } else { "-pie" }).arg("-e").arg("_start");
                linker.args(&flags).arg(object("cc", "unit", UNIT, link.class));
                linker
            }
            Kind::Opener | Kind::Caller => {
                let mut linker = command(link.compiler);
                let (name, source) = if link.kind == Kind::Opener { ("opener", OPENER) } else { ("caller", CALLER) };
                linker.arg(if link.kind == Kind::Caller { "-shared" } else { "-pie" });
                linker.arg(object(link.compiler, name, source, link.class));
                linker.args(flags.iter().flat_map(|flag| ["-Xlinker", flag]));
                linker
            }
        };
        expect(linker.args(link.response).args(stubs).arg("-o").arg(&output), 0);
        output
    }

    fn ld(&self, class: u8) -> Command {
        let mut linker = command("ld");
        if class == 32 {
            linker.args(["-m", "elf_i386"]);
        }
        linker
    }

    /// A library that only lends its SONAME to who is linked with it.
    fn stub(&self, name: &str, class: u8) -> PathBuf {
        self.stubs.set(self.stubs.get() + 1);
        let path = self.tree.place(format!("stubs/{}.so", self.stubs.get()));
        let mut linker = self.ld(class);
        linker.args(["-shared", "-soname", &self.text(name)]).arg(object("cc", "unit", UNIT, class));
        expect(linker.arg("-o").arg(&path), 0);
        path
    }

    /// Starts a program and compares what that searches for.
    pub(super) fn start(&self, path: &str) -> Seen {
        self.start_as(Start { path, ..Start::default() })
    }

    pub(super) fn start_as(&self, start: Start<'_>) -> Seen {
        let program = self.tree.join(start.path);
        self.compare(&mut command(&program), &program, start)
    }

    /// Explains each name that a program needs by itself: all of it is what the process's explanation says.
    pub(super) fn assert_each_name_by_itself(&self, path: &str, names: &[&str]) {
        let start = Start { path, ..Start::default() };
        let program = self.tree.join(path);
        let all = explained(&self.explain(start, &["--recursive".as_ref(), program.as_os_str()]).json(), false);
        for name in names {
            let one = explained(&self.explain(start, &[program.as_os_str(), name.as_ref()]).json(), true);
            let of_all: Vec<Searched> = all.iter().filter(|search| search.name == *name).cloned().collect();
            assert!(one == of_all && one.len() == 1, "{name}: {one:?}\n{of_all:?}");
        }
    }

    /// Gives a library to the loader, as ldd does.
    pub(super) fn load(&self, path: &str) -> Seen {
        let library = self.tree.join(path);
        let (_, loader) = loaders().remove(0);
        let mut command = command(loader);
        command.arg(&library).env("LD_TRACE_LOADED_OBJECTS", "1");
        self.compare(&mut command, &library, Start { path, ..Start::default() })
    }

    fn compare(&self, command: &mut Command, path: &Path, start: Start<'_>) -> Seen {
        let here = self.tree.join(start.here);
        self.prepare(command, start);
        let mut traced = trace::traced(command.current_dir(&here), self.tree.path());
        trace::recognise_loaded(&mut traced.searches, path);
        let json = self.explain(start, &[OsStr::new("--recursive"), path.as_os_str()]).json();
        let ground = Ground::of(&here);
        let told = until_failure(explained(&json, false));
        let mut really = until_failure(traced.searches);
        // What is mapped may still be no library.
        if traced.run.stderr.contains("error while loading shared libraries")
            && let Some(last) = really.last_mut()
        {
            last.found = None;
        }
        self.assert_same(&ground, &really, &told)
    }

    /// Starts a program that opens `names`, and compares the searches for them; the second result is what it got.
    pub(super) fn open(&self, start: Start<'_>, names: &[&str]) -> (Seen, Vec<String>) {
        let program = self.tree.join(start.path);
        let here = self.tree.join(start.here);
        let mut command = command(&program);
        self.prepare(&mut command, start);
        command.args(names.iter().map(|name| self.text(name)));
        let mut traced = trace::traced(command.current_dir(&here), self.tree.path());
        trace::recognise_loaded(&mut traced.searches, &program);
        let opened: Vec<String> = traced.run.stdout.lines().map(|line| line.replace(self.root(), "@")).collect();
        assert_eq!(opened.len(), names.len(), "{:?}", traced.run);
        let mut told = Vec::new();
        let mut really = Vec::new();
        for (name, opened) in names.iter().zip(&opened) {
            let (caller, name) = match name.strip_prefix("via:") {
                Some(name) => (self.tree.join("lib/libcaller.so"), self.text(name)),
                None => (program.clone(), self.text(name)),
            };
            let arguments = ["--program".as_ref(), program.as_os_str(), caller.as_os_str(), name.as_ref()];
            told.extend(explained(&self.explain(start, &arguments).json(), true));
            let asked = |search: &&Searched| search.name == name && search.by == caller;
            let mut asked = traced.searches.iter().find(asked).cloned();
            if let Some(asked) = asked.as_mut().filter(|asked| asked.name.contains('/')) {
                // The trace has the name as it was given, the program the one under which it was opened; that is
                // another one where the file was in the process.
                let is_new = asked.found.is_some();
                asked.found =
                    (opened != "nothing").then(|| if is_new { self.text(opened) } else { name.clone() }.into());
            }
            really.extend(asked);
        }
        (self.assert_same(&Ground::of(&here), &really, &told), opened)
    }

    fn prepare(&self, command: &mut Command, start: Start<'_>) {
        if let Some(path) = start.library_path {
            command.env("LD_LIBRARY_PATH", self.text(path));
        }
    }

    pub(super) fn explain(&self, start: Start<'_>, arguments: &[&OsStr]) -> Run {
        let mut explain = binary();
        explain.args(["explain", "--json"]).args(arguments).current_dir(self.tree.join(start.here));
        if let Some(path) = start.library_path {
            explain.arg("--env").arg(format!("LD_LIBRARY_PATH={}", self.text(path)));
        }
        let run = run(&mut explain);
        run.assert_code(0, &format!("explain {arguments:?}"));
        run
    }

    pub(super) fn assert_same(&self, ground: &Ground, really: &[Searched], told: &[Searched]) -> Seen {
        let (_, different) = differences(ground, really, told);
        let short = different.join("\n").replace(self.root(), "@");
        assert!(different.is_empty(), "{short}");
        let searches = really.iter().map(|search| ground.comparable(search)).collect();
        Seen { searches, root: self.root().to_owned() }
    }
}

/// Compiles a source once for all tests of this run.
fn object(compiler: &str, name: &str, source: &str, class: u8) -> PathBuf {
    let bits: &[&str] = if class == 32 { &["-m32"] } else { &[] };
    let mut command = command(compiler);
    compiled(&format!("{compiler}-{name}-{class}.o"), source, command.args(bits).args(["-O1", "-fPIC", "-c"]))
}
