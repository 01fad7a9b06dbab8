//! What stays for which GPUs.

use super::{Pair, code, pair, row, slimmed};
use crate::fatgen::{self, EXACT, Entry, FAMILY, archive, container, cubin, ptx};
use crate::harness::{Tree, invoke};

/// A fat binary as a file, for some GPUs.
fn becomes(entries: &[(Entry, bool)], options: &[&str], told: &str) {
    let Pair { before, after } = pair(entries);
    let tree = Tree::in_memory();
    let file = tree.file("k.fatbin", &before);
    let ended = invoke([&["slim"], options, &[file.to_str().unwrap()]].concat());
    ended.assert_code(0, told);
    assert!(std::fs::read(&file).unwrap() == after, "{told}: {}", ended.said());
    // A second run finds nothing, and does not write.
    let ended = invoke([&["slim", "--check"], options, &[file.to_str().unwrap()]].concat());
    ended.assert_code(0, &format!("{told}, again"));
}

#[test]
fn machine_code_stays_where_it_may_run() {
    let stays = |architecture, stays| (code(architecture, 400), stays);
    let exact = |architecture, stays| (code(architecture, 400).flags(EXACT), stays);
    let family = |architecture, stays| (code(architecture, 400).flags(FAMILY), stays);
    becomes(&[stays(75, false), stays(80, true), stays(86, true), stays(89, false)], &["--arch", "8.6"], "within 8.x");
    becomes(&[stays(75, true), stays(80, false), stays(86, false)], &["--arch", "sm_75"], "the first");
    becomes(&[stays(80, true), stays(90, true), stays(100, false)], &["--arch", "8.0,9.0"], "two targets");
    becomes(&[stays(80, true), stays(90, true), stays(75, false)], &["--arch", "8.0", "--arch", "90"], "twice");
    becomes(&[exact(90, true), stays(90, true), exact(80, false)], &["--arch", "9.0a"], "cudaCapabilities");
    becomes(&[exact(100, false), family(100, true), stays(100, true)], &["--arch", "10.3"], "a family");
    // From CUDA 13.2 on an Orin takes code of discrete GPUs.
    becomes(&[stays(80, true), stays(87, true), stays(86, true), stays(89, false)], &["--arch", "8.7"], "a Tegra");
    // Thor has two names.
    becomes(&[stays(101, true), stays(110, true), stays(100, false)], &["--arch", "11.0"], "a renamed one");
}

#[test]
fn ptx_stays_where_machine_code_does_not_stand_in_for_it() {
    let gone = || (Entry::ptx(80), false);
    let kept = || (Entry::ptx(80), true);
    let cubin = |architecture, stays| (code(architecture, 400), stays);
    becomes(&[cubin(80, false), cubin(90, true), gone()], &["--arch", "9.0"], "machine code");
    becomes(&[cubin(80, false), cubin(100, false), kept()], &["--arch", "9.0"], "none");
    becomes(&[cubin(80, true), cubin(100, false), kept()], &["--arch", "8.0,9.0"], "for one of two");
    becomes(&[cubin(80, true), cubin(90, true), gone()], &["--arch", "8.0,9.0"], "for both");
    let keep = ["--arch", "9.0", "--keep-ptx"];
    becomes(&[cubin(80, false), cubin(90, true), kept(), (Entry::ptx(120), true)], &keep, "newer GPUs later");
    becomes(&[cubin(80, false), kept(), (Entry::ptx(100), false)], &["--arch", "9.0"], "what is above goes");
    // What may run on a Tegra with a newer driver is no promise.
    becomes(&[cubin(80, true), kept(), cubin(90, false)], &["--arch", "8.7"], "not promised");
    // The same for another linker.
    becomes(
        &[cubin(90, true), (Entry::new(0x40, 80), false), (Entry::new(0x80, 80), true)],
        &["--arch", "9.0"],
        "kinds",
    );
}

#[test]
fn code_for_a_linker_stays_up_to_the_target() {
    let lto = |architecture, stays| (Entry::lto_ir(architecture), stays);
    becomes(&[lto(75, true), lto(90, true), lto(100, false), (code(90, 400), true)], &["--arch", "9.0"], "LTO-IR");
}

/// A source without kernels gets an entry all the same; it does not stand in for code.
#[test]
fn what_is_empty_stands_in_for_nothing() {
    let empty = cubin(&[(".nv.info", 0, 16)]);
    let entry = |architecture: u32| Entry::cubin(architecture).raw(&empty);
    let real = Entry::ptx(80).raw(&ptx("sm_80"));
    becomes(&[(entry(90), true), (entry(75), false), (real, true)], &["--arch", "9.0"], "a kernel in PTX alone");
    let nothing = Entry::ptx(80).raw(b".version 9.0\n.target sm_80\n.address_size 64\n");
    becomes(&[(entry(90), true), (entry(75), false), (nothing, false)], &["--arch", "9.0"], "nothing at all");
}

#[test]
fn what_is_not_understood_stays_as_it_is() {
    let dead = || code(75, 4000);
    let parts = [Entry::cubin(75), Entry::cubin(100)];
    for (told, bytes) in [
        ("an index", container([dead(), Entry::new(0x20, 0), code(90, 100)]).build()),
        ("several contents", container([dead(), Entry::joint(&parts, &fatgen::filler(60)), code(90, 100)]).build()),
        ("a kind", container([dead(), Entry::new(0x77, 80), code(90, 100)]).build()),
        ("no multiple of 8", {
            let mut odd = Entry::cubin(75).raw(&fatgen::filler(40));
            odd.size = Some(36);
            let odd = odd.build();
            let mut all = container([code(90, 100)]);
            all.payload = [&odd[..odd.len() - 4], &code(90, 100).build()].concat();
            all.build()
        }),
    ] {
        assert!(slimmed_quietly(&bytes) == bytes, "{told}");
        // Another one beside it is done.
        let pair = pair(&[(code(75, 4000), false), (code(90, 100), true)]);
        // Where compilers put it: at a multiple of 8 bytes.
        let gap = vec![0; bytes.len().next_multiple_of(8) - bytes.len() + 8];
        let both = [&bytes[..], &gap, &pair.before].concat();
        assert!(slimmed_quietly(&both) == [&bytes[..], &gap, &pair.after].concat(), "beside {told}");
    }
    // Behind one whose end is not known, anything may be a part of it.
    let mut broken = container([dead(), code(90, 100)]);
    broken.payload_size = Some(1 << 40);
    let bytes = [broken.build(), pair(&[(dead(), false), (code(90, 100), true)]).before].concat();
    assert!(slimmed_quietly(&bytes) == bytes, "behind a broken one");
}

fn slimmed_quietly(bytes: &[u8]) -> Vec<u8> {
    slimmed(bytes, &[])
}

/// Every container is decided about by itself, and the others are where they were.
#[test]
fn rows_and_archives() {
    let pairs = || {
        vec![
            pair(&[(code(75, 100), false), (code(90, 900), true)]),
            pair(&[(code(90, 100), true)]),
            pair(&[(code(75, 100), false), (code(80, 900), false)]),
            pair(&[]),
            pair(&[(code(90, 8), true), (code(100, 5000), false)]),
        ]
    };
    for gap in [0, 8, 40, 5000] {
        let Pair { before, after } = row(&pairs(), gap);
        assert!(slimmed(&before, &[]) == after, "a gap of {gap}");
        let archive = |bytes: &[u8]| archive(&[("a.fatbin", bytes), ("b.txt", b"text"), ("c.fatbin", bytes)]);
        assert!(slimmed(&archive(&before), &[]) == archive(&after), "an archive, a gap of {gap}");
    }
}
