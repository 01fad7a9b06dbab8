//! Notes that the kernel, the loader and the program's own code read.

use super::layouts::{Real, assert_image_kept, long_path};
use super::naive::grows;
use crate::elfgen::read::Image;
use crate::elfgen::{Machine, Spec};
use crate::harness::editors::Patchelf;
use crate::harness::{Link, NEW, PROGRAMS, Shape, linkers};

/// What the kernel and the loader read as PT_GNU_PROPERTY.
fn property(image: &Image) -> Option<Vec<u8>> {
    let header = image.segments.iter().find(|segment| segment.kind == 0x6474_e553)?;
    Some(image.data[header.offset as usize..][..header.file_size as usize].to_vec())
}

/// IBT and shadow stacks (x86) and BTI (aarch64) are on where PT_GNU_PROPERTY says so. An editor that moves
/// `.note.gnu.property` and forgets that header, as patchelf 0.14 does, leaves it on the X that it fills old places
/// with: the file runs as before, without the protection.
#[test]
fn property_note() {
    let test = "property_note";
    for linker in linkers(test) {
        let marks: &[&str] = match linker {
            "lld" => &["-Wl,-z,force-ibt,-z,shstk"],
            "gold" => &[],
            _ => &["-Wl,-z,ibt,-z,shstk"],
        };
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let link = Link::new(source, shape).linker(linker).defines(&["-fcf-protection=full"]).flags(marks);
            let real = Real::new(&link);
            let before = property(&Image::read(&real.original()));
            let kept = real.assert_kept(&told);
            assert_eq!(property(&Image::read(&kept.file)), before, "{told}");
            if linker != "bfd" || shape == Shape::Library {
                continue;
            }
            let before = before.expect("GNU ld writes the header");
            assert_eq!(before.get(12..16), Some(&b"GNU\0"[..]), "{told}");
            if let Some(patchelf) = Patchelf::old(test) {
                let file = real.copy("old-patchelf");
                patchelf.must_edit(&["--set-rpath", &long_path()], &file);
                assert_eq!(real.run(&file).code, NEW, "{told}: nothing is seen when it runs");
                assert_ne!(property(&Image::read(&file)), Some(before), "{told}: {}", patchelf.name);
            }
        }
    }
    for machine in [Machine::X86_64, Machine::I386, Machine::Aarch64, Machine::Aarch64Be] {
        for spec in [Spec::library(machine), Spec::pie(machine), Spec::exec(machine)] {
            let spec = spec.runpath("$ORIGIN/old").property().build_id().relro();
            assert_image_kept(&spec, &format!("{machine:?}"), test);
            assert_image_kept(&spec.bss(1 << 20), &format!("{machine:?}, a large last segment"), test);
        }
    }
}

/// A section of the program's own behind the program header table, which code reads by its address without any
/// relocation or symbol that would tell. An editor that moves it and fills the old place, or grows the table over it, changes
/// what code reads.
#[test]
fn clobbered_bytes_that_code_reads() {
    let test = "clobbered_bytes_that_code_reads";
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie, Shape::Library] {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new("own_note.c", shape).linker(linker));
            real.assert_kept(&told);
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                // 151: the note is not where code knows it.
                assert_eq!(ended.code, 151, "{told}: {}", patchelf.name);
            }
            if shape == Shape::Library && linker == "bfd" {
                // Or 138: the build id, which lies beside the note.
                assert!(matches!(real.run_after_bytes(&grows).code, 138 | 151), "{told}: naive");
            }
        }
    }
}
