//! What else is told of images and specs: an image that cannot be read, devices, environment, musl, what is not at hand.

use std::path::Path;

use super::scene::{Entries, HOST, Host, LIB64, MULTIARCH, OWN, below, debian, file, program, save, save_with, unpack};
use crate::check::image::Checked;
use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::{Tree, binary, command, found, is_root, run, skip};
use crate::saved::build::{Image, Pack, archive};

fn spec(tree: &Tree, text: &str) -> String {
    tree.file("spec.yaml", text.as_bytes()).to_str().unwrap().to_owned()
}

fn check(image: &Path, arguments: &[&str]) -> Checked {
    Checked::of(run(binary().args(["check", "--json"]).args(arguments).arg(image)))
}

#[test]
fn an_image_that_cannot_be_read_is_a_finding_in_every_format() {
    let tree = Tree::in_memory();
    let mut layout = Image::of([super::scene::layer(&debian())]).layout(Pack::Plain);
    // The layer is gone, and all that it would add.
    let largest = layout.iter().enumerate().max_by_key(|(_, (_, bytes))| bytes.len()).map(|(at, _)| at).unwrap();
    layout.remove(largest);
    let image = tree.file("image.tar", &archive(&layout));
    for format in ["human", "json", "sarif", "junit", "github"] {
        let told = run(binary().args(["check", "--format", format]).arg(&image));
        told.assert_code(2, format);
        assert!(told.stdout.contains("CRP800"), "{format}: {}", told.said());
        assert!(told.stderr.contains("layer blobs/sha256/") && told.stderr.contains("is not in it"), "{}", told.stderr);
    }
    // What is no image at all is no finding about one.
    let other = tree.file("other.tar", &archive(&vec![("a".into(), vec![1; 700])]));
    let told = run(binary().args(["check", "--json"]).arg(other));
    told.assert_code(2, "no image");
    assert!(told.stdout.is_empty() && told.stderr.contains("neither manifest.json nor index.json"), "{}", told.said());
}

#[test]
fn a_spec_that_cannot_be_used_is_named() {
    let tree = Tree::in_memory();
    let image = save(&tree, &debian());
    for (text, why) in [
        ("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ncontainerEdits: {mount: []}\n", "unknown field"),
        ("- a\n", "it is no CDI spec"),
        ("", "it is no CDI spec"),
    ] {
        let told = run(binary().args(["check", "--cdi", &spec(&tree, text)]).arg(&image));
        told.assert_code(2, text);
        assert!(told.stderr.contains(why) && told.stderr.contains("--cdi "), "{text}: {}", told.stderr);
    }
    let usual = spec(&tree, &Host::at(MULTIARCH).spec());
    let told = run(binary().args(["check", "--cdi", &usual, "--cdi-device", "nvidia.com/gpu=7"]).arg(&image));
    told.assert_code(2, "a device that is not there");
    assert!(told.stderr.contains("it has no device \"nvidia.com/gpu=7\", but all"), "{}", told.stderr);
    check(&image, &["--cdi", &usual, "--cdi-device", "nvidia.com/gpu=all"]).run.assert_code(0, "by its whole name");
}

/// A spec's environment comes behind the image's, and `--env` behind both.
#[test]
fn the_last_environment_counts() {
    let tree = Tree::in_memory();
    let stub = crate::check::objects::stub(Machine::X86_64).build();
    let image: Entries = debian().into_iter().chain([file("/stubs/libcuda.so.1", stub)]).collect();
    let with = |line: &str| Host::at(MULTIARCH).spec().replace("NVIDIA_VISIBLE_DEVICES=void", line);
    let answer = |environment: &[&str], line: &str, more: &[&str]| {
        let image = save_with(&tree, &image, environment);
        let spec = spec(&tree, &with(line));
        let arguments: Vec<&str> = ["--cdi", spec.as_str()].iter().chain(more).copied().collect();
        check(&image, &arguments).verdict("/bin/app", "libcuda.so.1").1
    };
    let (stubs, none) = ("LD_LIBRARY_PATH=/stubs", "LD_LIBRARY_PATH=");
    assert_eq!(answer(&[stubs], "A=1", &[]), "stub");
    assert_eq!(answer(&[stubs], none, &[]), "driver");
    assert_eq!(answer(&[none], stubs, &[]), "stub");
    assert_eq!(answer(&[none], stubs, &["--env", none]), "driver");
}

/// What is not modelled may do anything: no request passes.
#[test]
fn an_unknown_hook_leaves_no_pass() {
    let tree = Tree::in_memory();
    let hook = "  - hookName: createContainer\n    path: /opt/vendor/hook\n    args: [hook, x]\n";
    let host = Host { more_hooks: hook, ..Host::at(MULTIARCH) };
    let checked = check(&save(&tree, &debian()), &["--cdi", &spec(&tree, &host.spec())]);
    assert_eq!(checked.verdict("/bin/app", "libcuda.so.1"), ("runtime".into(), "driver".into()));
    assert_eq!(checked.codes(), "CRP805");
}

/// A directory of the host may have anything in it, and hides what the image has there.
#[test]
fn a_directory_that_is_not_at_hand_is_for_the_target_to_tell() {
    let tree = Tree::in_memory();
    let app = program().runpath("/opt/vendor").build();
    let mut image = debian();
    image.retain(|(path, _)| path != "/bin/app");
    image.extend([file("/bin/app", app), super::scene::baked("/opt/vendor/libcuda.so.1")]);
    let text = "cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits:\n  mounts: [{hostPath: /opt/of/host, containerPath: /opt/vendor}]\n";
    let spec = spec(&tree, text);
    let image = save(&tree, &image);
    let checked = check(&image, &["--cdi", &spec]);
    assert_eq!(checked.verdict("/bin/app", "libcuda.so.1"), ("runtime".into(), "nothing".into()));
    assert!(checked.codes().starts_with("CRP102"), "{}", checked.codes());
    // At hand it is looked into.
    let host = tree.folder("host/opt/of/host");
    let arguments = ["--cdi", &spec, "--host-root", tree.join("host").to_str().unwrap()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(check(&image, &arguments).verdict("/bin/app", "libcuda.so.1"), ("fail".into(), "nothing".into()));
    std::fs::write(host.join("libcuda.so.1"), crate::check::objects::driver("libcuda.so.1").build()).unwrap();
    assert_eq!(check(&image, &arguments).verdict("/bin/app", "libcuda.so.1"), ("pass".into(), "driver".into()));
}

/// A store path of the image stays what it is: the host has the same under that name.
#[test]
fn a_store_path_is_hidden_by_none_of_the_same_name() {
    let tree = Tree::in_memory();
    const LIBC: &str = "/nix/store/00000000000000000000000000000001-glibc-2.40/lib";
    let own = Spec::new(Machine::X86_64, Kind::Library).soname("libc.so.6").build();
    let app = Spec::new(Machine::X86_64, Kind::Pie).needs("libc.so.6").needs("libcuda.so.1");
    let app = app.interpreter(&format!("{LIBC}/ld-linux-x86-64.so.2"));
    let app = app.runpath(format!("/run/opengl-driver/lib:{LIBC}")).build();
    let image = save(&tree, &vec![file("/bin/app", app), file(&format!("{LIBC}/libc.so.6"), own)]);
    let text = format!(
        "cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits:\n  mounts:\n  - {{hostPath: {LIBC}, containerPath: {LIBC}}}\n  - {{hostPath: /run/opengl-driver, containerPath: /run/opengl-driver}}\n"
    );
    let checked = check(&image, &["--cdi", &spec(&tree, &text)]);
    assert_eq!((checked.codes().as_str(), checked.run.code), ("", 0), "{:?}", checked.findings());
    assert_eq!(checked.verdict("/bin/app", "libcuda.so.1"), ("pass".into(), "driver-at-runtime".into()));
}

/// Symbols of what only the target has are not said to be missing.
#[test]
fn symbols_of_the_hosts_driver_are_not_missed() {
    let tree = Tree::in_memory();
    let mut image = debian();
    image.retain(|(path, _)| path != "/bin/app");
    image.push(file("/bin/app", program().imports("cuInit").build()));
    let image = save(&tree, &image);
    let checked = check(&image, &["--symbols", "--container", "ubuntu"]);
    assert_eq!(checked.codes(), "", "{:?}", checked.findings());
}

/// An image of Alpine's kind, its path file, and what is found; the folder that the toolkit puts in front.
fn of_musl() -> Vec<(&'static str, Entries, bool)> {
    let app = Spec::new(Machine::X86_64, Kind::Pie).needs("libcuda.so.1").interpreter("/lib/ld-musl-x86_64.so.1");
    let mut plain = vec![file("/bin/app", app.build()), file("/etc/os-release", "ID=any\n")];
    if let Ok(loader) = std::fs::read("/lib/ld-musl-x86_64.so.1") {
        plain.push(file("/lib/ld-musl-x86_64.so.1", loader));
    }
    let with = |more: &[(&str, &str)]| -> Entries {
        plain.iter().cloned().chain(more.iter().map(|(path, text)| file(path, text))).collect()
    };
    let (release, list) = ("/etc/alpine-release", "/etc/ld-musl-x86_64.path");
    vec![
        ("Alpine without a list", with(&[(release, "3.20.0\n")]), true),
        ("Alpine with a list", with(&[(release, "3.20.0\n"), (list, "/opt/lib\n")]), true),
        ("Alpine with a list that does not end", with(&[(release, "3.20.0\n"), (list, "/opt/lib")]), false),
        ("Alpine with a list that ends with a colon", with(&[(release, "3.20.0\n"), (list, "/opt/lib:")]), true),
        ("another system", with(&[]), false),
        ("another system that searches there", with(&[(list, "/usr/lib/x86_64-linux-gnu")]), true),
    ]
}

#[test]
fn musl_finds_what_its_list_leads_to() {
    const TEST: &str = "musl_finds_what_its_list_leads_to";
    let is_real =
        cfg!(target_arch = "x86_64") && is_root() && found("chroot") && Path::new("/lib/ld-musl-x86_64.so.1").exists();
    if !is_real {
        skip(TEST, "it takes root, chroot and musl's loader to try what is said");
    }
    for (name, image, is_found) in of_musl() {
        let tree = Tree::in_memory();
        let host = Host::at(MULTIARCH);
        let checked = check(&save(&tree, &image), &["--cdi", &spec(&tree, &host.spec())]);
        let verdict = checked.verdict("/bin/app", "libcuda.so.1").0;
        assert_eq!(verdict == "pass", is_found, "{name}: {:?}", checked.findings());
        if !is_real {
            continue;
        }
        let root = unpack(&tree, &image);
        for (path, bytes) in host.libraries() {
            let place = below(&root, &path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, bytes).unwrap();
        }
        std::os::unix::fs::symlink(format!("libcuda.so.{HOST}"), below(&root, &format!("{MULTIARCH}/libcuda.so.1")))
            .unwrap();
        if below(&root, "/etc/alpine-release").exists() {
            let list = below(&root, "/etc/ld-musl-x86_64.path");
            let before = std::fs::read_to_string(&list).unwrap_or_default();
            let system = "/lib\n/usr/lib\n/lib64\n/usr/lib64\n/libx32\n/usr/libx32\n";
            std::fs::write(list, format!("{before}{MULTIARCH}\n{system}")).unwrap();
        }
        let listed = run(command("chroot").arg(&root).args(["/lib/ld-musl-x86_64.so.1", "--list", "/bin/app"]));
        let line = listed.stdout.lines().find(|line| line.contains("libcuda.so.1 =>"));
        assert_eq!(line.is_some(), is_found, "{name}: musl says {}", listed.said());
    }
}

/// The hook of a spec that has no versions takes them from the command line, and from nowhere else.
#[test]
fn a_root_of_compat_may_be_another_one() {
    let tree = Tree::in_memory();
    let compat = crate::check::objects::driver("libcuda.so.1").build();
    let mut image = debian();
    image.push(file("/opt/compat_orin/libcuda.so.570.1", compat));
    image.push(super::scene::link("/opt/compat_orin/libcuda.so.1", "libcuda.so.570.1"));
    let image = save(&tree, &image);
    let text = Host::at(OWN).spec().replace(
        &format!("    - --host-driver-version={HOST}\n"),
        "    - --cuda-compat-container-root=/opt/compat_orin\n",
    );
    let answer = |more: &[&str]| {
        let spec = spec(&tree, &text);
        let arguments: Vec<&str> = ["--cdi", spec.as_str()].iter().chain(more).copied().collect();
        check(&image, &arguments).verdict("/bin/app", "libcuda.so.1").1
    };
    assert_eq!(answer(&[]), "driver");
    assert_eq!(answer(&["--host-driver", "550.1"]), "compat");
    assert_eq!(answer(&["--host-driver", "570.1"]), "driver");
}

/// The loader's own directories are searched behind the cache: RHEL's for an image like RHEL's.
#[test]
fn an_image_like_rhel_is_searched_as_one() {
    let tree = Tree::in_memory();
    let image: Entries = vec![
        super::scene::link("/lib64", "usr/lib64"),
        file("/usr/lib64/libown.so", Spec::new(Machine::X86_64, Kind::Library).soname("libown.so").build()),
        file("/etc/redhat-release", "9\n"),
        file("/etc/ld.so.conf", "include ld.so.conf.d/*.conf\n"),
        file("/bin/app", Spec::new(Machine::X86_64, Kind::Pie).needs("libcuda.so.1").build()),
    ];
    for (folder, cache, verdict) in
        [(LIB64, true, "pass"), (LIB64, false, "pass"), (MULTIARCH, true, "pass"), (MULTIARCH, false, "fail")]
    {
        let host = Host { cache, ..Host::at(folder) };
        let checked = check(&save(&tree, &image), &["--cdi", &spec(&tree, &host.spec())]);
        assert_eq!(checked.verdict("/bin/app", "libcuda.so.1").0, verdict, "{folder} {cache}");
    }
}
