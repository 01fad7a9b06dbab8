//! `doctor` on machines that are made up: a Jetson, WSL, drivers in pieces.

use serde_json::Value;

use super::image::Image;
use super::objects::{DRIVER, compat, driver, driver_for, library};
use crate::elfgen::Machine;

const LIBCUDA: &str = "/run/opengl-driver/lib/libcuda.so.1";
const JIT: &str = "libnvidia-ptxjitcompiler.so.1";
const HOST: [&str; 2] = ["--host-driver", "570.10"];

struct Told {
    code: i32,
    diagnoses: Vec<Value>,
}

impl Told {
    fn by(image: &Image, arguments: &[&str]) -> Self {
        let run = image.run("doctor", arguments);
        run.assert_orderly("doctor");
        Self { code: run.code, diagnoses: run.json()["diagnoses"].as_array().unwrap().clone() }
    }

    /// The status of what is said of a subject with these words in it.
    fn status(&self, subject: &str, words: &str) -> &str {
        let is_it = |told: &&Value| told["subject"] == subject && told["detail"].as_str().unwrap().contains(words);
        let told = self.diagnoses.iter().find(is_it);
        told.unwrap_or_else(|| panic!("{subject}: {words} is not in {:#?}", self.diagnoses))["status"].as_str().unwrap()
    }

    /// What is not said at all.
    fn is_silent(&self, words: &str) -> bool {
        !self.diagnoses.iter().any(|told| told["detail"].as_str().unwrap().contains(words))
    }

    fn codes(&self) -> Vec<&str> {
        self.diagnoses.iter().filter_map(|told| told["code"].as_str()).collect()
    }
}

/// A Jetson with its board support in the driver directory.
fn jetson(release: &str, chip: &str) -> Image {
    let image = Image::new();
    image.file("/etc/nv_tegra_release", format!("# {release} (release), REVISION: 2.0, GCID: 1\n").as_bytes());
    image.file("/proc/device-tree/compatible", format!("nvidia,p3767\0nvidia,{chip}\0").as_bytes());
    for name in ["libnvrm_gpu.so", "libnvrm_mem.so", "libnvdla_runtime.so"] {
        image.put(&format!("{DRIVER}/{name}"), &driver_for(Machine::Aarch64, name));
    }
    image
}

fn wsl() -> Image {
    let image = Image::new();
    image.file("/proc/version", b"Linux version 6.6.87.2-microsoft-standard-WSL2 #1 SMP\n");
    for name in ["libcuda.so.1", "libnvidia-ml.so.1"] {
        image.put(&format!("/usr/lib/wsl/lib/{name}"), &driver(name));
    }
    image
}

#[test]
fn wsl_has_no_kernel_module() {
    let image = wsl();
    image.file("/dev/dxg", b"");
    image.folder("/run/opengl-driver", 0o755).link(DRIVER, "/usr/lib/wsl/lib");
    let told = Told::by(&image, &[]);
    assert_eq!((told.code, told.status("kernel driver", "/dev/dxg (WSL)")), (0, "ok"), "{:#?}", told.diagnoses);
    // Without the device nothing works, and without the directory no program finds the driver.
    let image = wsl();
    image.folder("/dev", 0o755);
    let told = Told::by(&image, &[]);
    assert_eq!((told.code, told.status("kernel driver", "/dev/dxg does not exist")), (1, "error"));
    assert_eq!(told.status("driver directory (64-bit)", "elsewhere link it to /usr/lib/wsl/lib"), "error");
    // Whoever built the kernel.
    let image = wsl();
    image.file("/proc/version", b"Linux version 5.15.153.1-custom #1 SMP\n").file("/dev/dxg", b"");
    image.folder("/run/opengl-driver", 0o755).link(DRIVER, "/usr/lib/wsl/lib");
    let told = Told::by(&image, &[]);
    assert_eq!((told.code, told.status("kernel driver", "/dev/dxg (WSL)")), (0, "ok"), "{:#?}", told.diagnoses);
    // The device alone makes no WSL of a machine without a module.
    let image = Image::new();
    image.file("/dev/dxg", b"").put(LIBCUDA, &driver("libcuda.so.1"));
    let told = Told::by(&image, &[]);
    assert_eq!((told.code, told.status("kernel driver", "the nvidia module is not loaded")), (1, "error"));
}

#[test]
fn libcuda_must_find_what_it_opens() {
    let opens = || driver("libcuda.so.1").imports("dlopen").carries(JIT).carries("libnvidia-gpucomp.so.570.10");
    let second = |image: &Image| {
        image.put(&format!("/opt/second/lib/{JIT}"), &driver(JIT));
    };
    let image = Image::new();
    image.put(LIBCUDA, &opens().runpath(DRIVER));
    second(&image);
    let told = Told::by(&image, &HOST);
    assert_eq!((told.code, told.codes()), (1, vec!["CRP408", "CRP408"]));
    assert_eq!(told.status("libcuda", "ptxjitcompiler.so.1 and does not find it"), "error");
    assert_eq!(told.status("libcuda", "gpucomp.so.570.10 and does not find it"), "warning");
    // Its own path.
    image.put(LIBCUDA, &opens().runpath("$ORIGIN:/opt/second/lib"));
    image.put(&format!("{DRIVER}/libnvidia-gpucomp.so.570.10"), &driver("libnvidia-gpucomp.so.570.10"));
    let told = Told::by(&image, &HOST);
    assert_eq!((told.code, told.codes()), (0, vec![]));
    assert_eq!(told.status("libcuda", "finds libnvidia-ptxjitcompiler.so.1, libnvidia-gpucomp.so.570.10"), "ok");
    // The machine's loader: other loaders have other default directories.
    image.put(LIBCUDA, &driver("libcuda.so.1").imports("dlopen").carries(JIT));
    image.put(&format!("/usr/lib64/{JIT}"), &driver(JIT));
    let told = Told::by(&image, &HOST);
    assert_eq!((told.code, told.status("libcuda", "only with /lib64/ld-linux-x86-64.so.2")), (0, "note"));
    // What if.
    image.put(LIBCUDA, &opens());
    let with: Vec<&str> =
        HOST.into_iter().chain(["--env", "LD_LIBRARY_PATH=/opt/second/lib:/run/opengl-driver/lib"]).collect();
    assert_eq!(Told::by(&image, &with).codes(), Vec::<&str>::new());
}

#[test]
fn a_driver_directory_has_the_driver_only() {
    let image = Image::new();
    image.put("/usr/lib/x86_64-linux-gnu/libcuda.so.1", &driver("libcuda.so.1"));
    for name in ["libc.so.6", "libstdc++.so.6", "libz.so.1"] {
        image.put(&format!("/usr/lib/x86_64-linux-gnu/{name}"), &library().soname(name));
    }
    image.folder("/run/opengl-driver", 0o755).link(DRIVER, "/usr/lib/x86_64-linux-gnu");
    let told = Told::by(&image, &HOST);
    assert_eq!((told.code, told.codes()), (1, vec!["CRP409"]));
    assert_eq!(told.status("driver directory (64-bit)", "has libc.so.6, libstdc++.so.6: where"), "error");
    // A directory that the machine's loader searches anyway gives its programs what they had.
    image.put("/usr/lib64/libcuda.so.1", &driver("libcuda.so.1"));
    image.put("/usr/lib64/libc.so.6", &library().soname("libc.so.6"));
    let told = Told::by(&image, &["--host-driver", "570.10", "--driver", "/usr/lib64"]);
    assert_eq!((told.code, told.status("driver directory (64-bit)", "has libc.so.6: where")), (0, "warning"));
}

#[test]
fn the_remedy_for_a_missing_directory_names_single_libraries() {
    let told = Told::by(&Image::new(), &HOST);
    assert_eq!(
        told.status("driver directory (64-bit)", "link each of the driver's libraries there by itself"),
        "error"
    );
    assert!(told.is_silent("link the driver's folder there"));
}

#[test]
fn l4t_39_has_a_driver_for_either_chip() {
    let folder = "/opt/nvidia/l4t-gpu-libs";
    let both = |chip: &str| {
        let image = jetson("R39", chip);
        for kind in ["nvgpu", "openrm"] {
            image.put(&format!("{folder}/{kind}/libcuda.so.1.1"), &driver_for(Machine::Aarch64, "libcuda.so.1"));
        }
        image
    };
    for (chip, own, other) in [("tegra234", "nvgpu", "openrm"), ("tegra264", "openrm", "nvgpu")] {
        let image = both(chip);
        let told = Told::by(&image, &[]);
        assert_eq!((told.code, told.status("libcuda", "when the board starts")), (1, "error"), "{chip}");
        image.link(LIBCUDA, &format!("{folder}/{own}/libcuda.so.1.1"));
        let told = Told::by(&image, &[]);
        assert_eq!((told.code, told.status("libcuda", own)), (0, "ok"), "{chip} {:#?}", told.diagnoses);
        let image = both(chip);
        image.link(LIBCUDA, &format!("{folder}/{other}/libcuda.so.1.1"));
        let told = Told::by(&image, &[]);
        assert_eq!((told.code, told.status("libcuda", "is the other chip's")), (1, "error"), "{chip}");
    }
    // An older board has no such folder.
    let told = Told::by(&jetson("R36", "tegra234"), &[]);
    assert!(told.is_silent("when the board starts"), "{:#?}", told.diagnoses);
}

/// The release of a Jetson's compat stands in its note alone, and that of the board's own driver in L4T's.
#[test]
fn a_jetsons_compat_is_newer_than_its_driver() {
    for (release, arguments, code) in [
        ("R36", &[][..], None),
        ("R39", &[], Some("CRP402")),
        ("R38", &[], Some("CRP402")),
        ("R36", &["--host-cuda", "12.9"], Some("CRP402")),
        ("R39", &["--host-cuda", "12.8"], None),
        // Of a board that is not known here nothing is said.
        ("R45", &[], None),
        ("R45", &["--host-driver", "610.10"], Some("CRP402")),
    ] {
        let image = jetson(release, "tegra234");
        image.put(LIBCUDA, &driver_for(Machine::Aarch64, "libcuda.so.1"));
        let note = r#"{"format":1,"CUDA version":"12.8"}"#;
        image
            .put("/opt/compat/libcuda.so.1.1", &compat(Machine::Aarch64, note))
            .link("/opt/compat/libcuda.so.1", "libcuda.so.1.1");
        let arguments: Vec<&str> = ["--compat", "/opt/compat"].into_iter().chain(arguments.iter().copied()).collect();
        let told = Told::by(&image, &arguments);
        assert_eq!(told.codes(), Vec::from_iter(code), "{release} {arguments:?}");
    }
}
