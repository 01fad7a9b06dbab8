//! The three verdicts: what comes first in the search of each object, in the programs that load it.

use super::image::{Checked, Image, store};
use super::objects::{
    COMPAT, DRIVER, LINK, OLD, compat, cudart, dlopens, dlopens_for, driver, library, linked, nvml_stub, program, stub,
};
use crate::elfgen::Machine;
use crate::harness::set_mode;

const LIB: &str = "/lib/libuser.so.1";
const ASK: &str = "/lib/libask.so.1";

/// An image with everything that can answer for libcuda.
fn everything() -> Image {
    let image = Image::new();
    image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
    image.put(&format!("{COMPAT}/libcuda.so.1"), &compat(Machine::X86_64, r#"{"format":1,"CUDA version":"12.8"}"#));
    image.put("/opt/link/libcuda.so.1", &stub(Machine::X86_64));
    image.put("/opt/link/libnvidia-ml.so.1", &nvml_stub());
    image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
    image.folder("/opt/empty", 0o755);
    image
}

/// The verdict on libcuda.so.1 for every order of the directories.
#[test]
fn the_first_directory_that_has_it_decides() {
    for (path, verdict, answer, code) in [
        (format!("{COMPAT}:{DRIVER}"), "pass", "compat", ""),
        (format!("{COMPAT}:{LINK}"), "pass", "compat", ""),
        (format!("/opt/empty:{COMPAT}:{DRIVER}"), "pass", "compat", ""),
        (DRIVER.to_owned(), "pass", "driver", ""),
        (format!("{DRIVER}:{LINK}"), "pass", "driver", ""),
        (format!("/opt/empty:{DRIVER}:{OLD}"), "pass", "driver", ""),
        (format!("/opt/gone:{DRIVER}"), "pass", "driver", ""),
        (format!("{DRIVER}:{COMPAT}"), "fail", "driver", "CRP401"),
        (format!("{LINK}:{DRIVER}"), "fail", "stub", "CRP200"),
        (format!("{LINK}:{COMPAT}:{DRIVER}"), "fail", "stub", "CRP200"),
        (LINK.to_owned(), "fail", "stub", "CRP200"),
        (format!("{OLD}:{COMPAT}"), "fail", "other", "CRP101"),
        (format!("{OLD}:{DRIVER}"), "fail", "other", "CRP101"),
        (OLD.to_owned(), "fail", "other", "CRP100"),
        ("/opt/empty".to_owned(), "fail", "nothing", "CRP100"),
    ] {
        for asking in [linked(), dlopens(&["libcuda.so.1"])] {
            let image = everything();
            image.put(LIB, &asking.runpath(&path));
            let checked = image.check::<&str>(&[]);
            let what = format!("{path}: {:#?}", checked.findings());
            assert_eq!(checked.verdict(LIB, "libcuda.so.1"), (verdict.into(), answer.into()), "{what}");
            let requests = checked.findings().into_iter().filter(|f| f.path == LIB && f.about == "libcuda.so.1");
            let codes: Vec<String> = requests.map(|finding| finding.code).collect();
            assert_eq!(codes.join(" "), code, "{what}");
        }
    }
}

/// The same where only the target has the driver directory.
#[test]
fn a_driver_directory_that_is_not_here_answers_on_the_target() {
    for (path, soname, verdict, answer) in [
        (DRIVER, "libcuda.so.1", "pass", "driver-at-runtime"),
        ("/run/opengl-driver/lib:/opt/link", "libcuda.so.1", "pass", "driver-at-runtime"),
        ("/opt/link:/run/opengl-driver/lib", "libcuda.so.1", "fail", "stub"),
        (DRIVER, "libnvidia-ml.so.1", "runtime", "driver-at-runtime"),
        ("/run/opengl-driver/lib:/opt/link", "libnvidia-ml.so.1", "runtime", "driver-at-runtime"),
        ("/opt/link:/run/opengl-driver/lib", "libnvidia-ml.so.1", "fail", "stub"),
        ("/opt/empty", "libnvidia-ml.so.1", "fail", "nothing"),
    ] {
        let image = everything();
        std::fs::remove_dir_all(image.host("/run")).unwrap();
        image.put(LIB, &dlopens(&[soname]).runpath(path));
        let checked = image.check::<&str>(&[]);
        assert_eq!(checked.verdict(LIB, soname), (verdict.into(), answer.into()), "{path} {soname}");
        let summary = &checked.json["summary"];
        assert_eq!(summary[verdict], 1, "{path} {soname}: {summary}");
    }
}

/// A driver without NVML, as on a Jetson, leaves it open what the target has.
#[test]
fn a_library_that_this_driver_lacks_is_left_to_the_target() {
    let image = everything();
    image.put(LIB, &dlopens(&["libcuda.so.1", "libnvidia-ml.so.1"]).runpath(DRIVER));
    let checked = image.check::<&str>(&[]);
    assert_eq!(checked.verdict(LIB, "libcuda.so.1"), ("pass".into(), "driver".into()));
    assert_eq!(checked.verdict(LIB, "libnvidia-ml.so.1").0, "runtime");
    let object = checked.json["objects"].as_array().unwrap().iter().find(|object| object["path"] == LIB).unwrap();
    assert_eq!(object["verdict"], "runtime", "the worst of its requests");
}

/// JetPack 6 runs CUDA 12.6 by itself: what is newer needs compat first.
#[test]
fn a_jetson_needs_compat_for_a_newer_release() {
    for (release, path, verdict, code) in [
        ("12.8.90", format!("{COMPAT}:{DRIVER}"), "pass", ""),
        ("12.8.90", DRIVER.to_owned(), "fail", "CRP400"),
        ("12.8.90", format!("{DRIVER}:{COMPAT}"), "fail", "CRP401"),
        ("12.6.68", DRIVER.to_owned(), "pass", ""),
        ("12.6.68", format!("{COMPAT}:{DRIVER}"), "pass", ""),
        ("13", DRIVER.to_owned(), "fail", "CRP400"),
        ("12", DRIVER.to_owned(), "pass", ""),
    ] {
        let image = Image::new();
        let soname = format!("libcudart.so.{}", release.split('.').next().unwrap());
        let runtime = cudart(Machine::Aarch64).soname(&soname);
        image.put(&format!("/nix/store/00000000000000000000000000000000-cudart/lib/libcudart.so.{release}"), &runtime);
        let note = r#"{"format":1,"CUDA version":"13.0"}"#;
        image.put(&format!("{COMPAT}/libcuda.so.1"), &compat(Machine::Aarch64, note));
        let app = store!("app/lib/libuser.so.1");
        image.put(app, &dlopens_for(Machine::Aarch64, &["libcuda.so.1"]).runpath(&path));
        let checked = image.check_closure(&["--platform", "jetpack6"]);
        assert_eq!(checked.verdict(app, "libcuda.so.1").0, verdict, "{release} {path}");
        assert_eq!(checked.codes(), code, "{release} {path}: {:#?}", checked.findings());
    }
}

/// An image with a program that loads a library that asks and has nothing itself.
fn asked_in_a_program() -> Image {
    let image = Image::new();
    image.put(ASK, &dlopens(&["libcuda.so.1"]).soname("libask.so.1"));
    image
}

fn in_program(checked: &Checked) -> (String, Option<String>) {
    let request = checked.request(ASK, "libcuda.so.1");
    (checked.verdict(ASK, "libcuda.so.1").0, request["program"].as_str().map(str::to_owned))
}

#[test]
fn a_library_is_judged_in_the_programs_that_load_it() {
    let helped = Some("/bin/app".to_owned());
    let needs = |path: &str| program().needs("libask.so.1").runpath(path);
    // Nothing loads it: only its own path counts.
    let image = asked_in_a_program();
    image.put("/bin/app", &program().runpath(DRIVER));
    assert_eq!(in_program(&image.check::<&str>(&[])), ("fail".into(), None));
    // DT_RUNPATH is not inherited.
    image.put("/bin/app", &needs("$ORIGIN/../lib:/run/opengl-driver/lib"));
    assert_eq!(in_program(&image.check::<&str>(&[])), ("fail".into(), None));
    // DT_RPATH is.
    image.put("/bin/app", &program().needs("libask.so.1").rpath("$ORIGIN/../lib:/run/opengl-driver/lib"));
    assert_eq!(in_program(&image.check::<&str>(&[])), ("pass".into(), helped.clone()));
    // Not into an object with a DT_RUNPATH of its own.
    image.put(ASK, &dlopens(&["libcuda.so.1"]).soname("libask.so.1").runpath("$ORIGIN"));
    assert_eq!(in_program(&image.check::<&str>(&[])), ("fail".into(), None));
    // What the program has loaded by DT_NEEDED is not searched for again.
    image.put("/bin/app", &needs("$ORIGIN/../lib:/run/opengl-driver/lib").needs("libcuda.so.1"));
    assert_eq!(in_program(&image.check::<&str>(&[])), ("pass".into(), helped.clone()));
    // One of two programs does not help.
    image.put("/bin/other", &needs("$ORIGIN/../lib"));
    assert_eq!(in_program(&image.check::<&str>(&[])).0, "fail");
    // A program that does not load it does not count.
    image.put("/bin/other", &program());
    assert_eq!(in_program(&image.check::<&str>(&[])), ("pass".into(), helped));
}

/// DT_RPATH reaches through libraries without a path of their own.
#[test]
fn a_chain_of_loaders_hands_down_its_rpath() {
    let image = asked_in_a_program();
    image.put("/lib/libmid.so.1", &library().soname("libmid.so.1").needs("libask.so.1"));
    image.put("/bin/app", &program().needs("libmid.so.1").rpath("$ORIGIN/../lib:/run/opengl-driver/lib"));
    assert_eq!(in_program(&image.check::<&str>(&[])).0, "pass");
    image.put("/lib/libmid.so.1", &library().soname("libmid.so.1").needs("libask.so.1").runpath("$ORIGIN"));
    // The program's DT_RPATH serves everything in the process, whatever loaded it.
    assert_eq!(in_program(&image.check::<&str>(&[])).0, "pass");
}

const SHELL: &str = "#! /nix/store/bash/bin/bash -e
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+':'$LD_LIBRARY_PATH':'}
LD_LIBRARY_PATH=${LD_LIBRARY_PATH/':''@'':'/':'}
LD_LIBRARY_PATH='@'$LD_LIBRARY_PATH
LD_LIBRARY_PATH=${LD_LIBRARY_PATH#':'}
LD_LIBRARY_PATH=${LD_LIBRARY_PATH%':'}
export LD_LIBRARY_PATH
exec -a \"$0\" \"/bin/.app-wrapped\"  \"$@\"
";

const BINARY: &str = "\n\nmakeCWrapper '/bin/.app-wrapped' \\
    --inherit-argv0 \\
    --prefix 'LD_LIBRARY_PATH' ':' '@' \\
    --set 'CUDA_PATH' '/opt/link'\n\n";

fn wrapped(wrapper: &[u8]) -> Image {
    let image = asked_in_a_program();
    image.put("/bin/.app-wrapped", &program().needs("libask.so.1").runpath("$ORIGIN/../lib"));
    image.file("/bin/app", wrapper);
    image
}

fn shell(directory: &str) -> Vec<u8> {
    SHELL.replace('@', directory).into_bytes()
}

fn binary(directory: &str) -> Vec<u8> {
    program().carries(BINARY.replace('@', directory)).build()
}

#[test]
fn wrappers_lend_their_ld_library_path() {
    for wrapper in [shell, binary] {
        let image = wrapped(&wrapper(DRIVER));
        let checked = image.check(&["-v"]);
        assert_eq!(in_program(&checked), ("pass".into(), Some("/bin/.app-wrapped".into())));
        let objects = checked.json["objects"].as_array().unwrap();
        let hidden = objects.iter().find(|object| object["path"] == "/bin/.app-wrapped").unwrap();
        assert_eq!(hidden["wrapper"], "/bin/app");
        // Another program that loads it is not wrapped.
        image.put("/bin/bare", &program().needs("libask.so.1").runpath("$ORIGIN/../lib"));
        assert_eq!(in_program(&image.check::<&str>(&[])).0, "fail");
        // A wrapper for something else.
        let image = wrapped(&wrapper("/opt/other"));
        assert_eq!(in_program(&image.check::<&str>(&[])).0, "fail");
        // The wrapper is not one of this program.
        let image = asked_in_a_program();
        image.put("/bin/app2", &program().needs("libask.so.1").runpath("$ORIGIN/../lib"));
        image.file("/bin/app", &wrapper(DRIVER));
        assert_eq!(in_program(&image.check::<&str>(&[])).0, "fail");
    }
}

/// --env says what if, so it stands in the place of what wrappers set.
#[test]
fn an_environment_on_request_overrules_wrappers() {
    let image = wrapped(&shell(DRIVER));
    assert_eq!(in_program(&image.check(&["--env", "LD_LIBRARY_PATH=/opt/none"])).0, "fail");
}

#[test]
fn a_program_that_is_wrapped_twice_has_both_paths() {
    let image = wrapped(b"#!/bin/sh\nexport A=1\nexec /bin/.app-wrapped_ \"$@\"\n");
    image.file("/bin/.app-wrapped_", &shell(DRIVER));
    assert_eq!(in_program(&image.check::<&str>(&[])).0, "pass");
}

/// LD_LIBRARY_PATH beats the library's own RUNPATH: what is right by itself can be wrong in the program.
#[test]
fn a_wrapper_can_lead_a_library_astray() {
    for wrapper in [shell, binary] {
        let image = wrapped(&wrapper(LINK));
        image.put("/opt/link/libcuda.so.1", &stub(Machine::X86_64));
        image.put(ASK, &dlopens(&["libcuda.so.1"]).soname("libask.so.1").runpath(DRIVER));
        let checked = image.check::<&str>(&[]);
        assert_eq!(in_program(&checked), ("fail".into(), Some("/bin/.app-wrapped".into())));
        let finding = checked.findings().into_iter().find(|finding| finding.code == "CRP200").unwrap();
        assert_eq!(finding.path, ASK);
        let sign = "(by LD_LIBRARY_PATH), in /bin/.app-wrapped";
        assert!(finding.message.ends_with(sign), "{}", finding.message);
        let value = checked.json["findings"].as_array().unwrap().iter().find(|f| f["code"] == "CRP200").unwrap();
        assert_eq!(value["fixable"], false, "no edit of a RUNPATH overrules LD_LIBRARY_PATH");
    }
}

/// The kernel says setuid, the loader ignores LD_LIBRARY_PATH.
#[test]
fn a_setuid_program_has_no_ld_library_path() {
    let image = wrapped(&shell(DRIVER));
    set_mode(&image.host("/bin/.app-wrapped"), 0o4755);
    assert_eq!(in_program(&image.check::<&str>(&[])).0, "fail");
}

/// musl reads both tags alike, and inherits both.
#[test]
fn musl_inherits_either_tag() {
    for (loader, verdict) in [("/lib/ld-musl-x86_64.so.1", "pass"), ("/lib64/ld-linux-x86-64.so.2", "fail")] {
        let image = asked_in_a_program();
        let path = "$ORIGIN/../lib:/run/opengl-driver/lib";
        image.put("/bin/app", &program().interpreter(loader).needs("libask.so.1").runpath(path));
        assert_eq!(in_program(&image.check::<&str>(&[])).0, verdict, "{loader}");
    }
}
