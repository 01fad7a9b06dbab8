//! What readers that know nothing of the program find wrong with a file: each text, numbers taken out, and how often it came.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Which independent readers are here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readers {
    pub(crate) readelf: bool,
    pub(crate) elflint: bool,
}

pub(crate) type Complaints = BTreeMap<String, usize>;

/// What `readelf -aW` and `eu-elflint --gnu-ld` complain about.
pub(crate) fn complaints(file: &Path, readers: Readers) -> Complaints {
    let mut found = BTreeMap::new();
    let mut add = |line: &str| {
        let line = line.replace(&file.display().to_string(), "FILE");
        *found.entry(without_numbers(&line)).or_insert(0) += 1;
    };
    if readers.readelf {
        let (out, err) = said("readelf", "-aW", file);
        err.lines().for_each(&mut add);
        let suspect = ["Warning", "Error", "<corrupt", "<no-strings>", "out of range"];
        out.lines().filter(|line| suspect.iter().any(|word| line.contains(word))).for_each(&mut add);
    }
    if readers.elflint {
        let (out, err) = said("eu-elflint", "--gnu-ld", file);
        out.lines().chain(err.lines()).filter(|line| *line != "No errors").for_each(&mut add);
    }
    found
}

/// The complaints that there are more of after an edit by `strategy` than before it.
pub(crate) fn new_complaints(before: &Complaints, after: Complaints, strategy: &str) -> Vec<String> {
    let is_new =
        |(line, count): &(String, usize)| *count > before.get(line).copied().unwrap_or(0) && !is_known(line, strategy);
    after.into_iter().filter(is_new).map(|(line, _)| line).collect()
}

/// What eu-elflint says about every file of a certain kind, and nothing that reads the file minds.
fn is_known(line: &str, strategy: &str) -> bool {
    match strategy {
        // Zeros that were only in memory became bytes of the file; it knows copied variables by their being in none.
        "reimage" => {
            // (.plt on ppc64, .bss elsewhere.)
            (line.contains(".bss") || line.contains(".plt")) && line.contains("wrong type")
                || line.contains(".gnu.version") && line.contains("is for requested version")
        }
        // It takes a relocated word for as large as the symbol, so that the last words of the GOT reach into whatever
        // read-only segment follows.
        "slot" | "gap" | "make-room" | "move-table" => line.contains("read-only section modified"),
        _ => false,
    }
}

/// A file that keeps a reader busy for minutes is an answer too.
fn said(tool: &str, option: &str, file: &Path) -> (String, String) {
    let mut command = Command::new("timeout");
    command.args(["300", tool, option]).arg(file).env("LC_ALL", "C");
    let output = command.output().expect("timeout starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Offsets and counts differ after any edit; what is wrong with them does not.
fn without_numbers(line: &str) -> String {
    // The reason behind these words is whatever error libelf met last.
    const UNSURE: &str = "cannot get content of note section";
    let line = line.find(UNSURE).map_or(line, |at| &line[..at + UNSURE.len()]);
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let number = rest.strip_prefix("0x").map_or(rest, |tail| tail);
        let digits = number.len() - number.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        // A word such as `added` is no number.
        if first.is_ascii_digit() && digits > 0 {
            out.push('#');
            rest = &number[digits..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
