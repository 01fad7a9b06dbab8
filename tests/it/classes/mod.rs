//! The catalogue of ways in which an edit of the search path breaks a file.
//!
//! One test per way: what an editor that does not know the layout does to it, that today's editors or those in [`naive`]
//! really break it, and that this program does not. The files are real ones, built by Debian's linkers and run before and
//! after, wherever those can be brought to make the layout; where they cannot, images of the generator.
//! [`mod@crate::linkers`], [`mod@crate::generated`] and [`mod@crate::files`] try the same layouts in many more
//! combinations.

mod again;
mod byte_order;
mod dynamic;
mod header_table;
mod layouts;
mod memory;
mod naive;
mod names;
mod notes;
mod others;
mod payload;
mod sections;
mod self_looking;
mod strings;
mod untouched;

/// The catalogue, in the order in which the ways were found: where each is shown, and its test.
const CATALOGUE: [(&str, &str); 31] = [
    ("header_table", "code_first"),
    ("header_table", "fatbin_behind_the_table"),
    ("header_table", "moved_table_and_old_kernels"),
    ("header_table", "programs_that_read_their_own_headers"),
    ("strings", "tail_merged_names"),
    ("dynamic", "dynamic_section_in_a_read_only_segment"),
    ("header_table", "section_headers_behind_the_table"),
    ("byte_order", "big_endian"),
    ("dynamic", "mips_rld_map"),
    ("notes", "property_note"),
    ("notes", "clobbered_bytes_that_code_reads"),
    ("untouched", "static_pie_and_the_loader"),
    ("payload", "payload_at_the_end"),
    ("again", "repeated_edits"),
    ("others", "strip_after_the_edit"),
    ("memory", "huge_and_sparse"),
    ("strings", "contents_that_a_model_does_not_know"),
    ("memory", "new_segment_over_bss"),
    ("others", "addresses_that_others_know"),
    ("sections", "no_section_headers"),
    ("sections", "odd_section_names_and_types"),
    ("dynamic", "no_spare_dynamic_entry"),
    ("memory", "low_addresses"),
    ("dynamic", "both_tags"),
    ("untouched", "files_that_are_no_objects"),
    ("names", "names_modes_and_loaded_files"),
    ("again", "edited_by_patchelf_before"),
    ("self_looking", "heap_at_the_end_of_the_image"),
    ("self_looking", "debug_state_through_the_dynamic_symbol"),
    ("self_looking", "debug_state_on_other_machines"),
    ("self_looking", "coverage_reads_its_build_id"),
];

/// Every way has its test, every test is in the catalogue, and says what it is about.
#[test]
fn catalogue_is_complete() {
    let sources = [
        ("again", include_str!("again.rs")),
        ("byte_order", include_str!("byte_order.rs")),
        ("dynamic", include_str!("dynamic.rs")),
        ("header_table", include_str!("header_table.rs")),
        ("memory", include_str!("memory.rs")),
        ("names", include_str!("names.rs")),
        ("notes", include_str!("notes.rs")),
        ("others", include_str!("others.rs")),
        ("payload", include_str!("payload.rs")),
        ("sections", include_str!("sections.rs")),
        ("self_looking", include_str!("self_looking.rs")),
        ("strings", include_str!("strings.rs")),
        ("untouched", include_str!("untouched.rs")),
    ];
    let mut found = Vec::new();
    for (module, source) in sources {
        let lines: Vec<&str> = source.lines().collect();
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| **line == "#[test]") {
            let name = lines[index + 1].strip_prefix("fn ").and_then(|rest| rest.strip_suffix("() {")).expect("a test");
            assert!(lines[index - 1].starts_with("/// "), "{module}::{name} has no words about it");
            found.push((module, name));
        }
    }
    let mut wanted = CATALOGUE.to_vec();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
}
