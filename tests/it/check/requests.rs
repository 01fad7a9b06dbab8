//! CRP100 to CRP202: what an object gets for the driver libraries that it asks for.

use super::image::{Image, store};
use super::objects::{
    COMPAT, DRIVER, LINK, OLD, STUBS, dlopen_note, dlopens, dlopens_for, driver, driver_for, functions, library,
    library_for, linked, nvml_stub, program, stub,
};
use super::table::{Case, near, raises};
use crate::elfgen::{Headers, Kind, Machine, Spec};

const LIB: &str = "/lib/libuser.so.1";
const CTYPES: &str = "/lib/_ctypes.cpython-313-x86_64-linux-gnu.so";
const CFFI: &str = "/lib/_cffi_backend.cpython-313-x86_64-linux-gnu.so";

pub(crate) fn cases() -> Vec<Case> {
    [unreachable(), shadowed(), at_runtime_and_inherited(), other_ways(), stubs()].into_iter().flatten().collect()
}

/// The file of an image with one library.
fn one(image: &Image, spec: &Spec) {
    image.put(LIB, spec);
}

fn unreachable() -> Vec<Case> {
    vec![
        raises("CRP100", "DT_NEEDED", (LIB, "libcuda.so.1")).in_image(|image| one(image, &linked())),
        raises("CRP100", "a name for dlopen", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &dlopens(&["libcuda.so.1"]))),
        raises("CRP100", "a name with a driver's release", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &dlopens(&["libcuda.so.570.133.07"]))),
        raises("CRP100", "a name with a driver's release of a library that has no other", (LIB, "libnvidia-nvvm.so.4"))
            .in_image(|image| one(image, &dlopens(&["libnvidia-nvvm.so.570.133.07"]))),
        raises("CRP100", "DT_NEEDED with a Jetson's release", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &library().needs("libcuda.so.1.1"))),
        raises("CRP100", "on a machine whose code is not read, the tail of a text", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &dlopens_for(Machine::Ppc64Le, &["a text that ends in libcuda.so.1"]))),
        near("CRP100", "a text that ends in the name")
            .in_image(|image| one(image, &dlopens(&["a text that ends in libcuda.so.1"]))),
        raises("CRP100", ".note.dlopen", (LIB, "libcuda.so.1")).in_image(|image| {
            let note = dlopen_note(br#"[{"feature":"gpu","soname":["libcuda.so.1"],"priority":"recommended"}]"#);
            one(image, &library().imports("dlopen").note(note));
        }),
        raises("CRP100", ".note.dlopen without section headers", (LIB, "libcuda.so.1")).in_image(|image| {
            let note = dlopen_note(br#"[{"soname":["libcuda.so.1"]}]"#);
            one(image, &library().imports("dlopen").note(note).headers(Headers::None));
        }),
        raises("CRP100", "a name for dlopen without section headers", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &dlopens(&["libcuda.so.1"]).headers(Headers::None))),
        raises("CRP100", "another library by its whole path", (LIB, "libcuda.so.1"))
            .finds("CRP100 CRP105")
            .in_image(|image| one(image, &dlopens(&["/usr/lib/x86_64-linux-gnu/libcuda.so.1"]))),
        raises("CRP100", "another path", (LIB, "libcuda.so.1")).in_image(|image| {
            image.folder("/opt/x", 0o755);
            one(image, &linked().runpath("/opt/x"));
        }),
        raises("CRP100", "a library elsewhere, and no driver directory", (LIB, "libcuda.so.1"))
            .finds("CRP100 CRP604")
            .in_image(|image| {
                image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
                one(image, &linked().runpath(OLD));
            }),
        raises("CRP100", "aarch64", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &dlopens_for(Machine::Aarch64, &["libcuda.so.1"]))),
        raises("CRP100", "a 32-bit object with the 64-bit directory", (LIB, "libcuda.so.1"))
            .finds("CRP100 CRP305")
            .in_image(|image| one(image, &library_for(Machine::I386).needs("libcuda.so.1").runpath(DRIVER))),
        raises("CRP100", "an empty RUNPATH", (LIB, "libcuda.so.1")).in_image(|image| one(image, &linked().runpath(""))),
        raises("CRP100", "an optional library is a warning", (LIB, "libgdrapi.so.2"))
            .severity("warning")
            .in_image(|image| one(image, &dlopens(&["libgdrapi.so.2"]))),
        raises("CRP100", "a library that counts on request", (LIB, "libmine.so.1"))
            .with(&["--driver-library", "libmine.so.1"])
            .in_image(|image| one(image, &dlopens(&["libmine.so.1"]))),
        near("CRP100", "the driver directory").in_image(|image| one(image, &linked().runpath(DRIVER))),
        near("CRP100", "a slash behind the directory")
            .in_image(|image| one(image, &linked().runpath("/run/opengl-driver/lib/"))),
        near("CRP100", "compat alone").with(&["--compat", "/opt/compat"]).in_image(|image| {
            image.put("/opt/compat/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &linked().runpath("/opt/compat"));
        }),
        near("CRP100", "a driver directory on request")
            .with(&["--driver", "/opt/driver"])
            .in_image(|image| one(image, &linked().runpath("/opt/driver"))),
        near("CRP100", "a 32-bit object with its own directory").in_image(|image| {
            one(image, &library_for(Machine::I386).needs("libcuda.so.1").runpath("/run/opengl-driver-32/lib"))
        }),
        near("CRP100", "LD_LIBRARY_PATH")
            .with(&["--env", "LD_LIBRARY_PATH=/run/opengl-driver/lib"])
            .in_image(|image| one(image, &linked())),
        near("CRP100", "the default directories have it").with(&["--driver", "/usr/lib64"]).in_image(|image| {
            image.put("/usr/lib64/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &linked());
        }),
        near("CRP100", "a text that goes on behind the name")
            .in_image(|image| one(image, &dlopens(&["libcuda.so.1 was not found", "libcuda.so.12"]))),
        near("CRP100", "the driver's library by its whole path").finds("CRP105").in_image(|image| {
            one(image, &dlopens(&["/run/opengl-driver/lib/libcuda.so.1"]));
        }),
        near("CRP100", "a link to the driver directory, which is not here").in_image(|image| {
            image.link("/opt/gpu", "/run/opengl-driver/lib");
            one(image, &linked().runpath("/opt/gpu"));
        }),
        near("CRP100", "links to a link to the driver directory").in_image(|image| {
            image.folder("/run", 0o755).link("/opt/a/gpu", "../b").link("/opt/b", "/var/run/../run/opengl-driver/lib");
            image.link("/var/run", "../run");
            one(image, &linked().runpath("$ORIGIN/../opt/a/gpu"));
        }),
        near("CRP100", "a link to the driver's libcuda").in_image(|image| {
            image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
            image.link("/opt/gpu/libcuda.so.1", "/run/opengl-driver/lib/libcuda.so.1");
            one(image, &linked().runpath("/opt/gpu"));
        }),
        near("CRP100", "a link to the driver's libcuda, which is not here").in_image(|image| {
            image.link("/opt/gpu/libcuda.so.1", "../../run/opengl-driver/lib/libcuda.so.1");
            one(image, &linked().runpath("/opt/gpu"));
        }),
        raises("CRP100", "a link to another libcuda, which is not here", (LIB, "libcuda.so.1")).in_image(|image| {
            image.link("/opt/gpu/libcuda.so.1", "/opt/other/libcuda.so.1");
            one(image, &linked().runpath("/opt/gpu"));
        }),
        near("CRP100", "a note about another library").in_image(|image| {
            let note = dlopen_note(br#"[{"feature":"x","soname":["libxcuda.so.1"]}]"#);
            one(image, &library().imports("dlopen").note(note));
        }),
        near("CRP100", "a driver library asks for another one").finds("CRP604").in_image(|image| {
            one(image, &driver("libcuda.so.1").needs("libnvidia-ml.so.1"));
        }),
    ]
}

fn shadowed() -> Vec<Case> {
    let old_first = "/opt/old-driver:/run/opengl-driver/lib";
    assert_eq!(old_first, format!("{OLD}:{DRIVER}"));
    vec![
        raises("CRP101", "an old driver first", (LIB, "libcuda.so.1")).finds("CRP101 CRP604").in_image(|image| {
            image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &linked().runpath("/opt/old-driver:/run/opengl-driver/lib"));
        }),
        raises("CRP101", "the same through $ORIGIN", (LIB, "libcuda.so.1")).finds("CRP101 CRP604").in_image(|image| {
            image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &dlopens(&["libcuda.so.1"]).runpath("$ORIGIN/../opt/old-driver:/run/opengl-driver/lib"));
        }),
        raises("CRP101", "compat behind it does not help", (LIB, "libcuda.so.1"))
            .finds("CRP101 CRP604")
            .with(&["--compat", "/opt/compat"])
            .in_image(|image| {
                image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
                image.put("/opt/compat/libcuda.so.1", &driver("libcuda.so.1"));
                one(image, &linked().runpath("/opt/old-driver:/opt/compat"));
            }),
        raises("CRP101", "a file that is no library ends the search", (LIB, "libcuda.so.1")).in_image(|image| {
            image.file("/opt/old-driver/libcuda.so.1", b"INPUT(/elsewhere/libcuda.so.1)\n");
            one(image, &linked().runpath("/opt/old-driver:/run/opengl-driver/lib"));
        }),
        near("CRP101", "the old driver is behind").finds("CRP604").in_image(|image| {
            image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &linked().runpath("/run/opengl-driver/lib:/opt/old-driver"));
        }),
        near("CRP101", "the directory in front has another driver library").finds("CRP604").in_image(|image| {
            image.put("/opt/old-driver/libnvidia-ml.so.1", &driver("libnvidia-ml.so.1"));
            one(image, &linked().runpath("/opt/old-driver:/run/opengl-driver/lib"));
        }),
        near("CRP101", "the library in front is for another class").finds("CRP604").in_image(|image| {
            image.put("/opt/old-driver/libcuda.so.1", &driver_for(Machine::I386, "libcuda.so.1"));
            one(image, &linked().runpath("/opt/old-driver:/run/opengl-driver/lib"));
        }),
        near("CRP101", "board support is a package of its own").in_image(|image| {
            image.put("/opt/l4t/libnvrm_gpu.so", &driver("libnvrm_gpu.so"));
            one(image, &dlopens(&["libnvrm_gpu.so"]).runpath("/opt/l4t:/run/opengl-driver/lib"));
        }),
    ]
}

fn at_runtime_and_inherited() -> Vec<Case> {
    vec![
        raises("CRP102", "NVML from a driver directory that is not here", (LIB, "libnvidia-ml.so.1"))
            .in_image(|image| one(image, &dlopens(&["libnvidia-ml.so.1"]).runpath(DRIVER))),
        raises("CRP102", "the driver directory here has no NVML", (LIB, "libnvidia-ml.so.1")).in_image(|image| {
            image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
            one(image, &dlopens(&["libcuda.so.1", "libnvidia-ml.so.1"]).runpath(DRIVER));
        }),
        raises("CRP102", "NVML through a link to the driver directory", (LIB, "libnvidia-ml.so.1")).in_image(|image| {
            image.link("/opt/gpu", "/run/opengl-driver/lib");
            one(image, &dlopens(&["libnvidia-ml.so.1"]).runpath("/opt/gpu"));
        }),
        near("CRP102", "libcuda is in every driver directory").in_image(|image| one(image, &linked().runpath(DRIVER))),
        near("CRP102", "the driver directory here has NVML").in_image(|image| {
            image.put("/run/opengl-driver/lib/libnvidia-ml.so.1", &driver("libnvidia-ml.so.1"));
            one(image, &dlopens(&["libnvidia-ml.so.1"]).runpath(DRIVER));
        }),
        raises("CRP103", "the program has the directory", ("/lib/libask.so.1", "RUNPATH"))
            .finds("CRP100 CRP103")
            .in_image(|image| {
                image.put("/bin/app", &program().needs("libask.so.1").runpath("/run/opengl-driver/lib:/lib"));
                image.put("/lib/libask.so.1", &dlopens(&["libcuda.so.1"]).soname("libask.so.1"));
                image.folder("/lib", 0o755);
            })
            .finds("CRP100 CRP103 CRP303"),
        near("CRP103", "the program has nothing either").finds("CRP100").in_image(|image| {
            image.put("/bin/app", &program().needs("libask.so.1").runpath("$ORIGIN/../lib"));
            image.put("/lib/libask.so.1", &dlopens(&["libcuda.so.1"]).soname("libask.so.1"));
        }),
        near("CRP103", "another program has the directory").finds("CRP100").in_image(|image| {
            image.put("/bin/app", &program().needs("libask.so.1").runpath("$ORIGIN/../lib"));
            image.put("/bin/other", &program().runpath(DRIVER));
            image.put("/lib/libask.so.1", &dlopens(&["libcuda.so.1"]).soname("libask.so.1"));
        }),
        near("CRP103", "DT_RPATH is inherited").finds("CRP307").in_image(|image| {
            image.put("/bin/app", &program().needs("libask.so.1").rpath("/run/opengl-driver/lib:$ORIGIN/../lib"));
            image.put("/lib/libask.so.1", &dlopens(&["libcuda.so.1"]).soname("libask.so.1"));
        }),
    ]
}

fn other_ways() -> Vec<Case> {
    vec![
        raises("CRP104", "the object that opens it does not search the driver directory", (LIB, "libcuda.so.1"))
            .in_image(|image| {
                image.put("/lib/libopener.so", &library().soname("libopener.so").imports("dlopen"));
                one(image, &library().carries("libcuda.so.1").needs("libopener.so").runpath("$ORIGIN"));
            }),
        raises("CRP104", "no program opens it", (LIB, "libcuda.so.1"))
            .in_image(|image| one(image, &library().carries("libcuda.so.1"))),
        raises("CRP104", "a Python script opens it through ctypes", (CTYPES, "libcuda.so.1")).in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/lib/app.py", b"import ctypes\nctypes.CDLL(\"libcuda.so.1\")\n");
        }),
        raises("CRP104", "a Python script opens it through cffi", (CFFI, "libcuda.so.1")).in_image(|image| {
            image.put(CFFI, &library().imports("dlopen"));
            image.put(CTYPES, &library().imports("dlopen").runpath(DRIVER));
            image.file("/lib/app.py", b"from cffi import FFI\nFFI().dlopen(\"libcuda.so.1\")\n");
        }),
        raises("CRP104", "one script of a package names it, and another one opens it", (CTYPES, "libnvidia-ml.so.1"))
            .in_image(|image| {
                image.put(CTYPES, &library().imports("dlopen"));
                image.file("/lib/names.py", b"NAMES = ('libnvidia-ml.so.1',)\n");
                image.file("/lib/opens.py", b"def load(name):\n    return ctypes.CDLL(name)\n");
            }),
        raises("CRP104", "a script that puts the name together", (CTYPES, "libcuda.so.1")).in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/lib/app.py", b"import ctypes\nctypes.CDLL(f'libcuda.so.{1}')\n");
        }),
        raises("CRP104", "a program in Python", (CTYPES, "libcuda.so.1")).in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/bin/tool", b"#!/usr/bin/env python3\nimport ctypes\nctypes.CDLL('libcuda.so.1')\n");
        }),
        raises("CRP104", "a compiled script without its source", (CTYPES, "libcuda.so.1")).in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/lib/app.pyc", b"\xa7\r\r\n\0\0\xda\x06ctypes\xda\x04CDLL\xfa\x0clibcuda.so.1");
        }),
        near("CRP104", "a compiled script whose source only compares").in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/lib/app.py", b"import ctypes\nctypes.CDLL(x) if 'libcuda.so.1' == x else 0\n");
            let compiled = b"\xa7\r\r\n\0\0\xda\x06ctypes\xda\x04CDLL\xfa\x0clibcuda.so.1";
            image.file("/lib/__pycache__/app.cpython-313.pyc", compiled);
        }),
        near("CRP104", "a program of another language").in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/bin/tool", b"#!/usr/bin/env ruby\nCDLL('libcuda.so.1')\n");
        }),
        near("CRP104", "the module of ctypes searches the driver directory").in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen").runpath(DRIVER));
            image.file("/lib/app.py", b"import ctypes\nctypes.CDLL('libcuda.so.1')\n");
        }),
        near("CRP104", "a Python script mentions it").in_image(|image| {
            image.put(CTYPES, &library().imports("dlopen"));
            image.file("/lib/app.py", b"import ctypes\n# ctypes.CDLL('libcuda.so.1')\nm = 'no libcuda.so.1'\n");
        }),
        near("CRP104", "the object that opens it searches the driver directory").in_image(|image| {
            image.put("/lib/libopener.so", &library().soname("libopener.so").imports("dlopen").runpath(DRIVER));
            one(image, &library().carries("libcuda.so.1").needs("libopener.so").runpath("$ORIGIN"));
        }),
        near("CRP104", "it opens it itself").in_image(|image| one(image, &dlopens(&["libcuda.so.1"]).runpath(DRIVER))),
        near("CRP104", "DT_NEEDED needs no dlopen").in_image(|image| {
            one(image, &linked().carries("libcuda.so.1").runpath(DRIVER));
        }),
        raises("CRP105", "a path of the board support", (LIB, "/usr/lib/aarch64-linux-gnu/tegra/libcuda.so.1"))
            .in_image(|image| {
                let path = "/usr/lib/aarch64-linux-gnu/tegra/libcuda.so.1";
                one(image, &dlopens(&[path]).runpath(DRIVER));
            }),
        raises("CRP105", "a path of the driver directory is a note", (LIB, "/run/opengl-driver/lib/libcuda.so.1"))
            .severity("note")
            .in_image(|image| one(image, &dlopens(&["/run/opengl-driver/lib/libcuda.so.1"]).runpath(DRIVER))),
        raises(
            "CRP105",
            "a path of the driver directory passes over compat",
            (LIB, "/run/opengl-driver/lib/libcuda.so.1"),
        )
        .finds("CRP105 CRP400")
        .with(&["--compat-policy", "require"])
        .in_image(|image| one(image, &dlopens(&["/run/opengl-driver/lib/libcuda.so.1"]))),
        near("CRP105", "a relative path")
            .in_image(|image| one(image, &dlopens(&["tegra/libcuda.so.1"]).runpath(DRIVER))),
        near("CRP105", "an absolute path of another library")
            .in_image(|image| one(image, &dlopens(&["/usr/lib/libz.so.1", "libcuda.so.1"]).runpath(DRIVER))),
        near("CRP105", "a sentence with a path in it")
            .in_image(|image| one(image, &dlopens(&["cannot open /usr/lib/libcuda.so.1"]).runpath(DRIVER))),
        raises("CRP106", "no other name", (LIB, "libcuda.so"))
            .in_image(|image| one(image, &dlopens(&["libcuda.so"]).runpath(DRIVER))),
        near("CRP106", "both names")
            .in_image(|image| one(image, &dlopens(&["libcuda.so.1", "libcuda.so"]).runpath(DRIVER))),
        near("CRP106", "the versioned name by DT_NEEDED")
            .in_image(|image| one(image, &linked().imports("dlopen").carries("libcuda.so").runpath(DRIVER))),
        raises("CRP108", "a static program", ("/bin/static", "libnvidia-ml.so.1")).in_image(|image| {
            image.put("/bin/static", &Spec::new(Machine::X86_64, Kind::Static).carries("libnvidia-ml.so.1"));
        }),
        raises("CRP108", "a static-pie program", ("/bin/static", "libcuda.so.1")).in_image(|image| {
            image.put("/bin/static", &Spec::new(Machine::X86_64, Kind::StaticPie).carries("libcuda.so.1"));
        }),
        near("CRP108", "a static program that names nothing").in_image(|image| {
            image.put("/bin/static", &Spec::new(Machine::X86_64, Kind::Static).carries("libcuda.so.10"));
        }),
        raises("CRP109", "no object asks", ("", ""))
            .with(&["--require-consumer"])
            .in_image(|image| one(image, &library())),
        raises("CRP109", "nothing is there", ("", "")).with(&["--require-consumer"]).in_image(|_| ()),
        near("CRP109", "an object asks")
            .with(&["--require-consumer"])
            .in_image(|image| one(image, &linked().runpath(DRIVER))),
    ]
}

fn stubs() -> Vec<Case> {
    vec![
        raises("CRP200", "a stub directory alone", (LIB, "libcuda.so.1")).finds("CRP200 CRP201 CRP202").in_image(
            |image| {
                image.put(&format!("{STUBS}/libcuda.so.1"), &stub(Machine::X86_64));
                one(image, &linked().runpath(STUBS));
            },
        ),
        raises("CRP200", "a stub that only its content tells", (LIB, "libcuda.so.1"))
            .finds("CRP200 CRP201 CRP202")
            .in_image(|image| {
                image.put("/opt/link/libcuda.so.1", &stub(Machine::X86_64));
                one(image, &dlopens(&["libcuda.so.1"]).runpath("/opt/link:/run/opengl-driver/lib"));
            }),
        raises("CRP200", "a stub for aarch64", (LIB, "libcuda.so.1")).finds("CRP200 CRP201 CRP202").in_image(|image| {
            image.put("/opt/link/libcuda.so.1", &stub(Machine::Aarch64));
            one(image, &dlopens_for(Machine::Aarch64, &["libcuda.so.1"]).runpath("/opt/link:/run/opengl-driver/lib"));
        }),
        raises("CRP200", "a stub with landing pads", (LIB, "libcuda.so.1")).finds("CRP200 CRP201 CRP202").in_image(
            |image| {
                let stub = Spec::new(Machine::X86_64, Kind::Library).soname("libcuda.so.1");
                let code = [0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 0x22, 0, 0, 0, 0xc3];
                image.put("/opt/link/libcuda.so.1", &functions(stub, 24, &code));
                one(image, &linked().runpath("/opt/link:/run/opengl-driver/lib"));
            },
        ),
        raises("CRP200", "a stub of NVML", (LIB, "libnvidia-ml.so.1")).finds("CRP200 CRP201 CRP202").in_image(
            |image| {
                image.put("/opt/link/libnvidia-ml.so.1", &nvml_stub());
                one(image, &dlopens(&["libnvidia-ml.so.1"]).runpath("/opt/link:/run/opengl-driver/lib"));
            },
        ),
        raises("CRP200", "a stub under the unversioned name", (LIB, "libcuda.so"))
            .finds("CRP106 CRP200 CRP201 CRP202")
            .in_image(|image| {
                image.put("/opt/link/libcuda.so", &stub(Machine::X86_64));
                one(image, &dlopens(&["libcuda.so"]).runpath("/opt/link:/run/opengl-driver/lib"));
            }),
        raises("CRP200", "a stub through LD_LIBRARY_PATH", (LIB, "libcuda.so.1"))
            .finds("CRP200 CRP202")
            .with(&["--env", "LD_LIBRARY_PATH=/opt/link"])
            .in_image(|image| {
                image.put("/opt/link/libcuda.so.1", &stub(Machine::X86_64));
                one(image, &linked().runpath(DRIVER));
            }),
        near("CRP200", "the stub is behind the driver").finds("CRP201 CRP202").in_image(|image| {
            image.put(&format!("{STUBS}/libcuda.so.1"), &stub(Machine::X86_64));
            one(image, &linked().runpath(format!("{DRIVER}:{STUBS}")));
        }),
        near("CRP200", "a real driver with the text of the stub's error").with(&["--driver", "/opt/driver"]).in_image(
            |image| {
                image.put("/opt/driver/libcuda.so.1", &driver("libcuda.so.1"));
                one(image, &linked().runpath("/opt/driver"));
            },
        ),
        near("CRP200", "functions that return what they are given").finds("CRP101 CRP604").in_image(|image| {
            let other = Spec::new(Machine::X86_64, Kind::Library).soname("libcuda.so.1");
            image.put("/opt/link/libcuda.so.1", &functions(other, 24, &[0x89, 0xf8, 0xc3]));
            one(image, &linked().runpath("/opt/link:/run/opengl-driver/lib"));
        }),
        raises("CRP200", "functions that return 999", (LIB, "libcuda.so.1")).finds("CRP200 CRP201 CRP202").in_image(
            |image| {
                let other = Spec::new(Machine::X86_64, Kind::Library).soname("libcuda.so.1");
                image.put("/opt/link/libcuda.so.1", &functions(other, 24, &[0xb8, 0xe7, 3, 0, 0, 0xc3]));
                one(image, &linked().runpath("/opt/link:/run/opengl-driver/lib"));
            },
        ),
        near("CRP200", "functions that do nothing, where the driver is").in_image(|image| {
            let other = Spec::new(Machine::X86_64, Kind::Library).soname("libcuda.so.1");
            image.put("/run/opengl-driver/lib/libcuda.so.1", &functions(other, 24, &[0x31, 0xc0, 0xc3]));
            one(image, &linked().runpath("/run/opengl-driver/lib"));
        }),
        near("CRP200", "some functions return 34").finds("CRP101 CRP604").in_image(|image| {
            let some = functions(driver("libcuda.so.1"), 24, &[0xb8, 0x22, 0, 0, 0, 0xc3]);
            image.put("/opt/link/libcuda.so.1", &some);
            one(image, &linked().runpath("/opt/link:/run/opengl-driver/lib"));
        }),
        raises("CRP201", "a stub directory behind the driver", (LIB, STUBS)).in_image(|image| {
            image.folder(STUBS, 0o755);
            one(image, &linked().runpath(format!("{DRIVER}:{STUBS}")));
        }),
        raises("CRP201", "a stub directory of an object that does not ask", (LIB, STUBS)).in_image(|image| {
            image.folder(STUBS, 0o755);
            one(image, &library().runpath(STUBS));
        }),
        raises("CRP201", "a directory that holds a stub", (LIB, LINK)).finds("CRP201 CRP202").in_image(|image| {
            image.put("/opt/link/libcuda.so", &stub(Machine::X86_64));
            one(image, &linked().runpath(format!("{DRIVER}:{LINK}")));
        }),
        raises("CRP201", "a directory on request", (LIB, LINK)).with(&["--stub", "/opt/link"]).in_image(|image| {
            image.folder(LINK, 0o755);
            one(image, &linked().runpath(format!("{DRIVER}:{LINK}")));
        }),
        raises("CRP201", "the unversioned name leads to a stub", (LIB, "libcuda.so"))
            .finds("CRP201 CRP201 CRP202")
            .in_image(|image| {
                image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
                image.put("/opt/link/libcuda.so", &stub(Machine::X86_64));
                one(image, &dlopens(&["libcuda.so.1", "libcuda.so"]).runpath(format!("{DRIVER}:{LINK}")));
            }),
        near("CRP201", "a directory called stubs that is none").in_image(|image| {
            image.folder("/opt/stubs", 0o755);
            one(image, &linked().runpath(format!("{DRIVER}:/opt/stubs")));
        }),
        near("CRP201", "a stub among stubs").in_image(|image| {
            image.put("/opt/toolkit/lib64/stubs/libcublas.so", &library().runpath("$ORIGIN"));
        }),
        near("CRP201", "compat has no stub name").in_image(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.1"), &driver("libcuda.so.1"));
            one(image, &linked().runpath(format!("{COMPAT}:{DRIVER}")));
        }),
        raises(
            "CRP202",
            "a stub in a closure",
            (
                store!("cuda12.8-cuda_cudart-12.8.90-stubs/lib/stubs/libcuda.so"),
                store!("cuda12.8-cuda_cudart-12.8.90-stubs"),
            ),
        )
        .in_closure(|image| {
            image.put(&format!("{STUBS}/libcuda.so"), &stub(Machine::X86_64));
            image.put(store!("app/lib/libuser.so.1"), &linked().runpath(DRIVER));
        }),
        raises(
            "CRP202",
            "once for a store path with several",
            (
                store!("cuda12.8-cuda_cudart-12.8.90-stubs/lib/stubs/libcuda.so"),
                store!("cuda12.8-cuda_cudart-12.8.90-stubs"),
            ),
        )
        .in_closure(|image| {
            image.put(&format!("{STUBS}/libcuda.so"), &stub(Machine::X86_64));
            image.put(&format!("{STUBS}/libnvidia-ml.so"), &nvml_stub());
        }),
        near("CRP202", "compat is no stub").in_closure(|image| {
            image.put(&format!("{COMPAT}/libcuda.so.1"), &driver("libcuda.so.1"));
        }),
    ]
}
