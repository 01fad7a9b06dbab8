//! What is checked: files, trees and links of this machine, images, and closures in every form in which Nix lists them.

use super::image::{Checked, Image, store, text};
use super::objects::{COMPAT, DRIVER, LINK, compat, cudart, dlopens, driver, library, linked, program, stub};
use crate::elfgen::Machine;
use crate::harness::{Tree, binary, run};

/// `check` of paths of this machine, with the driver directory of the tree.
fn check_here(tree: &Tree, arguments: &[&str]) -> Checked {
    let mut program = binary();
    program.current_dir(tree.path()).args(["check", "--json", "--driver", "$ORIGIN/../driver"]).args(arguments);
    Checked::of(run(&mut program))
}

/// A good library, a bad one and a text.
fn tree() -> Tree {
    let tree = Tree::in_memory();
    tree.file("out/lib/libgood.so", &linked().runpath("$ORIGIN/../driver").build());
    tree.file("out/lib/libbad.so", &linked().build());
    tree.file("out/share/notes.txt", b"not ELF");
    tree.file("out/driver/libcuda.so.1", &driver("libcuda.so.1").build());
    tree
}

fn summary(checked: &Checked, key: &str) -> u64 {
    checked.json["summary"][key].as_u64().unwrap()
}

#[test]
fn files_trees_and_links_are_checked_under_the_names_they_are_given() {
    let tree = tree();
    tree.symlink("out", "result");
    tree.symlink("out/lib/libbad.so", "bad");
    for (arguments, files, bad) in [
        (&["out"][..], 4, "out/lib/libbad.so"),
        (&["result"], 4, "result/lib/libbad.so"),
        (&["result/"], 4, "result/lib/libbad.so"),
        (&["bad"], 1, "bad"),
        (&["out/lib/libbad.so"], 1, "out/lib/libbad.so"),
        (&["out/lib", "out/share"], 3, "out/lib/libbad.so"),
        (&["out", "result"], 4, "out/lib/libbad.so"),
        (&["out", "--exclude", "share"], 3, "out/lib/libbad.so"),
    ] {
        let checked = check_here(&tree, arguments);
        // A real driver in an output is frozen there, wherever the output's own RUNPATHs lead.
        let paths: Vec<String> =
            checked.findings().into_iter().filter(|f| f.code == "CRP100").map(|f| f.path).collect();
        assert_eq!(paths, [bad], "{arguments:?}");
        assert_eq!(summary(&checked, "files"), files, "{arguments:?}");
    }
    let checked = check_here(&tree, &["out/lib/libgood.so"]);
    assert_eq!(checked.codes(), "");
    checked.run.assert_code(0, "a good library");
}

/// A stub on this machine is no stub in a closure, and nothing is said of libraries that may lie anywhere.
#[test]
fn a_tree_is_no_closure() {
    let tree = Tree::in_memory();
    tree.file("lib/libcuda.so", &stub(Machine::X86_64).build());
    tree.file("lib/libarm.so", &crate::elfgen::Spec::dependency(Machine::Aarch64, 1).build());
    tree.file("lib/libuser.so", &library().build());
    assert_eq!(check_here(&tree, &["."]).codes(), "");
}

#[test]
fn a_list_of_files_is_as_good_as_arguments() {
    let tree = tree();
    tree.file("list", b"out/lib/libbad.so\nout/lib/libgood.so\n");
    tree.file("list0", b"out/lib/libbad.so\0out/lib/libgood.so\0");
    for arguments in [&["--files-from", "list"][..], &["--files-from", "list0", "-0"]] {
        let checked = check_here(&tree, arguments);
        assert_eq!((checked.codes().as_str(), summary(&checked, "files")), ("CRP100", 2));
    }
}

// --- images ------------------------------------------------------------------------------------------------------------

/// An image as a package manager leaves it: links with absolute targets, /lib a link, two names of one library.
fn linked_image() -> Image {
    let image = Image::new();
    image.link("/lib", "/usr/lib");
    image.put("/usr/lib/libreal.so.1.0", &library().soname("libreal.so.1"));
    image.link("/usr/lib/libreal.so.1", "/lib/libreal.so.1.0");
    image.link("/run/opengl-driver", "/nix/driver");
    image.put("/nix/driver/lib/libcuda.so.535.1", &driver("libcuda.so.1"));
    image.link("/nix/driver/lib/libcuda.so.1", "/run/opengl-driver/lib/libcuda.so.535.1");
    image.put(
        "/opt/app/bin/app",
        &program().needs("libreal.so.1").needs("libcuda.so.1").runpath("/lib:/run/opengl-driver/lib"),
    );
    image.link("/result", "/opt/app");
    image
}

#[test]
fn absolute_links_of_an_image_lead_into_the_image() {
    let image = linked_image();
    // The driver lies where the link leads, which is not the driver directory by its name.
    let checked = image.check(&["--skip", "CRP303,CRP604"]);
    assert_eq!(checked.codes(), "");
    assert_eq!(checked.verdict("/opt/app/bin/app", "libcuda.so.1"), ("pass".into(), "driver".into()));
}

#[test]
fn a_path_of_an_image_may_be_a_link() {
    let image = linked_image();
    for path in
        ["/opt/app", "opt/app", "/opt/app/bin/app", "/result", "/result/bin", "result/bin/app", "/opt/../result"]
    {
        let checked = image.check(&[path]);
        assert_eq!(checked.verdict("/opt/app/bin/app", "libcuda.so.1").0, "pass", "{path}");
        assert_eq!(summary(&checked, "files"), 1, "{path}");
    }
    // A path of this machine that lies in the image is one of the image.
    let host = image.host("/opt/app");
    assert_eq!(image.check(&[text(&host)]).verdict("/opt/app/bin/app", "libcuda.so.1").0, "pass");
}

#[test]
fn a_root_may_be_given_as_a_relative_path() {
    let image = linked_image();
    for (root, path) in
        [("image", "/result"), ("./image/", "result"), ("image", "image/opt/app"), ("image/../image", "/opt")]
    {
        let mut program = binary();
        program.current_dir(image.beside("")).args(["check", "--json", "--root", root, path]);
        let checked = Checked::of(run(&mut program));
        assert_eq!(summary(&checked, "consumers"), 1, "{root} {path}: {}", checked.json);
    }
}

// --- closures ----------------------------------------------------------------------------------------------------------

const APP: &str = store!("app");
const LIB: &str = store!("lib");

/// Two store paths of which one refers to the other, and a third that belongs to neither.
fn closure() -> Image {
    let image = Image::new();
    image.put(store!("app/bin/app"), &program().needs("liblib.so").runpath(format!("{LIB}/lib")));
    image.put(store!("lib/lib/liblib.so"), &dlopens(&["libcuda.so.1"]).soname("liblib.so").runpath(DRIVER));
    image.put(store!("outside/lib/libcuda.so.1"), &stub(Machine::X86_64));
    image
}

/// A store path without the store.
fn name(path: &str) -> &str {
    path.strip_prefix("/nix/store/").unwrap()
}

/// Every form in which Nix lists a closure.
fn lists() -> Vec<(&'static str, String, &'static [&'static str])> {
    let graph = format!(
        r#"[{{"path":"{APP}","narHash":"sha256:0","narSize":1,"references":["{LIB}"],"closureSize":2}},{{"path":"{LIB}","references":[],"valid":true}}]"#
    );
    vec![
        ("store-paths", format!("{APP}\n{LIB}\n"), &[]),
        ("store-paths without a last newline", format!("{LIB}\n{APP}"), &[]),
        ("registration", format!("{LIB}\nsha256:0a\n120\n\n0\n{APP}\nsha256:0b\n99\n\n1\n{LIB}\n"), &[]),
        ("exportReferencesGraph", format!("{APP}\n/nix/store/x.drv\n1\n{LIB}\n{LIB}\n\n0\n"), &[]),
        ("exportReferencesGraph without derivers", format!("{LIB}\n\n0\n{APP}\n\n1\n{LIB}\n"), &[]),
        (".attrs.json", format!(r#"{{"name":"x","outputs":{{"out":"/o"}},"closure":{graph}}}"#), &[]),
        (
            ".attrs.json by key",
            format!(r#"{{"other":[{{"path":"/x"}}],"closure":{graph}}}"#),
            &["--attrs-key", "closure"],
        ),
        ("nix path-info --json", format!(r#"{{"{APP}":{{"references":["{LIB}"]}},"{LIB}":{{"references":[]}}}}"#), &[]),
        (
            "nix path-info --json-format 2",
            format!(
                r#"{{"info":{{"{}":{{"references":["{}"],"version":2}},"{}":{{"references":[]}}}},"storeDir":"/nix/store","version":2}}"#,
                name(APP),
                name(LIB),
                name(LIB)
            ),
            &[],
        ),
        ("nix path-info --json, older", graph, &[]),
    ]
}

#[test]
fn every_form_of_a_closure_gives_one_result() {
    let image = closure();
    let mut first: Option<String> = None;
    for (name, list, arguments) in lists() {
        let file = image.beside("list");
        std::fs::write(&file, list).unwrap();
        let checked = image.check(&[&["--closure-from", text(&file), "-v"], arguments].concat());
        checked.run.assert_code(0, name);
        assert_eq!((checked.codes().as_str(), summary(&checked, "files")), ("", 2), "{name}");
        let expected = first.get_or_insert_with(|| checked.run.stdout.clone());
        assert_eq!(&checked.run.stdout, expected, "{name}");
    }
}

/// What a closure does not have is not there, though the image has it.
#[test]
fn nothing_is_outside_of_a_closure() {
    let image = closure();
    let path = format!("{}/lib:{DRIVER}", store!("outside"));
    image.put(store!("lib/lib/liblib.so"), &dlopens(&["libcuda.so.1"]).soname("liblib.so").runpath(path));
    let list = image.beside("list");
    std::fs::write(&list, format!("{APP}\n{LIB}\n")).unwrap();
    assert_eq!(image.check(&["--closure-from", text(&list)]).codes(), "CRP305");
    std::fs::write(&list, format!("{APP}\n{LIB}\n{}\n", store!("outside"))).unwrap();
    assert_eq!(image.check(&["--closure-from", text(&list)]).codes(), "CRP200 CRP201 CRP202");
}

/// A store path can be a file or a link, also one with an absolute target.
#[test]
fn a_store_path_may_be_a_file_or_a_link() {
    let image = Image::new();
    image.put(store!("liblone.so"), &linked());
    image.link(store!("alias"), store!("real"));
    image.put(store!("real/lib/libreal.so"), &linked());
    // Where a link leads out of the closure, nothing is looked at.
    image.put("/opt/outside/lib/liboutside.so", &linked());
    image.link(store!("way-out"), "/opt/outside");
    image.link(store!("dangling"), "/run/gone");
    let checked = image.check_closure::<&str>(&[]);
    let paths: Vec<String> = checked.findings().into_iter().map(|finding| finding.path).collect();
    assert_eq!(paths, [store!("liblone.so"), store!("real/lib/libreal.so")], "{:#?}", checked.findings());
}

/// compat need not be among the files that are checked: what their paths name is looked at.
#[test]
fn compat_is_looked_at_where_a_path_names_it() {
    let image = Image::new();
    let note = r#"{"format":1,"CUDA version":"12.6","driver":[535,550]}"#;
    image.put(&format!("{COMPAT}/libcuda.so.580.95.05"), &compat(Machine::X86_64, note));
    image.link(&format!("{COMPAT}/libcuda.so.1"), "libcuda.so.580.95.05");
    image.put(store!("app/lib/libuser.so.1"), &linked().runpath(format!("{COMPAT}/:{DRIVER}")));
    image.put(store!("app/lib/libcudart.so.12.8.90"), &cudart(Machine::X86_64));
    for (arguments, codes) in [
        (&[][..], "CRP405"),
        (&["--host-driver", "550.54"], "CRP405"),
        (&["--host-driver", "525.60"], "CRP405 CRP406"),
        (&["--host-driver", "580.159.04"], "CRP402 CRP405 CRP406"),
    ] {
        let checked = image.check(&[&[APP], arguments].concat());
        assert_eq!(checked.codes(), codes, "{arguments:?}: {:#?}", checked.findings());
    }
}

/// The leak of a package set is told with the way to it, where the list has references.
#[test]
fn the_way_to_a_leak_is_told() {
    let image = Image::new();
    let (old, new) = (store!("cuda12.6-libcufft-11.3"), store!("cuda12.8-cuda_cudart-12.8.90"));
    for path in [APP, LIB, old, new] {
        image.put(&format!("{path}/lib/libx.so"), &library());
    }
    image.put(store!("cuda12.8-libcublas-12.8.4/lib/libx.so"), &library());
    let list = image.beside("list");
    let record = |path: &str, references: &[&str]| {
        format!("{path}\n\n{}\n{}", references.len(), references.iter().map(|r| format!("{r}\n")).collect::<String>())
    };
    let text_of = [
        record(APP, &[LIB, new]),
        record(LIB, &[old]),
        record(old, &[]),
        record(new, &[store!("cuda12.8-libcublas-12.8.4")]),
        record(store!("cuda12.8-libcublas-12.8.4"), &[]),
    ]
    .concat();
    std::fs::write(&list, text_of).unwrap();
    let checked = image.check(&["--closure-from", text(&list)]);
    let finding = &checked.findings()[0];
    assert_eq!((checked.codes().as_str(), finding.about.as_str()), ("CRP601", "12.6"));
    assert!(finding.message.ends_with("through app -> lib -> cuda12.6-libcufft-11.3"), "{}", finding.message);
}

/// Without --root, a closure lies on this machine; a private store is one too, wherever it lies.
#[test]
fn a_private_store_is_a_store() {
    let tree = Tree::in_memory();
    let path = |name: &str| format!("{}/nix/store/00000000000000000000000000000000-{name}", tree.path().display());
    let runpath = format!("{}/lib:{DRIVER}", path("lib"));
    tree.file(format!("{}/bin/app", path("app")), &program().needs("libuser.so.1").runpath(runpath).build());
    tree.file(format!("{}/lib/libuser.so.1", path("lib")), &linked().runpath(DRIVER).build());
    let list = tree.file("list", format!("{}\n{}\n", path("app"), path("lib")).as_bytes());
    // $TMPDIR is a directory of builds, and this store lies in it.
    let run = run(binary().env("TMPDIR", tree.path()).args(["check", "--json", "--closure-from"]).arg(list));
    assert_eq!(Checked::of(run).codes(), "");
}

/// A directory of builds that only the environment names.
#[test]
fn the_environment_names_directories_of_builds() {
    let image = Image::new();
    image.folder("/var/lib/builder", 0o755);
    image.put("/opt/libuser.so.1", &library().runpath("/var/lib/builder"));
    for (name, code) in [("TMPDIR", "CRP302"), ("NIX_BUILD_TOP", "CRP302"), ("SOMETHING", "")] {
        let mut program = binary();
        program.env(name, "/var/lib/builder/").args(["check", "--json", "--root"]).arg(image.host("/"));
        assert_eq!(Checked::of(run(&mut program)).codes(), code, "{name}");
    }
}

/// `explain` and `check` look at one thing.
#[test]
fn explain_and_check_agree() {
    let image = Image::new();
    image.put(&format!("{LINK}/libcuda.so.1"), &stub(Machine::X86_64));
    let paths = ["", DRIVER, LINK, "/opt/link:/run/opengl-driver/lib", "/run/opengl-driver/lib:/opt/link", "lib::/x"];
    for (number, path) in paths.into_iter().enumerate() {
        image.put(&format!("/lib/lib{number}.so"), &dlopens(&["libcuda.so.1", "libnvidia-ml.so.1"]).runpath(path));
    }
    let checked = image.check::<&str>(&[]);
    for number in 0..paths.len() {
        let file = format!("/lib/lib{number}.so");
        for soname in ["libcuda.so.1", "libnvidia-ml.so.1"] {
            let run = image.run("explain", &[file.as_str(), soname]);
            run.assert_code(0, &file);
            let search = &run.json()["searches"][0];
            let told = |key: &str| search[key].as_str().unwrap().to_owned();
            assert_eq!((told("verdict"), told("answer")), checked.verdict(&file, soname), "{file} {soname}");
        }
    }
}

/// A hidden program is explained as its wrapper starts it, which is what `check` says of it.
#[test]
fn a_hidden_program_is_explained_with_its_wrapper() {
    let image = Image::new();
    image.put("/bin/.app-wrapped", &program().imports("dlopen").carries("libcuda.so.1"));
    image.file("/bin/app", b"#!/bin/sh\nexport LD_LIBRARY_PATH='/run/opengl-driver/lib'\nexec /bin/.app-wrapped\n");
    assert_eq!(image.check::<&str>(&[]).verdict("/bin/.app-wrapped", "libcuda.so.1").0, "pass");
    let run = image.run("explain", &["/bin/.app-wrapped"]);
    assert_eq!(run.json()["searches"][0]["verdict"], "pass", "{}", run.stdout);
}
