//! CRP408 and CRP409: what the driver's libcuda does not find, and what else lies in the driver directory.

use super::image::{Image, store};
use super::objects::{COMPAT, DRIVER, compat, dlopens, driver, library, program};
use super::table::{Case, near, raises};
use crate::elfgen::{Kind, Machine, Spec};

const JIT: &str = "libnvidia-ptxjitcompiler.so.1";
const LIBCUDA: &str = "/run/opengl-driver/lib/libcuda.so.1";
/// A second package of the driver.
const SECOND: &str = "/opt/second/lib";
const APP: &str = store!("app/lib/libuser.so.1");
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

pub(crate) fn cases() -> Vec<Case> {
    [companions(), shadows()].into_iter().flatten().collect()
}

/// libcuda, which opens these libraries.
fn opens(names: &[&str]) -> Spec {
    names.iter().fold(driver("libcuda.so.1").imports("dlopen"), |spec, name| spec.carries(name))
}

fn asks(image: &Image) {
    image.put(APP, &dlopens(&["libcuda.so.1"]).runpath(DRIVER));
}

fn put(image: &Image, directory: &str, name: &str) {
    image.put(&format!("{directory}/{name}"), &driver(name));
}

fn companions() -> Vec<Case> {
    vec![
        raises("CRP408", "in a package that libcuda does not list", (LIBCUDA, JIT)).finds("CRP408 CRP604").in_image(
            |image| {
                asks(image);
                put(image, SECOND, JIT);
                image.put(LIBCUDA, &opens(&[JIT]).runpath(DRIVER));
            },
        ),
        raises("CRP408", "beside libcuda, which does not search there", (LIBCUDA, JIT)).in_image(|image| {
            asks(image);
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT]));
        }),
        raises("CRP408", "less than PTX", (LIBCUDA, "libnvidia-nvvm.so.4")).severity("warning").in_image(|image| {
            asks(image);
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT, "libnvidia-nvvm.so.4"]).runpath("$ORIGIN"));
        }),
        // The path of a program is lent to no library by DT_RUNPATH.
        raises("CRP408", "in the program's path alone", (LIBCUDA, JIT)).in_image(|image| {
            image.put("/bin/app", &program().imports("dlopen").carries("libcuda.so.1").runpath(DRIVER));
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT]));
        }),
        raises(
            "CRP408",
            "compat without its compiler",
            (store!("cuda12.8-cuda_compat-12.8.39/compat/libcuda.so.1"), JIT),
        )
        .finds("CRP404 CRP408")
        .in_closure(|image| {
            image.put(APP, &dlopens(&["libcuda.so.1"]).runpath(format!("{COMPAT}:{DRIVER}")));
            let note = r#"{"format":1,"CUDA version":"12.8"}"#;
            let spec = compat(Machine::X86_64, note).imports("dlopen").carries(JIT).runpath("$ORIGIN");
            image.put(&format!("{COMPAT}/libcuda.so.1"), &spec);
        }),
        near("CRP408", "its own directory").in_image(|image| {
            asks(image);
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT]).runpath("$ORIGIN"));
        }),
        near("CRP408", "the directory that the link to libcuda lies in").finds("CRP604").in_image(|image| {
            asks(image);
            put(image, DRIVER, JIT);
            image.put("/opt/driver/lib/libcuda.so.570.10", &opens(&[JIT]).runpath("$ORIGIN"));
            image.link(LIBCUDA, "/opt/driver/lib/libcuda.so.570.10");
        }),
        // glibc: the DT_RPATH of the object that calls dlopen serves what that loads.
        near("CRP408", "the DT_RPATH of the program").finds("CRP307").in_image(|image| {
            image.put("/bin/app", &program().imports("dlopen").carries("libcuda.so.1").rpath(DRIVER));
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT]));
        }),
        // The driver's own package is checked as well: CRP307.
        near("CRP408", "a DT_RPATH of libcuda").finds("CRP307").in_image(|image| {
            asks(image);
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT]).rpath(DRIVER));
        }),
        // musl searches the program's path, whoever calls dlopen.
        near("CRP408", "a program of musl").in_image(|image| {
            let app = Spec::new(Machine::X86_64, Kind::Pie).interpreter(MUSL).imports("dlopen");
            image.put("/bin/app", &app.carries("libcuda.so.1").runpath(DRIVER));
            put(image, DRIVER, JIT);
            image.put(LIBCUDA, &opens(&[JIT]));
        }),
        near("CRP408", "what libcuda does not name").in_image(|image| {
            asks(image);
            image
                .put(LIBCUDA, &opens(&["libnvidia-nvvm70.so.4", "libnvidia-pkcs11.so.570.10", "xlibnvidia-nvvm.so.4"]));
        }),
        near("CRP408", "only the target has the driver").in_closure(asks),
    ]
}

fn shadows() -> Vec<Case> {
    const OWN: &str = "/opt/own/lib";
    /// A library under its name, told from another build by what it carries.
    fn build(image: &Image, directory: &str, soname: &str, text: &str) {
        image.put(&format!("{directory}/{soname}"), &library().soname(soname).carries(text));
    }
    fn needs(image: &Image, soname: &str, path: &str) {
        image.put(APP, &library().needs(soname).runpath(path));
    }
    /// A program that gets a library of its own, and what that needs.
    fn transitive(image: &Image, program: Spec, own: Spec) {
        image.put("/bin/app", &program.needs("libw.so.1"));
        image.put("/opt/own/lib/libw.so.1", &own.soname("libw.so.1").needs("libown.so.1"));
        build(image, OWN, "libown.so.1", "two");
        build(image, DRIVER, "libown.so.1", "one");
    }
    const BOTH: &str = "/run/opengl-driver/lib:/opt/own/lib";
    vec![
        raises("CRP409", "a library that is opened", (APP, "libown.so.1")).severity("warning").in_image(|image| {
            image.put(APP, &dlopens(&["libown.so.1"]).runpath(BOTH));
            build(image, OWN, "libown.so.1", "two");
            build(image, DRIVER, "libown.so.1", "one");
        }),
        raises("CRP409", "what a library needs", ("/opt/own/lib/libw.so.1", "libown.so.1"))
            .severity("warning")
            .in_image(|image| transitive(image, program().runpath(OWN), library().runpath(BOTH))),
        raises("CRP409", "what a library needs, through the program's DT_RPATH", ("/bin/app", "libown.so.1"))
            .severity("warning")
            .finds("CRP307 CRP409")
            .in_image(|image| transitive(image, program().rpath(BOTH), library())),
        raises("CRP409", "what a library beside the checked ones needs", (store!("app/bin/app"), "libown.so.1"))
            .severity("warning")
            .with(&[store!("app")])
            .in_image(|image| {
                transitive(image, program().runpath(OWN), library().runpath(BOTH));
                image.put(store!("app/bin/app"), &program().runpath(OWN).needs("libw.so.1"));
            }),
        near("CRP409", "a library that is opened, in its own place first").in_image(|image| {
            image.put(APP, &dlopens(&["libown.so.1"]).runpath("/opt/own/lib:/run/opengl-driver/lib"));
            build(image, OWN, "libown.so.1", "two");
            build(image, DRIVER, "libown.so.1", "one");
        }),
        raises("CRP409", "another build", (APP, "libown.so.1")).severity("warning").in_image(|image| {
            needs(image, "libown.so.1", "/run/opengl-driver/lib:/opt/own/lib");
            build(image, OWN, "libown.so.1", "two");
            build(image, DRIVER, "libown.so.1", "one");
        }),
        raises("CRP409", "the C library", (APP, "libc.so.6")).in_image(|image| {
            needs(image, "libc.so.6", "/run/opengl-driver/lib:/opt/own/lib");
            build(image, OWN, "libc.so.6", "two");
            build(image, DRIVER, "libc.so.6", "one");
        }),
        raises("CRP409", "the folder itself is linked", (APP, "libm.so.6")).in_image(|image| {
            needs(image, "libm.so.6", "/run/opengl-driver/lib:/opt/own/lib");
            build(image, OWN, "libm.so.6", "two");
            build(image, "/usr/lib/x86_64-linux-gnu", "libm.so.6", "one");
            image.folder("/run/opengl-driver", 0o755).link(DRIVER, "/usr/lib/x86_64-linux-gnu");
        }),
        near("CRP409", "one file under two names").in_image(|image| {
            needs(image, "libown.so.1", "/run/opengl-driver/lib:/opt/own/lib");
            build(image, OWN, "libown.so.1", "one");
            image.folder(DRIVER, 0o755).link("/run/opengl-driver/lib/libown.so.1", "/opt/own/lib/libown.so.1");
        }),
        near("CRP409", "nothing else has it").in_image(|image| {
            needs(image, "libown.so.1", "/run/opengl-driver/lib:/opt/own/lib");
            image.folder(OWN, 0o755);
            build(image, DRIVER, "libown.so.1", "one");
        }),
        near("CRP409", "its own comes first").in_image(|image| {
            needs(image, "libown.so.1", "/opt/own/lib:/run/opengl-driver/lib");
            build(image, OWN, "libown.so.1", "two");
            build(image, DRIVER, "libown.so.1", "one");
        }),
        near("CRP409", "a library of the driver").finds("CRP604").in_image(|image| {
            image.put(APP, &dlopens(&[]).needs("libnvidia-ml.so.1").runpath("/run/opengl-driver/lib:/opt/own/lib"));
            put(image, OWN, "libnvidia-ml.so.1");
            put(image, DRIVER, "libnvidia-ml.so.1");
        }),
    ]
}
