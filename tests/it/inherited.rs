//! What a process finds before an edit it finds after it: through a DT_RPATH that others inherit, through a stray entry that a
//! name in data or code needs, through a link.

use std::path::{Path, PathBuf};

use crate::harness::{Run, Tree, binary, command, expect, require, run};

/// A tree with a driver, a library in a directory of its own, and what asks for them.
struct Scene {
    tree: Tree,
}

/// Opens the driver, then a plugin beside the program by its whole path.
const OPENS_PLUGIN: &str = r#"
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    char path[4096];
    if (!dlopen("libcuda.so.1", RTLD_NOW)) return 3;
    int length = readlink("/proc/self/exe", path, 4000);
    while (path[length - 1] != '/') length--;
    strcpy(path + length, "plug.so");
    return !dlopen(path, RTLD_NOW);
}
"#;

/// Opens the driver and a library by name.
const OPENS_NAME: &str = r#"
#include <dlfcn.h>
int main(void) { return !dlopen("libcuda.so.1", RTLD_NOW) || !dlopen("libq.so.1", RTLD_NOW); }
"#;

/// The same, and the name stands in the code.
const OPENS_IMMEDIATE: &str = r#"
#include <dlfcn.h>
int main(void) { char name[] = "libq.so.1"; return !dlopen("libcuda.so.1", RTLD_NOW) || !dlopen(name, RTLD_NOW); }
"#;

/// Opens the driver and calls a library that it needs.
const CALLS: &str = r#"
#include <dlfcn.h>
int p(void);
int main(void) { return !dlopen("libcuda.so.1", RTLD_NOW) || p(); }
"#;

const NEEDS_Q: &str = "int q(void); int p(void) { return q(); }\n";
const OPENS_Q: &str = "#include <dlfcn.h>\nint p(void) { return !dlopen(\"libq.so.1\", RTLD_NOW); }\n";

impl Scene {
    fn new() -> Self {
        let scene = Self { tree: Tree::new() };
        for folder in ["driver", "ext", "lib", "app"] {
            scene.tree.folder(folder);
        }
        scene.library("driver/libcuda.so.1", "int cuInit(unsigned f) { return f; }\n", &[]);
        scene.library("ext/libq.so.1", "int q(void) { return 0; }\n", &[]);
        scene
    }

    fn at(&self, path: &str) -> String {
        self.tree.join(path).display().to_string()
    }

    fn compile(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let (file, text) = (self.tree.join(name), self.tree.join("source.c"));
        std::fs::write(&text, source).unwrap();
        expect(command("cc").args(["-O1", "-o"]).arg(&file).arg(&text).args(flags), 0);
        std::fs::remove_file(text).unwrap();
        file
    }

    fn library(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let soname = format!("-Wl,-soname,{}", name.rsplit('/').next().unwrap());
        self.compile(name, source, &[&["-shared", "-fPIC", &soname], flags].concat())
    }

    fn program(&self, source: &str, tag: &str, path: &str, more: &[&str]) -> PathBuf {
        let path = format!("-Wl,-rpath,{path}");
        self.compile("app/app", source, &[&[tag, &path], more].concat())
    }

    fn fix(&self, arguments: &[&str]) -> Run {
        expect(binary().args(["fix", "--driver", &self.at("driver")]).args(arguments).arg(self.tree.join("app")), 0)
    }
}

const RPATH: &str = "-Wl,--disable-new-dtags";
const RUNPATH: &str = "-Wl,--enable-new-dtags";

fn ends(program: &Path) -> i32 {
    run(&mut command(program)).code
}

/// DT_RPATH of a program serves its libraries and its plugins: neither its tag nor theirs may cut that off.
#[test]
fn what_only_an_inherited_path_serves_is_still_served() {
    if !require("cc", "what_only_an_inherited_path_serves_is_still_served") {
        return;
    }
    for options in [&[][..], &["--clean"], &["--only-consumers"], &["--tag", "keep"], &["--in-place"]] {
        for (plugin, calls) in [(NEEDS_Q, false), (OPENS_Q, false), (NEEDS_Q, true), (OPENS_Q, true)] {
            let scene = Scene::new();
            let q = scene.at("ext/libq.so.1");
            let needs: &[&str] = if plugin == NEEDS_Q { &[&q] } else { &[] };
            let path = format!("{}:{}:{}", scene.at("ext"), scene.at("driver"), scene.at("lib"));
            let program = if calls {
                let library = scene.library("lib/libp.so.1", plugin, needs);
                let link = format!("-Wl,-rpath-link,{}", scene.at("ext"));
                scene.program(CALLS, RPATH, &path, &[library.to_str().unwrap(), &link])
            } else {
                scene.compile("app/plug.so", plugin, &[&["-shared", "-fPIC"], needs].concat());
                scene.program(OPENS_PLUGIN, RPATH, &path, &[])
            };
            assert_eq!(ends(&program), 0);
            let ended = scene.fix(options);
            assert!(ended.stdout.contains("note: keeps DT_RPATH"), "{options:?}: {}", ended.said());
            assert_eq!(ends(&program), 0, "{options:?} {plugin}: {}", ended.said());
            let again = scene.fix(&[options, &["--check"]].concat());
            assert_eq!(ends(&program), 0, "{}", again.said());
        }
    }
}

/// Where nothing else needs it, DT_RPATH becomes DT_RUNPATH as before; and so it does for who says so.
#[test]
fn a_path_that_serves_nothing_else_becomes_a_runpath() {
    if !require("cc", "a_path_that_serves_nothing_else_becomes_a_runpath") {
        return;
    }
    let scene = Scene::new();
    let path = format!("{}:{}", scene.at("ext"), scene.at("driver"));
    let program = scene.program(OPENS_NAME, RPATH, &path, &[]);
    // It opens the driver itself, and gets its own way to that.
    scene.compile("app/other.so", OPENS_Q, &["-shared", "-fPIC", "-Wl,-rpath,/d"]);
    let source = "#include <dlfcn.h>\nvoid *o(void) { return dlopen(\"libcuda.so.1\", RTLD_NOW); }\n";
    scene.compile("app/asks.so", source, &["-shared", "-fPIC"]);
    assert_eq!(ends(&program), 0);
    let ended = scene.fix(&[]);
    assert!(ended.stdout.contains("tag: rpath -> runpath"), "{}", ended.said());
    assert!(!ended.stdout.contains("DT_RPATH"), "{}", ended.said());
    assert_eq!(ends(&program), 0);

    let scene = Scene::new();
    scene.compile("app/plug.so", NEEDS_Q, &["-shared", "-fPIC", &scene.at("ext/libq.so.1")]);
    let path = format!("{}:{}", scene.at("ext"), scene.at("driver"));
    scene.program(OPENS_PLUGIN, RPATH, &path, &[]);
    let ended = scene.fix(&["--tag", "runpath"]);
    assert!(ended.stdout.contains("tag: rpath -> runpath"), "{}", ended.said());
}

/// --clean keeps an entry that a name needs which the program hands to dlopen, wherever the name stands.
#[test]
fn clean_keeps_what_dlopen_needs() {
    if !require("cc", "clean_keeps_what_dlopen_needs") {
        return;
    }
    for source in [OPENS_NAME, OPENS_IMMEDIATE] {
        let scene = Scene::new();
        // A directory of a build is one that goes.
        let path = format!("{}:{}:{}", scene.at("ext"), scene.at("driver"), scene.at("lib"));
        let program = scene.program(source, RUNPATH, &path, &[]);
        assert_eq!(ends(&program), 0);
        let ended = scene.fix(&["--clean"]);
        assert!(ended.stdout.contains("no other entry has libq.so.1"), "{}", ended.said());
        assert!(!ended.stdout.contains(&format!("{}\n", scene.at("lib"))), "{}", ended.said());
        assert_eq!(ends(&program), 0, "{source}: {}", ended.said());
    }
}

/// The driver directory by another name is there already; in a build the link leads nowhere yet.
#[test]
fn a_link_to_the_driver_directory_is_as_good_as_its_name() {
    if !require("cc", "a_link_to_the_driver_directory_is_as_good_as_its_name") {
        return;
    }
    for is_there in [true, false] {
        for entry in ["LINK", "$ORIGIN/../lib/gpu", "${ORIGIN}/../driver/.", "DOTS"] {
            let scene = Scene::new();
            let (driver, link) = (scene.tree.join("driver"), scene.tree.join("lib/gpu"));
            std::os::unix::fs::symlink(&driver, &link).unwrap();
            let entry = entry.replace("LINK", link.to_str().unwrap());
            let entry = entry.replace("DOTS", &format!("{}/../driver", scene.at("lib")));
            scene.program(OPENS_NAME, RUNPATH, &format!("{entry}:{}", scene.at("ext")), &[]);
            if !is_there {
                std::fs::remove_dir_all(&driver).unwrap();
            }
            let ended = scene.fix(&["--check"]);
            assert!(ended.stdout.contains("1 already right"), "{is_there} {entry}: {}", ended.said());
            // Behind another entry it comes to the front, as it is written.
            let program = scene.program(OPENS_NAME, RUNPATH, &format!("{}:{entry}", scene.at("ext")), &[]);
            let ended = scene.fix(&[]);
            assert!(ended.stdout.contains(&format!("-> {entry}:")), "{is_there} {entry}: {}", ended.said());
            assert_eq!(ends(&program) == 0, is_there);
        }
    }
}
