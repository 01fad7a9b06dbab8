//! CRP600 to CRP707: what only shows when everything is looked at, and what cannot be read or followed,
//! and what was left half done.

use super::image::{Image, store};
use super::objects::{
    COMPAT, DRIVER, compat, compat_note, cudart, dlopen_note, driver, driver_for, functions, library, library_for,
    linked, program, stub,
};
use super::table::{Case, near, raises};
use crate::elfgen::{Kind, Machine, Spec};

const LIB: &str = "/lib/libuser.so.1";

pub(crate) fn cases() -> Vec<Case> {
    [releases(), packages(), objects(), unreadable(), allowlists(), journals(), endless()]
        .into_iter()
        .flatten()
        .collect()
}

/// As auditwheel writes it.
const RENAMED: &str = "libcuda-43c1b388.so.570.124.06";

/// With functions that are the driver's, and do something.
fn with_cuda(spec: Spec) -> Spec {
    let names = ["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"];
    names.iter().fold(spec, |spec, name| spec.function(name, &[0x89, 0xf8, 0xc3]))
}

fn releases() -> Vec<Case> {
    vec![
        raises("CRP600", "two releases of cudart", ("", "libcudart 11.8 12.8")).in_image(|image| {
            image.put("/a/libcudart.so.11.8.89", &library().soname("libcudart.so.11.0"));
            image.put("/b/libcudart.so.12.8.90", &library().soname("libcudart.so.12"));
        }),
        raises("CRP600", "two releases of cuBLAS", ("", "libcublas 12.6 12.8")).in_image(|image| {
            image.put("/a/libcublas.so.12.6.4.1", &library().soname("libcublas.so.12"));
            image.put("/b/libcublas.so.12.8.4.1", &library().soname("libcublas.so.12"));
        }),
        raises("CRP600", "two majors without a minor", ("", "libcudart 11 12")).in_image(|image| {
            image.put("/a/libcudart.so.11.0", &library().soname("libcudart.so.11.0"));
            image.put("/b/libcudart.so.12", &library().soname("libcudart.so.12"));
        }),
        near("CRP600", "one release in two places").in_image(|image| {
            image.put("/a/libcudart.so.12.8.90", &cudart(Machine::X86_64));
            image.put("/b/libcudart.so.12.8.57", &cudart(Machine::X86_64));
        }),
        near("CRP600", "a name that tells the major only may be the same release").in_image(|image| {
            image.put("/a/libcudart.so.12.8.90", &cudart(Machine::X86_64));
            image.put("/b/libcudart.so.12", &cudart(Machine::X86_64));
        }),
        near("CRP600", "cudart and cuBLAS count for themselves").in_image(|image| {
            image.put("/a/libcudart.so.12.8.90", &cudart(Machine::X86_64));
            image.put("/b/libcublas.so.12.9.1.4", &library().soname("libcublas.so.12"));
        }),
    ]
}

fn packages() -> Vec<Case> {
    vec![
        raises("CRP601", "a dependency of another set", ("", "12.6")).in_closure(|image| {
            image.put(store!("cuda12.8-cuda_cudart-12.8.90/lib/liba.so"), &library());
            image.put(store!("cuda12.8-libcublas-12.8.4/lib/libb.so"), &library());
            image.put(store!("cuda12.6-libcufft-11.3/lib/libc.so"), &library());
        }),
        near("CRP601", "one set").in_closure(|image| {
            image.put(store!("cuda12.8-cuda_cudart-12.8.90/lib/liba.so"), &library());
            image.put(store!("cuda12.8-libcublas-12.8.4/lib/libb.so"), &library());
        }),
        near("CRP601", "a name with a release at its end").in_closure(|image| {
            image.put(store!("cuda12.8-cuda_cudart-12.8.90/lib/liba.so"), &library());
            image.put(store!("cuda-samples-12.6/lib/libb.so"), &library());
        }),
        raises("CRP602", "the run file", ("", store!("cudatoolkit-12.8.0"))).in_closure(|image| {
            image.put(store!("cudatoolkit-12.8.0/lib/liba.so"), &library());
        }),
        raises("CRP602", "everything merged", ("", store!("cuda-merged-12.8"))).in_closure(|image| {
            image.put(store!("cuda-merged-12.8/lib/liba.so"), &library());
        }),
        near("CRP602", "one of its parts").in_closure(|image| {
            image.put(store!("cuda12.8-cuda_nvcc-12.8.93/lib/liba.so"), &library());
            image.put(store!("my-cudatoolkit-plugin-1/lib/libb.so"), &library());
        }),
    ]
}

fn objects() -> Vec<Case> {
    vec![
        raises("CRP604", "the driver package", (store!("nvidia-x11-580.95/lib/libcuda.so.1"), "libcuda.so.1"))
            .in_closure(|image| {
                image.put(store!("nvidia-x11-580.95/lib/libcuda.so.1"), &driver("libcuda.so.1"));
            }),
        raises("CRP604", "NVML alone", (store!("app/lib/libnvidia-ml.so.1"), "libnvidia-ml.so.1")).in_closure(
            |image| {
                image.put(store!("app/lib/libnvidia-ml.so.1"), &driver("libnvidia-ml.so.1"));
            },
        ),
        raises(
            "CRP604",
            "a wheel's copy under a name with a hash",
            ("/app.libs/libcuda-43c1b388.so.570.124.06", RENAMED),
        )
        .in_image(|image| {
            let spec = library().soname(RENAMED);
            image.put("/app.libs/libcuda-43c1b388.so.570.124.06", &functions(spec, 3, &[0x89, 0xf8, 0xc3]));
        }),
        raises("CRP604", "a driver under any name, by its functions", ("/lib/libgpu.so", "libgpu.so")).in_image(
            |image| {
                image.put("/lib/libgpu.so", &with_cuda(library().soname("libgpu.so")));
            },
        ),
        raises("CRP604", "NVML under any name, by two functions", ("/lib/libml.so", "libml.so")).in_image(|image| {
            let spec = library().soname("libml.so").function("nvmlInit_v2", &[0x89, 0xf8, 0xc3]);
            image.put("/lib/libml.so", &spec.function("nvmlShutdown", &[0x89, 0xf8, 0xc3]));
        }),
        raises(
            "CRP604",
            "what belongs to libcuda",
            ("/lib/libnvidia-ptxjitcompiler.so.1", "libnvidia-ptxjitcompiler.so.1"),
        )
        .in_image(|image| {
            image.put("/lib/libnvidia-ptxjitcompiler.so.1", &driver("libnvidia-ptxjitcompiler.so.1"));
        }),
        raises(
            "CRP604",
            "OpenCL of the driver, renamed",
            ("/lib/libnvidia-opencl-43c1b388.so.570.10", "libnvidia-opencl-43c1b388.so.570.10"),
        )
        .in_image(|image| {
            image.put("/lib/libnvidia-opencl-43c1b388.so.570.10", &driver("libnvidia-opencl-43c1b388.so.570.10"));
        }),
        near("CRP604", "what comes with a kernel module of its own").in_image(|image| {
            image.put("/lib/libgdrapi.so.2", &driver("libgdrapi.so.2"));
        }),
        near("CRP604", "what stands before the driver and hands on").in_image(|image| {
            let spec = with_cuda(library().soname("libshare.so")).imports("dlsym");
            image.put("/lib/libshare.so", &spec);
        }),
        near("CRP604", "a renamed stub").finds("CRP202").in_image(|image| {
            let spec = library().soname(RENAMED);
            image.put("/app.libs/libcuda-43c1b388.so.570.124.06", &functions(spec, 24, &[0x31, 0xc0, 0xc3]));
        }),
        near("CRP604", "compat by another spelling").with(&["--compat", "/usr/local/cuda/compat"]).in_image(|image| {
            image.put("/usr/local/cuda-12.4/compat/libcuda.so.1", &driver("libcuda.so.1"));
            image.link("/usr/local/cuda", "cuda-12.4");
        }),
        near("CRP604", "the driver's directory by another spelling").with(&["--driver", "/usr/lib"]).in_image(
            |image| {
                image.put("/usr/lib/libcuda.so.1", &driver("libcuda.so.1"));
                image.link("/lib", "usr/lib");
                image.put("/opt/libuser.so.1", &linked().runpath("/lib"));
            },
        ),
        near("CRP604", "compat").in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.1"), &driver("libcuda.so.1"));
        }),
        near("CRP604", "a stub").finds("CRP202").in_closure(|image| {
            image.put(store!("app/lib/libcuda.so.1"), &stub(Machine::X86_64));
        }),
        near("CRP604", "the driver of the image itself").in_image(|image| {
            image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
        }),
        near("CRP604", "another library of that file name").in_closure(|image| {
            image.put(store!("app/lib/libcuda.so.1"), &library().soname("libcuda_shim.so.1"));
        }),
        raises("CRP605", "an x86_64 library among aarch64 ones", ("/lib/libx.so", "x86_64")).in_image(|image| {
            image.put("/lib/liba.so", &library_for(Machine::Aarch64));
            image.put("/lib/libb.so", &library_for(Machine::Aarch64));
            image.put("/lib/libx.so", &library());
        }),
        raises("CRP605", "not the machine that is wanted", (LIB, "x86_64")).with(&["--machine", "aarch64"]).in_image(
            |image| {
                image.put(LIB, &library());
            },
        ),
        raises("CRP605", "not the platform's machine", (LIB, "x86_64")).with(&["--platform", "sbsa"]).in_image(
            |image| {
                image.put(LIB, &library());
            },
        ),
        near("CRP605", "32-bit objects of the family").in_image(|image| {
            image.put("/bin/app", &program());
            image.put("/lib/libx.so", &library());
            image.put("/lib32/libx.so", &library_for(Machine::I386));
        }),
        near("CRP605", "Arm's 32-bit objects").with(&["--platform", "jetpack6"]).in_image(|image| {
            image.put("/lib/liba.so", &library_for(Machine::Aarch64));
            image.put("/lib/libb.so", &library_for(Machine::Arm));
        }),
        near("CRP605", "an object file is no object to load").in_image(|image| {
            image.put("/lib/liba.so", &library());
            image.put("/lib/firmware.o", &Spec::new(Machine::Riscv32, Kind::Relocatable));
        }),
    ]
}

fn unreadable() -> Vec<Case> {
    vec![
        raises("CRP700", "cut off", (LIB, "")).in_image(|image| cut(image, 700)),
        raises("CRP700", "cut off within the ELF header", (LIB, "")).in_image(|image| cut(image, 30)),
        raises("CRP700", "a program header table past the end", (LIB, "")).in_image(|image| {
            let mut bytes = library().build();
            bytes[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
            image.file(LIB, &bytes);
        }),
        near("CRP700", "whole").in_image(|image| {
            image.put(LIB, &library());
        }),
        near("CRP700", "a linker script").in_image(|image| {
            image.file(LIB, b"/* GNU ld script */ INPUT(libuser.so.1.0)\n");
        }),
        near("CRP700", "a core file, an object file and a debug file").in_image(|image| {
            for (name, kind) in [("core", Kind::Core), ("x.o", Kind::Relocatable), ("x.debug", Kind::DebugFile)] {
                image.put(&format!("/lib/{name}"), &Spec::new(Machine::X86_64, kind));
            }
        }),
        raises("CRP701", ".note.dlopen is no JSON", (LIB, "dlopen")).in_image(|image| {
            image.put(LIB, &library().note(dlopen_note(b"[{\"soname\":")));
        }),
        raises("CRP701", ".note.dlopen is cut", (LIB, "dlopen")).in_image(|image| {
            let mut note = dlopen_note(b"[]");
            note.overrun = 64;
            image.put(LIB, &library().note(note));
        }),
        raises(
            "CRP701",
            "compat's note is no JSON",
            (store!("cuda12.8-cuda_compat-12.8.39/compat/libcuda.so.1"), "compat"),
        )
        .in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.1"), &compat(Machine::Aarch64, "{\"format\":1,"));
        }),
        raises(
            "CRP701",
            "compat's note is of another format",
            (store!("cuda12.8-cuda_compat-12.8.39/compat/libcuda.so.1"), "compat"),
        )
        .in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.1"), &compat(Machine::Aarch64, "{\"format\":2}"));
        }),
        near("CRP701", "both notes are whole").in_closure(|image| {
            let spec = compat(Machine::Aarch64, r#"{"format":1,"CUDA version":"13.0","driver":[580],"device":["x"]}"#);
            image.put(&format!("{COMPAT}/libcuda.so.1"), &spec.note(dlopen_note(b"[]")));
        }),
        near("CRP701", "compat's note overruns its section").in_closure(|image| {
            let mut note = compat_note(br#"{"format":1,"CUDA version":"12.8"}"#);
            note.overrun = 1 << 20;
            let spec = driver_for(Machine::Aarch64, "libcuda.so.1").runpath(DRIVER).note(note);
            image.put(&format!("{COMPAT}/libcuda.so.1"), &spec);
        }),
        near("CRP701", "another owner's note of that type").in_image(|image| {
            let mut note = dlopen_note(b"no JSON");
            note.owner = "ABC";
            image.put(LIB, &library().note(note));
        }),
    ]
}

fn cut(image: &Image, length: usize) {
    let mut bytes = library().build();
    bytes.truncate(length);
    image.file(LIB, &bytes);
}

const ROW: &str = "[[allow]]\ncode = \"CRP307\"\npath = \"/lib/*\"\nreason = \"upstream wants it\"\n";

fn allowlists() -> Vec<Case> {
    const ALLOW: &[&str] = &["--allow", "IMAGE/allow.toml"];
    vec![
        raises("CRP703", "a row for nothing", ("IMAGE/allow.toml", "CRP307 /lib/*")).with(ALLOW).in_image(|image| {
            image.file("/allow.toml", ROW.as_bytes());
            image.put(LIB, &linked().runpath(DRIVER));
        }),
        near("CRP703", "a row that is used").with(ALLOW).in_image(|image| {
            image.file("/allow.toml", ROW.as_bytes());
            image.put(LIB, &linked().rpath(DRIVER));
        }),
        raises("CRP704", "past its date", ("IMAGE/allow.toml", "CRP307 /lib/*"))
            .finds("CRP307 CRP704")
            .with(ALLOW)
            .in_image(|image| {
                image.file("/allow.toml", format!("{ROW}until = 2001-12-31\n").as_bytes());
                image.put(LIB, &linked().rpath(DRIVER));
            }),
        near("CRP704", "before its date").with(ALLOW).in_image(|image| {
            image.file("/allow.toml", format!("{ROW}until = 9999-12-31\n").as_bytes());
            image.put(LIB, &linked().rpath(DRIVER));
        }),
    ]
}

fn journals() -> Vec<Case> {
    vec![
        raises("CRP705", "a journal of 0.1.0", (LIB, "")).in_image(|image| ends_with(image, b"\ncuda-runpath\0J2")),
        raises("CRP705", "a journal", (LIB, "")).in_image(|image| ends_with(image, b"\ncuda-runpath\0J3")),
        near("CRP705", "a payload").in_image(|image| ends_with(image, b"\ncuda-runpath\0J3\n")),
    ]
}

fn ends_with(image: &Image, end: &[u8]) {
    image.file(LIB, &[&linked().runpath(DRIVER).build(), end].concat());
}

/// So many names, none of which is there, in so many spellings of one directory.
fn asking(names: usize, entries: usize) -> Spec {
    let slashes = |n: usize| (0..13).map(|bit| if n >> bit & 1 == 0 { "/." } else { "//." }).collect::<String>();
    let path: Vec<String> = (0..entries).map(|n| format!("/opt{}/own", slashes(n))).collect();
    (0..names).fold(library().runpath(path.join(":")), |spec, n| spec.needs(&format!("libnone{n}.so")))
}

fn endless() -> Vec<Case> {
    vec![
        raises("CRP707", "names that are nowhere, in thousands of places", ("/opt/own/libx.so", ""))
            .finds(
                "CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 \
                 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 \
                 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP312 CRP707",
            )
            .in_image(|image| {
                image.put("/opt/own/libx.so", &asking(33, 8192));
            }),
        near("CRP707", "a few").finds("CRP312").in_image(|image| {
            image.put("/opt/own/libx.so", &asking(1, 8192));
        }),
    ]
}
