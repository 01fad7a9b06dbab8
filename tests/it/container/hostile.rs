//! Specs and images that are made to mislead: every one ends soon, in an orderly way, and says what is wrong.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::scene::{Entries, Host, MULTIARCH, debian, file, link, save};
use crate::harness::{Run, Tree, binary, run};

/// A run of the program that is not optimised, on a machine that does other things as well.
const LONGEST: Duration = Duration::from_secs(60);

fn check(name: &str, image: &Entries, spec: &str) -> Run {
    let tree = Tree::in_memory();
    let image = save(&tree, image);
    let spec = tree.file("spec.yaml", spec.as_bytes());
    let started = Instant::now();
    let told = run(binary().args(["check", "--json", "--cdi"]).arg(spec).arg(image));
    told.assert_orderly(name);
    assert!(started.elapsed() < LONGEST, "{name} takes {:?}", started.elapsed());
    told
}

fn spec(edits: &str) -> String {
    format!("cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits:\n{edits}")
}

fn hook(args: &str) -> String {
    format!("  - {{hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [x, {args}]}}\n")
}

fn mount(path: &str) -> String {
    format!("  - {{hostPath: /x/libcuda.so.550.1, containerPath: {path:?}}}\n")
}

/// Each with what is said of it: in the report, or as an error.
#[test]
fn hostile_specs_are_bounded_and_named() {
    let many = |one: &dyn Fn(usize) -> String, count: usize| (0..count).map(one).collect::<String>();
    let cases: Vec<(&str, String, i32, &str)> = vec![
        ("100,000 hooks", format!("  hooks:\n{}", hook("noop").repeat(100_000)), 2, "more than 4096 hooks"),
        (
            "100,000 mounts",
            format!("  mounts:\n{}", many(&|n| mount(&format!("/m/{n}")), 100_000)),
            2,
            "more than 16384 mounts",
        ),
        (
            "16,000 mounts",
            format!("  mounts:\n{}", many(&|n| mount(&format!("/m{n}/lib/a.so.1")), 16_000)),
            1,
            "CRP100",
        ),
        (
            "16,000 mounts in one another",
            format!("  mounts:\n{}", many(&|n| mount(&"/d".repeat(n % 100 + 1)), 16_000)),
            1,
            "CRP100",
        ),
        (
            "80,000 links",
            format!(
                "  hooks:\n{}",
                hook(&format!("create-symlinks{}", ", --link, 'a::/l/b'".repeat(8_000))).repeat(10)
            ),
            2,
            "more than 65536 links",
        ),
        ("names above the root", format!("  mounts:\n{}", mount("/../../../../usr/lib/../../../etc")), 1, "CRP"),
        ("the root itself", format!("  mounts:\n{}", mount("/")), 1, "CRP"),
        ("a relative path", format!("  mounts:\n{}", mount("usr/lib")), 2, "it is no absolute path"),
        ("a NUL", format!("  mounts:\n{}", mount("/a\\0b").replace("\\\\0", "\\0")), 2, "NUL"),
        ("5,000 bytes", format!("  mounts:\n{}", mount(&format!("/{}", "a".repeat(5000)))), 2, "more than 4096 bytes"),
        ("1,000 directories", format!("  mounts:\n{}", mount(&"/a".repeat(1000))), 2, "more than 128 names"),
        (
            "below a file",
            format!("  mounts:\n{}", mount("/etc/debian_version/x/libcuda.so.1")),
            1,
            "nothing can be mounted at",
        ),
        ("over a circle", format!("  mounts:\n{}", mount("/circle/libcuda.so.1")), 1, "nothing can be mounted at"),
        (
            "a link in a circle",
            format!("  hooks:\n{}", hook("create-symlinks, --link, 'x::/circle/y'")),
            1,
            "cannot make /circle/y",
        ),
        (
            "a link over a directory",
            format!("  hooks:\n{}", hook("create-symlinks, --link, 'x::/etc'")),
            1,
            "cannot make /etc",
        ),
        ("a link over the root", format!("  hooks:\n{}", hook("create-symlinks, --link, 'x::/'")), 1, "cannot make /"),
        (
            "links in a circle",
            format!(
                "  hooks:\n{}{}",
                hook(
                    "create-symlinks, --link, 'libcuda.so::/usr/lib/libcuda.so.1', --link, 'libcuda.so.1::/usr/lib/libcuda.so'"
                ),
                hook("update-ldcache, --folder, /usr/lib")
            ),
            1,
            "CRP100",
        ),
        (
            "an ldcache again and again",
            format!("  hooks:\n{}", hook("update-ldcache, --folder, /usr/lib").repeat(100)),
            1,
            "more than 16 hooks",
        ),
        (
            "10,000 folders",
            format!(
                "  hooks:\n{}",
                hook(&format!("update-ldcache{}", many(&|n| format!(", --folder, /f/{n}"), 8_000)))
            ),
            1,
            "CRP100",
        ),
        (
            "a folder with a newline",
            format!("  hooks:\n{}", hook("update-ldcache, --folder, \"/a\\n/b\"")),
            1,
            "CRP100",
        ),
        (
            "a compat root above the root",
            format!(
                "  hooks:\n{}",
                hook("enable-cuda-compat, --host-driver-version=1, --cuda-compat-container-root=/../../..")
            ),
            1,
            "CRP100",
        ),
        ("nothing at all", "  {}\n".into(), 1, "CRP100"),
    ];
    let mut image = debian();
    image.push(link("/circle", "circle"));
    for (name, edits, code, why) in cases {
        let told = check(name, &image, &spec(&edits));
        assert_eq!(told.code, code, "{name}: {}", told.said());
        assert!(told.stdout.contains(why) || told.stderr.contains(why), "{name}: {}", told.said());
    }
}

#[test]
fn hostile_images_are_bounded() {
    let deep = format!("/usr/local/lib{}", "/x".repeat(400));
    let round = |count: usize| (0..count).map(|n| link(&format!("/r/l{n}"), "."));
    let mut lists = String::new();
    for n in 0..20_000 {
        let _ = writeln!(lists, "/r/l{}/l{}/l{}", n % 7, n % 11, n % 13);
    }
    let includes = "include /r/*/*/*/*/*/*/*.conf\n".repeat(1000);
    let cases: Vec<(&str, Vec<(String, super::scene::Entry)>)> = vec![
        (
            "a list that includes itself",
            vec![file("/etc/ld.so.conf", "include /etc/ld.so.conf\ninclude /etc/*.conf\n")],
        ),
        (
            "lists in a circle",
            vec![
                file("/etc/ld.so.conf.d/a.conf", "include /etc/ld.so.conf.d/b.conf\n"),
                file("/etc/ld.so.conf.d/b.conf", "include /etc/ld.so.conf.d/a.conf\n"),
            ],
        ),
        ("a list that is a directory", vec![file("/etc/ld.so.conf/x", "")]),
        ("a list that is a circle", vec![link("/etc/ld.so.conf", "ld.so.conf")]),
        ("a list of bytes", vec![file("/etc/ld.so.conf", [0xff, 0, b'\n', b'=', b'\n', 0x80])]),
        ("a cache that is a directory", vec![file("/etc/ld.so.cache/x", "")]),
        ("etc that is a file", vec![file("/etc", "")]),
        ("20,000 lines through links", std::iter::once(file("/etc/ld.so.conf", &lists)).chain(round(20)).collect()),
        ("patterns through links", std::iter::once(file("/etc/ld.so.conf", &includes)).chain(round(60)).collect()),
        (
            "links to far away",
            vec![
                file("/etc/ld.so.conf", "/far\n".repeat(4000)),
                file(&format!("{deep}/libcuda.so.1"), "no library"),
                link("/far", &format!("{deep}/../{}", "y/../".repeat(200))),
            ],
        ),
        (
            "3,000 libraries that are links to each other",
            (0..3000)
                .map(|n| link(&format!("/usr/lib/liba{n}.so.1"), &format!("liba{}.so.1", (n + 1) % 3000)))
                .collect(),
        ),
    ];
    let host = Host::at(MULTIARCH).spec();
    for (name, more) in cases {
        let replaced: Vec<&str> = more.iter().map(|(path, _)| path.as_str()).collect();
        let is_kept = |path: &str| {
            !replaced.iter().any(|other| {
                path == *other || other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/"))
            })
        };
        let image: Entries =
            debian().into_iter().filter(|(path, _)| is_kept(path)).chain(more.iter().cloned()).collect();
        let told = check(name, &image, &host);
        assert!(told.code < 2, "{name}: {}", told.said());
    }
}
