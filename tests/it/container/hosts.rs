//! Usual hosts in place of a spec: one by one, and all of them together.

use serde_json::Value;

use super::scene::{Entries, HOST, MULTIARCH, baked, debian, file, link, program, save, save_with, unpack};
use crate::check::image::Checked;
use crate::check::objects::driver_for;
use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::{Tree, binary, run};
use crate::saved::build::{Image, Layer, Pack, archive};

const STORE: &str = "/nix/store/00000000000000000000000000000001-glibc-2.40/lib/ld-linux-x86-64.so.2";

fn check(tree: &Tree, image: &Entries, arguments: &[&str]) -> Checked {
    let image = save(tree, image);
    Checked::of(run(binary().args(["check", "--json"]).args(arguments).arg(image)))
}

/// Verdict and answer on each host; of all together where they do not differ.
fn on_hosts(checked: &Checked, soname: &str) -> Vec<(String, String, String)> {
    let request = checked.request("/bin/app", soname);
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("all").to_owned();
    let one = |value: &Value| (text(value, "host"), text(value, "verdict"), text(value, "answer"));
    match request["hosts"].as_array() {
        Some(hosts) => hosts.iter().map(one).collect(),
        None => vec![one(request)],
    }
}

fn told(list: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    list.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

/// With neither a spec nor a host the answer is that of each, where they differ.
#[test]
fn an_image_by_itself_is_judged_on_all_hosts() {
    let tree = Tree::in_memory();
    let plain = check(&tree, &debian(), &[]);
    assert_eq!(on_hosts(&plain, "libcuda.so.1"), told(&[("all", "pass", "driver")]));
    let wanted = [
        ("debian", "pass", "driver"),
        ("ubuntu", "pass", "driver"),
        ("rhel", "pass", "driver"),
        // No links: the name that linkers know is made by nothing.
        ("nixos", "runtime", "nothing"),
    ];
    assert_eq!(on_hosts(&plain, "libcuda.so"), told(&wanted));
    plain.run.assert_code(0, "nothing is wrong with it");

    let shadowed: Entries = debian().into_iter().chain([baked("/usr/local/lib/libcuda.so.1")]).collect();
    let shadowed = check(&tree, &shadowed, &["--skip", "CRP604"]);
    let wanted = [
        ("debian", "pass", "driver"),
        ("ubuntu", "fail", "other"),
        ("rhel", "pass", "driver"),
        ("nixos", "pass", "driver"),
    ];
    assert_eq!(on_hosts(&shadowed, "libcuda.so.1"), told(&wanted));
    let findings = shadowed.findings();
    let finding = findings.iter().find(|finding| finding.code == "CRP801").unwrap();
    assert!(finding.message.ends_with(", on a host like ubuntu"), "{finding:?}");
    shadowed.run.assert_code(1, "it fails on one host");
    let human = run(binary().args(["check", "-v"]).arg(tree.join("image.tar")));
    assert!(
        human.stdout.contains("    fail on a host like ubuntu: <- /usr/local/lib/libcuda.so.1"),
        "{}",
        human.stdout
    );
}

/// A libcuda of the image's in the driver's own directory wins over older drivers, and nothing is known of the host's.
#[test]
fn a_driver_without_a_version_is_the_oldest() {
    let tree = Tree::in_memory();
    let image: Entries = debian().into_iter().chain([baked(&format!("{MULTIARCH}/libcuda.so.535.1"))]).collect();
    let verdict = |arguments: &[&str]| check(&tree, &image, arguments).verdict("/bin/app", "libcuda.so.1").0;
    assert_eq!(verdict(&["--container", "ubuntu"]), "fail");
    assert_eq!(verdict(&["--container", "ubuntu", "--host-driver", HOST]), "pass");
    assert_eq!(verdict(&["--container", "ubuntu", "--host-driver", "525.60.13"]), "fail");
}

/// What the toolkit leaves aside is no error, whatever its note says; nor is it for another kind of host.
#[test]
fn compat_that_is_not_used_does_no_harm() {
    let tree = Tree::in_memory();
    let note = crate::check::objects::compat_note(br#"{"format":1,"CUDA version":"12.8","driver":[535,550]}"#);
    let compat = crate::check::objects::driver("libcuda.so.1").note(note).imports("dlopen");
    let image: Entries = debian()
        .into_iter()
        .chain([
            file("/usr/local/cuda/compat/libcuda.so.570.1", compat.carries("libnvidia-ptxjitcompiler.so.1").build()),
            link("/usr/local/cuda/compat/libcuda.so.1", "libcuda.so.570.1"),
        ])
        .collect();
    let told = |driver: &str| {
        let checked = check(&tree, &image, &["--container", "ubuntu", "--host-driver", driver]);
        (checked.verdict("/bin/app", "libcuda.so.1").1, checked.codes())
    };
    assert_eq!(told("580.95.05"), ("driver".into(), String::new()));
    assert_eq!(told("545.23.08"), ("driver".into(), String::new()));
    // Used, it takes the host's compiler: that is told.
    assert_eq!(told("550.163.01"), ("compat".into(), "CRP404 CRP804".into()));
}

/// Its loader reads the cache of its own store path, which no hook makes.
#[test]
fn a_program_of_nix_finds_the_driver_by_its_path_alone() {
    let tree = Tree::in_memory();
    let app = |path: &str| {
        let spec = Spec::new(Machine::X86_64, Kind::Pie).needs("libcuda.so.1").interpreter(STORE);
        vec![file("/bin/app", spec.runpath(path).build())]
    };
    let wanted = [
        ("debian", "fail", "nothing"),
        ("ubuntu", "fail", "nothing"),
        ("rhel", "fail", "nothing"),
        ("nixos", "pass", "driver-at-runtime"),
    ];
    let by_path = check(&tree, &app("/run/opengl-driver/lib"), &[]);
    assert_eq!(on_hosts(&by_path, "libcuda.so.1"), told(&wanted));
    let message = &by_path.findings().into_iter().find(|finding| finding.code == "CRP100").unwrap().message;
    assert!(message.contains("a RUNPATH with /usr/lib"), "{message}");
    let wanted = [
        ("debian", "fail", "nothing"),
        ("ubuntu", "pass", "driver"),
        ("rhel", "fail", "nothing"),
        ("nixos", "fail", "nothing"),
    ];
    assert_eq!(on_hosts(&check(&tree, &app(MULTIARCH), &[]), "libcuda.so.1"), told(&wanted));
    // NVIDIA's images have it, and NixOS mounts the driver there.
    let image = save_with(&tree, &app("/nowhere"), &["LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64"]);
    let by_environment = Checked::of(run(binary().args(["check", "--json", "--container", "nixos"]).arg(image)));
    let wanted = ("pass".to_owned(), "driver-at-runtime".to_owned());
    assert_eq!(by_environment.verdict("/bin/app", "libcuda.so.1"), wanted);
}

#[test]
fn a_jetson_has_its_libraries_in_a_directory_of_its_own() {
    let tree = Tree::in_memory();
    let asks = Spec::new(Machine::Aarch64, Kind::Pie).needs("libcuda.so.1").imports("dlopen").carries("libnvrm_gpu.so");
    let note = crate::check::objects::compat_note(br#"{"format":1,"CUDA version":"12.8"}"#);
    let layer = Layer::new()
        .file("etc/debian_version", "12.5")
        .file("bin/app", asks.build())
        .file("usr/local/cuda/compat/libcuda.so.1.1", driver_for(Machine::Aarch64, "libcuda.so.1").note(note).build())
        .link("usr/local/cuda/compat/libcuda.so.1", "libcuda.so.1.1");
    let image = Image { platform: ("linux", "arm64"), ..Image::of([layer]) };
    let image = tree.file("image.tar", &archive(&image.layout(Pack::Gzip)));
    let verdict = |arguments: &[&str]| {
        let checked = Checked::of(run(binary().args(["check", "--json"]).args(arguments).arg(&image)));
        checked.verdict("/bin/app", "libcuda.so.1")
    };
    let jetson = ["--container", "jetson"];
    assert_eq!(verdict(&jetson), ("pass".into(), "driver".into()));
    // The hook compares CUDA releases there.
    assert_eq!(verdict(&["--platform", "jetpack6"]), ("pass".into(), "compat".into()));
    assert_eq!(verdict(&["--container", "jetson", "--host-cuda", "12.8"]), ("pass".into(), "driver".into()));
    let all = Checked::of(run(binary().args(["check", "--json"]).arg(&image)));
    assert_eq!(on_hosts(&all, "libcuda.so.1"), told(&[("all", "pass", "driver")]));
    let wrong = run(binary().args(["check", "--container", "jetson"]).arg(save(&tree, &debian())));
    wrong.assert_code(2, "an image for x86-64");
    assert!(wrong.stderr.contains("--container jetson: the image is for x86_64"), "{}", wrong.stderr);
}

#[test]
fn an_unpacked_image_is_judged_as_the_saved_one() {
    let tree = Tree::in_memory();
    let image: Entries = debian()
        .into_iter()
        .chain([baked("/usr/local/lib/libcuda.so.1"), link("/usr/local/lib/libcuda.so", "libcuda.so.1")])
        .collect();
    let saved = save(&tree, &image);
    let root = unpack(&tree, &image);
    for arguments in [["--container", "debian,ubuntu,rhel,nixos"], ["--container", "none"]] {
        let of_saved = run(binary().args(["check", "--json", "-v"]).args(arguments).arg(&saved));
        let of_root = run(binary().args(["check", "--json", "-v"]).args(arguments).arg("--root").arg(&root));
        assert_eq!(of_saved.stdout, of_root.stdout, "{arguments:?}");
        assert_eq!(of_saved.code, of_root.code, "{arguments:?}");
    }
}

#[test]
fn what_is_no_image_is_in_no_container() {
    let tree = Tree::in_memory();
    let app = tree.executable("app", &program().build());
    for arguments in [&["--container", "ubuntu"][..], &["--cdi", "/dev/null"]] {
        run(binary().arg("check").args(arguments).arg(&app)).assert_code(2, &arguments.join(" "));
    }
    let wrong = run(binary().args(["check", "--container", "ubuntu"]).arg(&app));
    assert!(wrong.stderr.contains("--cdi and --container are for an image"), "{}", wrong.stderr);
    // Of a machine that the toolkit is not made for the image by itself is judged, unless a host is named.
    let riscv = Spec::new(Machine::Riscv64, Kind::Pie).needs("libcuda.so.1").build();
    let image = save(&tree, &vec![file("/bin/app", riscv)]);
    run(binary().arg("check").arg(&image)).assert_code(1, "riscv64 by itself");
    let wrong = run(binary().args(["check", "--container", "ubuntu"]).arg(&image));
    wrong.assert_code(2, "riscv64 on Ubuntu");
    assert!(wrong.stderr.contains("the image is for riscv64"), "{}", wrong.stderr);
}
