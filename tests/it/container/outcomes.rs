//! What a host's spec does to images, case by case: the program's answer, and that of ldconfig and the loader.

use std::path::Path;

use super::scene::{
    Entries, Entry, HOST, Host, LIB64, MULTIARCH, OWN, baked, below, debian, file, link, program, save, unpack,
};
use crate::check::image::Checked;
use crate::check::objects::{compat_note, driver};
use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::{Run, Tree, binary, command, found, is_root, run, skip};

/// One case.
struct Outcome {
    name: &'static str,
    image: Entries,
    host: Host,
    /// The directories that the toolkit puts in front of ldconfig's list.
    front: &'static [&'static str],
    /// The compat directory that it puts in front of those.
    compat: Option<&'static str>,
    /// What libcuda.so.1 is.
    wins: Option<String>,
    /// What libcuda.so is.
    for_linkers: Option<String>,
    verdict: &'static str,
    codes: &'static str,
}

fn mounted(folder: &str) -> Option<String> {
    Some(format!("{folder}/libcuda.so.{HOST}"))
}

fn image(more: impl IntoIterator<Item = (String, Entry)>) -> Entries {
    debian().into_iter().chain(more).collect()
}

fn without(entries: Entries, path: &str) -> Entries {
    entries.into_iter().filter(|(known, _)| known != path).collect()
}

fn replaced(entries: Entries, path: &str, bytes: &[u8]) -> Entries {
    without(entries, path).into_iter().chain([file(path, bytes)]).collect()
}

/// compat's libcuda in a directory of its own release, with the link that images have.
fn compat_of(version: &str, note: Option<&str>) -> Entries {
    let spec = driver("libcuda.so.1");
    let spec = match note {
        Some(note) => spec.note(compat_note(note.as_bytes())),
        None => spec,
    };
    vec![
        link("/usr/local/cuda", "cuda-12.8"),
        file(&format!("/usr/local/cuda-12.8/compat/libcuda.so.{version}"), spec.build()),
        link("/usr/local/cuda-12.8/compat/libcuda.so.1", &format!("libcuda.so.{version}")),
    ]
}

const NOTE: &str = r#"{"format":1,"CUDA version":"12.8","driver":[535,550]}"#;
const COMPAT: &str = "/usr/local/cuda-12.8/compat";

#[rustfmt::skip]
fn outcomes() -> Vec<Outcome> {
    let plain = || Outcome {
        name: "", image: debian(), host: Host::at(MULTIARCH), front: &[], compat: None,
        wins: mounted(MULTIARCH), for_linkers: mounted(MULTIARCH), verdict: "pass", codes: "",
    };
    let new = format!("{MULTIARCH}/libcuda.so.570.133.20");
    let local = "/usr/local/lib/libcuda.so.1";
    let with_compat = |version, note| image(compat_of(version, note));
    let compat_file = |version: &str| Some(format!("{COMPAT}/libcuda.so.{version}"));
    vec![
        Outcome { name: "the driver among the system's libraries", ..plain() },
        Outcome { name: "the driver in a directory of its own", host: Host::at(OWN), front: &[OWN],
            wins: mounted(OWN), for_linkers: mounted(OWN), ..plain() },
        Outcome { name: "the driver in /usr/lib64, which a Debian image does not search by itself", host: Host::at(LIB64),
            front: &[LIB64], wins: mounted(LIB64), for_linkers: mounted(LIB64), ..plain() },
        // An image's own libcuda.
        Outcome { name: "baked into /usr/local/lib, the driver among the system's libraries",
            image: image([baked(local)]), wins: Some(local.into()), verdict: "fail", codes: "CRP604 CRP801 CRP804", ..plain() },
        Outcome { name: "baked into /usr/local/lib, the driver in a directory of its own",
            image: image([baked(local)]), host: Host::at(OWN), front: &[OWN], wins: mounted(OWN), for_linkers: mounted(OWN),
            codes: "CRP604", ..plain() },
        Outcome { name: "baked into /usr/local/lib, the driver in /usr/lib64",
            image: image([baked(local)]), host: Host::at(LIB64), front: &[LIB64], wins: mounted(LIB64),
            for_linkers: mounted(LIB64), codes: "CRP604", ..plain() },
        Outcome { name: "a newer one baked into the driver's own directory", image: image([baked(&new)]),
            wins: Some(new.clone()), for_linkers: Some(new.clone()), verdict: "fail", codes: "CRP604 CRP801 CRP801", ..plain() },
        Outcome { name: "an older one baked into the driver's own directory",
            image: image([baked(&format!("{MULTIARCH}/libcuda.so.535.288.01"))]), codes: "CRP604", ..plain() },
        Outcome { name: "a regular file of the link's name is replaced by it",
            image: image([baked(&format!("{MULTIARCH}/libcuda.so.1"))]), ..plain() },
        Outcome { name: "an empty file where the driver is mounted", 
            image: image([file(&format!("{MULTIARCH}/libcuda.so.{HOST}"), "")]), ..plain() },
        // Compat.
        Outcome { name: "compat of a newer branch, without a note", image: with_compat("570.133.20", None), compat: Some(COMPAT),
            wins: compat_file("570.133.20"), codes: "CRP804", ..plain() },
        Outcome { name: "compat whose note has the host's branch", image: with_compat("570.133.20", Some(NOTE)),
            compat: Some(COMPAT), wins: compat_file("570.133.20"), codes: "CRP804", ..plain() },
        Outcome { name: "compat of the host's branch, a newer one by its note", image: with_compat("550.200.01", Some(NOTE)),
            compat: Some(COMPAT), wins: compat_file("550.200.01"), codes: "CRP804", ..plain() },
        Outcome { name: "compat of the host's branch, without a note", image: with_compat("550.200.01", None), ..plain() },
        Outcome { name: "compat that is older than the host's driver", image: with_compat("550.54.14", Some(NOTE)), ..plain() },
        Outcome { name: "compat with two files", image: [with_compat("570.133.20", None),
            vec![baked(&format!("{COMPAT}/libcuda.so.575.57.08"))]].concat(), ..plain() },
        Outcome { name: "compat with a libcuda.so of its own", image: [with_compat("570.133.20", None),
            vec![link(&format!("{COMPAT}/libcuda.so"), "libcuda.so.1")]].concat(), compat: Some(COMPAT),
            wins: compat_file("570.133.20"), for_linkers: compat_file("570.133.20"), ..plain() },
        Outcome { name: "NVIDIA's own list puts compat in front on every host", image: [with_compat("550.54.14", None),
            vec![file("/etc/ld.so.conf.d/00-cuda-compat.conf", "/usr/local/cuda/compat\n")]].concat(),
            wins: compat_file("550.54.14"), verdict: "fail", codes: "CRP803 CRP804", ..plain() },
        Outcome { name: "the same before the driver's own directory", image: [with_compat("550.54.14", None),
            vec![file("/etc/ld.so.conf.d/00-cuda-compat.conf", "/usr/local/cuda/compat\n")]].concat(),
            host: Host::at(OWN), front: &[OWN], wins: compat_file("550.54.14"), for_linkers: mounted(OWN),
            verdict: "fail", codes: "CRP803 CRP804", ..plain() },
        Outcome { name: "a RUNPATH to compat", image: replaced(with_compat("550.54.14", None), "/bin/app",
            &program().runpath("/usr/local/cuda/compat").build()), wins: compat_file("550.54.14"),
            verdict: "fail", codes: "CRP803 CRP804", ..plain() },
        // Hooks that are off.
        Outcome { name: "no cache, the driver among the system's libraries", host: Host { cache: false, ..Host::at(MULTIARCH) },
            ..plain() },
        Outcome { name: "no cache, the driver elsewhere", host: Host { cache: false, ..Host::at(OWN) },
            wins: None, for_linkers: None, verdict: "fail", codes: "CRP100 CRP100", ..plain() },
        Outcome { name: "no links, as NixOS has it", host: Host { links: false, ..Host::at(OWN) }, front: &[OWN],
            wins: mounted(OWN), for_linkers: None, verdict: "runtime", codes: "CRP102", ..plain() },
        Outcome { name: "neither links nor a cache", host: Host { links: false, cache: false, ..Host::at(MULTIARCH) },
            wins: None, for_linkers: None, verdict: "fail", codes: "CRP100 CRP102", ..plain() },
        // ld.so.conf.
        Outcome { name: "an ld.so.conf without its include, the driver in a directory of its own",
            image: replaced(debian(), "/etc/ld.so.conf", b"/usr/local/lib\n"), host: Host::at(OWN), front: &[OWN],
            wins: None, for_linkers: None, verdict: "fail", codes: "CRP100 CRP100 CRP802", ..plain() },
        Outcome { name: "an ld.so.conf without its include, the driver among the system's libraries",
            image: replaced(debian(), "/etc/ld.so.conf", b"/usr/local/lib\n"), codes: "CRP802", ..plain() },
        Outcome { name: "compat and an ld.so.conf without its include",
            image: replaced(with_compat("570.133.20", None), "/etc/ld.so.conf", b""), compat: Some(COMPAT), codes: "CRP802", ..plain() },
        Outcome { name: "no ld.so.conf at all", image: without(without(debian(), "/etc/ld.so.conf"), "/etc/ld.so.conf.d/libc.conf"),
            host: Host::at(OWN), front: &[OWN], wins: mounted(OWN), for_linkers: mounted(OWN), ..plain() },
        Outcome { name: "the folder stands in the image's own list, behind another libcuda", image: image([baked(local),
            file("/etc/ld.so.conf.d/nvidia.conf", format!("{OWN}\n"))]), host: Host::at(OWN), wins: Some(local.into()),
            for_linkers: mounted(OWN), verdict: "fail", codes: "CRP604 CRP801 CRP804", ..plain() },
        // Other ways past the host's driver.
        Outcome { name: "better hardware's folder wins", image: image([baked("/usr/local/lib/glibc-hwcaps/x86-64-v2/libcuda.so.1")]),
            host: Host::at(OWN), front: &[OWN], wins: Some("/usr/local/lib/glibc-hwcaps/x86-64-v2/libcuda.so.1".into()),
            for_linkers: mounted(OWN), verdict: "fail", codes: "CRP604 CRP801 CRP804", ..plain() },
        Outcome { name: "a link for linkers alone", image: image([
            file("/usr/local/lib/libcuda.so.570.1", driver("libcuda.so.1").build()), link("/usr/local/lib/libcuda.so", "libcuda.so.570.1")]),
            wins: Some("/usr/local/lib/libcuda.so.570.1".into()), for_linkers: Some("/usr/local/lib/libcuda.so.570.1".into()),
            verdict: "fail", codes: "CRP604 CRP801 CRP801", ..plain() },
        Outcome { name: "a libcuda for another machine is no libcuda", image: image([file(local,
            crate::check::objects::driver_for(Machine::Aarch64, "libcuda.so.1").build())]), codes: "CRP604 CRP605", ..plain() },
    ]
}

#[test]
fn every_outcome_is_told() {
    let mut wrong = Vec::new();
    for outcome in outcomes() {
        let tree = Tree::in_memory();
        let image = save(&tree, &outcome.image);
        for at_hand in [false, true] {
            let arguments = arguments(&tree, &outcome.host, at_hand);
            let checked = Checked::of(run(binary().args(["check", "--json"]).args(&arguments).arg(&image)));
            let verdict =
                checked.json["objects"].as_array().unwrap().iter().find(|object| object["path"] == "/bin/app");
            let verdict = verdict.and_then(|object| object["verdict"].as_str()).unwrap_or("none").to_owned();
            let codes = checked.codes();
            let found = ["libcuda.so.1", "libcuda.so"].map(|name| explained(&image, &arguments, name));
            let wanted = (
                outcome.verdict.to_owned(),
                outcome.codes.to_owned(),
                [outcome.wins.clone(), outcome.for_linkers.clone()],
            );
            if (verdict.clone(), codes.clone(), found.clone()) != wanted {
                let findings = checked.findings();
                wrong.push(format!(
                    "{} (at hand: {at_hand}): wanted {wanted:?}, found {verdict} {codes:?} {found:?} {findings:#?}",
                    outcome.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The spec as an argument; with the host's files, or without.
fn arguments(tree: &Tree, host: &Host, at_hand: bool) -> Vec<String> {
    let spec = tree.file("nvidia.yaml", host.spec().as_bytes());
    let mut arguments = vec!["--cdi".to_owned(), spec.to_str().unwrap().to_owned()];
    if at_hand {
        for (path, bytes) in host.libraries() {
            tree.file(format!("host{path}"), &bytes);
        }
        arguments.extend(["--host-root".to_owned(), tree.join("host").to_str().unwrap().to_owned()]);
    }
    arguments
}

/// What a program of the image finds, links followed.
fn explained(image: &Path, arguments: &[String], name: &str) -> Option<String> {
    let app = format!("{}:/bin/app", image.display());
    let told = run(binary().args(["explain", "--json", &app, name]).args(arguments));
    told.assert_code(0, name);
    told.json()["searches"][0]["file"].as_str().map(str::to_owned)
}

/// The real ldconfig in a real root, and the real loader: they find what the program says.
#[test]
fn ldconfig_and_the_loader_do_what_is_told() {
    const TEST: &str = "ldconfig_and_the_loader_do_what_is_told";
    if !cfg!(target_arch = "x86_64") || !is_root() || !found("ldconfig") || !found("chroot") {
        return skip(TEST, "it takes root, chroot and the ldconfig of an x86-64 machine");
    }
    if !Path::new("/etc/debian_version").exists() {
        return skip(TEST, "the machine's loader has the directories of Debian");
    }
    let mut wrong = Vec::new();
    let mut compared = 0;
    for outcome in outcomes() {
        let tree = Tree::in_memory();
        let root = unpack(&tree, &outcome.image);
        mount(&root, &outcome.host);
        if found("nvidia-cdi-hook") {
            run_hooks(&tree, &root, &outcome.host);
        } else {
            do_as_hooks(&root, &outcome);
        }
        for (name, wanted) in [("libcuda.so.1", &outcome.wins), ("libcuda.so", &outcome.for_linkers)] {
            let found = loaded(&root, &outcome, name);
            compared += 1;
            if found != *wanted {
                wrong.push(format!("{}: {name} is {found:?}, and {wanted:?} was said", outcome.name));
            }
        }
    }
    assert!(compared > 50 && wrong.is_empty(), "{}", wrong.join("\n"));
}

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let place = below(root, path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, bytes).unwrap();
}

/// Does to a root what a runtime does.
fn mount(root: &Path, host: &Host) {
    for (path, bytes) in host.libraries() {
        put(root, &path, &bytes);
    }
}

/// Runs the toolkit's own hooks, where they are installed: nothing below then stands for them.
fn run_hooks(tree: &Tree, root: &Path, host: &Host) {
    let config = format!(r#"{{"ociVersion":"1.0.2","root":{{"path":{:?}}}}}"#, root.to_str().unwrap());
    let bundle = tree.file("bundle/config.json", config.as_bytes()).parent().unwrap().to_owned();
    let state = format!(r#"{{"ociVersion":"1.0.2","id":"a","status":"creating","pid":1,"bundle":{bundle:?}}}"#);
    let state = tree.file("state.json", state.as_bytes());
    for args in host.hooks() {
        // A runtime has made the root a mount by then.
        const SCRIPT: &str = r#"mount --bind "$0" "$0" && exec nvidia-cdi-hook "$@""#;
        let mut hook = command("unshare");
        hook.args(["--mount", "sh", "-c", SCRIPT]).arg(root).args(&args).arg("--container-spec").arg(&state);
        run(&mut hook).assert_code(0, &args.join(" "));
    }
}

/// Does to a root what the hooks do.
fn do_as_hooks(root: &Path, outcome: &Outcome) {
    let put = |path: &str, bytes: &[u8]| put(root, path, bytes);
    if outcome.host.links {
        for (target, path) in outcome.host.made_links() {
            let place = below(root, &path);
            let _ = std::fs::remove_file(&place);
            std::os::unix::fs::symlink(target, place).unwrap();
        }
    }
    if let Some(compat) = outcome.compat {
        put("/etc/ld.so.conf.d/00-compat-1b4e28ba.conf", format!("{compat}\n").as_bytes());
    }
    if !outcome.host.cache {
        return;
    }
    if !below(root, "/etc/ld.so.conf").exists() {
        put("/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n");
    }
    if !outcome.front.is_empty() {
        put("/etc/ld.so.conf.d/00-nvcr-4021637533.conf", format!("{}\n", outcome.front.join("\n")).as_bytes());
    }
    let system = "/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n/lib\n/usr/lib\n";
    put("/etc/ld.so.conf.d/zz-nvcr-2183112901.conf", system.as_bytes());
    let made = run(command("ldconfig").arg("-r").arg(root).args(["-f", "/etc/ld.so.conf", "-C", "/etc/ld.so.cache"]));
    made.assert_code(0, "ldconfig");
}

/// What the machine's loader finds in a root for the program that asks for a name.
fn loaded(root: &Path, outcome: &Outcome, name: &str) -> Option<String> {
    let app = outcome.image.iter().find(|(path, _)| path == "/bin/app");
    let Some((_, Entry::File(bytes))) = app else { panic!("{}: no program", outcome.name) };
    // A program that needs it by DT_NEEDED, with the same path.
    let has_path = bytes.windows(22).any(|window| window == b"/usr/local/cuda/compat");
    let spec = Spec::new(Machine::X86_64, Kind::Pie).needs(name);
    let spec = if has_path { spec.runpath("/usr/local/cuda/compat") } else { spec };
    std::fs::write(below(root, "/bin/asks"), spec.build()).unwrap();
    let listed: Run = run(command("chroot").arg(root).args(["/lib64/ld-linux-x86-64.so.2", "--list", "/bin/asks"]));
    let line = listed.stdout.lines().find(|line| line.trim().starts_with(&format!("{name} =>")))?;
    let path = line.split_whitespace().nth(2).filter(|path| path.starts_with('/'))?;
    real(root, path)
}

/// A path with its links followed inside of a root.
fn real(root: &Path, path: &str) -> Option<String> {
    let mut at = path.to_owned();
    for _ in 0..16 {
        let found = resolve_once(root, &at)?;
        if found == at {
            return Some(at);
        }
        at = found;
    }
    None
}

/// Replaces the first link on a path by what it says.
fn resolve_once(root: &Path, path: &str) -> Option<String> {
    let mut done = String::new();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        let here = format!("{done}/{part}");
        if let Ok(target) = std::fs::read_link(below(root, &here)) {
            let target = target.to_str()?;
            let rest = parts[index + 1..].iter().map(|part| format!("/{part}")).collect::<String>();
            let start = if target.starts_with('/') { String::new() } else { format!("{done}/") };
            return Some(format!("{start}{target}{rest}"));
        }
        done = here;
    }
    below(root, path).exists().then(|| path.to_owned())
}
