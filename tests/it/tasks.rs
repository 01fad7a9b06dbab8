//! One list of tasks: the justfile and the table of CONTRIBUTING.md agree, and no script is missing from them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Executable files that a task starts, not a person, with the script that does.
const STARTED_BY_SCRIPTS: [(&str, &str); 1] = [("tests/fuzz/rustc", "tests/fuzz/run")];

#[derive(Debug, PartialEq, Eq)]
struct Task {
    name: String,
    /// As a person types it.
    command: String,
    about: String,
}

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A parameter of a recipe, as the table writes it: `targets` with `*` in front is `[TARGETS…]`.
fn parameter(declared: &str) -> (String, String) {
    let (declared, default) = declared.split_once('=').map_or((declared, None), |(name, value)| (name, Some(value)));
    let name = declared.trim_start_matches(['*', '+']);
    let shown = name.to_uppercase();
    let shown = match (declared.chars().next(), default) {
        (Some('*'), _) => format!("[{shown}…]"),
        (Some('+'), _) => format!("{shown}…"),
        (_, Some("\"\"")) => format!("[{shown}]"),
        _ => shown,
    };
    (format!("{{{{{name}}}}}"), shown)
}

/// The public recipes of the justfile.
fn recipes() -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let (mut about, mut parameters) = (String::new(), Vec::new());
    for line in text("justfile").lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            about = comment.to_owned();
        } else if let Some(command) = line.strip_prefix("    ") {
            let task = tasks.last_mut().expect("a recipe");
            let joint = if task.command.is_empty() { "" } else { " && " };
            task.command += joint;
            task.command +=
                &parameters.iter().fold(command.to_owned(), |command, (declared, shown): &(String, String)| {
                    command.replace(declared, shown)
                });
            assert!(!task.command.contains("{{"), "{}: a parameter that is not declared: {}", task.name, task.command);
        } else if line.is_empty() {
            about.clear();
        } else {
            let mut words = line.strip_suffix(':').unwrap_or_else(|| panic!("no recipe: {line:?}")).split(' ');
            let name = words.next().unwrap().to_owned();
            parameters = words.map(parameter).collect();
            assert!(name.starts_with('_') || !about.is_empty(), "{name} has no comment");
            tasks.push(Task { name, command: String::new(), about: std::mem::take(&mut about) });
        }
    }
    tasks.retain(|task| !task.name.starts_with('_'));
    assert!(tasks.len() >= 20, "found only {} recipes", tasks.len());
    tasks
}

/// The rows of the table.
fn rows() -> Vec<Task> {
    let text = text("CONTRIBUTING.md");
    let (_, table) = text.split_once("| task | command | |\n|---|---|---|\n").expect("the table of tasks");
    let row = |line: &str| {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        let cells: Vec<&str> = cells.unwrap_or_else(|| panic!("no row: {line:?}")).split(" | ").collect();
        let [name, command, about] = cells[..] else { panic!("not three cells: {line:?}") };
        Task { name: name.to_owned(), command: command.trim_matches('`').to_owned(), about: about.to_owned() }
    };
    table.lines().take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn the_justfile_and_the_table_agree() {
    let (recipes, rows) = (recipes(), rows());
    for (recipe, row) in recipes.iter().zip(&rows) {
        assert_eq!(recipe, row);
    }
    assert_eq!(recipes.len(), rows.len());
}

/// Executable files below a folder; corpora have none.
fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            scripts(&entry.path(), found);
        } else if kind.is_file() && entry.metadata().unwrap().permissions().mode() & 0o111 != 0 {
            found.push(entry.path());
        }
    }
}

#[test]
fn every_script_is_a_task() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["tests", "benches", "fixtures"] {
        scripts(&root.join(folder), &mut found);
    }
    assert!(found.len() >= 20, "found only {found:?}");
    let tasks = recipes();
    for script in found {
        let name = script.strip_prefix(root).unwrap().to_str().unwrap();
        let is_started = |task: &Task| task.command.split(' ').any(|word| word == format!("./{name}"));
        let by_script = STARTED_BY_SCRIPTS.iter().find(|(known, _)| *known == name);
        match by_script {
            None => assert!(tasks.iter().any(is_started), "{name} is executable, and no task starts it"),
            Some((_, by)) => {
                let file = script.file_name().unwrap().to_str().unwrap();
                assert!(text(by).contains(file), "{by} does not start {name}");
                assert!(text("CONTRIBUTING.md").contains(&format!("`{name}`")), "CONTRIBUTING.md does not name {name}");
            }
        }
    }
}

/// What a task starts is there, and can be started.
#[test]
fn every_task_starts_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for task in recipes() {
        for script in task.command.split(' ').filter_map(|word| word.strip_prefix("./")) {
            let found = std::fs::metadata(root.join(script)).map(|meta| meta.permissions().mode() & 0o111 != 0);
            assert!(found.is_ok_and(|executable| executable), "{}: {script} cannot be started", task.name);
        }
    }
}
