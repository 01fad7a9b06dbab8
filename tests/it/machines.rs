//! Files of every machine that has a cross compiler here, edited and *run* under qemu-user; and of musl.

use crate::harness::case::{After, Case, Strips, Variant, check_all, variant};
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::{LARGE_DATA, LINKERS};
use crate::harness::targets::{
    AARCH64, AARCH64_4K, AARCH64_16K, AARCH64_64K, ARMHF, MIPS, MIPS64EL, MUSL, NARROW, NARROW_QEMU, NATIVE_QEMU, PPC,
    PPC64LE, RISCV64, S390X, Target,
};
use crate::harness::{OldPath, Shape, linkers, long};

pub(crate) const TARGETS: [Target; 15] = [
    NATIVE_QEMU,
    NARROW,
    NARROW_QEMU,
    MUSL,
    AARCH64,
    AARCH64_4K,
    AARCH64_16K,
    AARCH64_64K,
    ARMHF,
    PPC64LE,
    RISCV64,
    S390X,
    MIPS,
    MIPS64EL,
    PPC,
];

/// One PT_LOAD aligned to more than the others.
const OVER_ALIGNED_DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/over_aligned_data.c");

const DEFAULT: Variant = variant("default", &[]);
const STRIPPED: Variant = Variant { after: After::Strip, ..variant("stripped", &[]) };
const NO_SECTION_HEADERS: Variant = Variant { after: After::DropSectionHeaders, ..variant("no-section-headers", &[]) };
const NOSEPARATE_CODE: Variant = Variant { not: &["gold"], ..variant("noseparate-code", &["-Wl,-z,noseparate-code"]) };
/// A payload at the end, which must stay there.
const PAYLOAD: Variant = Variant { after: After::OrphanSectionHeaders, ..variant("payload", &[]) };
/// Code stands right behind the headers.
pub(crate) const ROSEGMENT: Variant =
    Variant { not: &["bfd", "lld", "mold"], ..variant("rosegment", &["-Wl,--rosegment"]) };
pub(crate) const NO_ROSEGMENT: Variant =
    Variant { not: &["bfd", "gold", "mold"], ..variant("no-rosegment", &["-Wl,--no-rosegment"]) };
/// Another editor was here before.
const OLD_PATCHELF: Variant = Variant { after: After::Patchelf(Patchelf::old), ..variant("old-patchelf", &[]) };
const NEW_PATCHELF: Variant = Variant { after: After::Patchelf(Patchelf::new), ..variant("new-patchelf", &[]) };
const HASH_SYSV: Variant = variant("hash-sysv", &["-Wl,--hash-style=sysv"]);
const OVER_ALIGNED: Variant = variant("over-aligned", &[OVER_ALIGNED_DATA]);

const LAYOUTS: [Variant; 13] = [
    DEFAULT,
    STRIPPED,
    NOSEPARATE_CODE,
    Variant { not: &["gold"], ..variant("separate-code", &["-Wl,-z,separate-code"]) },
    variant("relro-now", &["-Wl,-z,relro,-z,now"]),
    variant("norelro", &["-Wl,-z,norelro"]),
    HASH_SYSV,
    variant("hash-gnu", &["-Wl,--hash-style=gnu"]),
    NO_SECTION_HEADERS,
    PAYLOAD,
    variant("64K-pages", &["-Wl,-z,max-page-size=0x10000"]),
    OVER_ALIGNED,
    variant("large-data", &[LARGE_DATA]),
];

/// Code that may be jumped to only where it says so; the note that says it must survive.
const BRANCH_TARGETS: Variant = Variant {
    compile: &["-mbranch-protection=standard"],
    not: &["gold", "mold"],
    ..variant("branch-targets", &["-Wl,-z,force-bti"])
};
pub(crate) const SHADOW_STACK: Variant = Variant {
    compile: &["-fcf-protection=full"],
    not: &["gold", "lld", "mold"],
    ..variant("shadow-stack", &["-Wl,-z,ibt,-z,shstk"])
};

const KINDS: [(&str, Shape); 4] = [
    ("user_program.c", Shape::Pie),
    ("user_program.c", Shape::Exec),
    ("user_library.c", Shape::Library),
    ("dlopen_library.c", Shape::Library),
];

const MORE_KINDS: [(&str, Shape); 4] = [
    ("own_headers.c", Shape::Pie),
    ("own_headers.c", Shape::Exec),
    ("huge_bss.c", Shape::Pie),
    ("huge_bss.c", Shape::Exec),
];

const PATHS: [OldPath; 2] = [OldPath::Runpath, OldPath::None];
const MORE_PATHS: [OldPath; 6] =
    [OldPath::Rpath, OldPath::Both, OldPath::Short, OldPath::Long, OldPath::Stubs, OldPath::TwoTags];

#[test]
fn files_of_every_machine_load_as_before() {
    let test = "machines";
    if linkers(test).len() == LINKERS.len() {
        let mut patchelfs = Vec::new();
        patchelfs.extend(Patchelf::old(test).map(|_| OLD_PATCHELF));
        patchelfs.extend(Patchelf::new(test).map(|_| NEW_PATCHELF));
        let (cases, strips) =
            if long() { (every_case(&patchelfs), Strips::All) } else { (a_choice(&patchelfs), Strips::One) };
        check_all(test, cases, strips);
    }
}

/// Cases of one machine and linker, without those that cannot be.
struct List {
    target: Target,
    linker: &'static str,
    cases: Vec<Case>,
}

impl List {
    fn of(target: Target, linker: &'static str) -> Self {
        Self { target, linker, cases: Vec::new() }
    }

    fn add_all(&mut self, kinds: &[(&'static str, Shape)], paths: &[OldPath], layout: Variant) {
        for &kind in kinds {
            self.add(kind, paths, layout);
        }
    }

    fn add(&mut self, (source, shape): (&'static str, Shape), paths: &[OldPath], layout: Variant) {
        let variant = on(self.target, self.linker, layout);
        let cases = paths.iter().map(|&path| Case::new(self.linker, source, shape, path, variant));
        self.cases.extend(cases.filter(|case| impossible(case).is_none()));
    }

    fn add_static(&mut self) {
        for shape in [Shape::Static, Shape::StaticPie] {
            self.add(("static_program.c", shape), &[OldPath::None], DEFAULT);
        }
    }

    fn protection(&self) -> Option<Variant> {
        match self.target.name {
            name if name.starts_with("aarch64") => Some(BRANCH_TARGETS),
            "native-qemu" | "i686" | "i686-qemu" => Some(SHADOW_STACK),
            _ => None,
        }
    }
}

fn every_case(patchelfs: &[Variant]) -> Vec<Case> {
    let mut all = Vec::new();
    for target in TARGETS {
        for (linker, _) in LINKERS {
            let mut list = List::of(target, linker);
            for layout in LAYOUTS {
                list.add_all(&KINDS, &PATHS, layout);
            }
            for layout in [DEFAULT, STRIPPED, NOSEPARATE_CODE, NO_SECTION_HEADERS] {
                list.add_all(&MORE_KINDS, &PATHS, layout);
            }
            for layout in [ROSEGMENT, NO_ROSEGMENT] {
                list.add_all(&KINDS, &PATHS, layout);
            }
            list.add_all(&KINDS, &MORE_PATHS, DEFAULT);
            list.add(KINDS[2], &[OldPath::SymbolTail], DEFAULT);
            for &layout in patchelfs {
                list.add_all(&KINDS, &[OldPath::Long], layout);
            }
            if let Some(layout) = list.protection() {
                list.add_all(&KINDS, &PATHS, layout);
            }
            list.add_static();
            all.extend(list.cases);
        }
    }
    all
}

/// The layouts that need most of the editor on each machine.
fn a_choice(patchelfs: &[Variant]) -> Vec<Case> {
    let [pie, exec, library, dlopen] = KINDS;
    let [own_headers, _, _, huge_bss] = MORE_KINDS;
    let mut all = Vec::new();
    for target in TARGETS {
        let mut list = List::of(target, "bfd");
        list.add(pie, &[OldPath::Runpath, OldPath::None, OldPath::TwoTags, OldPath::Stubs], DEFAULT);
        list.add(exec, &[OldPath::None], DEFAULT);
        list.add(library, &[OldPath::Rpath, OldPath::Short, OldPath::SymbolTail], DEFAULT);
        list.add(library, &[OldPath::None], STRIPPED);
        list.add(dlopen, &[OldPath::Long], HASH_SYSV);
        list.add(own_headers, &[OldPath::None], NO_SECTION_HEADERS);
        list.add(huge_bss, &[OldPath::None], NOSEPARATE_CODE);
        list.add(library, &[OldPath::Runpath], OVER_ALIGNED);
        list.add(library, &[OldPath::Runpath, OldPath::Long], PAYLOAD);
        for &layout in patchelfs {
            list.add(library, &[OldPath::Long], layout);
        }
        if let Some(layout) = list.protection() {
            list.add(pie, &[OldPath::None], layout);
        }
        list.add_static();
        all.extend(list.cases);

        for linker in ["lld", "mold", "gold"] {
            let mut list = List::of(target, linker);
            list.add(own_headers, &[OldPath::None], DEFAULT);
            list.add(library, &[OldPath::None], DEFAULT);
            if (target.name, linker) == ("aarch64-64K", "mold") {
                // mold 1.10 pads for pages only where data wants more.
                list.add(library, &[OldPath::Runpath], OVER_ALIGNED);
            }
            for layout in [ROSEGMENT, NO_ROSEGMENT] {
                list.add(own_headers, &[OldPath::None], layout);
            }
            all.extend(list.cases);
        }
    }
    all
}

/// A layout on a machine.
pub(crate) fn on(target: Target, linker: &str, layout: Variant) -> Variant {
    if (target.name, linker) == ("ppc", "mold") {
        // mold 1.10 cannot relocate what the debug information says about thread-local storage.
        return Variant { target, compile: &["-g0"], ..layout };
    }
    Variant { target, ..layout }
}

/// Why there is no such file, or none that runs before it is edited.
pub(crate) fn impossible(case: &Case) -> Option<&'static str> {
    let target = case.variant.target.name;
    let is_program = case.shape != Shape::Library;
    let mips = target.starts_with("mips");
    let answer = match (target, case.linker, case.variant.name) {
        (_, linker, _) if case.variant.not.contains(&linker) => "the linker does not know the layout",
        (_, linker, _) if case.path == OldPath::TwoTags && linker != "bfd" => "other linkers do not know --depaudit",
        (_, linker, _) if case.path == OldPath::SymbolTail && linker != "bfd" => {
            "other linkers merge no tails by default"
        }
        ("riscv64", "gold", _) => "the linker does not know the machine",
        ("s390x", "lld", _) => "the linker does not know the machine",
        ("mips" | "mips64el", "mold", _) => "the linker does not know the machine",
        ("riscv64", "lld", _) if is_program => "lld 14 cannot relax, and the start files must be",
        (_, "gold" | "lld" | "mold", "old-patchelf" | "new-patchelf") => "patchelf refuses some of them",
        ("s390x" | "mips" | "mips64el" | "ppc", _, "old-patchelf" | "new-patchelf") if is_program => {
            "some do not run after patchelf"
        }
        (_, "bfd" | "gold" | "lld", "hash-gnu") if mips => "MIPS orders the symbol table otherwise",
        ("riscv64", "lld", "stripped") => "strip finds no room for its program headers",
        ("s390x", "mold", "hash-sysv") => "the loader reads 64-bit hash words, mold writes 32-bit ones",
        ("musl", ..) if case.source == "dlopen_library.c" => "musl asks the program's path, not the library's",
        _ => match (case.shape, case.linker, target) {
            (Shape::StaticPie, "gold", _) => "gold does not know --no-dynamic-linker",
            (Shape::StaticPie, _, "musl") => "musl-gcc makes a dynamic program",
            (Shape::Static, "lld" | "mold", "musl") => "crashes: the start files are those of a dynamic program",
            (Shape::StaticPie, "lld", "i686" | "i686-qemu") => "crashes at start",
            (Shape::StaticPie, _, "armhf" | "ppc64le" | "riscv64" | "s390x" | "mips" | "mips64el" | "ppc") => {
                "libc has no start file for it"
            }
            (Shape::Exec, "gold", "i686" | "i686-qemu") if case.variant.name == "64K-pages" => "gold gives up",
            (Shape::Exec, "gold", _) if target.starts_with("aarch64") => TWO_ADDRESSES,
            (Shape::Exec, "gold" | "mold", "s390x") => TWO_ADDRESSES,
            _ => return None,
        },
    };
    let checks_addresses = case.source == "user_program.c";
    (answer != TWO_ADDRESSES || checks_addresses).then_some(answer)
}

const TWO_ADDRESSES: &str = "a function of libdep.so has another address for the program than for itself";
