//! The rules of both loaders over a file system that is a list.

use std::collections::BTreeMap;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::super::object::Abi;
use super::*;
use crate::elf::class::Class;
use crate::elf::machine::Machine;
use crate::loader::{
    Depth, DirectoryState, FileSystem, Hardware, Ident, Look, MOST_PLACES, Object, Process, System, SystemFiles,
    TaggedPath, start,
};

/// Paths, and what is there; directories are those of the paths.
#[derive(Default)]
struct List {
    looks: BTreeMap<BString, Look>,
    files: BTreeMap<BString, Vec<u8>>,
}

impl FileSystem for List {
    fn look(&self, directory: &BStr, name: &BStr) -> Look {
        let path = BString::from([directory.as_bytes(), b"/", name.as_bytes()].concat());
        self.looks.get(&path).cloned().unwrap_or(Look::Missing)
    }

    fn directory(&self, path: &BStr) -> DirectoryState {
        let below = BString::from([path.as_bytes(), b"/"].concat());
        if self.looks.keys().any(|known| known.starts_with(&below)) {
            return DirectoryState::Present { world_writable: false, has_hardware_folders: true };
        }
        DirectoryState::Missing { anybody_could_make_it: false }
    }

    fn real(&self, path: &BStr) -> Option<BString> {
        Some(path.to_owned())
    }

    fn read(&self, path: &BStr) -> Option<Vec<u8>> {
        self.files.get(path).cloned()
    }
}

fn object(path: &str) -> Object {
    let inode = path.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let machine = Machine::named("x86_64").unwrap();
    Object { soname: None, ..Object::opaque(path.into(), (0, inode), BString::default(), machine) }
}

fn needs(names: &[BString]) -> Vec<(Ask, BString)> {
    names.iter().map(|name| (Ask::Needed, name.clone())).collect()
}

fn program(path: &str, path_tag: TaggedPath) -> Object {
    Object { interpreter: Some(GLIBC.into()), path_tag, ..object(path) }
}

const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

fn rpath(path: &str) -> TaggedPath {
    TaggedPath::Rpath(path.into())
}

fn runpath(path: &str) -> TaggedPath {
    TaggedPath::Runpath(path.into(), false)
}

fn list(paths: &[&str]) -> List {
    let looks = paths.iter().map(|path| (BString::from(*path), Look::Object(Arc::new(object(path)))));
    List { looks: looks.collect(), files: BTreeMap::new() }
}

fn system(interpreter: &str, files: &List) -> System {
    let machine = Machine::named("x86_64").unwrap();
    let hardware = Hardware { machine, class: Class::Elf64, is_big_endian: false, hwcaps: None, platform: None };
    System::of(interpreter.into(), hardware, &mut SystemFiles::of(files))
}

/// Where a name is found, or the last outcome.
fn found(interpreter: &str, files: &List, process: &Process, (by, ask): (usize, Ask), name: &str) -> String {
    let (system, environment) = (system(interpreter, files), Environment::default());
    let patience = Patience::of(MOST_PLACES);
    let loader = Loader { files, system: &system, environment: &environment, patience: &patience };
    let search = loader.search(process, by, ask, name.into());
    match search.end {
        End::Found(_, opened) => opened.to_string(),
        End::Loaded(index) => format!("loaded {index}"),
        End::Interpreter => "itself".to_owned(),
        End::NotFound => "nothing".to_owned(),
        End::Fatal => "error".to_owned(),
    }
}

/// What dlopen loads has no loader: behind its own DT_RPATH comes the program's, and not the caller's.
#[test]
fn what_dlopen_loads_inherits_from_the_program_only() {
    let files = list(&["/of-caller/libx.so", "/of-program/liby.so", "/of-plugin/libz.so"]);
    let mut process = Process::of(Arc::new(program("/bin/p", rpath("/of-program"))));
    let caller = Object { path_tag: rpath("/of-caller"), ..object("/a/libcaller.so") };
    let caller = process.add(Arc::new(caller), "/a/libcaller.so".into(), Some(0), "libcaller.so".into());
    let plugin = Object { path_tag: rpath("/of-plugin"), ..object("/a/plugin.so") };
    let plugin = process.add(Arc::new(plugin), "/a/plugin.so".into(), None, "/a/plugin.so".into());
    let helper = process.add(Arc::new(object("/a/libhelper.so")), "/a/libhelper.so".into(), Some(plugin), "h".into());
    let found = |by, name| found(GLIBC, &files, &process, (by, Ask::Needed), name);
    assert_eq!(
        (found(caller, "libx.so"), found(caller, "liby.so")),
        ("/of-caller/libx.so".into(), "/of-program/liby.so".into())
    );
    assert_eq!((found(helper, "libx.so"), found(helper, "liby.so")), ("nothing".into(), "/of-program/liby.so".into()));
    assert_eq!((found(helper, "libz.so"), found(caller, "libz.so")), ("/of-plugin/libz.so".into(), "nothing".into()));
    // Its chain by itself is the same.
    let (chain, last) = process.chain_of(helper);
    assert_eq!(super::tests::found(GLIBC, &files, &chain, (last, Ask::Needed), "liby.so"), "/of-program/liby.so");
    assert_eq!(super::tests::found(GLIBC, &files, &chain, (last, Ask::Needed), "libz.so"), "/of-plugin/libz.so");
}

/// From a program with DT_RUNPATH no library inherits anything.
#[test]
fn a_program_with_runpath_lends_nothing() {
    let files = list(&["/a/libx.so"]);
    let mut process = Process::of(Arc::new(program("/bin/p", runpath("/a"))));
    let library = process.add(Arc::new(object("/b/libb.so")), "/b/libb.so".into(), Some(0), "libb.so".into());
    let found = |by, ask| found(GLIBC, &files, &process, (by, ask), "libx.so");
    assert_eq!((found(0, Ask::Needed), found(library, Ask::Needed)), ("/a/libx.so".into(), "nothing".into()));
    assert_eq!((found(0, Ask::Dlopen), found(library, Ask::Dlopen)), ("/a/libx.so".into(), "nothing".into()));
}

/// musl inherits either tag, but dlopen asks for the program; of a library by itself it is not known which program that is.
#[test]
fn musl_opens_for_the_program() {
    let files = list(&["/a/libx.so", "/b/liby.so"]);
    let mut process = Process::of(Arc::new(program("/bin/p", runpath("/a"))));
    let library = Object { path_tag: runpath("/b"), ..object("/b/libb.so") };
    let index = process.add(Arc::new(library.clone()), "/b/libb.so".into(), Some(0), "libb.so".into());
    let found = |process, by, ask, name| found(MUSL, &files, process, (by, ask), name);
    assert_eq!(found(&process, index, Ask::Needed, "libx.so"), "/a/libx.so");
    assert_eq!(found(&process, index, Ask::Needed, "liby.so"), "/b/liby.so");
    assert_eq!(found(&process, index, Ask::Dlopen, "libx.so"), "/a/libx.so");
    assert_eq!(found(&process, index, Ask::Dlopen, "liby.so"), "nothing");
    let alone = Process::of(Arc::new(library));
    assert_eq!(found(&alone, 0, Ask::Needed, "liby.so"), "/b/liby.so");
    assert_eq!(found(&alone, 0, Ask::Dlopen, "liby.so"), "nothing");
}

#[test]
fn names_in_the_process() {
    let files = list(&["/a/libx.so", "/a/ld-linux-x86-64.so.2", "/a/p.so"]);
    let mut process = Process::of(Arc::new(Object { soname: Some("p.so".into()), ..program("/bin/p", runpath("/a")) }));
    let library = Object { soname: Some("libx.so".into()), ..object("/b/real.so") };
    process.add(Arc::new(library), "/b/real.so".into(), Some(0), "asked.so".into());
    let glibc = |name| found(GLIBC, &files, &process, (0, Ask::Needed), name);
    for name in ["libx.so", "asked.so", "/b/real.so"] {
        assert_eq!(glibc(name), "loaded 1", "{name}");
    }
    assert_eq!(
        (glibc("p.so"), glibc("/bin/p"), glibc("real.so")),
        ("loaded 0".into(), "nothing".into(), "nothing".into())
    );
    // Where the loader itself is not at hand, its file's name is taken for its DT_SONAME.
    assert_eq!((glibc(GLIBC), glibc("ld-linux-x86-64.so.2")), ("itself".into(), "itself".into()));
    let musl = |name| found(MUSL, &files, &process, (0, Ask::Needed), name);
    assert_eq!(
        (musl("libx.so"), musl("asked.so"), musl("p.so")),
        ("/a/libx.so".into(), "loaded 1".into(), "/a/p.so".into())
    );
    assert_eq!((musl("libpthread.so.0"), musl(MUSL)), ("itself".into(), "itself".into()));
}

#[test]
fn what_is_in_the_way() {
    let in_the_way = |interpreter, look: Look| {
        let mut files = list(&["/b/libx.so"]);
        files.looks.insert("/a/libx.so".into(), look);
        let process = Process::of(Arc::new(program("/bin/p", runpath("/a:/b"))));
        found(interpreter, &files, &process, (0, Ask::Needed), "libx.so")
    };
    let abi = Abi::default();
    let file = |class, data, code| Look::NotLoadable(Some(Ident { class, data, code, abi }), "an object file".into());
    let other = Look::Object(Arc::new(Object { code: 183, ..object("/a/libx.so") }));
    let executable = Look::Object(Arc::new(Object { is_executable: true, ..object("/a/libx.so") }));
    let behind = "/b/libx.so";
    for (look, glibc, musl) in [
        (Look::Forbidden, behind, behind),
        (Look::Broken("a circle"), "nothing", "nothing"),
        (other, behind, "error"),
        (executable, "error", "/a/libx.so"),
        (file(1, 1, 3), behind, "error"),
        (file(1, 2, 8), behind, "error"),
        (file(0, 0, 0), behind, "error"),
        (file(2, 1, 183), behind, "error"),
        (file(2, 2, 62), "error", "error"),
        (file(2, 1, 62), "error", "error"),
        (Look::NotLoadable(None, "a text".into()), "error", "error"),
    ] {
        let found = (in_the_way(GLIBC, look.clone()), in_the_way(MUSL, look.clone()));
        assert_eq!(found, (glibc.to_owned(), musl.to_owned()), "{look:?}");
    }
}

/// What a loader has built in: where it says which release it is of, and where it does not.
#[test]
fn folders_come_and_go_with_releases() {
    let own = |version: &str| {
        let directories = "/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0";
        let mut files = List::default();
        files.files.insert(GLIBC.into(), format!("x\0{directories}{version}\0/etc/ld.so.cache\0").into_bytes());
        let folders = system(GLIBC, &files).subdirectories;
        (folders.contains(&"glibc-hwcaps/x86-64-v3".into()), folders.contains(&"tls/haswell".into()))
    };
    let version = |minor: u32| format!("ld.so (GNU libc) stable release version 2.{minor}.\n");
    assert_eq!(own("2.31"), (false, true));
    assert_eq!((own(&version(33)), own(&version(36))), ((true, true), (true, true)));
    assert_eq!((own(&version(37)), own(&version(41))), ((true, false), (true, false)));
    let folders = system(GLIBC, &List::default()).subdirectories;
    assert_eq!(folders, ["glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v2"]);
}

#[test]
fn a_search_is_over_after_so_many_places() {
    let files = list(&["/z/libx.so"]);
    let entries: Vec<String> = (0..1000).map(|index| format!("/{index}")).collect();
    let process = Process::of(Arc::new(program("/bin/p", runpath(&format!("{}:/z", entries.join(":"))))));
    let (system, environment) = (system(GLIBC, &files), Environment::default());
    let within = |places| {
        let patience = Patience::of(places);
        let loader = Loader { files: &files, system: &system, environment: &environment, patience: &patience };
        let search = loader.search(&process, 0, Ask::Needed, "libx.so".into());
        (search.steps.len(), search.end)
    };
    assert_eq!(within(1000), (1001, End::Fatal));
    assert!(matches!(within(1001), (1001, End::Found(..))));
    assert!(matches!(within(MOST_PLACES), (1001, End::Found(..))));
}

/// Libraries that need each other: each of their names costs a place, and what is over the limit is not followed.
#[test]
fn a_start_takes_as_many_places_as_there_are_names() {
    let names: Vec<BString> = (0..100).map(|index| format!("lib{index}.so").into()).collect();
    let mut files = List::default();
    for name in &names {
        let path = format!("/z/{name}");
        let library = Object { dependencies: needs(&names), path_tag: runpath("/z"), ..object(&path) };
        files.looks.insert(path.into(), Look::Object(Arc::new(library)));
    }
    let first = Object { dependencies: needs(&names), ..program("/bin/p", runpath("/z")) };
    let (system, environment) = (system(GLIBC, &files), Environment::default());
    let started = |places, depth| {
        let patience = Patience::of(places);
        let loader = Loader { files: &files, system: &system, environment: &environment, patience: &patience };
        let started = start(&loader, Process::of(Arc::new(first.clone())), depth);
        (started.process.maps.len(), started.searches.len(), places - patience.left())
    };
    // The program's hundred names, and each library's.
    assert_eq!(started(MOST_PLACES, Depth::Own), (101, 100, 100));
    assert_eq!(started(MOST_PLACES, Depth::Everything), (101, 100, 100 + 100 * 100));
    assert_eq!(started(MOST_PLACES, Depth::EverySearch), (101, 100 + 100 * 100, 100 + 100 * 100));
    assert_eq!(started(150, Depth::EverySearch), (101, 200, 150));
}
