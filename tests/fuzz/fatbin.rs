//! Any bytes as GPU code: fat binaries in sections of every kind, what stands beside them, files.

use bstr::BStr;
use cuda_runpath::cuda::{self, Form, GpuCode, Tally};
use cuda_runpath::elf::contents::{Contents, Part};

use crate::fatgen::{Entry, container};

/// Every piece that is told has a place of its own in the file, so what is kept of them is no larger than it.
pub fn assert_plausible(code: &GpuCode, len: usize) {
    let total = sum(code);
    // The shortest module of PTX has 26 bytes.
    let least = if code.places.iter().all(|place| place.form == Form::Container) { 64 } else { 24 };
    assert!(total.count * least <= len as u64, "{} pieces in {len} bytes", total.count);
    assert!(total.bytes <= len as u64, "{} bytes of code in {len}", total.bytes);
    for place in &code.places {
        assert!(place.containers * 16 <= len as u64 && place.empty <= place.containers);
        assert!(place.code.values().all(|tally| tally.empty <= tally.count && tally.count > 0));
        // Sets of codes: together not more than the entries that they were made of.
        let kept: u64 = place.sets.keys().map(|set| set.len() as u64).sum();
        assert!(kept <= total.count && place.sets.values().sum::<u64>() <= place.containers);
        assert!(place.problems.len() <= 8 && (place.more_problems == 0 || place.problems.len() == 8));
    }
    for gpu in ["8.7", "12.0"] {
        let (all, good) = code.containers_for(gpu.parse().expect("a capability"));
        assert!(good <= all);
    }
}

fn sum(code: &GpuCode) -> Tally {
    code.total().values().fold(Tally::default(), |sum, tally| sum.plus(*tally))
}

fn containers(code: &GpuCode) -> u64 {
    code.places.iter().map(|place| place.containers).sum()
}

fn has_problems(code: &GpuCode) -> bool {
    code.places.iter().any(|place| !place.problems.is_empty())
}

/// Reading ends and tells no more than there is room for. Where nothing is wrong, nothing is left over: one more container is found
/// behind the others, and something else there is a problem.
pub fn fatbin(bytes: &[u8]) {
    for (name, offset, is_code) in
        [("__nv_relfatbin", 0, false), (".rodata", 0, false), (".rodata", 4, false), (".text", 0, true)]
    {
        let part = Part::new(BStr::new(name), bytes, offset, is_code);
        let code = cuda::of_contents(&Contents { parts: vec![part] });
        assert_plausible(&code, bytes.len());
    }
    if let Ok(Some(code)) = cuda::of_bytes(bytes) {
        assert_plausible(&code, bytes.len());
    }
    let code = cuda::of_fatbin(bytes);
    assert_plausible(&code, bytes.len());
    if let Ok(contents) = Contents::parse(bytes) {
        assert_plausible(&cuda::of_contents(&contents), bytes.len());
    }
    if has_problems(&code) {
        return;
    }
    let more = cuda::of_fatbin(&[bytes, &container([Entry::cubin(87)]).build()].concat());
    assert!(!has_problems(&more), "{more:?}");
    assert_eq!(containers(&more), containers(&code) + 1);
    assert_eq!(sum(&more), sum(&code).plus(Tally { count: 1, bytes: 48, unpacked: 48, ..Tally::default() }));
    assert!(has_problems(&cuda::of_fatbin(&[bytes, b"\x01"].concat())), "{code:?}");
}
