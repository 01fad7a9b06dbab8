//! GPU code outside of fat binaries: as it is among other data, in Zstandard frames, in archives, as files.

use cuda_runpath::cuda;
use cuda_runpath::elf::contents::Contents;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{library, listed, of_elf, problems, told, told_of};
use crate::elfgen::{Kind, Machine, Spec};
use crate::fatgen::{self, Entry, ZSTD, archive, container, cubin_for, filler, frame, noted_cubin, ptx, tool_note};

const NOTHING_WRONG: Vec<String> = Vec::new();

/// `.rodata raw sm_87 cubin 1`
fn forms(bytes: Vec<u8>) -> Vec<String> {
    let file = told_of(bytes);
    assert!(problems(&file).is_empty(), "{file}");
    rows(&file)
}

fn rows(file: &serde_json::Value) -> Vec<String> {
    let word = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let row = |row| {
        format!(
            "{} {} {} {} {}",
            word(row, "section"),
            word(row, "form"),
            word(row, "architecture"),
            word(row, "kind"),
            row["count"]
        )
    };
    file["code"].as_array().unwrap().iter().map(row).collect()
}

/// As the Zstandard library would: blocks of 128 KiB, packed where that pays.
fn packed(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn kernel() -> Vec<u8> {
    fatgen::cubin(&[(".nv.info", 0, 16), (".text.k", 6, 32)])
}

/// ptxas of CUDA 11 and 12, of 13: where the architecture stands differs, and so does what tells the variant.
#[test]
fn a_cubin_says_what_it_is_for() {
    let kernel = [(".text.k", 6, filler(32))];
    let attributes = |exact: u8| [(".nv.compat", 0, vec![2, 12, 0, 0, 2, 9, exact, 0]), (".text.k", 6, filler(32))];
    let cases = [
        (cubin_for((0x33, 7), 0x57_0557, &kernel), "sm_87"),
        (cubin_for((0x33, 7), 0x5a_055a, &kernel), "sm_90"),
        (cubin_for((0x33, 7), 0x5a_0d5a, &kernel), "sm_90a"),
        // Of an assembler of CUDA 8, in which the flag meant something else.
        (cubin_for((0x33, 7), 0x3c_0d3c, &kernel), "sm_60"),
        (cubin_for((0x41, 8), 0x600_6402, &kernel), "sm_100"),
        (cubin_for((0x41, 8), 0xff00_5004, &kernel), "sm_80"),
        (cubin_for((0x41, 8), 0x600_6402, &attributes(1)), "sm_100a"),
        (cubin_for((0x41, 8), 0x600_6402, &attributes(0)), "sm_100"),
        (noted_cubin(100, "sm_100"), "sm_100"),
        (noted_cubin(100, "sm_100a"), "sm_100a"),
        (noted_cubin(120, "sm_120f"), "sm_120f"),
        (noted_cubin(90, "sm_90a"), "sm_90a"),
    ];
    for (cubin, wanted) in cases {
        let wanted = vec![format!("{wanted} cubin 1")];
        let unlike = [&[1; 3][..], &cubin, &[0xcc; 40]].concat();
        assert_eq!(of_elf(&library(".rodata", &unlike).build()), (wanted.clone(), NOTHING_WRONG), "as it is");
        for frame in [packed(&cubin), frame(&cubin, 1 << 17, cubin.len() as u64), frame(&cubin, 50, cubin.len() as u64)]
        {
            let found = of_elf(&library(".ldata", &[&[7; 9][..], &frame, &frame].concat()).build());
            assert_eq!(found, (vec![wanted[0].replace(" 1", " 2")], NOTHING_WRONG), "in a frame");
        }
    }
}

#[test]
fn every_form_is_told_where_it_stands() {
    let (kernel, noted) = (kernel(), noted_cubin(100, "sm_100a"));
    let image = library(".rodata", &[&kernel[..], &kernel, &ptx("sm_90a"), b"\0", &ptx("sm_75"), b"\0"].concat())
        .gpu_code(".ldata", &[&packed(&noted)[..], &container([Entry::cubin(75)]).build(), &kernel].concat());
    assert_eq!(
        forms(image.build()),
        [
            ".rodata raw compute_75 ptx 1",
            ".rodata raw sm_87 cubin 2",
            ".rodata raw compute_90a ptx 1",
            ".ldata container sm_75 cubin 1",
            ".ldata frame sm_100a cubin 1",
            ".ldata raw sm_87 cubin 1",
        ]
    );
    assert_eq!(forms(kernel.clone()), ["(file) file sm_87 cubin 1"]);
    assert_eq!(forms(packed(&noted)), ["(file) frame sm_100a cubin 1"]);
    assert_eq!(forms(ptx("sm_90a")), ["(file) file compute_90a ptx 1"]);
    assert_eq!(forms(packed(&ptx("sm_90a"))), ["(file) frame compute_90a ptx 1"]);
    let object = library("__nv_relfatbin", &container([Entry::cubin(80), Entry::new(0x40, 80)]).build()).build();
    let members: [(&str, &[u8]); 5] =
        [("a.o", &object), ("b.o", &object), ("k.cubin", &kernel), ("k.ptx", &ptx("sm_70")), ("readme", b"// none")];
    assert_eq!(
        forms(archive(&members)),
        [
            "(file) file compute_70 ptx 1",
            "(file) file sm_87 cubin 1",
            "__nv_relfatbin container sm_80 cubin 2",
            "__nv_relfatbin container compute_80 relocatable-ptx 2",
        ]
    );
}

/// What a frame takes is told, and what it says that it unpacks to.
#[test]
fn sizes_are_those_of_the_frame() {
    let cubin = fatgen::cubin(&[(".text.k", 6, 300_000)]);
    let frame = frame(&cubin, 1 << 17, cubin.len() as u64);
    let file = told_of(library(".data", &frame).build());
    assert_eq!((&file["code"][0]["bytes"], &file["code"][0]["unpacked"]), (&frame.len().into(), &cubin.len().into()));
    // One that does not say it.
    let frame = packed(&cubin);
    let file = told_of(library(".data", &frame).build());
    assert_eq!((&file["code"][0]["bytes"], &file["code"][0]["unpacked"]), (&frame.len().into(), &(128 << 10).into()));
    let file = told_of(library(".data", &cubin).build());
    assert_eq!((&file["code"][0]["bytes"], &file["code"][0]["unpacked"]), (&cubin.len().into(), &cubin.len().into()));
}

/// Its notes tell the variant, and stand behind its strings: as many blocks are unpacked as that takes, up to a limit.
#[test]
fn the_notes_of_a_packed_cubin_are_found() {
    let with = |strings: usize| {
        let sections =
            [(".strtab", 0, filler(strings)), (".note.nv.tkinfo", 0, tool_note("sm_100a")), (".text.k", 6, filler(9))];
        of_elf(&library(".ldata", &packed(&cubin_for((0x41, 8), 0x600_6402, &sections))).build())
    };
    for strings in [1000, 130_900, 300_000, 3_900_000] {
        assert_eq!(with(strings), (vec!["sm_100a cubin 1".to_owned()], NOTHING_WRONG), "{strings}");
    }
    let (found, wrong) = with(4_300_000);
    assert_eq!(found, NOTHING_WRONG);
    assert!(wrong[0].contains("holds sm_100 code") && wrong[0].contains("which variant"), "{wrong:?}");
}

/// Nothing to run in it: no kernel is missing where it does not run.
#[test]
fn nothing_in_them_is_nothing_here_too() {
    let nothing = fatgen::cubin(&[(".nv.info", 0, 16)]);
    let words = b".version 9.0\n.target sm_75\n.address_size 64\n\0";
    let bytes = [&nothing[..], words, &packed(&nothing)].concat();
    let file = told_of(library(".rodata", &bytes).build());
    assert_eq!(
        listed(&file),
        [".rodata sm_87 cubin 1 - 1", ".rodata compute_75 ptx 1 - 1", ".rodata sm_87 cubin 1 - 1"]
    );
}

/// What is not whole, and the words of what is told.
#[test]
fn damage_is_named() {
    let cubin = noted_cubin(100, "sm_100");
    let put = |at: usize, bytes: &[u8]| {
        let mut changed = cubin.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let said = |size: u64| frame(&cubin, 100, size);
    let cut = frame(&cubin, 100, cubin.len() as u64);
    let fatbin = container([Entry::cubin(87)]).build();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("cut-header", cubin[..63].to_vec(), "the length of the cubin's header"),
        ("cut-header-20", cubin[..20].to_vec(), "the length of the cubin's header"),
        ("cut-cubin", cubin[..cubin.len() - 1].to_vec(), "past the end"),
        ("far-section", put(cubin.len() - 64 * 3 + 24, &[0xff; 6]), "the end of the cubin"),
        ("far-table", put(40, &[0xff; 6]), "past the end"),
        ("abi", put(7, &[0x42]), "EI_OSABI 0x42"),
        ("abi-version", put(8, &[9]), "EI_ABIVERSION 9"),
        ("32-bit", put(4, &[1]), "EI_CLASS 1"),
        ("number", put(49, &[0]), "architecture 0"),
        ("frame-says-less", said(99), "Frame_Content_Size"),
        ("frame-says-a-byte-less", said(cubin.len() as u64 - 1), "Frame_Content_Size"),
        ("frame-says-more", said(1 << 60), "Frame_Content_Size"),
        ("frame-cut", cut[..cut.len() - 1].to_vec(), "is cut short"),
        ("frame-of-a-cut-header", frame(&cubin[..40], 40, 40), "the length of the cubin's header"),
        ("frame-of-another-abi", frame(&put(7, &[0x42]), 4096, cubin.len() as u64), "EI_OSABI 0x42"),
        ("frame-of-a-fat-binary", packed(&fatbin), "holds a fat binary"),
    ];
    let files = cases.iter().map(|(name, bytes, _)| (*name, library(".rodata", bytes).build()));
    let told = told(files, &[]);
    told.run.assert_code(1, "problems");
    for (name, _, words) in &cases {
        let file = &told.files[*name];
        assert!(problems(file).iter().any(|problem| problem.contains(words)), "{name}: {words}: {file}");
    }
    // What stands behind is found all the same.
    for (name, bytes, _) in cases.iter().filter(|(name, ..)| !name.starts_with("cut") && !name.starts_with("frame-cut"))
    {
        let image = library(".rodata", &[&bytes[..], &kernel()].concat()).build();
        assert!(of_elf(&image).0.contains(&"sm_87 cubin 1".to_owned()), "{name}");
    }
}

#[test]
fn damaged_archives_are_named() {
    let kernel = kernel();
    let whole = archive(&[("one.cubin", &kernel), ("two.cubin", &kernel)]);
    let put = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let second = 8 + 60 + kernel.len().next_multiple_of(2);
    let nested = archive(&[("k.cubin", &kernel), ("inner.a", &whole)]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        // A name that stands in a table that is not there.
        ("name-out-of-range", put(second, b"/99999999       "), "the archive: "),
        ("size-out-of-range", put(second + 48, b"9999999999"), "the archive: "),
        ("size-no-number", put(second + 48, b"-1        "), "the archive: "),
        ("no-end-of-header", put(second + 58, b"x"), "the archive: "),
        ("cut-header", whole[..second + 30].to_vec(), "the archive: "),
        ("cut-member", whole[..whole.len() - 9].to_vec(), "the archive: "),
        ("archive-in-archive", nested, "inner.a is one itself"),
        ("cubin-of-another-abi", put(second + 60 + 7, &[0x42]), "two.cubin: the cubin at 0x0 has"),
    ];
    let told = told(cases.iter().map(|(name, bytes, _)| (*name, bytes.clone())), &[]);
    told.run.assert_code(1, "problems");
    for (name, _, words) in &cases {
        let file = &told.files[*name];
        assert!(problems(file).iter().any(|problem| problem.contains(words)), "{name}: {words}: {file}");
        assert_eq!(rows(file), ["(file) file sm_87 cubin 1"], "{name}");
    }
}

/// Magics of other things: ELF files of hosts, constants of the Zstandard library, texts about PTX.
#[test]
fn a_magic_alone_is_nothing() {
    let host = Spec::new(Machine::Aarch64, Kind::Library).build();
    let template = [&kernel()[..32], &[0; 16], &kernel()[48..56], &[0; 8]].concat();
    let data = packed(&b"something else, again and again: ".repeat(900));
    for bytes in [
        &host[..],
        &template,
        b"\x7fELF",
        b"\x7fELF\x02\x01\x01\x33\x07",
        b"\x28\xb5\x2f\xfd",
        b"\x81\x3f\x28\xb5\x2f\xfd\x74\x10\x48\x83\xc4\x08\xc3\x90\x90\x90",
        &data,
        b".version %d.%d\n.target sm_%d\n",
        b".version 9.0\n.target ",
        b"expected .version directive, .target sm_87",
    ] {
        for section in [".rodata", ".data", ".text.x"] {
            assert_eq!(of_elf(&library(section, bytes).build()), (vec![], vec![]), "{bytes:x?}");
        }
    }
    let found =
        told([("a.c", b"// .version 9.0\nint main;".to_vec()), ("b.zst", data), ("c.a", archive(&[("x", b"y")]))], &[]);
    found.run.assert_code(0, "nothing");
    assert!(found.files.values().all(|file| rows(file).is_empty()));
}

/// What is made to cost much is given up with a problem; containers are still found.
#[test]
fn too_much_to_look_at_is_named() {
    // A packed block that unpacks to 128 KiB, whatever follows: no cubin.
    let bomb = packed(&[&filler(32)[..], &vec![0; 1 << 17]].concat());
    let first = bomb[..bomb.len().min(200)].to_vec();
    let bytes = [&first.repeat((100 << 10) / first.len() * 10)[..], &container([Entry::cubin(87)]).build()].concat();
    let image = library(".rodata", &[&vec![0; 8][..], &bytes].concat()).build();
    let code = cuda::of_contents(&Contents::parse(&image).unwrap());
    let all: Vec<String> = code.places.iter().flat_map(|place| &place.problems).map(ToString::to_string).collect();
    assert!(all.iter().any(|problem| problem.contains("too much that looks like GPU code")), "{all:?}");
    assert!(code.total().len() == 1, "{code:?}");
}

/// Only those who ask have all code unpacked.
#[test]
fn kernels_are_counted() {
    // STT_FUNC with STO_CUDA_ENTRY, without it, and STT_OBJECT.
    let symbol = |info: u8, other: u8| [&[0; 4][..], &[info, other], &[0; 18]].concat();
    let table = [symbol(0x12, 0x10), symbol(0x12, 0), symbol(0x11, 0x10), symbol(0x12, 0x10)].concat();
    let mut cubin = cubin_for((0x33, 7), 0x57_0557, &[(".text.k", 6, filler(200_000)), (".symtab", 0, table)]);
    let headers = u64::from_le_bytes(cubin[40..48].try_into().unwrap()) as usize;
    cubin[headers + 2 * 64 + 4] = 2;
    let module = ptx("sm_90a");
    let entries = [
        Entry::cubin(87).raw(&cubin),
        Entry::cubin(80).packed(ZSTD, &packed(&cubin), cubin.len() as u64),
        // One that unpacks to something else, to nothing, and to too much.
        Entry::cubin(80).packed(ZSTD, &packed(&module), module.len() as u64),
        Entry::cubin(80).packed(ZSTD, &filler(40), 100),
        Entry::cubin(80).packed(ZSTD, &packed(&cubin), 1 << 40),
        Entry::ptx(90).raw(&module),
        Entry::new(0x80, 80),
    ];
    let image = library(".nv_fatbin", &container(entries).build())
        .gpu_code(".data", &[&cubin[..], &packed(&cubin), &frame(&cubin, 999, cubin.len() as u64)].concat())
        .build();
    let told = told([("k", image)], &["--kernels"]);
    let row = |row: &serde_json::Value| {
        let word = |name: &str| row[name].as_str().unwrap().to_owned();
        format!("{} {} {} {}", word("form"), word("architecture"), row["kernels"], row["uncounted"])
    };
    let counted: Vec<String> = told.files["k"]["code"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(
        counted,
        [
            "container sm_80 2 3",
            "container compute_80 0 1",
            "container sm_87 2 0",
            "container compute_90 1 0",
            "frame sm_87 4 0",
            "raw sm_87 2 0",
        ]
    );
    assert!(told_of(cubin)["code"][0].get("kernels").is_none());
}
