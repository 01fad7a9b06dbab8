//! README and the pages under docs: their examples are run and say what the pages say, their links lead somewhere, and
//! their options and tables are the program's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cuda_runpath::elf::plan::Strategy;

use crate::check::formats::FORMATS;
use crate::harness;

/// Why an example is not run here.
const NOT_RUN: [&str; 4] = ["is for the target", "needs a GPU", "needs Nix", "takes minutes"];

/// Options that the pages name and that are not this program's: of Cargo, patchelf, scripts, and a hook of nixpkgs.
const OF_OTHERS: [&str; 5] = ["--force-rpath", "--path", "--print-rpath", "--release", "--set-rpath"];

/// The page that has all options of a subcommand; those of every command are in the first one.
const HOMES: [(&str, &str); 10] = [
    ("fix", "docs/fix.md"),
    ("slim", "docs/slim.md"),
    ("show", "docs/fix.md"),
    ("check", "docs/check.md"),
    ("archs", "docs/check.md"),
    ("explain", "docs/check.md"),
    ("doctor", "docs/check.md"),
    ("rules", "docs/check.md"),
    ("completions", "README.md"),
    ("man", "README.md"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One page, in its parts.
struct Page {
    /// Relative to the repository.
    name: String,
    /// Fenced blocks, in their order.
    blocks: Vec<Block>,
    /// Everything outside of them.
    prose: Vec<(usize, String)>,
}

/// A fenced block.
struct Block {
    /// Where it starts, from 1.
    line: usize,
    /// What stands behind the three back quotes.
    info: String,
    lines: Vec<String>,
}

/// A command of a block, its output, and `? N` for an exit code that is not 0.
struct Example {
    command: String,
    output: String,
}

impl Page {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut page = Self { name: name.to_owned(), blocks: Vec::new(), prose: Vec::new() };
        let mut open: Option<Block> = None;
        for (line, text) in (1..).zip(text.lines()) {
            match (text.strip_prefix("```"), &mut open) {
                (Some(info), None) => open = Some(Block { line, info: info.to_owned(), lines: Vec::new() }),
                (Some(""), Some(_)) => page.blocks.extend(open.take()),
                (_, Some(block)) => block.lines.push(text.to_owned()),
                (None, None) => {
                    // Code that goes on in the next line would be taken for prose, and prose for code.
                    assert!(text.matches('`').count() % 2 == 0, "{name}:{line}: a back quote without a second one");
                    page.prose.push((line, text.to_owned()));
                }
            }
        }
        assert!(open.is_none(), "{name}: a block has no end");
        page
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    /// What stands between back quotes in the prose.
    fn code(&self) -> Vec<(usize, String)> {
        let spans = |(line, text): &(usize, String)| {
            let line = *line;
            text.split('`').skip(1).step_by(2).map(move |span| (line, span.to_owned())).collect::<Vec<_>>()
        };
        self.prose.iter().flat_map(spans).collect()
    }

    /// Everything that is code: spans and blocks.
    fn all_code(&self) -> Vec<(usize, String)> {
        let blocks = self.blocks.iter().flat_map(|block| block.lines.iter().map(|line| (block.line, line.clone())));
        self.code().into_iter().chain(blocks).collect()
    }

    /// The names under which GitHub knows its headings.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The README, and what it leads to.
fn pages() -> Vec<Page> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    names.insert(0, "README.md".to_owned());
    assert!(names.len() >= 8, "found only {names:?}");
    names.iter().map(|name| Page::read(name)).collect()
}

/// Those, and the papers for developers.
fn papers() -> Vec<Page> {
    let more = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(Page::read);
    pages().into_iter().chain(more).collect()
}

impl Block {
    fn examples(&self) -> Vec<Example> {
        let mut examples: Vec<Example> = Vec::new();
        for line in &self.lines {
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => examples.push(Example { command: command.to_owned(), output: String::new() }),
                (None, Some(example)) => example.output += &format!("{line}\n"),
                (None, None) => panic!("a block starts with {line:?}, which is no command"),
            }
        }
        examples
    }
}

/// Where there is room depends on the linker that built the example; a checkout may be anywhere.
fn steady(output: &str) -> Vec<String> {
    let line = |line: &str| {
        // How long the examples' files are, too.
        if ["bytes ", "changed ", "gone ", "new ", "worse "].iter().any(|word| line.starts_with(word)) {
            let numbers = line.split_inclusive(|c: char| !c.is_ascii_digit());
            return numbers.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
        }
        if line.starts_with("  room ") { "  room".to_owned() } else { line.replace(root().to_str().unwrap(), "$PWD") }
    };
    output.lines().map(line).collect()
}

/// What a shell in the checkout prints for it.
fn run(command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_cuda-runpath"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let run = Command::new("sh")
        .args(["-c", command])
        .current_dir(root())
        .env("PATH", &path)
        .env("CUDA_RUNPATH", program)
        .env_remove("NIX_STORE")
        .output()
        .unwrap();
    let output = String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap();
    match run.status.code() {
        Some(0) => output,
        Some(code) => output + &format!("? {code}\n"),
        None => panic!("{command} was killed"),
    }
}

#[test]
fn readme_examples() {
    if !harness::require("cc", "readme_examples") {
        return;
    }
    let demo = root().join("target/demo");
    let (mut ran, mut wrong) = (0, Vec::new());
    for page in pages() {
        // A page makes the demo that its examples are of, so that a reader can start with any of them.
        let _ = std::fs::remove_dir_all(&demo);
        for block in &page.blocks {
            let at = page.at(block.line);
            match block.info.split_once(' ').unwrap_or((&block.info, "")) {
                ("console", "") => {
                    for Example { command, output } in block.examples() {
                        let found = run(&command);
                        ran += 1;
                        if cfg!(not(target_arch = "x86_64")) && command.contains("show") {
                            eprintln!("SKIP readme_examples: the example of show is of an x86_64 machine");
                        } else if steady(&found) != steady(&output) {
                            wrong.push(format!("{at}: $ {command}\n-- the page\n{output}-- found\n{found}"));
                        }
                    }
                }
                ("console", marked) => {
                    let reason = marked.strip_prefix("not-run: ").unwrap_or_default();
                    assert!(NOT_RUN.contains(&reason), "{at}: {marked:?} is not \"not-run: \" and one of {NOT_RUN:?}");
                    for Example { command, output } in block.examples() {
                        assert_eq!(output, "", "{at}: nothing proves this output");
                        eprintln!("NOT RUN {at}: $ {command} ({reason})");
                    }
                }
                ("toml", file) => {
                    assert!(file.starts_with("target/demo/"), "{at}: examples write below target/demo, not {file:?}");
                    std::fs::write(root().join(file), block.lines.join("\n") + "\n").unwrap();
                }
                // Not for a shell.
                ("nix", "") => {}
                // Of another program, but for commands of this one: those are run somewhere on the page.
                ("yaml", "") => {
                    let commands: Vec<String> = page
                        .blocks
                        .iter()
                        .filter(|block| block.info == "console")
                        .flat_map(|block| block.examples().into_iter().map(|example| example.command))
                        .collect();
                    for line in block.lines.iter().filter_map(|line| line.trim_start().strip_prefix("- cuda-runpath "))
                    {
                        let line = format!("cuda-runpath {line}");
                        assert!(commands.contains(&line), "{at}: no console block runs $ {line}");
                    }
                }
                (other, _) => panic!("{at}: a block of kind {other:?}: console blocks are run, others unknown"),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= 25, "ran only {ran} examples");
}

/// The page of findings is what the program prints; `SNAPSHOTS=overwrite` writes it anew.
#[test]
fn docs_list_every_finding() {
    let printed = harness::binary().args(["rules", "--format", "markdown"]).output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md");
    if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite") {
        std::fs::write(page, printed).unwrap();
    } else {
        assert_eq!(std::fs::read_to_string(page).unwrap(), printed, "SNAPSHOTS=overwrite writes docs/findings.md anew");
    }
}

/// The words that start with `-` and are an option: `--arch-policy`, `-0`.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let is_option = |word: &&str| match word.strip_prefix("--") {
        Some(name) => name.len() > 1 && name.starts_with(|c: char| c.is_ascii_lowercase()),
        None => word.len() == 2 && word.starts_with('-') && word != &"--",
    };
    words.filter(is_option).map(str::to_owned).collect()
}

/// What `--help` lists, of the program or of a subcommand.
fn help(subcommand: Option<&str>) -> (String, BTreeSet<String>) {
    let run: harness::Run = harness::binary().args(subcommand).arg("--help").output().unwrap().into();
    run.assert_code(0, "--help");
    // A line of an option starts with its names; behind two spaces follows what it does, which may name others.
    let names = run.stdout.lines().map(str::trim_start).filter(|line| line.starts_with('-') && !line.starts_with("- "));
    let found: BTreeSet<String> = names.flat_map(|line| options(line.split("  ").next().unwrap())).collect();
    let ours = found.into_iter().filter(|name| !["--help", "-h", "--version", "-V"].contains(&name.as_str()));
    (run.stdout.clone(), ours.collect())
}

#[test]
fn docs_have_every_option_and_no_other() {
    let (text, common) = help(None);
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Two spaces, then the name; the second line of a description is indented further.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    let commands: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert_eq!(commands, HOMES.map(|(command, _)| command), "each command has a page");
    assert!(common.contains("--jobs") && common.contains("-q"), "{common:?}");

    let named = |page: &str| -> BTreeSet<String> {
        Page::read(page).all_code().iter().flat_map(|(_, code)| options(code)).collect()
    };
    let mut known = common.clone();
    let mut missing: Vec<String> =
        common.difference(&named(HOMES[0].1)).map(|option| format!("{}: {option}", HOMES[0].1)).collect();
    for (command, page) in HOMES {
        let own: BTreeSet<String> = help(Some(command)).1.difference(&common).cloned().collect();
        missing.extend(own.difference(&named(page)).map(|option| format!("{page}: {option} of {command}")));
        known.extend(own);
    }
    assert!(missing.is_empty(), "no page says what these do:\n{}", missing.join("\n"));

    // A word of one letter may be a shell's or another program's.
    let is_long = |option: &String| option.starts_with("--");
    for page in pages() {
        for (line, code) in page.all_code() {
            for option in options(&code).into_iter().filter(is_long) {
                let is_known = known.contains(&option) || ["--help", "--version"].contains(&option.as_str());
                let is_known = is_known || OF_OTHERS.contains(&option.as_str());
                assert!(is_known, "{}: no command has {option}", page.at(line));
            }
        }
    }
}

/// The targets of `[text](target)`.
fn links(line: &str) -> Vec<String> {
    // Code may have brackets of its own.
    let line: String =
        line.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "code" }).collect();
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

#[test]
fn docs_links_lead_somewhere() {
    let papers = papers();
    let mut reached = BTreeSet::new();
    let mut count = 0;
    for page in &papers {
        for (line, text) in &page.prose {
            for link in links(text) {
                if link.starts_with("https://") {
                    continue;
                }
                count += 1;
                let at = page.at(*line);
                let (file, heading) = link.split_once('#').map_or((link.as_str(), None), |(f, h)| (f, Some(h)));
                let target = if file.is_empty() { page.name.clone() } else { beside(&page.name, file) };
                assert!(root().join(&target).is_file(), "{at}: {link} leads to {target}, which is not there");
                if let Some(heading) = heading {
                    let found = papers.iter().find(|paper| paper.name == target);
                    let anchors = found.map(Page::anchors).unwrap_or_default();
                    assert!(anchors.contains(heading), "{at}: {link}: {target} has no such heading, but {anchors:?}");
                }
                if page.name == "README.md" {
                    reached.insert(target);
                }
            }
        }
    }
    assert!(count >= 40, "found only {count} links");
    for page in &papers {
        let is_reached = page.name == "README.md" || reached.contains(&page.name);
        assert!(is_reached, "the README does not lead to {}", page.name);
    }
}

/// A file that is named as seen from another one.
fn beside(page: &str, file: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(file) {
        if part == ".." { assert!(path.pop(), "{page}: {file} leads out of the repository") } else { path.push(part) }
    }
    path.into_os_string().into_string().unwrap()
}

/// Scripts, tests and folders that the papers name are there.
#[test]
fn docs_name_files_that_are_there() {
    let mut count = 0;
    for page in papers() {
        for (line, code) in page.code() {
            let file = code.trim_start_matches("./").split(' ').next().unwrap();
            let folders = ["benches/", "docs/", "fixtures/", "hooks/", "nix/", "src/", "tests/"];
            if folders.iter().any(|folder| file.starts_with(folder)) {
                count += 1;
                assert!(root().join(file).exists(), "{}: there is no {file}", page.at(line));
            }
        }
    }
    assert!(count >= 40, "found only {count} names of files");
}

/// Each rung, and each format of `check`, has a row of a table.
#[test]
fn docs_have_every_rung_and_every_format() {
    let has_row = |page: &str, word: &str| {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let mut rows = text.lines().filter(|line| line.starts_with("| "));
        assert!(rows.any(|row| row.contains(&format!("`{word}` |"))), "{page} has no row for {word}");
    };
    for strategy in Strategy::ALL.iter().filter(|strategy| **strategy != Strategy::TagOnly) {
        has_row("docs/editing.md", strategy.name());
    }
    for format in FORMATS {
        has_row("docs/check.md", format);
    }
}

/// Each hook, and each variable by which a package turns one off.
#[test]
fn docs_have_every_hook_and_its_switch() {
    let page = std::fs::read_to_string(root().join("docs/nixpkgs.md")).unwrap();
    let hooks = std::fs::read_to_string(root().join("nix/hooks.nix")).unwrap();
    let (_, hooks) = hooks.split_once("\nrec {").unwrap();
    let attribute = |line: &str| {
        let name = line.strip_prefix("  ")?.split_once(" =")?.0;
        name.chars().all(char::is_alphanumeric).then(|| name.to_owned())
    };
    let mut names: BTreeSet<String> = hooks.lines().filter_map(attribute).collect();
    assert!(names.contains("cudaRunpathHook") && names.len() >= 7, "{names:?}");
    for folder in ["hooks", "hooks/shared"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let words = text.split(|c: char| !c.is_alphanumeric());
            let is_switch = |word: &&str| {
                word.strip_prefix("dont").is_some_and(|rest| rest.starts_with(char::is_uppercase))
                    || word.starts_with("cudaRunpathCheck") && !word.ends_with("Outputs")
            };
            names.extend(words.filter(is_switch).map(str::to_owned));
        }
    }
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/nixpkgs.md does not name {missing:?}");
}

/// The code around a test with this path: `crashes::kills::NAME`, or `fsio::cut::tests::NAME` beside what it tests.
fn code_of_test(module: &str) -> String {
    let (folder, module) = match module.strip_suffix("::tests") {
        Some(module) => ("src", module),
        None => ("tests/it", module),
    };
    let path = format!("{folder}/{}", module.replace("::", "/"));
    let files = [format!("{path}.rs"), format!("{path}/mod.rs")].map(|file| root().join(file));
    let file = files.iter().find(|file| file.exists()).unwrap_or_else(|| panic!("there is no module {module}"));
    let mut code = std::fs::read_to_string(file).unwrap();
    let beside = code.lines().find_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    if let Some(beside) = beside {
        code = std::fs::read_to_string(file.with_file_name(beside)).unwrap();
    }
    code
}

/// Each promise names a test, and the test is there.
#[test]
fn docs_name_a_test_for_every_promise() {
    let text = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let tables = text.lines().skip_while(|line| *line != "| promise | test |");
    let mut count = 0;
    for row in tables.filter(|line| line.starts_with("| ") && *line != "| promise | test |") {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            let (module, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("no test is named: {row}"));
            let code = code_of_test(module);
            let is_test = code.split("#[test]\n").skip(1).any(|after| {
                after
                    .lines()
                    .find(|line| line.contains("fn "))
                    .is_some_and(|line| line.contains(&format!("fn {name}(")))
            });
            assert!(is_test, "there is no test {test}");
            count += 1;
        }
    }
    assert!(count >= 50, "found only {count} promises with tests");
}
