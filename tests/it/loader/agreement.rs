//! What `explain --symbols` says is missing, against what glibc says of the same files (`ldd -r`), for programs and libraries of
//! this machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::loaders;
use crate::harness::{binary, command, expect, for_all, long, run, skip};

/// A symbol, its version, and who asks for it.
type MissingOne = (String, Option<String>, PathBuf);

/// How many are asked of the machine in an ordinary run.
const FEW: usize = 60;

#[test]
fn what_is_missing_is_what_the_loader_misses() {
    let test = "loader::agreement";
    let Some((_, loader)) = loaders().into_iter().find(|(class, loader)| *class == 64 && loader.exists()) else {
        return skip(test, "no loader of this machine");
    };
    let mut objects = objects();
    // The same ones each time, from all over.
    objects.sort_by_key(|path| {
        path.as_os_str().as_bytes().iter().fold(7_u64, |h, b| h.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*b))
    });
    if !long() {
        objects.truncate(FEW);
    }
    assert!(objects.len() >= FEW, "{}", objects.len());
    let differ = for_all(&objects, |object| {
        let Some(told) = told_by(&loader, object) else { return Ok(()) };
        let said = said_of(object);
        if told == said { Ok(()) } else { Err(format!("{}: {told:?}\n  {said:?}", object.display())) }
    });
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Dynamically linked ELF files of this machine's class and byte order.
fn objects() -> Vec<PathBuf> {
    let own = header_of(Path::new("/proc/self/exe")).unwrap();
    let mut found = Vec::new();
    for folder in ["/usr/bin", "/usr/sbin", "/usr/lib"] {
        let listed = expect(command("find").args([folder, "-xdev", "-type", "f", "-size", "+1k"]), 0).stdout;
        for path in listed.lines().map(PathBuf::from) {
            let Some(header) = header_of(&path) else { continue };
            if matches!(header[16], 2 | 3) && header[..6] == own[..6] && header[18..] == own[18..] {
                found.push(path);
            }
        }
    }
    found
}

/// The identification, type and machine of what may be ELF.
fn header_of(path: &Path) -> Option<[u8; 20]> {
    let mut header = [0; 20];
    fs::File::open(path).ok()?.read_exact(&mut header).ok().map(|()| header)
}

/// What the loader says of a file; `None` where it is for none, or not for this one.
fn told_by(loader: &Path, object: &Path) -> Option<BTreeSet<MissingOne>> {
    let headers = run(command("readelf").args(["-ldW"]).arg(object)).stdout;
    let is_other = headers.lines().any(|line| line.contains("interpreter:") && !line.contains("/ld-linux"));
    if !headers.contains("Dynamic section") || is_other {
        return None;
    }
    let mut traced = command(loader);
    traced
        .env_remove("LD_LIBRARY_PATH")
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .env("LD_WARN", "yes")
        .env("LD_BIND_NOW", "yes");
    let told = run(traced.arg(object));
    let all = [told.stdout.as_str(), told.stderr.as_str()].concat();
    // Of a file that is not there the loader prints the needs without their versions.
    if all.contains("not found") {
        return None;
    }
    Some(all.lines().filter_map(missing_one).collect())
}

/// `undefined symbol: NAME, version V (FILE)` or `symbol NAME, version V not defined in file F with link time reference (FILE)`.
fn missing_one(line: &str) -> Option<MissingOne> {
    let (rest, by) = line.rsplit_once("\t(")?;
    let by = fs::canonicalize(by.strip_suffix(')')?).ok()?;
    let rest = rest.strip_prefix("undefined ").unwrap_or(rest);
    let rest = rest.strip_prefix("symbol: ").or_else(|| rest.strip_prefix("symbol "))?;
    let rest = rest.split(" not defined in file").next()?;
    let (name, version) = rest.split_once(", version ").map_or((rest, None), |(name, version)| (name, Some(version)));
    Some((name.to_owned(), version.map(str::to_owned), by))
}

fn said_of(object: &Path) -> BTreeSet<MissingOne> {
    let said = run(binary().args(["explain", "--symbols", "--recursive", "--json"]).arg(object));
    let Some(symbols) = said.json()["symbols"].as_array().cloned() else { panic!("{}", said.said()) };
    let open = symbols.iter().filter(|one| one["outcome"] != "bound" && one["weak"] != true);
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let one = |one: &serde_json::Value| {
        Some((text(&one["name"])?, text(&one["version"]), fs::canonicalize(text(&one["by"])?).ok()?))
    };
    open.filter_map(one).collect()
}
