//! CRP320 to CRP323: will the library that is found also fit?

use super::image::Image;
use super::objects::{library, program};
use super::table::{Case, near, raises};
use crate::elfgen::{Kind, Machine, Spec};

const LIB: &str = "/lib/libuser.so.1";
const APP: &str = "/bin/app";

pub(crate) fn cases() -> Vec<Case> {
    versions()
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
