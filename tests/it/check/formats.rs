//! Seven formats of one result: each says the same, in its own grammar, whatever the names of files and entries are.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use super::image::{Checked, Image, text};
use super::objects::{DRIVER, dlopens, driver, library, linked};
use super::table::cases;
use crate::harness::{Run, Tree, binary, command, expect, invoke, program, require, run, skip};

pub(crate) const FORMATS: [&str; 7] = ["human", "json", "html", "markdown", "sarif", "junit", "github"];

#[test]
fn every_format_is_tested() {
    let help = invoke(["check", "--help"]).stdout;
    let (_, help) = help.split_once("--format <FORMAT>").unwrap();
    let (_, values) = help.split_once("[possible values: ").unwrap();
    let (values, _) = values.split_once(']').unwrap();
    assert_eq!(values.split(", ").collect::<Vec<_>>(), FORMATS);
}

/// Documents of many runs, to be validated together: starting Python takes longer than a check.
struct Documents {
    tree: Tree,
    count: usize,
}

impl Documents {
    fn new() -> Self {
        let tree = Tree::in_memory();
        tree.folder("documents");
        Self { tree, count: 0 }
    }

    fn add(&mut self, format: &str, document: &[u8]) {
        let ending = if format == "junit" { "xml" } else { "json" };
        self.tree.file(format!("documents/{:04}.{ending}", self.count), document);
        self.count += 1;
    }

    fn validate(&self, test: &str) {
        if !require("/usr/bin/python3", test) || !has_jsonschema(test) {
            return;
        }
        let schema = self.tree.file("schema.json", invoke(["rules", "--schema"]).stdout.as_bytes());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/check/validate.py");
        let mut python = command("/usr/bin/python3");
        let validated = expect(python.arg(script).arg(schema).arg(self.tree.join("documents")), 0);
        assert!(validated.stdout.contains(&format!("{} documents, 0 bad", self.count)), "{}", validated.stdout);
    }
}

pub(crate) fn has_jsonschema(test: &str) -> bool {
    let found = run(command("/usr/bin/python3").args(["-c", "import jsonschema"])).code == 0;
    if !found {
        skip(test, "python3-jsonschema is not installed");
    }
    found
}

/// `check` of an image in a format; for people with every finding under its file.
fn in_format(image: &Image, format: &str, arguments: &[String]) -> Run {
    let mut program = binary();
    program.args(["check", "--format", format, "--color", "never", "--root"]).arg(image.host("/")).args(arguments);
    if format == "human" {
        program.args(["--group-by", "path"]);
    }
    run(&mut program)
}

#[test]
fn every_format_names_every_finding_and_has_one_exit_code() {
    let mut documents = Documents::new();
    for case in cases().into_iter().filter(|case| case.raised.is_some()) {
        let (image, title) = (case.image(), case.title());
        let checked = case.check(&image, &[]);
        let errors = checked.findings().iter().any(|finding| finding.severity == "error");
        checked.run.assert_code(i32::from(errors), &title);
        documents.add("json", checked.run.stdout.as_bytes());
        documents.add("json", case.check(&image, &["-v"]).run.stdout.as_bytes());
        let arguments = case.all_arguments(&image, &[]);
        for format in FORMATS {
            let output = in_format(&image, format, &arguments);
            assert_eq!(output.code, checked.run.code, "{title} as {format}");
            let text = String::from_utf8(output.bytes().to_vec()).unwrap();
            match format {
                "human" => assert_human(&checked, &text, &title),
                "json" => assert_eq!(text, checked.run.stdout, "--json is short for --format json"),
                "sarif" => assert_sarif(&checked, &serde_json::from_str(&text).unwrap(), &title),
                "junit" => documents.add("junit", output.bytes()),
                "html" => assert_html(&checked, &text, &title),
                "markdown" => assert_markdown(&checked, &text, &title),
                _ => assert_github(&checked, &text, &title),
            }
            assert!(text.contains(case.code) || format == "human", "{title} as {format}: {text}");
        }
    }
    documents.validate("every_format_names_every_finding_and_has_one_exit_code");
}

/// Errors and warnings under their file, notes with -v.
fn assert_human(checked: &Checked, text: &str, title: &str) {
    for finding in checked.findings() {
        let place = if finding.path.is_empty() { "(all together)" } else { &finding.path };
        let line = format!("  {} {} ", finding.severity, finding.code);
        let block = text.split_once(&format!("{place}\n")).map(|(_, block)| block);
        let is_told = block.is_some_and(|block| block.contains(&line) && block.contains(&finding.message));
        assert_eq!(is_told, finding.severity != "note", "{title}: {finding:?} in\n{text}");
    }
}

/// SARIF 2.1.0: what the specification requires, and that rules and results belong together.
fn assert_sarif(checked: &Checked, document: &Value, title: &str) {
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(run["tool"]["driver"]["name"], "cuda-runpath");
    for rule in rules {
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["note", "warning", "error"].contains(&level), "{rule}");
        for key in ["shortDescription", "fullDescription", "help"] {
            assert!(rule[key]["text"].as_str().is_some_and(|text| !text.is_empty()), "{rule}");
        }
    }
    let results = run["results"].as_array().unwrap();
    let allowed = checked.json["allowed"].as_array().unwrap().len();
    assert_eq!(results.len(), checked.findings().len() + allowed, "{title}");
    for (result, finding) in results.iter().zip(checked.findings()) {
        assert_eq!((&result["ruleId"], &result["level"]), (&finding.code.into(), &finding.severity.into()), "{title}");
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"], "{title}");
        assert_eq!(result["message"]["text"], finding.message, "{title}");
        assert!(result["partialFingerprints"]["cudaRunpath/v1"].is_string(), "{title}");
        let uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str();
        assert_eq!(uri.is_none(), finding.path.is_empty(), "{title}: {result}");
    }
    for result in results.iter().skip(checked.findings().len()) {
        assert_eq!(result["suppressions"][0]["kind"], "external", "{title}");
    }
}

/// One workflow command for each finding.
fn assert_github(checked: &Checked, text: &str, title: &str) {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), checked.findings().len(), "{title}: {text}");
    for (line, finding) in lines.into_iter().zip(checked.findings()) {
        let command = if finding.severity == "note" { "notice" } else { &finding.severity };
        let (properties, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        assert!(properties.starts_with(&format!("{command} ")), "{title}: {line}");
        assert!(properties.contains(&format!("title={} ", finding.code)), "{title}: {line}");
        assert_eq!(properties.contains("file="), !finding.path.is_empty(), "{title}: {line}");
        assert!(!message.is_empty(), "{title}: {line}");
    }
}

/// Every rule, as a program reads it.
fn rules() -> &'static Value {
    static RULES: OnceLock<Value> = OnceLock::new();
    RULES.get_or_init(|| invoke(["rules", "--json"]).json())
}

/// Every finding with its file, under its rule, with cause and remedy.
fn assert_html(checked: &Checked, text: &str, title: &str) {
    let escaped =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    for finding in checked.findings() {
        assert!(text.contains(&escaped(&finding.message)), "{title}: {finding:?}");
        let rules = rules()["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["code"] == finding.code.as_str()).unwrap();
        for key in ["cause", "remedy"] {
            let words = rule[key].as_str().unwrap();
            assert!(text.matches(&escaped(words)).count() >= 2, "{title}: {words}");
        }
        let name = Path::new(&finding.path).file_name().map_or("", |name| name.to_str().unwrap());
        assert!(text.contains(&escaped(name)), "{title}: {finding:?}");
    }
    assert_eq!(text.contains("Exit code <strong>1</strong>"), checked.run.code == 1, "{title}");
}

/// A row for each kind, and one for each of the first findings that are no notes.
fn assert_markdown(checked: &Checked, text: &str, title: &str) {
    for finding in checked.findings() {
        let kind = text.lines().any(|line| line.starts_with(&format!("| {} | {} ", finding.severity, finding.code)));
        assert!(kind, "{title}: {finding:?} in\n{text}");
        let message = finding.message.replace('|', "\\|");
        let start: String = message.chars().take(300).collect();
        let is_cut = text.contains("\nand ") && text.contains(" more\n");
        assert!(finding.severity == "note" || is_cut || text.contains(&start), "{title}: {finding:?} in\n{text}");
    }
    assert!(text.contains(&format!("Exit code {}:", checked.run.code)), "{title}:\n{text}");
}

/// Every byte that a grammar may trip over, in a file's name and in an entry of its path.
const HOSTILE: &[u8] = b"a\xff\x01\n\r\x1b[31m%2C::,]]>&<\"'\\ \xc3\xa4\xe2\x80\xae";

fn hostile() -> Image {
    let image = Image::new();
    let mut entry = b"/opt/".to_vec();
    entry.extend(HOSTILE.iter().filter(|byte| **byte != b':'));
    let spec = linked().needs("libgone\n\x1b[1m.so").runpath(entry);
    let name = OsStr::from_bytes(HOSTILE);
    image.folder("/lib", 0o755);
    std::fs::write(image.host("/lib").join(name), spec.build()).unwrap();
    image
}

#[test]
fn hostile_names_break_no_grammar() {
    let image = hostile();
    let mut documents = Documents::new();
    let checked = image.check(&["-v"]);
    assert_eq!(checked.codes(), "CRP100 CRP305 CRP312");
    documents.add("json", checked.run.stdout.as_bytes());
    for format in FORMATS {
        let output = in_format(&image, format, &[]);
        assert_eq!(output.code, 1, "{format}");
        let readable = String::from_utf8(output.bytes().to_vec());
        match format {
            "human" => {
                // A pipe gets names as they are.
                let found = output.bytes().windows(HOSTILE.len()).any(|window| window == HOSTILE);
                assert!(found, "{}", output.bytes().escape_ascii());
            }
            "json" => assert_eq!(readable.unwrap(), image.check::<&str>(&[]).run.stdout),
            "sarif" => {
                let document = output.json();
                assert_sarif(&checked, &document, format);
                let uri = "runs/0/results/0/locations/0/physicalLocation/artifactLocation/uri";
                let uri = document.pointer(&format!("/{uri}")).unwrap().as_str().unwrap();
                assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{uri}");
                assert!(uri.starts_with("file:///lib/a%FF%01%0A%0D%1B%5B31m%252C%3A%3A"), "{uri}");
            }
            "junit" => documents.add("junit", output.bytes()),
            "html" | "markdown" => {
                let text = readable.unwrap();
                assert!(text.contains("a\\xff\\u{1}\\n\\r\\u{1b}[31m%2C::,"), "{text}");
                assert!(!text.contains(['\x1b', '\r', '\x01', '\u{202e}']), "{}", text.escape_debug());
            }
            _ => {
                let text = readable.unwrap();
                assert_github(&checked, &text, format);
                assert!(!text.contains(['\x1b', '\r', '\x01']), "{}", text.escape_debug());
            }
        }
    }
    documents.validate("hostile_names_break_no_grammar");
    // The exact bytes are in the siblings that end in Hex.
    let finding = &checked.json["findings"][0];
    let hex: String = HOSTILE.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(finding["pathHex"].as_str().unwrap().ends_with(&hex), "{finding:#}");
    let entry = checked.json["findings"].as_array().unwrap().iter().find(|f| f["code"] == "CRP305").unwrap();
    assert!(entry["aboutHex"].as_str().unwrap().starts_with("2f6f70742f61ff010a0d1b"), "{entry:#}");
}

/// What a terminal would obey must not reach one, neither from names nor from messages.
#[test]
fn a_terminal_gets_escapes_as_text() {
    if !require("script", "a_terminal_gets_escapes_as_text") {
        return;
    }
    let image = hostile();
    for arguments in ["check -v", "check --format github", "check --format junit", "explain lib/*", "explain missing/*"]
    {
        let (subcommand, rest) = arguments.split_once(' ').unwrap();
        let (image, program) = (image.host("/"), program());
        let (image, program) = (text(&image), text(&program));
        // The pattern is for the shell: only it can say such a name.
        let rest = rest.replace("missing/*", "missing/$(printf 'libcuda.so.1\\001\\033[31m')");
        let line = format!("cd {image} && {program} {subcommand} --color never --root . {rest}");
        let output = run(command("script").args(["-qec", &line, "/dev/null"]));
        let told = output.bytes().escape_ascii().to_string();
        assert!(!output.bytes().contains(&0x1b), "{arguments}: {told}");
        assert!(!output.bytes().contains(&0x01), "{arguments}: {told}");
        assert!(told.contains("libcuda.so.1"), "{arguments}: {told}");
    }
}

/// The text format, as a golden to be read.
#[test]
fn check_for_people() {
    let image = Image::new();
    image.put("/opt/old-driver/libcuda.so.1", &driver("libcuda.so.1"));
    image.put(
        "/bin/app",
        &super::objects::program().needs("libask.so").runpath("$ORIGIN/../lib:/run/opengl-driver/lib"),
    );
    image.put("/lib/libask.so", &dlopens(&["libcuda.so.1"]).soname("libask.so"));
    image.put("/lib/libgood.so", &linked().runpath(DRIVER));
    image.put("/lib/libnvml.so", &dlopens(&["libnvidia-ml.so.1"]).runpath(format!("{DRIVER}:{DRIVER}:")));
    image.put("/lib/libplain.so", &library().rpath("/opt/old-driver"));
    image.file("/lib/libcut.so", &library().build()[..700]);
    image.file("/allow.toml", b"[[allow]]\ncode = \"CRP604\"\npath = \"/opt/**\"\nreason = \"on purpose\"\n");
    let transcript = |arguments: &str| {
        let mut program = binary();
        program.current_dir(image.host("/")).args(arguments.split(' '));
        let run = run(&mut program);
        assert_eq!(run.stderr, "", "{arguments}");
        format!("$ cuda-runpath {arguments}\n{}-- exit {}\n", run.stdout, run.code)
    };
    let transcripts = [
        "check --root .",
        "check --root . -v --allow allow.toml",
        "check --root . -q --color always",
        "check --root . bin/app lib/libgood.so",
        "check --root . lib/libgood.so",
        "check --root . --format github lib/libask.so",
        "explain --root . lib/libask.so",
        "explain --root . -v lib/libnvml.so",
        "rules stub-first",
        "rules",
    ]
    .map(transcript);
    snapbox::assert_data_eq!(transcripts.join("\n"), snapbox::file!["../goldens/check.txt"].raw());
}
