//! `--group-by`: what people read; no other format and no exit code knows of it.

use super::image::Image;
use super::objects::{library, linked};
use crate::harness::{Run, binary, run};

/// `count` libraries without the driver, of two packages, and one with an old tag.
fn image(count: usize) -> Image {
    let image = Image::new();
    for number in 0..count {
        let package = ["torch", "nvidia/cublas"][number % 2];
        image.put(&format!("/venv/site-packages/{package}/lib/lib{number:02}.so"), &linked().soname("x"));
    }
    image.folder("/opt/x", 0o755).put("/venv/site-packages/torch/lib/old.so", &library().rpath("/opt/x"));
    image
}

fn check(image: &Image, arguments: &[&str]) -> Run {
    run(binary().arg("check").args(arguments).arg("--root").arg(image.host("/")))
}

const TELLING: &str = "asks for libcuda.so.1 (DT_NEEDED), and neither compat nor the driver directory is searched";

#[test]
fn many_findings_of_a_kind_are_folded() {
    let lines = |count: usize, arguments: &[&str]| {
        let run = check(&image(count), arguments);
        run.assert_code(1, &format!("{arguments:?}"));
        run.stdout.lines().filter(|line| line.contains(TELLING)).count()
    };
    for (count, arguments, told) in [
        (10, &[][..], 10),
        (11, &[], 3),
        (11, &["-q"], 3),
        (11, &["-v"], 11),
        (11, &["--group-by", "path"], 11),
        (11, &["--group-by", "code"], 11),
        // Six of one package and five of the other.
        (11, &["--group-by", "package"], 6),
        (3, &["--group-by", "package"], 3),
    ] {
        assert_eq!(lines(count, arguments), told, "{count} {arguments:?}");
    }
    let text = check(&image(12), &[]).stdout;
    let expected = format!(
        "/venv/site-packages/torch/lib/old.so
  warning CRP307 rpath-tag: has DT_RPATH and no DT_RUNPATH
error CRP100 driver-unreachable: 12 in 12 files
  /venv/site-packages/nvidia/cublas/lib/lib01.so: {TELLING}
  /venv/site-packages/nvidia/cublas/lib/lib03.so: {TELLING}
  /venv/site-packages/nvidia/cublas/lib/lib05.so: {TELLING}
  and 9 more (--group-by code lists all)
13 files, 13 ELF, 12 ask for the driver: 0 pass, 0 at run time, 12 fail
12 errors, 1 warning, 0 notes; fix repairs 12
"
    );
    assert_eq!(text, expected);
}

#[test]
fn packages_have_their_findings_by_kind() {
    let text = check(&image(9), &["--group-by", "package"]).stdout;
    let expected = format!(
        "/venv/site-packages/nvidia/cublas
  error CRP100 driver-unreachable: 4 in 4 files
    /venv/site-packages/nvidia/cublas/lib/lib01.so: {TELLING}
    /venv/site-packages/nvidia/cublas/lib/lib03.so: {TELLING}
    /venv/site-packages/nvidia/cublas/lib/lib05.so: {TELLING}
    and 1 more (--group-by path lists all)
/venv/site-packages/torch
  error CRP100 driver-unreachable: 5 in 5 files
    /venv/site-packages/torch/lib/lib00.so: {TELLING}
    /venv/site-packages/torch/lib/lib02.so: {TELLING}
    /venv/site-packages/torch/lib/lib04.so: {TELLING}
    and 2 more (--group-by path lists all)
  warning CRP307 rpath-tag: 1 in 1 file
    /venv/site-packages/torch/lib/old.so: has DT_RPATH and no DT_RUNPATH
"
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn other_formats_list_each_finding() {
    for format in ["json", "sarif", "junit", "github"] {
        let run = check(&image(12), &["--format", format]);
        run.assert_code(1, format);
        assert!(run.stdout.contains("lib11.so"), "{format}");
        let run = check(&image(1), &["--format", format, "--group-by", "code"]);
        run.assert_code(2, format);
        assert!(run.stderr.contains("--group-by is for people"), "{}", run.stderr);
    }
    check(&image(1), &["--json", "--group-by", "code"]).assert_code(2, "--json");
}
