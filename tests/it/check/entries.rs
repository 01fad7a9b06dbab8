//! CRP300 to CRP312 and CRP603: what is wrong with a search path, entry by entry.

use super::image::{Image, store};
use super::objects::{COMPAT, DRIVER, dlopens, driver, library, library_for, linked, program};
use super::table::{Case, near, raises};
use crate::elfgen::{Machine, Spec};

const LIB: &str = "/lib/libuser.so.1";

pub(crate) fn cases() -> Vec<Case> {
    [words(), places(), tags_and_notes(), needed()].into_iter().flatten().collect()
}

fn one(image: &Image, spec: &Spec) {
    image.put(LIB, spec);
}

/// What the entry's own letters tell.
fn words() -> Vec<Case> {
    vec![
        raises("CRP300", "a colon at the end", (LIB, "")).in_image(|image| {
            one(image, &library().runpath("/run/opengl-driver/lib:"));
        }),
        raises("CRP300", "a colon at the start", (LIB, "")).in_image(|image| {
            one(image, &library().runpath(":/run/opengl-driver/lib"));
        }),
        raises("CRP300", "one finding for several", (LIB, "")).in_image(|image| {
            one(image, &library().runpath("::/run/opengl-driver/lib::"));
        }),
        raises("CRP300", "DT_RPATH", (LIB, "")).finds("CRP300 CRP307").in_image(|image| {
            one(image, &library().rpath("/run/opengl-driver/lib:"));
        }),
        raises("CRP300", "LD_LIBRARY_PATH", ("", "LD_LIBRARY_PATH"))
            .with(&["--env", "LD_LIBRARY_PATH=:/run/opengl-driver/lib"])
            .in_image(|image| one(image, &library())),
        raises("CRP301", "LD_LIBRARY_PATH", ("", "../lib"))
            .with(&["--env", "LD_LIBRARY_PATH=/run/opengl-driver/lib;../lib"])
            .in_image(|image| one(image, &library())),
        near("CRP300", "LD_LIBRARY_PATH that is empty")
            .with(&["--env", "LD_LIBRARY_PATH="])
            .in_image(|image| one(image, &library())),
        near("CRP300", "musl takes nothing between two colons for nothing")
            .with(&["--env", "LD_LIBRARY_PATH=:/run/opengl-driver/lib"])
            .in_image(|image| one(image, &program().interpreter("/lib/ld-musl-x86_64.so.1"))),
        near("CRP300", "no empty entry").in_image(|image| one(image, &library().runpath("/run/opengl-driver/lib"))),
        near("CRP300", "an empty string is no path").in_image(|image| one(image, &library().runpath(""))),
        raises("CRP301", "a bare name", (LIB, "lib")).in_image(|image| one(image, &library().runpath("lib"))),
        raises("CRP301", "the current directory by name", (LIB, "."))
            .in_image(|image| one(image, &library().runpath("."))),
        raises("CRP301", "a token that only begins like $ORIGIN", (LIB, "$ORIGINAL/lib")).in_image(|image| {
            one(image, &library().runpath("$ORIGINAL/lib"));
        }),
        raises("CRP301", "another token", (LIB, "$LIB/x")).in_image(|image| one(image, &library().runpath("$LIB/x"))),
        near("CRP301", "$ORIGIN").in_image(|image| one(image, &library().runpath("$ORIGIN"))),
        near("CRP301", "${ORIGIN}").in_image(|image| one(image, &library().runpath("${ORIGIN}/../lib"))),
        // On a CPU of another make $PLATFORM is the machine's name: either may be meant.
        near("CRP305", "$PLATFORM of one CPU").in_image(|image| {
            image.folder("/opt/x86_64", 0o755);
            one(image, &library().runpath("/opt/$PLATFORM"));
        }),
        near("CRP305", "$PLATFORM of another CPU").in_image(|image| {
            image.folder("/opt/haswell", 0o755);
            one(image, &library().runpath("/opt/${PLATFORM}"));
        }),
        near("CRP312", "$PLATFORM of one CPU").in_image(|image| {
            image.put("/opt/x86_64/libneed.so", &library().soname("libneed.so"));
            image.folder("/opt/haswell", 0o755);
            one(image, &library().needs("libneed.so").runpath("/opt/$PLATFORM"));
        }),
        near("CRP301", "another token behind an absolute path").finds("CRP305").in_image(|image| {
            one(image, &library().runpath("/opt/$LIB"));
        }),
        raises("CRP302", "the build directory of Nix", (LIB, "/build/source/lib")).in_image(|image| {
            one(image, &library().runpath("/build/source/lib"));
        }),
        raises("CRP302", "a home", (LIB, "/home/user/lib")).in_image(|image| {
            image.folder("/home/user/lib", 0o755);
            one(image, &library().runpath("/home/user/lib"));
        }),
        raises("CRP302", "another home than the object's", ("/home/me/lib/libuser.so.1", "/home/you/lib")).in_image(
            |image| {
                image.folder("/home/you/lib", 0o755);
                image.put("/home/me/lib/libuser.so.1", &library().runpath("/home/you/lib"));
            },
        ),
        raises("CRP302", "what is gone from the object's own home", ("/root/app/libuser.so.1", "/root/build/lib"))
            .in_image(|image| {
                image.put("/root/app/libuser.so.1", &library().runpath("/root/build/lib"));
            }),
        raises(
            "CRP302",
            "an object that lies in a directory of builds itself",
            ("/tmp/app/libuser.so.1", "/tmp/app/lib"),
        )
        .in_image(|image| {
            image.folder("/tmp/app/lib", 0o755);
            image.put("/tmp/app/libuser.so.1", &library().runpath("/tmp/app/lib"));
        }),
        near("CRP302", "a program that is installed in a home").in_image(|image| {
            image.folder("/home/me/.pyenv/lib", 0o755);
            image.put("/home/me/.pyenv/bin/python", &program().runpath("/home/me/.pyenv/lib"));
        }),
        near("CRP302", "a name that begins like one").finds("CRP305").in_image(|image| {
            one(image, &library().runpath("/builder/lib"));
        }),
        near("CRP302", "a driver directory on request").with(&["--driver", "/home/me/driver"]).in_image(|image| {
            one(image, &linked().runpath("/home/me/driver"));
        }),
        near("CRP302", "a compat directory on request").with(&["--compat", "/root/compat"]).in_image(|image| {
            image.put("/root/compat/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &linked().runpath("/root/compat:/run/opengl-driver/lib"));
        }),
        raises("CRP303", "the stock toolkit", (LIB, "/usr/local/cuda/lib64")).in_image(|image| {
            one(image, &library().runpath("/usr/local/cuda/lib64"));
        }),
        raises("CRP303", "the host's libraries", (LIB, "/usr/lib/x86_64-linux-gnu")).in_image(|image| {
            image.folder("/usr/lib/x86_64-linux-gnu", 0o755);
            one(image, &library().runpath("/usr/lib/x86_64-linux-gnu"));
        }),
        near("CRP303", "a driver directory on request")
            .with(&["--driver", "/usr/lib/aarch64-linux-gnu/tegra"])
            .in_image(|image| one(image, &linked().runpath("/usr/lib/aarch64-linux-gnu/tegra"))),
        near("CRP303", "another directory below /usr").in_image(|image| {
            image.folder("/usr/share/lib", 0o755);
            one(image, &library().runpath("/usr/share/lib"));
        }),
        raises("CRP304", "twice", (LIB, "$ORIGIN")).in_image(|image| {
            one(image, &library().runpath("$ORIGIN:/run/opengl-driver/lib:$ORIGIN"));
        }),
        raises("CRP304", "three times is one finding", (LIB, "/run/opengl-driver/lib")).in_image(|image| {
            one(image, &library().runpath("/run/opengl-driver/lib:/run/opengl-driver/lib:/run/opengl-driver/lib"));
        }),
        near("CRP304", "two directories").in_image(|image| one(image, &library().runpath("$ORIGIN:$ORIGIN/.."))),
        raises("CRP603", "the compiler's own output", (LIB, store!("gcc-13.3.0/lib"))).in_image(|image| {
            image.folder(store!("gcc-13.3.0/lib"), 0o755);
            one(image, &library().runpath(store!("gcc-13.3.0/lib")));
        }),
        near("CRP603", "the run-time libraries").in_image(|image| {
            image.folder(store!("gcc-13.3.0-lib/lib"), 0o755);
            one(image, &library().runpath(store!("gcc-13.3.0-lib/lib")));
        }),
    ]
}

/// What the directory tells.
fn places() -> Vec<Case> {
    vec![
        raises("CRP305", "no such directory", (LIB, "/opt/gone")).in_image(|image| {
            one(image, &library().runpath("/opt/gone"));
        }),
        raises("CRP305", "relative to the object", (LIB, "$ORIGIN/../plugins")).in_image(|image| {
            one(image, &library().runpath("$ORIGIN/../plugins"));
        }),
        raises("CRP305", "a file is no directory", (LIB, "/opt/file")).in_image(|image| {
            image.file("/opt/file", b"");
            one(image, &library().runpath("/opt/file"));
        }),
        raises("CRP305", "a link to nothing", (LIB, "/opt/link")).in_image(|image| {
            image.link("/opt/link", "gone");
            one(image, &library().runpath("/opt/link"));
        }),
        raises("CRP305", "outside of the closure", (store!("app/lib/libuser.so.1"), "/opt/present")).in_closure(
            |image| {
                image.folder("/opt/present", 0o755);
                image.put(store!("app/lib/libuser.so.1"), &library().runpath("/opt/present"));
            },
        ),
        raises("CRP305", "compat is a part of the closure", (store!("app/lib/libuser.so.1"), COMPAT)).in_closure(
            |image| {
                image.put(store!("app/lib/libuser.so.1"), &linked().runpath(format!("{COMPAT}:{DRIVER}")));
            },
        ),
        near("CRP305", "the driver directory is the target's").in_closure(|image| {
            image.put(store!("app/lib/libuser.so.1"), &linked().runpath(DRIVER));
        }),
        near("CRP305", "a link to a directory").in_image(|image| {
            image.folder("/opt/real", 0o755);
            image.link("/opt/link", "/opt/real");
            one(image, &library().runpath("/opt/link"));
        }),
        near("CRP305", "another store path").in_closure(|image| {
            image.folder(store!("zlib-1.3/lib"), 0o755);
            image.put(store!("app/lib/libuser.so.1"), &library().runpath(store!("zlib-1.3/lib")));
        }),
        raises("CRP310", "mode 1777", (LIB, "/opt/plugins")).in_image(|image| {
            image.folder("/opt/plugins", 0o1777);
            one(image, &library().runpath("/opt/plugins"));
        }),
        raises("CRP310", "a directory that any user can make", (LIB, "/opt/shared/lib")).in_image(|image| {
            image.folder("/opt/shared", 0o777);
            one(image, &library().runpath("/opt/shared/lib"));
        }),
        raises("CRP310", "the driver directory itself", (LIB, DRIVER)).in_image(|image| {
            image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
            image.folder(DRIVER, 0o777);
            one(image, &linked().runpath(DRIVER));
        }),
        near("CRP310", "the group may write").in_image(|image| {
            image.folder("/opt/plugins", 0o775);
            one(image, &library().runpath("/opt/plugins"));
        }),
        near("CRP310", "a missing directory in one that others may only read").finds("CRP305").in_image(|image| {
            image.folder("/opt/shared", 0o755);
            one(image, &library().runpath("/opt/shared/lib"));
        }),
        near("CRP310", "a link of the image leads into the image").finds("CRP305").in_image(|image| {
            // Followed from the host's root, /tmp would be a directory that every user can write to.
            image.link("/opt/shared", "/tmp");
            image.folder("/tmp", 0o755);
            one(image, &library().runpath("/opt/shared/lib"));
        }),
    ]
}

fn tags_and_notes() -> Vec<Case> {
    vec![
        raises("CRP307", "DT_RPATH alone", (LIB, "DT_RPATH")).in_image(|image| one(image, &library().rpath("$ORIGIN"))),
        raises("CRP307", "both tags", (LIB, "both")).in_image(|image| {
            one(image, &library().rpath("$ORIGIN").runpath("$ORIGIN"));
        }),
        near("CRP307", "DT_RUNPATH").in_image(|image| one(image, &library().runpath("$ORIGIN"))),
        raises("CRP311", "a directory that the path no longer has", (LIB, "libcuda.so.1")).in_image(|image| {
            let note = [("libcuda.so.1", "=/opt/stubs/libcuda.so.1")];
            one(image, &linked().runpath(DRIVER).ldcache(&note));
        }),
        raises("CRP311", "the driver in front is unknown to it", (LIB, "libcuda.so.1")).in_image(|image| {
            image.folder("/opt/x", 0o755);
            let note = [("libcuda.so.1", "?/opt/x")];
            one(image, &linked().runpath("/run/opengl-driver/lib:/opt/x").ldcache(&note));
        }),
        raises("CRP311", "a library that is not needed", (LIB, "libz.so.1")).in_image(|image| {
            let note = [("libcuda.so.1", "?/run/opengl-driver/lib"), ("libz.so.1", "?/run/opengl-driver/lib")];
            one(image, &linked().runpath(DRIVER).ldcache(&note));
        }),
        raises("CRP311", "the path is gone altogether", (LIB, "libcuda.so.1")).finds("CRP100 CRP311").in_image(
            |image| {
                let note = [("libcuda.so.1", "=/opt/stubs/libcuda.so.1")];
                one(image, &linked().ldcache(&note));
            },
        ),
        near("CRP311", "it agrees").in_image(|image| {
            image.folder("/opt/x", 0o755);
            let note = [("libcuda.so.1", "?/run/opengl-driver/lib:=/opt/x/libcuda.so.1")];
            one(image, &linked().runpath("/run/opengl-driver/lib:/opt/x").ldcache(&note));
        }),
        near("CRP311", "it is empty").in_image(|image| one(image, &linked().runpath(DRIVER).ldcache(&[]))),
        near("CRP311", "tokens are not compared").in_image(|image| {
            let note = [("libcuda.so.1", "?/run/opengl-driver/lib:=/lib/libcuda.so.1")];
            one(image, &linked().runpath("/run/opengl-driver/lib:$ORIGIN").ldcache(&note));
        }),
    ]
}

fn needed() -> Vec<Case> {
    vec![
        raises("CRP312", "nowhere", (LIB, "libgone.so.1"))
            .in_image(|image| one(image, &library().needs("libgone.so.1"))),
        raises("CRP312", "outside of the closure", (store!("app/lib/libuser.so.1"), "libz.so.1")).in_closure(|image| {
            image.put("/opt/x/libz.so.1", &library().soname("libz.so.1"));
            image.put(store!("app/lib/libuser.so.1"), &library().needs("libz.so.1"));
        }),
        raises("CRP312", "of another machine only", (LIB, "libz.so.1")).finds("CRP312 CRP605").in_image(|image| {
            image.put("/opt/x/libz.so.1", &library_for(Machine::Aarch64).soname("libz.so.1"));
            image.put("/bin/app", &program());
            one(image, &library().needs("libz.so.1").runpath("/opt/x"));
        }),
        raises("CRP312", "a warning where another directory has it", (LIB, "libz.so.1")).severity("warning").in_image(
            |image| {
                image.put("/opt/x/libz.so.1", &library().soname("libz.so.1"));
                one(image, &library().needs("libz.so.1"));
            },
        ),
        raises("CRP312", "of a program that is an error", ("/bin/app", "libz.so.1")).in_image(|image| {
            image.put("/opt/x/libz.so.1", &library().soname("libz.so.1"));
            image.put("/bin/app", &program().needs("libz.so.1"));
        }),
        near("CRP312", "in the path").in_image(|image| {
            image.put("/opt/x/libz.so.1", &library().soname("libz.so.1"));
            one(image, &library().needs("libz.so.1").runpath("/opt/x"));
        }),
        near("CRP312", "a driver library").in_image(|image| one(image, &linked().runpath(DRIVER))),
        near("CRP312", "loaded by the program before").in_image(|image| {
            image.put("/lib/libz.so.1", &library().soname("libz.so.1"));
            image.put("/lib/libuser.so.1", &library().needs("libz.so.1"));
            image.put("/bin/app", &program().needs("libz.so.1").needs("libuser.so.1").runpath("$ORIGIN/../lib"));
        }),
        near("CRP312", "the default directories of the program's loader").in_closure(|image| {
            image.put(store!("glibc-2.40-66/lib/libc.so.6"), &library().soname("libc.so.6"));
            image.put(store!("app/bin/app"), &program().needs("libc.so.6"));
        }),
        near("CRP312", "dlopen of a name is no need").in_image(|image| one(image, &dlopens(&["libgone.so.1"]))),
    ]
}
