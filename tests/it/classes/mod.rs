//! The catalogue of ways in which an edit of the search path breaks a file.
//!
//! One test per way, numbered: what an editor that does not know the layout does to it, that today's editors or those
//! in [`naive`] really break it, and that this program does not. The files are real ones, built by Debian's linkers and
//! run before and after, wherever those can be brought to make the layout; where they cannot, images of the generator.
//! [`mod@crate::linkers`], [`mod@crate::generated`] and [`mod@crate::files`] try the same layouts in many more
//! combinations.

mod from_01;
mod from_10;
mod from_19;
mod layouts;
mod naive;

/// Every class has its test, in order, and every test says what it is about.
#[test]
fn catalogue_is_complete() {
    let sources = [include_str!("from_01.rs"), include_str!("from_10.rs"), include_str!("from_19.rs")].concat();
    let lines: Vec<&str> = sources.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = line.strip_prefix("fn class_") else { continue };
        found.push(name[..2].parse::<usize>().expect("a number"));
        assert_eq!(lines[index - 1], "#[test]", "class {name}");
        assert!(lines[index - 2].starts_with("/// "), "class {name} has no words about it");
    }
    assert_eq!(found, (1..=27).collect::<Vec<_>>());
}
