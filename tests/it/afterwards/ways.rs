//! How to bring each linker to make a file that each strategy is the first to fit.

use std::path::{Path, PathBuf};

use crate::elfgen::damage::Damage;
use crate::harness::fixtures::{LARGE_DATA, USER_SYMBOL, paths_longer_than_a_page};
use crate::harness::{Link, NATIVE, NEW, OLD, OldPath, Run, Shape, Tree, binary, copy_program, deps, expect, run_file};

/// What is special about a file, or is done to it, before the edit that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A symbol has the new path's name.
    NamedLikeThePath,
    /// The old path is long, and goes.
    LongStub,
    /// A longer path was there before.
    PathWasLonger,
    /// An earlier edit.
    EditedBefore,
    /// As the linker makes it.
    Plain,
    /// Pages of the file for each segment.
    PageOfItsOwn,
    /// A string table that no padding takes.
    LongPath,
    /// One program header less than the table has room for, and no padding.
    HeaderLess,
    /// No padding, and a last PT_LOAD that is too large to be copied.
    LargeData,
    /// Code right behind the table, no padding, and more zero-initialised memory than an edit makes bytes of.
    CodeFirst,
}

pub(super) const WAYS: [Way; 10] = [
    Way::NamedLikeThePath,
    Way::LongStub,
    Way::PathWasLonger,
    Way::EditedBefore,
    Way::Plain,
    Way::PageOfItsOwn,
    Way::LongPath,
    Way::HeaderLess,
    Way::LargeData,
    Way::CodeFirst,
];

/// A real file before and after the edit, each under its own name in a folder of its own.
pub(super) struct Edited {
    pub(super) told: String,
    pub(super) shape: Shape,
    pub(super) linker: &'static str,
    pub(super) source: &'static str,
    pub(super) strategy: String,
    pub(super) tree: Tree,
    pub(super) original: PathBuf,
    pub(super) file: PathBuf,
    /// Whether the original needs help to find the old dependency.
    pub(super) helped: bool,
}

/// Links, treats and edits; `None` where the linker does not know what is asked for.
pub(super) fn edited(linker: &'static str, source: &'static str, shape: Shape, way: Way) -> Option<Edited> {
    let tree = Tree::new();
    let name = if shape == Shape::Library { "libuser.so" } else { "program" };
    let [original, file] = ["original", "edited"].map(|folder| tree.place(Path::new(folder).join(name)));
    let (old, new) = (deps(NATIVE).old.to_str().unwrap(), deps(NATIVE).new.to_str().unwrap());
    let mut path = OldPath::Runpath;
    let mut source = source;
    let mut defines = Vec::new();
    let mut flags: Vec<String> = Vec::new();
    let stub = tree.join("a/rather/long/path/of/a/toolkit/as/they/have/it/since/version/twelve/lib/stubs");
    match way {
        Way::NamedLikeThePath => {
            path = OldPath::None;
            let symbol =
                format!(".data\n.globl \"{new}\"\n\"{new}\": .quad 0\n.section .note.GNU-stack, \"\", @progbits\n");
            flags.push(tree.file("symbol.s", symbol.as_bytes()).to_str().unwrap().to_owned());
            flags.push("-rdynamic".into());
        }
        Way::LongStub => {
            path = OldPath::None;
            tree.copy(&deps(NATIVE).old.join("libdep.so"), stub.join("libdep.so"));
            flags.extend(["-Wl,--enable-new-dtags".into(), format!("-Wl,-rpath,{}", stub.display())]);
        }
        Way::PathWasLonger => {
            path = OldPath::None;
            flags.push(format!("-Wl,-rpath,/{}lib/stubs", "long/".repeat(30)));
        }
        Way::EditedBefore | Way::Plain => {}
        Way::PageOfItsOwn => flags.push("-Wl,-z,separate-loadable-segments".into()),
        Way::LongPath | Way::HeaderLess => flags.push(paths_longer_than_a_page()),
        Way::LargeData => flags.extend([paths_longer_than_a_page(), LARGE_DATA.into()]),
        Way::CodeFirst => {
            if shape == Shape::Library {
                return None;
            }
            source = "huge_bss.c";
            defines.push("-DHUGE=(300u<<20)");
            flags.extend([paths_longer_than_a_page(), "-Wl,--rosegment".into()]);
        }
    }
    if (way == Way::PageOfItsOwn && linker == "gold") || (way == Way::CodeFirst && linker != "gold") {
        return None;
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Link::new(source, shape).linker(linker).path(path).defines(&defines).flags(&flags).to(&original);
    let fix = |arguments: &[&str], file: &Path| {
        expect(binary().args(["fix", "--json", "--in-place"]).args(arguments).arg(file), 0).file()
    };
    match way {
        Way::PathWasLonger => assert_eq!(fix(&["--driver", "/first"], &original)["strategy"], "overwrite"),
        Way::EditedBefore => assert_eq!(fix(&["--driver", "/first"], &original)["outcome"], "fixed"),
        Way::HeaderLess => drop_unwind_header(&original),
        _ => {}
    }
    copy_program(&original, &file);
    let entry = fix(&["--driver", new], &file);
    let helped = matches!(way, Way::NamedLikeThePath | Way::PathWasLonger);
    let edited = Edited {
        told: format!("{linker} {shape:?} {way:?}, {}", entry["strategy"]),
        shape,
        linker,
        source,
        strategy: entry["strategy"].as_str().unwrap_or_default().to_owned(),
        tree,
        original,
        file,
        helped,
    };
    assert_eq!(edited.run(&edited.original).code, OLD, "{} before", edited.told);
    let ended = edited.run(&edited.file);
    assert_eq!(ended.code, NEW, "{}: {} {old}", edited.told, ended.said());
    Some(edited)
}

impl Edited {
    /// Runs one of its files.
    pub(super) fn run(&self, file: &Path) -> Run {
        let is_original = file.parent() == self.original.parent();
        let help = (self.helped && is_original).then_some(&*deps(NATIVE).old);
        run_file(file, self.shape, NATIVE, USER_SYMBOL, help)
    }
}

/// Takes PT_GNU_EH_FRAME out of the table: code that does not throw does not miss it, and the table has a gap behind it.
fn drop_unwind_header(file: &Path) {
    let mut object = Damage::of(file);
    let index = object.segment_index(0x6474_e550, 0);
    let count = object.image.segments.len();
    let entry = object.image.entry_size() as usize;
    let table = object.image.table as usize;
    let own = object.image.segments.iter().position(|segment| segment.kind == 6);
    if let Some(own) = own {
        let size = ((count - 1) * entry) as u64;
        object.write(object.segment(own, "p_filesz"), size);
        object.write(object.segment(own, "p_memsz"), size);
    }
    object.write(object.header("e_phnum"), count as u64 - 1);
    object.bytes.copy_within(table + (index + 1) * entry..table + count * entry, table + index * entry);
    object.bytes[table + (count - 1) * entry..][..entry].fill(0);
    std::fs::write(file, object.bytes).unwrap();
}
