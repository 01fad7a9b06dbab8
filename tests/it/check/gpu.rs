//! CRP500 to CRP510: code for the GPUs of --arch.

use super::image::{Image, store};
use super::objects::{cudart, library, library_for};
use super::table::{Case, near, raises};
use crate::elfgen::{Kind, Machine, Spec};
use crate::fatgen::{EXACT, Entry, FAMILY, archive, container, frame, noted_cubin, ptx};

const PATH: &str = "/lib/libkernels.so";

/// A library with one fat binary.
fn kernels(entries: impl IntoIterator<Item = Entry>) -> Spec {
    library().soname("libkernels.so").gpu_code(".nv_fatbin", &container(entries).build())
}

fn put(image: &Image, entries: impl IntoIterator<Item = Entry>) {
    image.put(PATH, &kernels(entries));
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = missing();
    cases.extend(tegra());
    cases.extend(less_good());
    cases.extend(outside());
    cases.extend(files());
    cases.extend(closures());
    cases
}

/// A library with a fat binary, and kernels as they are.
fn beside(entry: Entry, kernels: &[Vec<u8>]) -> Spec {
    let code = container([entry]).build();
    library().soname("libkernels.so").gpu_code(".nv_fatbin", &code).gpu_code(".ldata", &kernels.concat())
}

fn cubin(number: u32) -> Vec<u8> {
    noted_cubin(number, &format!("sm_{number}"))
}

fn outside() -> Vec<Case> {
    vec![
        raises("CRP510", "kernels for another generation", (PATH, "12.0"))
            .with(&["--arch", "12.0"])
            .finds("CRP503 CRP510")
            .in_image(|image| {
                image.put(PATH, &beside(Entry::cubin(120), &[cubin(80), cubin(90)]));
            }),
        near("CRP510", "a kernel for that GPU among others").with(&["--arch", "12.0"]).finds("CRP503").in_image(
            |image| {
                image.put(PATH, &beside(Entry::cubin(120), &[cubin(80), cubin(120)]));
            },
        ),
        // A kernel by itself does not make up for what a fat binary lacks.
        near("CRP510", "no fat binary for that GPU").with(&["--arch", "12.0"]).finds("CRP500 CRP503").in_image(
            |image| {
                image.put(PATH, &beside(Entry::cubin(80), &[cubin(80), cubin(120)]));
            },
        ),
        raises("CRP500", "nothing but kernels as they are", (PATH, "12.0"))
            .with(&["--arch", "12.0"])
            .finds("CRP500 CRP503")
            .in_image(|image| {
                image.put(PATH, &library().soname("libkernels.so").gpu_code(".rodata", &cubin(90)));
            }),
        raises("CRP500", "a cubin whose attributes say more than its entry", (PATH, "10.3"))
            .with(&["--arch", "10.3"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(100).attributes(true)])),
        near("CRP500", "a cubin whose attributes say what its entry does")
            .with(&["--arch", "10.3"])
            .finds("CRP502")
            .in_image(|image| put(image, [Entry::cubin(100).attributes(false)])),
        near("CRP500", "exact code that is asked for by name")
            .with(&["--arch", "sm_100a", "--arch-policy", "exact"])
            .in_image(|image| put(image, [Entry::cubin(100).attributes(true)])),
        raises("CRP501", "Tile IR", (PATH, "11.0"))
            .with(&["--arch", "11.0"])
            .in_image(|image| put(image, [Entry::new(0x80, 80)])),
        raises("CRP501", "relocatable PTX", (PATH, "11.0"))
            .with(&["--arch", "11.0"])
            .in_image(|image| put(image, [Entry::new(0x40, 80)])),
        near("CRP507", "an index").with(&["--arch", "8.7"]).in_image(|image| {
            put(image, [Entry::new(0x20, 0), Entry::cubin(87)]);
        }),
        raises("CRP507", "behind an entry of an unknown kind there is what is wanted", (PATH, ".nv_fatbin"))
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::new(4, 87), Entry::cubin(87)])),
    ]
}

/// No loader reads them, and their kernels are looked at like those of libraries.
fn files() -> Vec<Case> {
    let missing = |name, path, put: fn(&Image)| {
        raises("CRP500", name, (path, "11.0")).with(&["--arch", "11.0"]).finds("CRP500 CRP503").in_image(put)
    };
    let each: fn(&Image) = |image| {
        image.file("/share/k/sm_100/one.cubin", &noted_cubin(100, "sm_100a"));
        image.file("/share/k/sm_103a/one.cubin", &noted_cubin(103, "sm_103a"));
        image.file("/share/k/two.cubin", &noted_cubin(103, "sm_103a"));
    };
    vec![
        missing("a cubin", "/share/k.cubin", |image| {
            image.file("/share/k.cubin", &cubin(87));
        }),
        missing("a cubin without a name for it", "/share/data", |image| {
            image.file("/share/data", &cubin(87));
        }),
        missing("PTX for one architecture", "/share/k.ptx", |image| {
            image.file("/share/k.ptx", &ptx("sm_90a"));
        }),
        missing("a fat binary", "/share/k.fatbin", |image| {
            image.file("/share/k.fatbin", &container([Entry::cubin(87)]).build());
        }),
        missing("an archive", "/lib/libk.a", |image| {
            image.file("/lib/libk.a", &archive(&[("k.o", &beside(Entry::cubin(87), &[]).build())]));
        }),
        missing("a packed cubin", "/share/k.zst", |image| {
            image.file("/share/k.zst", &frame(&cubin(87), 4096, cubin(87).len() as u64));
        }),
        raises("CRP500", "all kernels of a directory", ("/share/k", "8.7"))
            .with(&["--arch", "8.7"])
            .finds("CRP500 CRP503")
            .in_image(each),
        near("CRP500", "each kernel of a directory is for another GPU").with(&["--arch", "10.0,10.3"]).in_image(each),
        near("CRP500", "files that are no GPU code").with(&["--arch", "8.7"]).in_image(|image| {
            image.file("/share/k.ptx", b"// none").file("/lib/libk.a", &archive(&[("x", b"y")]));
            image.file("/share/k.cubin", b"CUBI").file("/share/x.zst", b"\x28\xb5\x2f\xfd");
        }),
        raises("CRP507", "a cubin that is cut short", ("/share/k.cubin", "(file)")).with(&["--arch", "8.7"]).in_image(
            move |image| {
                image.file("/share/k.cubin", &cubin(87)[..100]);
            },
        ),
    ]
}

fn missing() -> Vec<Case> {
    vec![
        raises("CRP500", "code for later GPUs only", (PATH, "8.7"))
            .with(&["--arch", "8.7"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(90), Entry::ptx(90)])),
        raises("CRP500", "another member of a family's exact code", (PATH, "10.3"))
            .with(&["--arch", "sm_103"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(100).flags(EXACT)])),
        raises("CRP500", "the family of another generation", (PATH, "11.0"))
            .with(&["--arch", "11.0"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(100).flags(FAMILY)])),
        raises("CRP500", "one of two targets", (PATH, "11.0"))
            .with(&["--arch", "8.7,sm_110"])
            .in_image(|image| put(image, [Entry::cubin(87)])),
        raises("CRP500", "what runs, but not exactly", (PATH, "8.6"))
            .with(&["--arch", "8.6", "--arch-policy", "exact"])
            .in_image(|image| put(image, [Entry::cubin(80)])),
        raises("CRP500", "PTX does not count", (PATH, "8.7"))
            .with(&["--arch", "8.7", "--ptx", "ignore"])
            .in_image(|image| put(image, [Entry::ptx(80)])),
        raises("CRP500", "a variant that is asked for by name", (PATH, "9.0a"))
            .with(&["--arch", "sm_90a", "--arch-policy", "exact"])
            .in_image(|image| put(image, [Entry::cubin(90)])),
        raises("CRP500", "a static program", ("/bin/kernels", "8.7"))
            .with(&["--arch", "8.7"])
            .finds("CRP500 CRP503")
            .in_image(|image| {
                let code = container([Entry::cubin(90)]).build();
                image.put("/bin/kernels", &Spec::new(Machine::X86_64, Kind::Static).gpu_code(".nv_fatbin", &code));
            }),
        near("CRP500", "code for this very GPU")
            .with(&["--arch", "8.7", "--arch-policy", "exact"])
            .in_image(|image| put(image, [Entry::cubin(87)])),
        near("CRP500", "exact code for this very GPU")
            .with(&["--arch", "sm_90a", "--arch-policy", "exact"])
            .in_image(|image| put(image, [Entry::cubin(90).flags(EXACT)])),
        near("CRP500", "a library without kernels").with(&["--arch", "8.7"]).in_image(|image| {
            image.put(PATH, &library().soname("libkernels.so"));
        }),
        near("CRP500", "empty containers").with(&["--arch", "8.7"]).in_image(|image| put(image, [])),
        near("CRP500", "a compiler's PTX for a file without kernels").with(&["--arch", "8.7"]).in_image(|image| {
            put(image, [Entry::ptx(90).raw(b".version 8.8\n.target sm_90\n.address_size 64\n")]);
        }),
        near("CRP500", "no target is asked for").in_image(|image| put(image, [Entry::cubin(90)])),
    ]
}

/// Machine code for discrete GPUs is not for a Tegra's, up to CUDA 13.1, and the other way round.
fn tegra() -> Vec<Case> {
    fn board(image: &Image, entries: impl IntoIterator<Item = Entry>) {
        let kernels = library_for(Machine::Aarch64).soname("libkernels.so");
        image.put(PATH, &kernels.gpu_code(".nv_fatbin", &container(entries).build()));
    }
    vec![
        // Of an unknown driver neither is said: that the code runs, or that it is useless.
        raises("CRP500", "code for discrete GPUs on an Orin", (PATH, "8.7"))
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::cubin(86)])),
        raises("CRP500", "code for discrete GPUs on an Orin with JetPack 6", (PATH, "8.7"))
            .with(&["--platform", "jetpack6", "--arch", "8.7"])
            .finds("CRP500 CRP503")
            .in_image(|image| board(image, [Entry::cubin(80), Entry::cubin(86)])),
        raises("CRP500", "code for discrete GPUs on a Xavier", (PATH, "7.2"))
            .with(&["--platform", "jetpack5", "--arch", "7.2"])
            .finds("CRP500 CRP503")
            .in_image(|image| board(image, [Entry::cubin(70)])),
        raises("CRP500", "code for discrete GPUs on a TX2", (PATH, "6.2"))
            .with(&["--arch", "6.2"])
            .in_image(|image| put(image, [Entry::cubin(60), Entry::cubin(61)])),
        raises("CRP500", "code for an Orin on a discrete GPU", (PATH, "8.9"))
            .with(&["--arch", "8.9", "--host-cuda", "13.2"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(87)])),
        raises("CRP500", "the last driver that takes none", (PATH, "8.7"))
            .with(&["--arch", "8.7", "--host-cuda", "13.1"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(80)])),
        raises("CRP501", "PTX of discrete GPUs on an Orin", (PATH, "8.7"))
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::cubin(80), Entry::ptx(80)])),
        raises("CRP502", "JetPack 7.2", (PATH, "8.7"))
            .with(&["--platform", "jetpack7.2", "--arch", "8.7"])
            .in_image(|image| board(image, [Entry::cubin(80)])),
        raises("CRP502", "the first driver that takes it", (PATH, "8.7"))
            .with(&["--arch", "8.7", "--host-cuda", "13.2"])
            .in_image(|image| put(image, [Entry::cubin(80)])),
        raises("CRP502", "a Jetson's newer driver", (PATH, "8.7"))
            .with(&["--platform", "jetpack7", "--host-driver", "595.78", "--arch", "8.7"])
            .in_image(|image| board(image, [Entry::cubin(80)])),
        raises("CRP502", "a driver of that release, whatever the platform", (PATH, "8.7"))
            .with(&["--host-driver", "595.78", "--arch", "8.7"])
            .in_image(|image| put(image, [Entry::cubin(80)])),
        raises("CRP500", "a driver of an earlier release, whatever the platform", (PATH, "8.7"))
            .with(&["--host-driver", "590.44", "--arch", "8.7"])
            .finds("CRP500 CRP503")
            .in_image(|image| put(image, [Entry::cubin(80)])),
        raises("CRP502", "only the generation is asked for", (PATH, "8.7"))
            .with(&["--platform", "jetpack5", "--arch", "8.7,8.9", "--arch-policy", "generation"])
            .finds("CRP502 CRP502")
            .in_image(|image| board(image, [Entry::cubin(80)])),
        near("CRP500", "an Orin's own code beside that of discrete GPUs")
            .with(&["--platform", "jetpack6", "--arch", "8.7"])
            .finds("CRP503")
            .in_image(|image| board(image, [Entry::cubin(80), Entry::cubin(87)])),
    ]
}

fn less_good() -> Vec<Case> {
    vec![
        raises("CRP501", "PTX of an earlier generation", (PATH, "11.0"))
            .with(&["--arch", "11.0"])
            .in_image(|image| put(image, [Entry::ptx(87)])),
        raises("CRP501", "PTX is accepted", (PATH, "8.7"))
            .severity("note")
            .with(&["--arch", "8.7", "--arch-policy", "ptx"])
            .in_image(|image| put(image, [Entry::ptx(80)])),
        near("CRP501", "machine code beside PTX")
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::ptx(80), Entry::cubin(87)])),
        raises("CRP502", "an earlier GPU of the generation", (PATH, "8.6"))
            .with(&["--arch", "8.6"])
            .in_image(|image| put(image, [Entry::cubin(80)])),
        raises("CRP502", "a family's code", (PATH, "10.3"))
            .with(&["--arch", "10.3"])
            .in_image(|image| put(image, [Entry::cubin(100).flags(FAMILY)])),
        near("CRP502", "its own code beside an earlier one's")
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::cubin(80), Entry::cubin(87)])),
        raises("CRP503", "code for a GPU that is no target", (PATH, ""))
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::cubin(87), Entry::cubin(90)])),
        near("CRP503", "every target has some")
            .with(&["--arch", "8.7,9.0"])
            .in_image(|image| put(image, [Entry::cubin(87), Entry::cubin(90)])),
        raises("CRP504", "no PTX at all", (PATH, "12.0"))
            .with(&["--arch", "8.7,12.0", "--ptx", "require"])
            .in_image(|image| put(image, [Entry::cubin(87), Entry::cubin(120)])),
        raises("CRP504", "PTX of an older architecture", (PATH, "12.0"))
            .with(&["--arch", "12.0", "--ptx", "require"])
            .in_image(|image| put(image, [Entry::cubin(120), Entry::ptx(80)])),
        raises("CRP504", "PTX for nothing but that GPU", (PATH, "9.0"))
            .with(&["--arch", "9.0", "--ptx", "require"])
            .in_image(|image| put(image, [Entry::cubin(90), Entry::ptx(90).flags(EXACT)])),
        near("CRP504", "PTX of the highest architecture")
            .with(&["--arch", "8.7,12.0", "--ptx", "require"])
            .in_image(|image| put(image, [Entry::cubin(87), Entry::cubin(120), Entry::ptx(120)])),
        raises("CRP506", "Thor as CUDA 12.9 calls it", (PATH, "11.0"))
            .with(&["--arch", "11.0"])
            .in_image(|image| put(image, [Entry::cubin(101)])),
        raises("CRP506", "Thor as CUDA 13.0 calls it", (PATH, "10.1"))
            .with(&["--arch", "10.1"])
            .finds("CRP501 CRP506")
            .in_image(|image| put(image, [Entry::cubin(110), Entry::ptx(90)])),
        raises("CRP506", "Thor under its other name is not exactly Thor", (PATH, "11.0"))
            .with(&["--arch", "11.0", "--arch-policy", "exact"])
            .finds("CRP500 CRP506")
            .in_image(|image| put(image, [Entry::cubin(101)])),
        near("CRP506", "Thor under both names")
            .with(&["--arch", "11.0"])
            .in_image(|image| put(image, [Entry::cubin(101), Entry::cubin(110)])),
        raises("CRP507", "an entry of an unknown kind", (PATH, ".nv_fatbin"))
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::cubin(87), Entry::new(4, 87)])),
        near("CRP507", "the magic of a container, and nothing else of it").with(&["--arch", "8.7"]).in_image(|image| {
            image.put(PATH, &library().soname("libkernels.so").carries([0x50, 0xed, 0x55, 0xba]));
        }),
        raises("CRP508", "LTO-IR for two architectures", (PATH, ""))
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::lto_ir(75), Entry::lto_ir(90)])),
        near("CRP508", "LTO-IR beside machine code")
            .with(&["--arch", "8.7"])
            .in_image(|image| put(image, [Entry::lto_ir(75), Entry::cubin(87)])),
    ]
}

fn closures() -> Vec<Case> {
    vec![
        raises("CRP509", "a GPU that is newer than the release", ("", "10.0")).with(&["--arch", "10.0"]).in_closure(
            |image| {
                image
                    .put(store!("cuda12.6-cuda_cudart-12.6.77-lib/lib/libcudart.so.12.6.77"), &cudart(Machine::X86_64));
            },
        ),
        raises("CRP509", "a GPU that the release has dropped", ("", "7.0")).with(&["--arch", "7.0"]).in_closure(
            |image| {
                image
                    .put(store!("cuda13.0-cuda_cudart-13.0.48-lib/lib/libcudart.so.13.0.48"), &cudart(Machine::X86_64));
            },
        ),
        near("CRP509", "a GPU that the release knows").with(&["--arch", "8.7,9.0a"]).in_closure(|image| {
            image.put(store!("cuda12.6-cuda_cudart-12.6.77-lib/lib/libcudart.so.12.6.77"), &cudart(Machine::X86_64));
        }),
    ]
}

/// The reason stands in the message.
#[test]
fn messages_say_through_what() {
    for (entries, arguments, text) in [
        (vec![Entry::cubin(80)], &["--arch", "8.6"][..], "runs on 8.6 through sm_80"),
        (
            vec![Entry::cubin(80)],
            &["--arch", "8.7", "--host-cuda", "13.3"],
            "runs on 8.7 through sm_80, which a Tegra's driver takes from CUDA 13.2 on",
        ),
        (
            vec![Entry::cubin(80)],
            &["--arch", "8.7"],
            "sm_80 is for discrete GPUs, and a Tegra takes it from CUDA 13.2 on (--host-cuda says what the target has)",
        ),
        (vec![Entry::cubin(87)], &["--arch", "8.9"], "sm_87 is for that Tegra alone"),
        (
            vec![Entry::cubin(87)],
            &["--arch", "8.9", "--arch-policy", "generation"],
            "through sm_87, which --arch-policy generation trusts and NVIDIA does not promise",
        ),
        (vec![Entry::ptx(75)], &["--arch", "8.7"], "JIT from compute_75 PTX, needs libnvidia-ptxjitcompiler"),
        (vec![Entry::new(0x80, 80)], &["--arch", "8.7"], "JIT from compute_80 Tile IR, needs libnvidia-tileiras"),
        (vec![Entry::cubin(100).attributes(true)], &["--arch", "10.3"], "missing, there is sm_100(a)"),
        (vec![Entry::cubin(90), Entry::ptx(90)], &["--arch", "8.7"], "missing, there is sm_90; PTX compute_90"),
        (vec![Entry::cubin(101)], &["--arch", "11.0"], "code for 10.1, which is what 11.0 is called up to CUDA 12.9"),
        (vec![Entry::cubin(87), Entry::cubin(90)], &["--arch", "8.7"], "48 of 96 bytes of GPU code"),
        (vec![Entry::cubin(120), Entry::ptx(80)], &["--arch", "12.0", "--ptx", "require"], "would get compute_80 PTX"),
    ] {
        let image = Image::new();
        put(&image, entries);
        let checked = image.check(arguments);
        assert!(
            checked.findings().iter().any(|finding| finding.message.contains(text)),
            "{text}: {:#?}",
            checked.findings()
        );
    }
    let image = Image::new();
    let both = [container([Entry::cubin(80)]).build(), container([Entry::cubin(90)]).build()].concat();
    image.put(PATH, &library().soname("libkernels.so").gpu_code(".nv_fatbin", &both));
    let message = "runs on 8.6 through sm_80 (1 of 2 fat binaries have code for it)";
    let checked = image.check(&["--arch", "8.6"]);
    assert!(checked.findings().iter().any(|finding| finding.message == message), "{:#?}", checked.findings());
}

#[test]
fn gpus_are_refused_by_name() {
    let image = Image::new();
    for (arguments, words) in [
        (&["--arch", "78"][..], &["--arch", "78", "8.7"][..]),
        (&["--arch", "sm_"], &["--arch", "sm_"]),
        (&["--arch", "8.7,"], &["--arch"]),
        (&["--arch-policy", "exact"], &["--arch"]),
        (&["--ptx", "require"], &["--arch"]),
        (&["--arch", "8.7", "--arch-policy", "any"], &["exact", "family", "generation", "ptx"]),
    ] {
        let run = image.run("check", arguments);
        run.assert_code(2, &format!("{arguments:?}"));
        assert!(words.iter().all(|word| run.stderr.contains(word)), "{arguments:?}: {}", run.stderr);
    }
}
