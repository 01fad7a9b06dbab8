//! `explain`, `rules`, and what all runs of `check` have in common.

use super::formats::FORMATS;
use super::image::Image;
use super::objects::{
    COMPAT, DRIVER, LINK, LOADER, compat, dlopens, driver, library, library_for, linked, program, stub,
};
use super::rules;
use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::{binary, invoke, run};

/// An image in which everything asks, and every directory has an answer.
fn image() -> Image {
    let image = Image::new();
    image.put("/run/opengl-driver/lib/libcuda.so.1", &driver("libcuda.so.1"));
    image.put(&format!("{COMPAT}/libcuda.so.1"), &compat(Machine::X86_64, r#"{"format":1,"CUDA version":"12.8"}"#));
    image.put(&format!("{LINK}/libcuda.so.1"), &stub(Machine::X86_64));
    image.put("/lib/libask.so.1", &dlopens(&["libcuda.so.1"]).soname("libask.so.1"));
    image.put("/lib/libuser.so.1", &linked().runpath(format!("{COMPAT}:{DRIVER}:{LINK}")));
    image.put("/bin/app", &program().needs("libask.so.1").rpath(format!("$ORIGIN/../lib:{DRIVER}")));
    image
}

fn explained(image: &Image, arguments: &[&str]) -> serde_json::Value {
    let run = image.run("explain", arguments);
    run.assert_code(0, &format!("{arguments:?}"));
    run.json()
}

#[test]
fn explain_tells_who_wins_and_what_stands_behind() {
    let image = image();
    let search = explained(&image, &["/lib/libuser.so.1", "libcuda.so.1"])["searches"][0].clone();
    assert_eq!(
        (&search["kind"], &search["answer"], &search["verdict"]),
        (&"needed".into(), &"compat".into(), &"pass".into())
    );
    let places = |key: &str| -> Vec<String> {
        search[key].as_array().unwrap().iter().map(|step| step["place"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(places("steps"), [format!("{COMPAT}/libcuda.so.1")]);
    let behind = search["behind"].as_array().unwrap().iter().filter(|step| step["outcome"] == "hit");
    let behind: Vec<&str> = behind.map(|step| step["place"].as_str().unwrap()).collect();
    assert_eq!(behind, [format!("{DRIVER}/libcuda.so.1"), format!("{LINK}/libcuda.so.1")]);
}

#[test]
fn explain_without_compat_shows_the_next_one() {
    let image = image();
    let search = explained(&image, &["--without-compat", "/lib/libuser.so.1"])["searches"][0].clone();
    assert_eq!(search["answer"], "driver");
    assert_eq!(search["steps"][0]["outcome"], "ignored");
    // A compat directory that only an option names.
    image.put("/opt/compat/libcuda.so.1", &driver("libcuda.so.1"));
    image.put("/lib/libother.so", &linked().runpath(format!("/opt/compat:{DRIVER}")));
    let arguments = ["--compat", "/opt/compat", "/lib/libother.so"];
    assert_eq!(explained(&image, &arguments)["searches"][0]["answer"], "compat");
    let arguments = ["--compat", "/opt/compat", "--without-compat", "/lib/libother.so"];
    assert_eq!(explained(&image, &arguments)["searches"][0]["answer"], "driver");
}

#[test]
fn explain_in_a_program() {
    let image = image();
    let alone = explained(&image, &["/lib/libask.so.1"]);
    assert_eq!(alone["searches"][0]["verdict"], "fail");
    let inside = explained(&image, &["/lib/libask.so.1", "--program", "/bin/app"]);
    assert_eq!(inside["searches"][0]["verdict"], "pass");
    let all = explained(&image, &["/bin/app", "--recursive"]);
    let names: Vec<&str> = all["searches"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"libask.so.1"), "{names:?}");
    assert!(inside.get("openedBy").is_none() && all.get("openedBy").is_none());
    image.put("/lib/libforeign.so", &library_for(Machine::Aarch64).needs("libcuda.so.1"));
    let run = image.run("explain", &["/lib/libforeign.so", "--program", "/bin/app"]);
    run.assert_code(2, "the program cannot load it");
    assert!(run.stderr.contains("/bin/app cannot load /lib/libforeign.so"), "{}", run.stderr);
}

/// What a program opens with dlopen is searched by its loader, with its DT_RPATH, among what it has loaded.
#[test]
fn explain_of_what_a_program_opens() {
    let image = image();
    image.put("/opt/plugin.so", &library().needs("libask.so.1").needs("libdeep.so").carries("libcuda.so.1"));
    image.put("/lib/libdeep.so", &library().soname("libdeep.so"));
    let alone = explained(&image, &["/opt/plugin.so"]);
    assert_eq!((&alone["interpreter"], alone.get("openedBy")), (&"/lib64/ld-linux-x86-64.so.2".into(), None));
    let inside = explained(&image, &["/opt/plugin.so", "--program", "/bin/app"]);
    assert_eq!((&inside["interpreter"], &inside["openedBy"]), (&LOADER.into(), &"/bin/app".into()));
    let told: Vec<(&str, &str)> = inside["searches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|search| {
            let step = search["steps"].as_array().unwrap().last().unwrap();
            (search["name"].as_str().unwrap(), step["source"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, [("libask.so.1", "loaded"), ("libdeep.so", "rpath"), ("libcuda.so.1", "rpath")]);
    let run = run(binary().args(["explain", "/opt/plugin.so", "--program", "/bin/app", "--root"]).arg(image.host("/")));
    assert!(run.stdout.contains("opened with dlopen by /bin/app, searched by"), "{}", run.stdout);
}

/// A library whose path leads to a C library is run by the loader beside that.
#[test]
fn explain_takes_the_loader_that_a_library_brings() {
    let image = image();
    let glibc = LOADER.strip_suffix("/ld-linux-x86-64.so.2").unwrap();
    let needs = || library().needs("libc.so.6");
    image.put("/opt/own.so", &needs().runpath(glibc)).put("/opt/without.so", &needs());
    image.put("/opt/other.so", &library().runpath(glibc));
    image.put(&format!("{glibc}/libc.so.6"), &library().soname("libc.so.6"));
    let loader = |path: &str| explained(&image, &[path])["interpreter"].clone();
    // Nothing lies beside it yet.
    assert_eq!(loader("/opt/own.so"), "/lib64/ld-linux-x86-64.so.2");
    image.put(LOADER, &library().soname("ld-linux-x86-64.so.2"));
    assert_eq!(loader("/opt/own.so"), LOADER);
    for path in ["/opt/without.so", "/opt/other.so"] {
        assert_eq!(loader(path), "/lib64/ld-linux-x86-64.so.2", "{path}");
    }
    // A program says by whom it is run.
    image.put(
        "/bin/other",
        &Spec::new(Machine::X86_64, Kind::Pie).interpreter("/lib/ld-x.so").needs("own.so").rpath("/opt"),
    );
    assert_eq!(explained(&image, &["/opt/own.so", "--program", "/bin/other"])["interpreter"], "/lib/ld-x.so");
}

#[test]
fn explain_with_an_environment() {
    let image = image();
    let arguments = ["--env", "LD_LIBRARY_PATH=/opt/link:/run/opengl-driver/lib", "/lib/libuser.so.1"];
    let search = explained(&image, &arguments)["searches"][0].clone();
    assert_eq!((&search["answer"], &search["verdict"]), (&"stub".into(), &"fail".into()));
    assert_eq!(search["steps"][0]["source"], "ld_library_path");
}

#[test]
fn every_rule_is_explained_by_code_and_by_name() {
    let list = invoke(["rules"]).stdout;
    assert_eq!(list.lines().count(), rules().len());
    for (code, rule) in rules() {
        let text_of = |key: &str| rule[key].as_str().unwrap();
        let by_code = invoke(["rules", &code.to_lowercase()]);
        by_code.assert_code(0, &code);
        assert_eq!(by_code.stdout, invoke(["rules", text_of("slug")]).stdout);
        // Lines are broken for reading.
        let words: String = by_code.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in ["code", "slug", "severity", "condition", "cause", "remedy", "example"] {
            let wanted = text_of(key).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&wanted), "{code}: {key} is not in {}", by_code.stdout);
        }
        assert!(by_code.stdout.lines().all(|line| line.chars().count() <= 80), "{}", by_code.stdout);
        assert_eq!(invoke(["rules", &code, "--json"]).json()["rules"][0], rule);
        let line = list.lines().find(|line| line.starts_with(&code)).unwrap();
        assert!(line.contains(text_of("slug")) && line.ends_with(text_of("condition")), "{line}");
    }
}

/// A remedy that names a command names one that there is.
#[test]
fn remedies_name_commands_that_exist() {
    let help = invoke(["--help"]).stdout;
    for (code, rule) in rules() {
        for rest in rule["remedy"].as_str().unwrap().split("cuda-runpath ").skip(1) {
            let command = rest.split(' ').next().unwrap();
            assert!(help.contains(&format!("\n  {command} ")), "{code}: {command}");
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let image = image();
    for number in 0..40 {
        let path = ["", DRIVER, LINK, "lib::/tmp/x"][number % 4];
        image.put(&format!("/opt/many/lib{number}.so"), &dlopens(&["libcuda.so.1", "libnvidia-ml.so.1"]).runpath(path));
    }
    for format in FORMATS {
        let result = |jobs: &str| {
            let mut program = binary();
            program.args(["check", "-v", "-j", jobs, "--format", format, "--root"]).arg(image.host("/"));
            run(&mut program).bytes().escape_ascii().to_string()
        };
        let one = result("1");
        assert!(!one.is_empty());
        for jobs in ["2", "7"] {
            assert_eq!(result(jobs), one, "{format} -j{jobs}");
        }
    }
}

/// The severity decides what is printed: errors with -q, notes with -v.
#[test]
fn quiet_and_verbose() {
    let image = Image::new();
    image.put("/lib/libuser.so.1", &linked().rpath("/opt/x:/opt/x"));
    image.put("/lib/libfine.so", &library());
    image.folder("/opt/x", 0o755);
    for (option, error, warning, note, verdict) in [
        ("-q", true, false, false, false),
        ("--progress=never", true, true, false, false),
        ("-v", true, true, true, true),
    ] {
        let mut program = binary();
        program.args(["check", option, "--root"]).arg(image.host("/"));
        let run = run(&mut program);
        run.assert_code(1, option);
        for (sign, wanted) in [
            ("error CRP100", error),
            ("warning CRP307", warning),
            ("note CRP304", note),
            ("fail libcuda.so.1 (needed) is found nowhere", verdict),
            ("libfine", false),
        ] {
            assert_eq!(run.stdout.contains(sign), wanted, "{option}: {sign} in\n{}", run.stdout);
        }
        assert_eq!(run.stdout.contains("1 error, 1 warning, 1 note; fix repairs 2"), option != "-q", "{}", run.stdout);
    }
}

/// `-v` lists every object, also in JSON.
#[test]
fn json_lists_objects_that_ask_for_nothing_on_request() {
    let image = image();
    image.put("/lib/libfine.so", &library());
    let paths = |arguments: &[&str]| -> Vec<String> {
        let checked = image.check(arguments);
        checked.json["objects"].as_array().unwrap().iter().map(|o| o["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&[]), ["/lib/libask.so.1", "/lib/libuser.so.1"]);
    assert_eq!(paths(&["-v"]).len(), 7, "{:?}", paths(&["-v"]));
}
