//! Every linker's files, edited and *run*.

use crate::harness::case::{After, Case, Strips, Variant, check_all, variant};
use crate::harness::fixtures::LINKERS;
use crate::harness::targets::NARROW;
use crate::harness::{OldPath, Shape, require};
use crate::machines::{NO_ROSEGMENT, ROSEGMENT, SHADOW_STACK};

const DEFAULT: Variant = variant("default", &[]);

/// Each with every kind of file and every old path.
const VARIANTS: [Variant; 11] = [
    DEFAULT,
    Variant { not: &["gold"], ..variant("noseparate-code", &["-Wl,-z,noseparate-code"]) },
    variant("relro-now", &["-Wl,-z,relro,-z,now"]),
    variant("hash-sysv", &["-Wl,--hash-style=sysv"]),
    variant("hash-gnu", &["-Wl,--hash-style=gnu"]),
    Variant { after: After::Strip, ..variant("stripped", &[]) },
    variant("2M-pages", &["-Wl,-z,max-page-size=0x200000"]),
    Variant { after: After::DropSectionHeaders, ..variant("no-section-headers", &[]) },
    Variant { target: NARROW, ..variant("m32", &[]) },
    Variant { target: NARROW, after: After::DropSectionHeaders, ..variant("m32-no-section-headers", &[]) },
    Variant { after: After::OrphanSectionHeaders, ..variant("payload", &[]) },
];

/// With DT_RUNPATH and without only.
const MORE_VARIANTS: [Variant; 9] = [
    Variant { not: &["gold"], ..variant("separate-code", &["-Wl,-z,separate-code"]) },
    variant("norelro", &["-Wl,-z,norelro"]),
    variant("64K-pages", &["-Wl,-z,max-page-size=0x10000"]),
    ROSEGMENT,
    NO_ROSEGMENT,
    Variant { not: &["bfd", "gold", "mold"], ..variant("separate-segments", &["-Wl,-z,separate-loadable-segments"]) },
    Variant { not: &["gold", "lld", "mold"], ..variant("packed-relocations", &["-Wl,-z,pack-relative-relocs"]) },
    // As on MIPS; without a RUNPATH the dynamic section has to move.
    Variant { not: &["bfd", "gold", "mold"], ..variant("read-only-dynamic", &["-Wl,-z,rodynamic"]) },
    SHADOW_STACK,
];

#[test]
fn files_of_gnu_ld_load_as_before() {
    check_linker("bfd");
}

#[test]
fn files_of_gold_load_as_before() {
    check_linker("gold");
}

#[test]
fn files_of_lld_load_as_before() {
    check_linker("lld");
}

#[test]
fn files_of_mold_load_as_before() {
    check_linker("mold");
}

fn check_linker(linker: &'static str) {
    let test = format!("linkers::{linker}");
    let program = LINKERS.iter().find(|(name, _)| *name == linker).unwrap().1;
    if !require("cc", &test) || !require(program, &test) {
        return;
    }
    let mut cases = Vec::new();
    let mut add = |source, shape, paths: &[OldPath], variant: Variant| {
        if !variant.not.contains(&linker) {
            cases.extend(paths.iter().map(|&path| Case::new(linker, source, shape, path, variant)));
        }
    };
    let kinds = [
        ("user_program.c", Shape::Exec),
        ("user_program.c", Shape::Pie),
        ("user_library.c", Shape::Library),
        ("dlopen_library.c", Shape::Library),
    ];
    let all = [OldPath::Runpath, OldPath::Rpath, OldPath::None];
    for (source, shape) in kinds {
        for variant in VARIANTS {
            add(source, shape, &all, variant);
        }
        for variant in MORE_VARIANTS {
            add(source, shape, &[OldPath::Runpath, OldPath::None], variant);
        }
        add(source, shape, &[OldPath::Both], DEFAULT);
    }
    let special = [
        ("own_headers.c", Shape::Exec),
        ("own_headers.c", Shape::Pie),
        ("huge_bss.c", Shape::Exec),
        ("huge_bss.c", Shape::Pie),
        ("fatbin_library.c", Shape::Library),
        ("assembly_library.S", Shape::Library),
    ];
    let some = [DEFAULT, VARIANTS[5], VARIANTS[7], VARIANTS[8]];
    for (source, shape) in special {
        for variant in some {
            add(source, shape, &all, variant);
        }
    }
    add("own_headers.c", Shape::Pie, &all, VARIANTS[1]);
    add("own_headers.c", Shape::Pie, &all, VARIANTS[6]);

    add("static_program.c", Shape::Static, &[OldPath::None], DEFAULT);
    if linker != "gold" {
        // gold does not know --no-dynamic-linker.
        add("static_program.c", Shape::StaticPie, &[OldPath::None], DEFAULT);
    }
    check_all(&test, cases, Strips::All);
}
