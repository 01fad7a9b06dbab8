//! Pages as text, where there is no browser: whole, alone, and the same each time.

use std::path::Path;

use super::{hostile_tree, reports, usual_tree};
use crate::check::objects::{dlopens, driver};
use crate::harness::{Tree, binary, invoke, names, run};

#[test]
fn pages_are_alone_and_the_same_each_time() {
    let (usual, hostile) = (usual_tree(), hostile_tree());
    let program = names(&hostile.join("bin")).pop_first().unwrap();
    for (tree, app) in [(&usual, Path::new("app/bin/app").to_owned()), (&hostile, Path::new("bin").join(program))] {
        let pages = reports(tree, "html", &app);
        assert_eq!(pages, reports(tree, "html", &app));
        for (name, page) in pages {
            assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">") && page.ends_with("</html>\n"), "{name}");
            // The only addresses are those of its own parts.
            for word in
                ["http:", "https:", "src=\"", "@import", "url(\"", "<img", "<iframe", "<object", "style=\"", " on"]
            {
                let found =
                    page.match_indices(word).map(|(at, _)| &page[at.saturating_sub(40)..(at + 60).min(page.len())]);
                let found: Vec<&str> = found.filter(|around| word != " on" || around.contains("=\"")).collect();
                let is_text = |around: &&str| around.contains("&lt;") || word == " on";
                assert!(found.iter().all(is_text), "{name} has {word:?}: {found:?}");
            }
            let tags = |tag: &str| page.matches(tag).count();
            assert_eq!((tags("<script>"), tags("<style>"), tags("<h1>")), (1, 1, 1), "{name}");
        }
    }
}

/// The search of each object that asks, as `explain` shows it: places in their order, and who wins.
#[test]
fn a_check_shows_each_search_as_explain_does() {
    let tree = Tree::in_memory();
    let path = "$ORIGIN/none:$ORIGIN/../first:/run/opengl-driver/lib";
    let asking = tree.file("lib/libasks.so", &dlopens(&["libcuda.so.1"]).runpath(path).build());
    tree.file("first/libcuda.so.1", &driver("libcuda.so.1").build());
    tree.file("last/libcuda.so.1", &driver("libcuda.so.1").build());
    let page = |command: &[&str]| {
        let run = invoke([command, &["--format", "html"]].concat());
        assert!(run.code < 2, "{}", run.said());
        run.stdout
    };
    let ladder = |page: &str, name: &str| {
        let (_, rest) =
            page.split_once("<ol class=\"ladder\">").unwrap_or_else(|| panic!("{name} has no ladder: {page}"));
        rest.split_once("</ol>").unwrap().0.to_owned()
    };
    let file = asking.to_str().unwrap();
    let explained = ladder(&page(&["explain", file, "libcuda.so.1"]), "explain");
    let checked = ladder(&page(&["check", file]), "check");
    assert_eq!(explained, checked);
    let words: Vec<&str> = checked.split("<b>").skip(1).map(|rest| rest.split_once("</b>").unwrap().0).collect();
    // Behind those the default directories, which are another machine's elsewhere.
    assert_eq!(words[..3], ["absent", "HIT", "(absent)"], "{checked}");
}

/// Nothing but a page keeps searches: the others say the same with and without.
#[test]
fn formats_are_for_commands_that_have_them() {
    let tree = usual_tree();
    let inside = |arguments: &[&str]| run(binary().args(arguments).current_dir(tree.path()));
    for command in ["fix", "show", "doctor", "rules", "completions", "man"] {
        let run = inside(&[command, "--format", "html"]);
        assert_eq!(run.code, 2, "{command}: {}", run.said());
    }
    for format in ["html", "markdown"] {
        let run = inside(&["show", ".", "--format", format]);
        assert_eq!(run.code, 2);
        assert!(run.stderr.contains("html and markdown are for check, archs, slim and explain"), "{}", run.stderr);
        // The exit code is that of every format.
        for options in [&["check", "."][..], &["check", ".", "--fail-on", "never"], &["archs", "."]] {
            let human = inside(options).code;
            assert_eq!(inside(&[options, &["--format", format]].concat()).code, human, "{options:?}");
        }
    }
    let run = inside(&["check", ".", "--json", "--format", "html"]);
    assert_eq!(run.code, 2, "{}", run.said());
}

/// The templates escape by themselves, but for what they are told not to: the style and the script.
#[test]
fn nothing_but_style_and_script_is_raw() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.unwrap().into_path());
    let mut raw = Vec::new();
    for source in sources.filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let text = std::fs::read_to_string(&source).unwrap();
        let uses = text.lines().filter(|line| line.contains("PreEscaped(") && !line.trim_start().starts_with("//"));
        raw.extend(uses.map(|line| (source.strip_prefix(&root).unwrap().to_owned(), line.trim().to_owned())));
    }
    let shell = Path::new("report/html/mod.rs").to_owned();
    let line = |what: &str| (shell.clone(), format!("{} {{ (PreEscaped({})) }}", what.to_lowercase(), what));
    assert_eq!(raw, [line("STYLE"), line("SCRIPT")]);
}
