//! CRP320 to CRP323: will the library that is found also fit?

use super::image::Image;
use super::objects::{library, program};
use super::table::{Case, near, raises};
use crate::elfgen::{Kind, Machine, Spec};

const LIB: &str = "/lib/libuser.so.1";
const APP: &str = "/bin/app";

pub(crate) fn cases() -> Vec<Case> {
    [versions(), at_load(), lazy(), releases()].into_iter().flatten().collect()
}

/// A library that defines these versions.
fn provider(versions: &[&str]) -> Spec {
    let spec = Spec::new(Machine::X86_64, Kind::Library).soname("libstdx.so.6");
    versions.iter().fold(spec, |spec, version| spec.verdef(version))
}

fn asks(spec: Spec, version: &str) -> Spec {
    spec.needs("libstdx.so.6").verneed("libstdx.so.6", version)
}

fn versions() -> Vec<Case> {
    vec![
        raises("CRP320", "a library by itself", (LIB, "libstdx.so.6")).in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]));
            image.put(LIB, &asks(library(), "X_2").runpath("/opt/old"));
        }),
        raises("CRP320", "a program, whose path has the right library second", (APP, "libstdx.so.6")).in_image(
            |image| {
                image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]));
                image.put("/opt/new/libstdx.so.6", &provider(&["X_1", "X_2"]));
                image.put(APP, &asks(program(), "X_2").runpath("/opt/old:/opt/new"));
            },
        ),
        // The program loads the old one first, under the name that the library asks for.
        raises("CRP320", "a library in a program", (APP, "libstdx.so.6 for libuser.so.1")).in_image(in_program),
        raises("CRP320", "a file that nothing loads", (APP, "libother.so.1")).in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1"]));
            let spec = program().needs("libstdx.so.6").verneed("libother.so.1", "X_1");
            image.put(APP, &spec.runpath("/opt/new"));
        }),
        near("CRP320", "the version is there").in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1", "X_2"]));
            image.put(LIB, &asks(library(), "X_2").runpath("/opt/new"));
        }),
        near("CRP320", "a library without versions is taken for any").in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&[]));
            image.put(LIB, &asks(library(), "X_2").runpath("/opt/new"));
        }),
        near("CRP320", "every program that loads it has the right library in memory").in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]));
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1", "X_2"]));
            image.put(LIB, &asks(library(), "X_2").runpath("/opt/old"));
            image.put(APP, &program().needs("libstdx.so.6").needs("libuser.so.1").runpath("/opt/new:$ORIGIN/../lib"));
        }),
        near("CRP320", "who loads a library may have what it needs").in_image(|image| {
            image.put(LIB, &library().verneed("libother.so.1", "X_1"));
        }),
        near("CRP320", "what is missing altogether is another finding").finds("CRP312").in_image(|image| {
            image.put(LIB, &asks(library(), "X_2"));
        }),
    ]
}

/// Asks for a symbol of a version.
fn imports(spec: Spec, symbol: &str) -> Spec {
    asks(spec, "X_1").imports(symbol)
}

/// The same object, which looks for its symbols at the first call: its only relocations become those of DT_JMPREL.
fn lazily(spec: &Spec) -> Vec<u8> {
    let mut bytes = spec.build();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let half = |bytes: &[u8], at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let headers = word(&bytes, 32) as usize;
    let of_kind = |bytes: &[u8], kind: u32| {
        let all = (0..usize::from(half(bytes, 56))).map(|index| headers + 56 * index);
        all.filter(|at| bytes[*at..*at + 4] == kind.to_le_bytes()).collect::<Vec<_>>()
    };
    let dynamic = word(&bytes, of_kind(&bytes, 2)[0] + 8) as usize;
    let (mut relocations, mut size) = (0, 0);
    for at in (dynamic..).step_by(16) {
        let value = word(&bytes, at + 8);
        let (tag, value) = match word(&bytes, at) {
            0 => break,
            7 => {
                relocations = value;
                (23, value)
            }
            8 => {
                size = value as usize;
                (2, value)
            }
            9 => (20, 7),
            tag => (tag, value),
        };
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(tag));
        bytes[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
    }
    let load = of_kind(&bytes, 1).into_iter().find(|at| {
        let start = word(&bytes, *at + 16);
        (start..start + word(&bytes, *at + 32)).contains(&relocations)
    });
    let load = load.expect("a segment with the relocations");
    let start = (relocations - word(&bytes, load + 16) + word(&bytes, load + 8)) as usize;
    for at in (start..start + size).step_by(24) {
        if word(&bytes, at + 8) >> 32 != 0 {
            // R_X86_64_JUMP_SLOT
            bytes[at + 8..at + 12].copy_from_slice(&7_u32.to_le_bytes());
        }
    }
    bytes
}

const SYMBOLS: &[&str] = &["--symbols"];

/// A library that gets so many symbols `stdx_…` from another one, and asks for one more.
fn user(count: usize, more: &str) -> Spec {
    let user = library().needs("libstdx.so.6").runpath("/opt/old").imports(more);
    (0..count).fold(user, |user, n| user.imports(&format!("stdx_{n}")))
}

/// That library beside the other one.
fn alike(image: &Image, count: usize, more: &str) {
    let has = (0..count).fold(provider(&[]), |has, n| has.exports(&format!("stdx_{n}")));
    image.put("/opt/old/libstdx.so.6", &has);
    image.put(LIB, &user(count, more));
}

fn at_load() -> Vec<Case> {
    vec![
        raises("CRP321", "a versioned symbol of a library by itself", (LIB, "libstdx.so.6")).with(SYMBOLS).in_image(
            |image| {
                image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]).exports("old"));
                image.put(LIB, &imports(library(), "new").runpath("/opt/old"));
            },
        ),
        raises("CRP321", "a symbol without a version in a program", (APP, "new")).with(SYMBOLS).in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&[]).exports("old"));
            image.put(APP, &program().needs("libstdx.so.6").imports("new").runpath("/opt/old"));
        }),
        raises("CRP321", "a library in a program", (APP, "plugged for libuser.so.1")).with(SYMBOLS).in_image(|image| {
            image.put(LIB, &library().imports("plugged"));
            image.put(APP, &program().needs("libuser.so.1").runpath("$ORIGIN/../lib"));
        }),
        // Most libraries of CUDA give their symbols no version: torch with an NCCL of another release.
        raises("CRP321", "a symbol that begins as many of one library do", (LIB, "libstdx.so.6"))
            .with(SYMBOLS)
            .in_image(|image| alike(image, 8, "stdx_new")),
        near("CRP321", "too few begin so").with(SYMBOLS).in_image(|image| alike(image, 7, "stdx_new")),
        near("CRP321", "it begins in another way").with(SYMBOLS).in_image(|image| alike(image, 8, "other_new")),
        near("CRP321", "the library has it").with(SYMBOLS).in_image(|image| alike(image, 8, "stdx_3")),
        near("CRP321", "two libraries have such symbols").with(SYMBOLS).in_image(|image| {
            alike(image, 8, "stdx_new");
            image.put("/opt/old/libsecond.so.1", &provider(&[]).exports("stdx_second"));
            image.put(LIB, &user(8, "stdx_new").needs("libsecond.so.1").imports("stdx_second"));
        }),
        // The loader stops with an assertion: the file that the need names has no DT_VERSYM at all.
        raises("CRP321", "a library that lost its versions", (LIB, "libstdx.so.6")).with(SYMBOLS).in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&[]).exports("new"));
            image.put(LIB, &imports(library(), "new").runpath("/opt/old"));
        }),
        near("CRP321", "without --symbols").in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]).exports("old"));
            image.put(LIB, &imports(library(), "new").runpath("/opt/old"));
        }),
        near("CRP321", "the symbol is there").with(SYMBOLS).in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1"]).exports("new"));
            image.put(LIB, &imports(library(), "new").runpath("/opt/new"));
        }),
        near("CRP321", "the symbol is there by the hash of the gABI").with(SYMBOLS).in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1"]).exports("new").hashes(true, false));
            image.put(LIB, &imports(library(), "new").runpath("/opt/new"));
        }),
        near("CRP321", "a library that it does not name has it, further down").with(SYMBOLS).in_image(|image| {
            image.put(
                "/opt/new/libdeep.so",
                &Spec::new(Machine::X86_64, Kind::Library).soname("libdeep.so").exports("new"),
            );
            let middle = Spec::new(Machine::X86_64, Kind::Library).soname("libmiddle.so").needs("libdeep.so");
            image.put("/opt/new/libmiddle.so", &middle.runpath("/opt/new"));
            image.put(APP, &program().needs("libmiddle.so").imports("new").runpath("/opt/new"));
        }),
        near("CRP321", "what loads a library may have it").with(SYMBOLS).in_image(|image| {
            image.put(LIB, &library().imports("plugged"));
        }),
        near("CRP321", "the program that loads the library has it").with(SYMBOLS).in_image(|image| {
            image.put(LIB, &library().imports("plugged"));
            image.put(APP, &program().needs("libuser.so.1").exports("plugged").runpath("$ORIGIN/../lib"));
        }),
        near("CRP321", "a library is missing that may have it").with(SYMBOLS).finds("CRP312").in_image(|image| {
            image.put(APP, &program().needs("libgone.so.1").imports("new"));
        }),
        // The version says it already.
        near("CRP321", "its version is missing altogether").with(SYMBOLS).finds("CRP320").in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&["X_0"]).exports("old"));
            image.put(LIB, &imports(library(), "new").runpath("/opt/old"));
        }),
        near("CRP321", "musl looks at no versions").with(SYMBOLS).in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_2"]).exports("new"));
            image.put("/lib/ld-musl-x86_64.so.1", &Spec::new(Machine::X86_64, Kind::Library).soname("libc.so"));
            let app = imports(program().interpreter("/lib/ld-musl-x86_64.so.1"), "new");
            image.put(APP, &app.runpath("/opt/new"));
        }),
    ]
}

fn lazy() -> Vec<Case> {
    vec![
        raises("CRP322", "a call", (LIB, "libstdx.so.6")).with(SYMBOLS).in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]).exports("old"));
            image.file(LIB, &lazily(&imports(library(), "new").runpath("/opt/old")));
        }),
        near("CRP322", "musl looks for everything at load").with(SYMBOLS).finds("CRP321").in_image(|image| {
            image.put("/lib/ld-musl-x86_64.so.1", &Spec::new(Machine::X86_64, Kind::Library).soname("libc.so"));
            let app = program().interpreter("/lib/ld-musl-x86_64.so.1").imports("new");
            image.file(APP, &lazily(&app));
        }),
        near("CRP322", "the function is there").with(SYMBOLS).in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1"]).exports("new"));
            image.file(LIB, &lazily(&imports(library(), "new").runpath("/opt/new")));
        }),
    ]
}

fn releases() -> Vec<Case> {
    vec![
        raises("CRP323", "by its versions", (LIB, "libstdx.so.6")).with(SYMBOLS).in_image(|image| {
            image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]).exports("new"));
            image.put("/lib/libstdx.so.6", &provider(&["X_1", "X_2"]).exports("new"));
            image.put(LIB, &imports(library(), "new").runpath("/opt/old"));
        }),
        raises("CRP323", "by its name, in a directory of the path", (LIB, "libnvJitLink.so.12"))
            .with(SYMBOLS)
            .in_image(|image| {
                let library_of = |release: &str| {
                    let directory = format!("/opt/{release}");
                    let spec = Spec::new(Machine::X86_64, Kind::Library).soname("libnvJitLink.so.12");
                    image.put(&format!("{directory}/libnvJitLink.so.{release}"), &spec);
                    image.link(&format!("{directory}/libnvJitLink.so.12"), &format!("libnvJitLink.so.{release}"));
                };
                library_of("12.4.127");
                library_of("12.6.85");
                image.put(LIB, &library().needs("libnvJitLink.so.12").runpath("/opt/12.4.127:$ORIGIN/../opt/12.6.85"));
            }),
        near("CRP323", "the newer one comes first").with(SYMBOLS).in_image(|image| {
            image.put("/opt/new/libstdx.so.6", &provider(&["X_1", "X_2"]).exports("new"));
            image.put("/lib/libstdx.so.6", &provider(&["X_1"]).exports("new"));
            image.put(LIB, &imports(library(), "new").runpath("/opt/new"));
        }),
    ]
}

fn in_program(image: &Image) {
    image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]));
    image.put("/opt/new/libstdx.so.6", &provider(&["X_1", "X_2"]));
    image.put(LIB, &asks(library(), "X_2").runpath("/opt/new"));
    image.put(APP, &program().needs("libstdx.so.6").needs("libuser.so.1").runpath("/opt/old:$ORIGIN/../lib"));
}

/// A library that fails by itself in one program, and not in another: the library is named, once.
#[test]
fn a_library_that_never_fits_is_named_once() {
    let image = Image::new();
    image.put("/opt/old/libstdx.so.6", &provider(&["X_1"]));
    image.put(LIB, &asks(library(), "X_2").runpath("/opt/old"));
    for app in ["/bin/a", "/bin/b"] {
        image.put(app, &program().needs("libuser.so.1").runpath("$ORIGIN/../lib"));
    }
    let found = image.check::<&str>(&[]).findings();
    let told: Vec<(&str, &str)> = found.iter().map(|f| (f.code.as_str(), f.path.as_str())).collect();
    assert_eq!(told, [("CRP320", LIB)], "{found:#?}");
    assert_eq!(found[0].message, "needs X_2 of libstdx.so.6, which /opt/old/libstdx.so.6 does not define");
}

/// Where a table of an object lies in the file, by its tag: the generated ones have addresses that are offsets there.
fn table(bytes: &[u8], tag: u64) -> usize {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let headers = (0..usize::from(bytes[56])).map(|index| word(32) as usize + 56 * index);
    let dynamic = headers.clone().find(|at| bytes[*at..*at + 4] == [2, 0, 0, 0]).unwrap();
    let entry = (word(dynamic + 8) as usize..).step_by(16).find(|at| word(*at) == tag).unwrap();
    let address = word(entry + 8);
    let is_around = |at: &usize| {
        bytes[*at..*at + 4] == [1, 0, 0, 0] && (word(at + 16)..word(at + 16) + word(at + 32)).contains(&address)
    };
    let load = headers.clone().find(is_around).unwrap();
    (address - word(load + 16) + word(load + 8)) as usize
}

const DT_HASH: u64 = 4;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERDEF: u64 = 0x6fff_fffc;

/// Every way to lie about symbols and versions is named, as a file that cannot be read, in bounded time and memory.
#[test]
fn tables_that_lie_are_named() {
    type Lie = fn(&mut Vec<u8>);
    let lies: &[(&str, Spec, &str, Lie)] = &[
        ("a chain of DT_HASH in a circle", provider(&["X_1"]).exports("new").hashes(true, false), "chain", |bytes| {
            let hash = table(bytes, DT_HASH);
            let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            let (buckets, symbols) = (word(bytes, hash), word(bytes, hash + 4));
            for bucket in 0..buckets {
                bytes[hash + 8 + 4 * bucket..][..4].copy_from_slice(&1_u32.to_le_bytes());
            }
            for symbol in 0..symbols {
                bytes[hash + 8 + 4 * (buckets + symbol)..][..4].copy_from_slice(&1_u32.to_le_bytes());
            }
        }),
        ("a count of symbols", provider(&["X_1"]).exports("new").hashes(true, false), "DT_", |bytes| {
            let hash = table(bytes, DT_HASH);
            bytes[hash + 4..hash + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        }),
        ("a bucket behind the symbols", provider(&["X_1"]).exports("new"), "DT_", |bytes| {
            let hash = table(bytes, DT_GNU_HASH);
            let buckets = u32::from_le_bytes(bytes[hash..hash + 4].try_into().unwrap()) as usize;
            bytes[hash + 16..hash + 24].fill(0xff);
            bytes[hash + 24..hash + 24 + 4 * buckets].fill(0x3f);
        }),
        ("a filter that is no power of two", provider(&["X_1"]).exports("new"), "DT_GNU_HASH", |bytes| {
            let hash = table(bytes, DT_GNU_HASH);
            bytes[hash + 8] = 3;
        }),
        ("an index of a version", provider(&["X_1"]).exports("new"), "DT_VERSYM", |bytes| {
            let versym = table(bytes, DT_VERSYM);
            // Every symbol but the first.
            for at in (versym + 2..versym + 8).step_by(2) {
                bytes[at..at + 2].copy_from_slice(&77_u16.to_le_bytes());
            }
        }),
        ("definitions that leave the file", provider(&["X_1"]).exports("new"), "DT_VERDEF", |bytes| {
            let at = table(bytes, DT_VERDEF);
            bytes[at + 16..at + 20].copy_from_slice(&u32::MAX.to_le_bytes());
        }),
        ("definitions of another layout", provider(&["X_1"]).exports("new"), "vd_version", |bytes| {
            let at = table(bytes, DT_VERDEF);
            bytes[at] = 9;
        }),
    ];
    for (name, spec, words, lie) in lies {
        let image = Image::new();
        let mut bytes = spec.build();
        image.file("/opt/new/libstdx.so.6", &bytes);
        image.put(LIB, &imports(library(), "new").runpath("/opt/new"));
        assert_eq!(image.check(SYMBOLS).codes(), "", "{name}: before");
        lie(&mut bytes);
        image.file("/opt/new/libstdx.so.6", &bytes);
        let found = image.check(SYMBOLS).findings();
        let is_it = |one: &super::image::Finding| one.code == "CRP700" && one.message.contains(words);
        assert!(found.iter().any(is_it), "{name}: {found:#?}");
    }
}

/// What an object asks for can lie as well; a name as long as a path cannot be is no name.
#[test]
fn needs_that_lie_are_named() {
    let check = |bytes: &[u8]| {
        let image = Image::new();
        image.put("/opt/new/libstdx.so.6", &provider(&["X_1"]).exports("new"));
        image.file(LIB, bytes);
        image.check(SYMBOLS).findings()
    };
    let sound = imports(library(), "new").runpath("/opt/new").build();
    assert_eq!(check(&sound), []);
    let named = |bytes: &[u8], words: &str| {
        let found = check(bytes);
        assert!(found.iter().any(|one| one.code == "CRP700" && one.message.contains(words)), "{words}: {found:#?}");
    };
    let at = table(&sound, DT_VERNEED);
    let mut bytes = sound.clone();
    bytes[at] = 2;
    named(&bytes, "vn_version");
    let mut bytes = sound.clone();
    bytes[at + 4..at + 8].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    named(&bytes, "vn_file");
    let mut bytes = sound.clone();
    bytes[at + 8..at + 12].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    named(&bytes, "DT_VERNEED");
    let mut bytes = sound.clone();
    let versym = table(&bytes, DT_VERSYM);
    bytes[versym + 2..versym + 4].copy_from_slice(&99_u16.to_le_bytes());
    named(&bytes, "DT_VERSYM");
    let long = "n".repeat(1 << 20);
    named(&library().verneed(&long, "X_1").build(), "the length of vn_file's name is 0x100000");
    named(&asks(library(), &long).build(), "the length of vna_name's name is 0x100000");
}
