//! --only-consumers.

use super::*;

#[test]
fn only_consumers_are_edited_where_that_is_asked() {
    if !has_cc("files::only_consumers_are_edited_where_that_is_asked") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        tree.folder("tree");
        tree.folder("plain");
        let consumer = tree.join("tree/consumer");
        let plain = tree.join("plain/plain");
        Link::new("consumer.c", Shape::Pie).defines(&["-DSONAME=\"libcuda.so.1\""]).to(&consumer);
        Link::new("consumer.c", Shape::Pie).to(&plain);
        let before = Snapshot::of(&plain);

        expect(fix(NATIVE).arg("--require-consumer").arg(tree.join("plain")).arg("--dry-run"), 1);
        assert_eq!(Snapshot::of(&plain), before);
        let ended = expect(fix(NATIVE).args(mode).arg("--only-consumers").arg("--json").arg(tree.path()), 0);
        assert_eq!(ended.json()["summary"]["fixed"], 1, "{}", ended.said());
        assert_eq!(Snapshot::of(&plain), before, "{mode:?}");
        assert_eq!((starts(&consumer), starts(&plain)), (NEW, OLD), "{mode:?}");
        let both = ["--only-consumers", "--require-consumer"];
        expect(fix(NATIVE).args(mode).args(both).arg(tree.join("plain")), 1);
        assert_eq!(Snapshot::of(&plain), before, "{mode:?}");
        // Found, though there is nothing left to do.
        expect(fix(NATIVE).args(mode).args(both).arg(tree.join("tree")), 0);
    }
}

#[test]
fn a_driver_name_at_the_end_of_a_longer_string_counts() {
    if !has_cc("files::a_driver_name_at_the_end_of_a_longer_string_counts") {
        return;
    }
    let tree = Tree::new();
    // A compiler shares the tail of a longer text; a name with more behind it is another name.
    for (name, soname, wanted) in [
        ("tail", "/some/where/libcuda.so.1", NEW),
        ("unversioned", "libcuda.so", NEW),
        ("nvml", "libnvidia-ml.so.1", NEW),
        ("longer", "libcuda.so.12", OLD),
        ("sentence", "libcuda.so.1 is not there", OLD),
    ] {
        let file = tree.join(name);
        Link::new("consumer.c", Shape::Exec).defines(&[&format!("-DSONAME=\"{soname}\"")]).to(&file);
        expect(fix(NATIVE).arg("--only-consumers").arg(&file), 0);
        assert_eq!(starts(&file), wanted, "{soname}");
    }
}

/// The name lies in whatever segment a linker puts constants in, and the headers that would tell may be gone.
#[test]
fn consumers_of_every_linker_are_found() {
    let test = "files::consumers_of_every_linker_are_found";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    for linker in linkers(test) {
        for flags in [&[][..], &["-Wl,-z,noseparate-code"], &["-Wl,-s"]] {
            if linker == "gold" && flags.contains(&"-Wl,-z,noseparate-code") {
                continue;
            }
            for without_sections in [false, true] {
                for (soname, wanted) in [("libcuda.so.1", NEW), ("libno-driver-at-all.so.7", OLD)] {
                    let file = tree.join("consumer");
                    let define = format!("-DSONAME=\"{soname}\"");
                    let link = Link::new("consumer.c", Shape::Pie).linker(linker).flags(flags);
                    link.defines(&[&define]).to(&file);
                    if without_sections {
                        drop_section_headers(&file, true);
                    }
                    expect(fix(NATIVE).arg("--only-consumers").arg(&file), 0);
                    let told = format!("{linker} {flags:?} without section headers: {without_sections}, {soname}");
                    assert_eq!(starts(&file), wanted, "{told}");
                }
            }
        }
    }
}
