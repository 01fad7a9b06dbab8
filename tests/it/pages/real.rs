//! Pages in a real browser: they ask for nothing, say nothing on the console, show names as text, and serve a keyboard, a
//! screen reader, a printer, a narrow window and a browser without scripts.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::browser::{Browser, axe};
use super::{hostile_tree, reports, shown, usual_tree};
use crate::check::objects::dlopens;
use crate::harness::{Tree, invoke, names};

/// The pages of two trees as files.
fn pages() -> (Tree, Vec<(String, std::path::PathBuf)>) {
    let (files, mut pages) = (Tree::in_memory(), Vec::new());
    let usual = usual_tree();
    let hostile = hostile_tree();
    let program = names(&hostile.join("bin")).pop_first().unwrap();
    for (kind, tree, app) in
        [("usual", &usual, "app/bin/app".into()), ("hostile", &hostile, std::path::Path::new("bin").join(program))]
    {
        for (name, page) in reports(tree, "html", &app) {
            let title = format!("{kind} {name}");
            pages.push((title.clone(), files.file(title.replace(' ', "-") + ".html", page.as_bytes())));
        }
    }
    (files, pages)
}

#[test]
fn pages_ask_for_nothing_and_have_no_barriers() {
    let test = "pages_ask_for_nothing_and_have_no_barriers";
    let Some(mut browser) = Browser::start(test) else { return };
    let Some(axe) = axe(test) else { return };
    let (_files, pages) = pages();
    let mut wrong = String::new();
    for (title, file) in &pages {
        browser.window(1280, 900);
        browser.media("light", "screen");
        let opened = browser.open(file);
        assert_eq!(opened.said, Vec::<String>::new(), "{title}");
        assert_eq!(opened.requests, Vec::<String>::new(), "{title}");
        let landmarks = "['header', 'main', 'footer', 'h1'].map(name => document.querySelectorAll(name).length)";
        assert_eq!(browser.value(landmarks), json!([1, 1, 1, 1]), "{title}");
        // No link leads nowhere, and none leads out.
        let lost = "[...document.querySelectorAll('[href]')].map(one => one.getAttribute('href'))
            .filter(to => to !== 'data:,' && !(to.startsWith('#') && document.getElementById(to.slice(1))))";
        assert_eq!(browser.value(lost), json!([]), "{title}");
        let twice =
            "[...document.querySelectorAll('[id]')].map(one => one.id).filter((id, at, all) => all.indexOf(id) < at)";
        assert_eq!(browser.value(twice), json!([]), "{title}");
        // The other scheme has other colours, and nothing else.
        for (scheme, rules) in [("light", "null"), ("dark", "['color-contrast']")] {
            browser.media(scheme, "screen");
            for barrier in browser.barriers(&axe, rules) {
                writeln!(wrong, "{title}, {scheme}: {barrier}").unwrap();
            }
        }
        // A narrow window scrolls tables within themselves.
        browser.window(360, 740);
        let width = browser.value("document.documentElement.scrollWidth");
        assert!(width.as_u64().unwrap() <= 360, "{title} is {width} wide in a window of 360");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn names_are_text_in_a_browser() {
    let Some(mut browser) = Browser::start("names_are_text_in_a_browser") else { return };
    let (_files, pages) = pages();
    for (title, file) in pages.iter().filter(|(title, _)| title.starts_with("hostile")) {
        browser.open(file);
        // The page's own ones, and nothing that a name made.
        let made = "[document.scripts.length, document.images.length, document.querySelectorAll('[onerror]').length, typeof pwned]";
        assert_eq!(browser.value(made), json!([1, 0, 0, "undefined"]), "{title}");
        let text = browser.value("document.body.textContent");
        assert!(text.as_str().unwrap().contains(&shown()), "{title}: {text}");
        let controls =
            "/[\\u0000-\\u0008\\u000b-\\u001f\\u202a-\\u202e\\u2066-\\u2069]/.test(document.documentElement.outerHTML)";
        assert_eq!(browser.value(controls), false, "{title} has a control character");
    }
}

/// The policy is no mere promise: what a name might smuggle in does not run.
#[test]
fn the_policy_stops_what_is_smuggled_in() {
    let Some(mut browser) = Browser::start("the_policy_stops_what_is_smuggled_in") else { return };
    let (files, pages) = pages();
    let page = std::fs::read_to_string(&pages[0].1).unwrap();
    let smuggled = "<img src=\"https://example.invalid/x.png\"><script>window.pwned = 1</script><style>body{color:red}</style></main>";
    let file = files.file("smuggled.html", page.replace("</main>", smuggled).as_bytes());
    let opened = browser.open(&file);
    assert_eq!(browser.value("typeof window.pwned"), "undefined");
    assert_ne!(browser.value("getComputedStyle(document.body).color"), "rgb(255, 0, 0)");
    assert_eq!(opened.said.len(), 3, "{:?}", opened.said);
}

#[test]
fn a_page_serves_a_keyboard_a_printer_and_a_browser_without_scripts() {
    let test = "a_page_serves_a_keyboard_a_printer_and_a_browser_without_scripts";
    let Some(mut browser) = Browser::start(test) else { return };
    let (_files, pages) = pages();
    let page = |name: &str| &pages.iter().find(|(title, _)| title == name).unwrap().1;

    browser.open(page("usual check"));
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.className"), "skip");
    browser.press("Enter");
    assert_eq!(browser.value("document.activeElement.id"), "main");
    let folded = "document.querySelector('#CRP100')";
    browser.value(&format!("{folded}.querySelector('summary').focus()"));
    assert_eq!(browser.value(&format!("{folded}.open")), false);
    browser.press("Enter");
    assert_eq!(browser.value(&format!("{folded}.open")), true);

    // The script filters by text and by kind, and says how much is left.
    let shown = "[...document.querySelectorAll('[data-group]')].filter(one => !one.hidden).length";
    let all = browser.value(shown).as_u64().unwrap();
    let typed = "(() => { const field = document.querySelector('input[type=search]'); field.value = 'libworse';
        field.dispatchEvent(new Event('input')); return new Promise(done => setTimeout(() => done(1), 300)); })()";
    browser.value(typed);
    assert_eq!((browser.value(shown), all > 1), (json!(1), true), "of {all}");
    assert_eq!(browser.value("document.querySelector('output').value"), format!("1 of {all}"));

    // Tables sort by their headings: numbers from the most on.
    browser.open(page("usual archs"));
    let column = "[...document.querySelectorAll('#architectures ~ .scroll tbody tr')].map(row => Number(row.cells[2].dataset.v))";
    browser.value("document.querySelectorAll('#architectures ~ .scroll th button')[2].click()");
    let sorted: Vec<u64> = serde_json::from_value(browser.value(column)).unwrap();
    assert!(sorted.len() > 3 && sorted.windows(2).all(|pair| pair[0] >= pair[1]), "{sorted:?}");
    assert_eq!(browser.value("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"), "descending");

    // What is folded is printed.
    browser.open(page("usual check"));
    browser.media("light", "print");
    let printed =
        "getComputedStyle(document.querySelector('details:not([open])'), '::details-content').contentVisibility";
    assert_eq!(browser.value(printed), "visible");
    browser.media("light", "screen");
    assert_eq!(browser.value(printed), "hidden");

    browser.scripts(false);
    let opened = browser.open(page("usual check"));
    assert_eq!(opened.said, Vec::<String>::new());
    assert_eq!(browser.value("document.querySelector('form.find').hidden"), true, "dead controls are not shown");
    let text = browser.value("document.querySelector('main').textContent");
    for wanted in ["libworse.so", "libnvidia-ml.so.1", "CRP100", "cuda-runpath fix"] {
        assert!(text.as_str().unwrap().contains(wanted), "{wanted}");
    }
}

/// Objects in one tree, in so many packages.
const OBJECTS: usize = 20_000;
const PACKAGES: usize = 400;

/// Until their page is drawn.
const MOST_TIME: Duration = Duration::from_secs(2);

#[test]
fn a_page_of_twenty_thousand_objects_is_small_and_quick() {
    let test = "a_page_of_twenty_thousand_objects_is_small_and_quick";
    let tree = Tree::in_memory();
    let kinds = [
        dlopens(&["libcuda.so.1"]).runpath("$ORIGIN:$ORIGIN/../lib:/run/opengl-driver/lib").build(),
        dlopens(&["libcuda.so.1"]).runpath("$ORIGIN:$ORIGIN/../lib:/opt/elsewhere/lib").build(),
        dlopens(&["libcuda.so.1"]).runpath("/opt/first::/run/opengl-driver/lib").build(),
    ];
    for number in 0..OBJECTS {
        let package = number % PACKAGES;
        let name = format!("site-packages/package-{package:03}/lib/libobject-{number:05}.so");
        // In each package some are right and some are not.
        tree.file(&name, &kinds[number / PACKAGES % kinds.len()]);
    }
    let run = invoke(["check", "--format", "html", tree.path().to_str().unwrap()]);
    run.assert_code(1, "check");
    let size = run.stdout.len();
    assert!(size < 6_000_000, "the page has {size} bytes");
    let last = format!("libobject-{:05}.so", OBJECTS - 1);
    assert!(run.stdout.contains(&last), "an object is missing");
    let file = tree.file("page.html", run.stdout.as_bytes());
    let Some(mut browser) = Browser::start(test) else { return };
    // Others may use the machine: the best of a few.
    let mut opened = browser.open(&file);
    for _ in 0..9 {
        if opened.took >= MOST_TIME {
            opened = browser.open(&file);
        }
    }
    eprintln!("{OBJECTS} objects: {size} bytes, drawn after {:?}", opened.took);
    assert!(opened.took < MOST_TIME, "it took {:?}", opened.took);
    assert_eq!(opened.said, Vec::<String>::new());
}
