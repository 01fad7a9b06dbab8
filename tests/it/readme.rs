//! The README's examples are run, and say what the README says.

use std::path::Path;
use std::process::Command;

use crate::support;

/// The lines of each `console` block: a command behind `$ `, its output, and `? N` for an exit code that is not 0.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut current: Option<(String, String)> = None;
    for line in text.lines() {
        match (line, &mut current) {
            ("```console", None) => current = Some((String::new(), String::new())),
            ("```", Some(_)) => blocks.extend(current.take()),
            (line, Some((command, output))) => match line.strip_prefix("$ ") {
                Some(new) => *command = new.to_owned(),
                None => *output += &format!("{line}\n"),
            },
            _ => {}
        }
    }
    blocks
}

/// Where there is room depends on the linker that built the example.
fn steady(output: &str) -> Vec<&str> {
    output.lines().map(|line| if line.starts_with("  room ") { "  room" } else { line }).collect()
}

#[test]
fn readme_examples() {
    if !support::require("cc", "readme_examples") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_BIN_EXE_cuda-runpath"));
    let blocks = blocks(&std::fs::read_to_string(root.join("README.md")).unwrap());
    assert!(blocks.len() >= 5, "found only {} examples", blocks.len());
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for (command, expected) in blocks {
        let run = Command::new("sh")
            .args(["-c", &command])
            .current_dir(root)
            .env("PATH", &path)
            .env("CUDA_RUNPATH", program)
            .env_remove("NIX_STORE")
            .output()
            .unwrap();
        let mut output = String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap();
        match run.status.code() {
            Some(0) => {}
            Some(code) => output += &format!("? {code}\n"),
            None => panic!("{command} was killed"),
        }
        if cfg!(not(target_arch = "x86_64")) && command.contains("show") {
            eprintln!("SKIP readme_examples: the example of show is of an x86_64 machine");
            continue;
        }
        assert_eq!(steady(&output), steady(&expected), "$ {command}");
    }
}

/// The README's list of findings is the program's own table.
#[test]
fn readme_lists_every_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let run = support::binary().args(["rules", "--json"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let rules = document["rules"].as_array().unwrap();
    let text = |rule: &serde_json::Value, key: &str| rule[key].as_str().unwrap().to_owned();
    let rows = rules.iter().map(|rule| {
        let severity = text(rule, "severity")[..1].to_ascii_uppercase();
        let fix = if rule["fixable"].as_bool().unwrap() { " F" } else { "" };
        format!("| {} | {} | {severity}{fix} | {} |", text(rule, "code"), text(rule, "slug"), text(rule, "condition"))
    });
    let listed: Vec<&str> = readme.lines().filter(|line| line.starts_with("| CRP")).collect();
    assert_eq!(listed, rows.collect::<Vec<_>>());
}
