//! CRP801 to CRP806: what a host makes of an image. CRP800 is about an image that is no tree: `container::rules` has it.

use super::image::Image;
use super::objects::{compat_note, driver};
use super::table::{Case, near, raises};
use crate::elfgen::{Kind, Machine, Spec};

const UBUNTU: &[&str] = &["--container", "ubuntu", "--host-driver", "550.163.01"];
const DEBIAN: &[&str] = &["--container", "debian", "--host-driver", "550.163.01"];
const SPEC: &[&str] = &["--cdi", "IMAGE/spec.json"];
const OWN: &str = "/usr/lib/x86_64-linux-gnu/nvidia/current";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        raises("CRP801", "in a directory that comes first", ("/bin/app", "libcuda.so.1"))
            .finds("CRP604 CRP801")
            .with(UBUNTU)
            .in_image(|image| put(image, "/usr/local/lib/libcuda.so.1")),
        raises("CRP801", "newer than the host's", ("/bin/app", "libcuda.so.1"))
            .finds("CRP604 CRP801")
            .with(UBUNTU)
            .in_image(|image| put(image, "/usr/lib/x86_64-linux-gnu/libcuda.so.570.1")),
        near("CRP801", "behind the driver's own directory")
            .finds("CRP604")
            .with(DEBIAN)
            .in_image(|image| put(image, "/usr/local/lib/libcuda.so.1")),
        near("CRP801", "older than the host's")
            .finds("CRP604")
            .with(UBUNTU)
            .in_image(|image| put(image, "/usr/lib/x86_64-linux-gnu/libcuda.so.535.1")),
        raises("CRP802", "and a directory that nothing else leads to", ("/etc/ld.so.conf", OWN))
            .finds("CRP100 CRP802")
            .with(DEBIAN)
            .in_image(without_include),
        raises("CRP802", "and a directory of the system", ("/etc/ld.so.conf", ""))
            .severity("warning")
            .with(UBUNTU)
            .in_image(without_include),
        near("CRP802", "an include of its own spelling").with(DEBIAN).in_image(|image| {
            debian(image);
            image.file("/etc/ld.so.conf", b"  include   ld.so.conf.d/*.conf # all\n");
        }),
        near("CRP802", "no ld.so.conf").with(DEBIAN).in_image(|image| {
            image.put("/bin/app", &app());
        }),
        raises("CRP803", "in a list of the image", ("/bin/app", "libcuda.so.1")).with(DEBIAN).in_image(|image| {
            compat(image, "550.54.14");
        }),
        raises("CRP803", "on a host that is not known", ("/bin/app", "libcuda.so.1"))
            .severity("warning")
            .with(&["--container", "debian"])
            .in_image(|image| compat(image, "550.54.14")),
        near("CRP803", "which the host admits").with(DEBIAN).in_image(|image| compat(image, "570.133.20")),
        raises("CRP804", "compat without the other name", ("/bin/app", "libcuda.so")).with(UBUNTU).in_image(|image| {
            compat(image, "570.133.20");
            image.put("/bin/app", &app().imports("dlopen").carries("libcuda.so"));
        }),
        near("CRP804", "compat with both names").with(UBUNTU).in_image(|image| {
            compat(image, "570.133.20");
            image.link("/usr/local/cuda/compat/libcuda.so", "libcuda.so.1");
            image.put("/bin/app", &app().imports("dlopen").carries("libcuda.so"));
        }),
        raises("CRP805", "another vendor's", ("", "rocm-hook")).with(SPEC).in_image(|image| {
            spec(image, r#"{"hookName":"createContainer","path":"/usr/bin/rocm-hook"}"#);
        }),
        near("CRP805", "what touches no library").with(SPEC).in_image(|image| {
            spec(
                image,
                r#"{"hookName":"createContainer","path":"/usr/bin/nvidia-ctk","args":["nvidia-ctk","hook","chmod","--mode","755"]}"#,
            );
        }),
        raises("CRP806", "without its newline", ("/etc/ld-musl-x86_64.path", "/usr/lib/x86_64-linux-gnu"))
            .finds("CRP100 CRP806")
            .with(UBUNTU)
            .in_image(|image| {
                alpine(image);
                image.file("/etc/ld-musl-x86_64.path", b"/opt/lib");
            }),
        raises("CRP806", "of another system than Alpine", (MUSL, "/usr/lib/x86_64-linux-gnu"))
            .finds("CRP100 CRP806")
            .with(UBUNTU)
            .in_image(of_musl),
        raises("CRP806", "that loses /usr/local/lib", ("/etc/ld-musl-x86_64.path", "/usr/local/lib"))
            .severity("warning")
            .with(UBUNTU)
            .in_image(|image| {
                alpine(image);
                image.put("/usr/local/lib/libown.so", &Spec::new(Machine::X86_64, Kind::Library).soname("libown.so"));
            }),
        near("CRP806", "with its newline").with(UBUNTU).in_image(|image| {
            alpine(image);
            image.file("/etc/ld-musl-x86_64.path", b"/opt/lib\n");
        }),
        near("CRP806", "of another system, which searches there").with(UBUNTU).in_image(|image| {
            of_musl(image);
            image.file("/etc/ld-musl-x86_64.path", b"/usr/lib/x86_64-linux-gnu:/lib");
        }),
    ]
}

const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

fn app() -> Spec {
    Spec::new(Machine::X86_64, Kind::Pie).needs("libcuda.so.1")
}

fn debian(image: &Image) {
    image.file("/etc/debian_version", b"12.5\n");
    image.file("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n");
    image.file("/etc/ld.so.conf.d/libc.conf", b"/usr/local/lib\n");
    image.put("/bin/app", &app());
}

fn put(image: &Image, path: &str) {
    debian(image);
    image.put(path, &driver("libcuda.so.1"));
}

fn without_include(image: &Image) {
    debian(image);
    image.file("/etc/ld.so.conf", b"# include ld.so.conf.d/*.conf\n/usr/local/lib\n");
}

fn compat(image: &Image, version: &str) {
    debian(image);
    let note = compat_note(br#"{"format":1,"CUDA version":"12.8","driver":[535,550]}"#);
    image.file("/etc/ld.so.conf.d/00-cuda-compat.conf", b"/usr/local/cuda/compat\n");
    let name = format!("libcuda.so.{version}");
    image.put(&format!("/usr/local/cuda/compat/{name}"), &driver("libcuda.so.1").note(note));
    image.link("/usr/local/cuda/compat/libcuda.so.1", &name);
}

/// A spec whose driver is found, with one more hook.
fn spec(image: &Image, hook: &str) {
    debian(image);
    let text = format!(
        r#"{{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{{"name":"all","containerEdits":{{}}}}],
        "containerEdits":{{"mounts":[{{"hostPath":"/usr/lib/libcuda.so.550.1","containerPath":"/usr/lib/libcuda.so.550.1"}}],
        "hooks":[{{"hookName":"createContainer","path":"/usr/bin/nvidia-cdi-hook","args":["x","update-ldcache","--folder","/usr/lib"]}},{hook}]}}}}"#
    );
    image.file("/spec.json", text.as_bytes());
}

fn of_musl(image: &Image) {
    image.put("/bin/app", &app().interpreter(MUSL));
    image.file(MUSL, b"not looked at");
}

fn alpine(image: &Image) {
    of_musl(image);
    image.file("/etc/alpine-release", b"3.20.0\n");
}
