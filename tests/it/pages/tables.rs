//! Tables in Markdown: goldens, and a reader of GitHub's Markdown that finds no markup in any name.

use snapbox::assert_data_eq;

use super::{hostile_tree, reports, shown, usual_tree};
use crate::harness::editors::python;
use crate::harness::{command, expect, names};

/// Reads Markdown as GitHub does, and prints the kinds of its parts, then the text of its code spans.
const READER: &str = "
import json, sys
from markdown_it import MarkdownIt
reader = MarkdownIt('gfm-like')
def flat(tokens):
    for token in tokens:
        yield token
        yield from flat(token.children or [])
for file in sys.argv[1:]:
    tokens = list(flat(reader.parse(open(file, newline='').read())))
    rows, cells = [], 0
    for token in tokens:
        if token.type == 'tr_open': cells = 0
        if token.type in ('td_open', 'th_open'): cells += 1
        if token.type == 'tr_close': rows.append(cells)
    print(json.dumps({
        'kinds': sorted({token.type for token in tokens}),
        'spans': [token.content for token in tokens if token.type == 'code_inline'],
        'text': [token.content for token in tokens if token.type == 'text'],
        'rows': rows,
    }))
";

#[test]
fn tables_for_people() {
    let tree = usual_tree();
    let app = std::path::Path::new("app/bin/app");
    let told: Vec<String> = reports(&tree, "markdown", app)
        .into_iter()
        .map(|(name, table)| format!("# {name}\n{}", table.replace(tree.path().to_str().unwrap(), "TREE")))
        .collect();
    assert_data_eq!(told.join("\n"), snapbox::file!["../goldens/markdown.txt"].raw());
}

#[test]
fn nothing_in_a_name_is_markup_for_a_reader() {
    let Some(python) = python("nothing_in_a_name_is_markup_for_a_reader") else { return };
    let tree = hostile_tree();
    let program = names(&tree.join("bin")).pop_first().unwrap();
    let tables = reports(&tree, "markdown", &std::path::Path::new("bin").join(program));
    let files: Vec<_> = tables.iter().map(|(name, table)| tree.file(format!("{name}.md"), table.as_bytes())).collect();
    let read = expect(command(python).args(["-c", READER]).args(&files), 0);
    assert_eq!(read.stdout.lines().count(), tables.len());
    for (line, (name, table)) in read.stdout.lines().zip(&tables) {
        let read: serde_json::Value = serde_json::from_str(line).unwrap();
        for kind in read["kinds"].as_array().unwrap() {
            let kind = kind.as_str().unwrap();
            let markup = ["html", "image", "link", "em_", "s_"].iter().any(|word| kind.starts_with(word));
            assert!(!markup, "{name} has {kind}:\n{table}");
        }
        let spans: Vec<&str> = read["spans"].as_array().unwrap().iter().map(|span| span.as_str().unwrap()).collect();
        assert!(spans.iter().any(|span| span.contains(&shown())), "{name}: {spans:?}");
        for text in read["text"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert!(!text.contains("pwned") && !text.contains("@me"), "{name}: {text}");
        }
        // No name ends a cell.
        let rows = read["rows"].as_array().unwrap();
        assert!(rows.iter().all(|cells| cells.as_u64().unwrap() >= 2), "{name}: {rows:?}\n{table}");
        let bars = table.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-")).count();
        assert_eq!(rows.len(), bars, "{name}:\n{table}");
    }
}
