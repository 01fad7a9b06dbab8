//! CRP400 to CRP407: cuda_compat. CRP408 and CRP409 are in `driver.rs`.

use super::image::{Image, store};
use super::objects::{COMPAT, DRIVER, compat, compat_note, cudart, dlopens_for, driver_for, library_for};
use super::table::{Case, near, raises};
use crate::elfgen::{Machine, Spec};

const APP: &str = store!("app/lib/libuser.so.1");
const LIBCUDA: &str = store!("cuda12.8-cuda_compat-12.8.39/compat/libcuda.so.1");
const JETPACK6: &[&str] = &["--platform", "jetpack6"];
const NOTE: &str = r#"{"format":1,"CUDA version":"12.8","driver":[535,550,580]}"#;
const NOTE_ORIN: &str = r#"{"format":1,"CUDA version":"12.8"}"#;

pub(crate) fn cases() -> Vec<Case> {
    [wanted(), order(), older(), own_needs(), releases()].into_iter().flatten().collect()
}

fn asks(image: &Image, path: impl AsRef<[u8]>) {
    image.put(APP, &dlopens_for(Machine::Aarch64, &["libcuda.so.1"]).runpath(path));
}

/// compat's libcuda, in its directory.
fn has_compat(image: &Image, note: &str) {
    image.put(LIBCUDA, &compat(Machine::Aarch64, note));
}

fn has_cudart(image: &Image, release: &str) {
    let path = format!("/nix/store/00000000000000000000000000000000-cuda-cudart/lib/libcudart.so.{release}");
    image.put(&path, &cudart(Machine::Aarch64));
}

fn wanted() -> Vec<Case> {
    vec![
        raises("CRP400", "CUDA 12.8 on JetPack 6 without compat", (APP, "libcuda.so.1")).with(JETPACK6).in_closure(
            |image| {
                has_cudart(image, "12.8.90");
                asks(image, DRIVER);
            },
        ),
        raises("CRP400", "compat is in the closure, but not in the path", (APP, "libcuda.so.1"))
            .with(JETPACK6)
            .in_closure(|image| {
                has_cudart(image, "12.8.90");
                has_compat(image, NOTE_ORIN);
                asks(image, DRIVER);
            }),
        raises("CRP400", "on request", (APP, "libcuda.so.1"))
            .with(&["--compat-policy", "require"])
            .in_closure(|image| asks(image, DRIVER)),
        raises("CRP400", "the release of the package set", (APP, "libcuda.so.1")).with(JETPACK6).in_closure(|image| {
            let path = store!("cuda12.8-cuda_cudart-12.8.90-lib/lib/libcudart.so.12");
            image.put(path, &cudart(Machine::Aarch64));
            asks(image, DRIVER);
        }),
        raises("CRP400", "compat's directory is empty", (APP, "libcuda.so.1")).with(JETPACK6).in_closure(|image| {
            has_cudart(image, "12.8.90");
            image.folder(COMPAT, 0o755);
            asks(image, format!("{COMPAT}:{DRIVER}"));
        }),
        raises("CRP400", "compat is not in the closure", (APP, "libcuda.so.1"))
            .finds("CRP305 CRP400")
            .with(JETPACK6)
            .in_closure(|image| {
                has_cudart(image, "12.8.90");
                asks(image, format!("{COMPAT}:{DRIVER}"));
            }),
        near("CRP400", "compat first").with(JETPACK6).in_closure(|image| {
            has_cudart(image, "12.8.90");
            has_compat(image, NOTE_ORIN);
            asks(image, format!("{COMPAT}:{DRIVER}"));
        }),
        near("CRP400", "the platform's own driver is new enough").with(JETPACK6).in_closure(|image| {
            has_cudart(image, "12.6.85");
            asks(image, DRIVER);
        }),
        near("CRP400", "not a Jetson").with(&["--platform", "sbsa"]).in_closure(|image| {
            has_cudart(image, "12.8.90");
            asks(image, DRIVER);
        }),
        near("CRP400", "preferred only").with(&["--platform", "jetpack6", "--compat-policy", "prefer"]).in_closure(
            |image| {
                has_cudart(image, "12.8.90");
                asks(image, DRIVER);
            },
        ),
        near("CRP400", "a library that compat does not have").finds("CRP102").with(JETPACK6).in_closure(|image| {
            has_cudart(image, "12.8.90");
            image.put(APP, &dlopens_for(Machine::Aarch64, &["libnvidia-ml.so.1"]).runpath(DRIVER));
        }),
    ]
}

fn order() -> Vec<Case> {
    vec![
        raises("CRP401", "behind the driver", (APP, "libcuda.so.1")).in_closure(|image| {
            has_compat(image, NOTE);
            asks(image, format!("{DRIVER}:{COMPAT}"));
        }),
        raises("CRP401", "behind the driver, and needed", (APP, "libcuda.so.1")).with(JETPACK6).in_closure(|image| {
            has_compat(image, NOTE_ORIN);
            has_cudart(image, "12.8.90");
            asks(image, format!("{DRIVER}:{COMPAT}"));
        }),
        near("CRP401", "before the driver").in_closure(|image| {
            has_compat(image, NOTE);
            asks(image, format!("{COMPAT}:{DRIVER}"));
        }),
        near("CRP401", "before the driver, but not in the closure").finds("CRP305").in_closure(|image| {
            asks(image, format!("{COMPAT}:{DRIVER}"));
        }),
        near("CRP401", "forbidden anyway").with(&["--compat-policy", "forbid"]).in_closure(|image| {
            has_compat(image, NOTE);
            asks(image, format!("{DRIVER}:{COMPAT}"));
        }),
        raises("CRP402", "the host's driver is newer", (APP, "libcuda.so.1"))
            .with(&["--host-driver", "580.159.04"])
            .in_closure(|image| {
                image.put(&format!("{COMPAT}/libcuda.so.580.95.05"), &compat(Machine::Aarch64, NOTE));
                image.link(LIBCUDA, "libcuda.so.580.95.05");
                asks(image, format!("{COMPAT}:{DRIVER}"));
            }),
        raises("CRP402", "forbidden", (APP, "libcuda.so.1")).with(&["--compat-policy", "forbid"]).in_closure(|image| {
            has_compat(image, NOTE);
            asks(image, format!("{COMPAT}:{DRIVER}"));
        }),
        near("CRP402", "the host's driver is older").with(&["--host-driver", "550.54"]).in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.580.95.05"), &compat(Machine::Aarch64, NOTE));
            image.link(LIBCUDA, "libcuda.so.580.95.05");
            asks(image, format!("{COMPAT}:{DRIVER}"));
        }),
        near("CRP402", "the name tells no driver release (Jetson)").with(&["--host-driver", "540"]).in_closure(
            |image| {
                image.put(&format!("{COMPAT}/libcuda.so.1.1"), &compat(Machine::Aarch64, NOTE_ORIN));
                image.link(LIBCUDA, "libcuda.so.1.1");
                asks(image, format!("{COMPAT}:{DRIVER}"));
            },
        ),
        near("CRP402", "the driver is first").with(&["--host-driver", "580.159.04"]).in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.580.95.05"), &compat(Machine::Aarch64, NOTE));
            image.link(LIBCUDA, "libcuda.so.580.95.05");
            asks(image, DRIVER);
        }),
    ]
}

/// What a Jetson's own driver brings, and a compat whose release stands in its note only.
fn older() -> Vec<Case> {
    /// A Jetson's compat of CUDA 12.8, first in the path.
    fn has_jetson_compat(image: &Image) {
        image.put(&format!("{COMPAT}/libcuda.so.1.1"), &compat(Machine::Aarch64, NOTE_ORIN));
        image.link(LIBCUDA, "libcuda.so.1.1");
        asks(image, format!("{COMPAT}:{DRIVER}"));
    }
    /// A newer one beside it, which nothing asks for.
    fn has_newer_compat(image: &Image) {
        let path = store!("cuda13.3-cuda_compat-13.3.1/compat_orin/libcuda.so.1");
        image.put(path, &compat(Machine::Aarch64, r#"{"format":1,"CUDA version":"13.3"}"#));
    }
    vec![
        raises("CRP402", "the platform's own driver is of a newer CUDA release", (APP, "libcuda.so.1"))
            .with(&["--platform", "jetpack7"])
            .in_closure(has_jetson_compat),
        raises("CRP402", "the target's own driver is of a newer CUDA release", (APP, "libcuda.so.1"))
            .with(&["--host-cuda", "12.9"])
            .in_closure(has_jetson_compat),
        raises("CRP402", "too old, and a newer compat is in the closure", (APP, "libcuda.so.1"))
            .with(&["--platform", "jetpack7.2"])
            .finds("CRP402 CRP407 CRP601")
            .in_closure(|image| {
                has_jetson_compat(image);
                has_newer_compat(image);
            }),
        near("CRP402", "the same CUDA release").with(&["--host-cuda", "12.8"]).in_closure(has_jetson_compat),
        near("CRP402", "the platform's own driver is older").with(JETPACK6).in_closure(has_jetson_compat),
        near("CRP402", "preferred whatever it is")
            .with(&["--platform", "jetpack7", "--compat-policy", "prefer"])
            .in_closure(has_jetson_compat),
        near("CRP401", "behind a newer driver").with(&["--platform", "jetpack7"]).in_closure(|image| {
            has_jetson_compat(image);
            asks(image, format!("{DRIVER}:{COMPAT}"));
        }),
        raises("CRP400", "JetPack 7 with CUDA 13.2", (APP, "libcuda.so.1"))
            .with(&["--platform", "jetpack7"])
            .in_closure(|image| {
                has_cudart(image, "13.2.51");
                asks(image, DRIVER);
            }),
        raises("CRP400", "a major release that the driver does not know", (APP, "libcuda.so.1"))
            .with(&["--host-cuda", "12.4"])
            .in_closure(|image| {
                has_cudart(image, "13.0.48");
                asks(image, DRIVER);
            }),
        near("CRP400", "a minor release that the driver does not know").with(&["--host-cuda", "12.4"]).in_closure(
            |image| {
                has_cudart(image, "12.8.90");
                asks(image, DRIVER);
            },
        ),
        near("CRP400", "JetPack 7.2 has CUDA 13.2").with(&["--platform", "jetpack7.2"]).in_closure(|image| {
            has_cudart(image, "13.2.51");
            asks(image, DRIVER);
        }),
        near("CRP400", "JetPack 7 with a driver of CUDA 13.2")
            .with(&["--platform", "jetpack7", "--host-driver", "595.78"])
            .in_closure(|image| {
                has_cudart(image, "13.2.51");
                asks(image, DRIVER);
            }),
        near("CRP400", "a release that this program has not heard of")
            .with(&["--platform", "jetpack7.2", "--host-cuda", "13.9"])
            .in_closure(|image| {
                has_cudart(image, "13.8.10");
                asks(image, DRIVER);
            }),
    ]
}

/// What compat's libcuda needs itself.
fn own_needs() -> Vec<Case> {
    vec![
        raises("CRP403", "no path at all", (LIBCUDA, "libnvrm_gpu.so")).finds("CRP403 CRP403").in_closure(|image| {
            image.put(LIBCUDA, &needs(&["libnvrm_gpu.so", "libnvrm_mem.so"]));
        }),
        raises("CRP403", "names for dlopen", (LIBCUDA, "libnvdla_runtime.so")).in_closure(|image| {
            let spec = driver_for(Machine::Aarch64, "libcuda.so.1").imports("dlopen").carries("libnvdla_runtime.so");
            image.put(LIBCUDA, &spec);
        }),
        near("CRP403", "the driver directory of the target").finds("CRP102 CRP102").in_closure(|image| {
            image.put(LIBCUDA, &needs(&["libnvrm_gpu.so", "libnvrm_mem.so"]).runpath(DRIVER));
        }),
        near("CRP403", "the board support is a package").in_closure(|image| {
            image.put(LIBCUDA, &needs(&["libnvrm_gpu.so"]).runpath(store!("l4t-core/lib")));
            image.put(store!("l4t-core/lib/libnvrm_gpu.so"), &library_for(Machine::Aarch64).soname("libnvrm_gpu.so"));
        }),
        near("CRP403", "not compat").finds("CRP604").in_closure(|image| {
            image.put(store!("nvidia-x11/lib/libcuda.so.1"), &needs(&["libnvrm_gpu.so"]));
        }),
        raises("CRP404", "its companion beside it is not in its path", (LIBCUDA, "libnvidia-ptxjitcompiler.so.1"))
            .in_closure(|image| {
                let companion = "libnvidia-ptxjitcompiler.so.1";
                image.put(LIBCUDA, &driver_for(Machine::Aarch64, "libcuda.so.1").runpath(DRIVER));
                image.put(&format!("{COMPAT}/{companion}"), &driver_for(Machine::Aarch64, companion));
            }),
        raises("CRP404", "its companion is the driver's", (LIBCUDA, "libnvidia-nvvm.so.4")).in_closure(|image| {
            let spec = driver_for(Machine::Aarch64, "libcuda.so.1").imports("dlopen").carries("libnvidia-nvvm.so.4");
            image.put(LIBCUDA, &spec.runpath(DRIVER));
        }),
        near("CRP404", "its own directory first").in_closure(|image| {
            let companion = "libnvidia-ptxjitcompiler.so.1";
            let path = format!("$ORIGIN:{DRIVER}");
            image.put(LIBCUDA, &driver_for(Machine::Aarch64, "libcuda.so.1").carries(companion).runpath(path));
            image.put(&format!("{COMPAT}/{companion}"), &driver_for(Machine::Aarch64, companion));
        }),
        near("CRP404", "no companion, and none asked for").in_closure(|image| has_compat(image, NOTE)),
    ]
}

fn needs(names: &[&str]) -> Spec {
    names.iter().fold(driver_for(Machine::Aarch64, "libcuda.so.1"), |spec, name| spec.needs(name))
}

fn releases() -> Vec<Case> {
    vec![
        raises("CRP405", "the note says an older release", (LIBCUDA, "12.9")).in_closure(|image| {
            has_compat(image, NOTE);
            has_cudart(image, "12.9.79");
        }),
        raises("CRP405", "a note that overruns its section", (LIBCUDA, "12.9")).in_closure(|image| {
            let mut note = compat_note(NOTE_ORIN.as_bytes());
            note.overrun = 4096;
            image.put(LIBCUDA, &driver_for(Machine::Aarch64, "libcuda.so.1").runpath(DRIVER).note(note));
            has_cudart(image, "12.9.79");
        }),
        raises("CRP405", "the platform's last release", (LIBCUDA, "13.0")).with(JETPACK6).in_closure(|image| {
            image.put(LIBCUDA, &driver_for(Machine::Aarch64, "libcuda.so.1").runpath(DRIVER));
            has_cudart(image, "13.0.48");
        }),
        near("CRP405", "the same release").in_closure(|image| {
            has_compat(image, NOTE);
            has_cudart(image, "12.8.90");
        }),
        near("CRP405", "no note and no platform").in_closure(|image| {
            image.put(LIBCUDA, &driver_for(Machine::Aarch64, "libcuda.so.1").runpath(DRIVER));
            has_cudart(image, "13.0.48");
        }),
        raises("CRP406", "another branch", (LIBCUDA, "525")).with(&["--host-driver", "525"]).in_closure(|image| {
            has_compat(image, NOTE);
        }),
        near("CRP406", "a branch of the list").with(&["--host-driver", "550.54.15"]).in_closure(|image| {
            has_compat(image, NOTE);
        }),
        near("CRP406", "a note without a list").with(&["--host-driver", "525"]).in_closure(|image| {
            has_compat(image, NOTE_ORIN);
        }),
        raises("CRP407", "two releases", ("", store!("cuda12.6-cuda_compat-12.6.2/compat:/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat")))
            .finds("CRP407 CRP601")
            .in_closure(|image| {
                has_compat(image, NOTE);
                let other = store!("cuda12.6-cuda_compat-12.6.2/compat/libcuda.so.1");
                image.put(other, &compat(Machine::Aarch64, NOTE_ORIN));
            }),
        near("CRP407", "one directory with two names").in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.1.1"), &compat(Machine::Aarch64, NOTE));
            image.link(LIBCUDA, "libcuda.so.1.1");
        }),
    ]
}

/// Neither the driver nor this compat runs what the program needs: without compat it is CRP400.
#[test]
fn dropping_a_compat_that_is_too_old_repairs_nothing_where_one_is_needed() {
    let image = Image::new();
    has_cudart(&image, "13.2.51");
    has_compat(&image, NOTE_ORIN);
    asks(&image, format!("{COMPAT}:{DRIVER}"));
    let checked = image.check_closure(&["--platform", "jetpack7"]);
    assert_eq!(checked.codes(), "CRP402 CRP405");
    assert_eq!(checked.json["summary"]["fixable"], 0);
    asks(&image, DRIVER);
    assert_eq!(image.check_closure(&["--platform", "jetpack7"]).codes(), "CRP400 CRP405");
}
