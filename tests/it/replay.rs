//! The fuzz targets on stable Rust, without a fuzzer: over their corpora, over the generated layouts, and over cheap mutations of
//! both that are the same in every run.

#[path = "../fuzz/cdi.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod cdi;
#[path = "../fuzz/fatbin.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
pub(crate) mod fatbin;
#[path = "../fuzz/harness.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod harness;
#[path = "../fuzz/image.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod image;
#[path = "../fuzz/slim.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod slim;
#[path = "../fuzz/spec.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod spec;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::elfgen::{self, presets};
use crate::fatgen;
use crate::harness::long;
use crate::saved::build;

type Target = fn(&[u8]);

/// A folder of `tests/fuzz/corpus`, every file with its name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{}: {} files", folder.display(), files.len());
    files.into_iter().map(|file| (file.display().to_string(), std::fs::read(&file).unwrap())).collect()
}

/// Objects for `read` and `fix`: the corpus and the generated layouts, small ones for the sake of the mutations.
fn objects() -> Vec<(String, Vec<u8>)> {
    let mut list = corpus("objects");
    for (name, spec) in presets() {
        let mut image = spec.build();
        if image.len() <= 16 << 10 {
            // Which edit.
            image.extend([0, 20]);
            list.push((name.to_owned(), image));
        }
    }
    list
}

/// Runs a target on every input and on `count` mutations of each; `count` tenfold with `--long`.
fn replay(name: &str, target: Target, inputs: &[(String, Vec<u8>)], count: u64) {
    let count = if long() { 10 * count } else { count };
    let mut failures = Vec::new();
    for (index, (file, input)) in inputs.iter().enumerate() {
        let mut random = Random(index as u64 + 1);
        let mut bytes = input.clone();
        for round in 0..=count {
            if round > 0 {
                bytes = mutated(input, &inputs[random.below(inputs.len())].1, &mut random);
            }
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{index}-{round}"));
                std::fs::write(&kept, &bytes).unwrap();
                failures.push(format!("mutation {round} of {file}, kept as {}", kept.display()));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{name} panics on\n{}", failures.join("\n"));
}

/// Marsaglia's xorshift: nothing here may depend on a crate's idea of a random number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() >> 33) as usize % count.max(1)
    }
}

/// One to four changes: bits, bytes, words with values that break careless readers, a part of the same or of another input, a cut.
fn mutated(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            bytes.push(0);
        }
        // Headers more often than the rest.
        let limit = if random.below(2) == 0 { bytes.len().min(1024) } else { bytes.len() };
        let at = random.below(limit);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes[at] = random.below(256) as u8,
            3 => {
                let size = [2, 4, 8][random.below(3)];
                let value = [0, 1, u64::MAX, u64::MAX / 2, bytes.len() as u64, random.next()][random.below(6)];
                let value =
                    if random.below(2) == 0 { value.to_le_bytes() } else { value.rotate_right(8).to_be_bytes() };
                bytes.iter_mut().skip(at / size * size).zip(&value[..size]).for_each(|(byte, new)| *byte = *new);
            }
            4 => {
                let from = if random.below(2) == 0 { input } else { other };
                let start = random.below(from.len());
                let part = &from[start..from.len().min(start + 1 + random.below(64))];
                bytes.iter_mut().skip(at).zip(part).for_each(|(byte, new)| *byte = *new);
            }
            _ if random.below(8) == 0 => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
    bytes
}

#[test]
fn reading_any_bytes_ends() {
    replay("read", harness::read, &objects(), 15);
}

#[test]
fn looking_up_symbols_ends() {
    replay("symbols", harness::symbols, &objects(), 60);
}

#[test]
fn whatever_can_be_planned_reads_back() {
    replay("fix", harness::fix, &objects(), 60);
}

#[test]
fn any_bytes_are_fat_binaries() {
    let presets = fatgen::presets().into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    replay("fatbin", fatbin::fatbin, &corpus("fatbin").into_iter().chain(presets).collect::<Vec<_>>(), 100);
}

#[test]
fn whatever_can_be_slimmed_is_proven() {
    let with = |(name, bytes): (String, Vec<u8>)| {
        [[0, 0], [2, 0], [5, 1], [6, 2], [13, 3]].map(|end| (name.clone(), [&bytes[..], &end].concat()))
    };
    let presets = fatgen::presets().into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    let mut inputs: Vec<_> = corpus("fatbin").into_iter().chain(presets).flat_map(with).collect();
    // A fat binary in what could be another one, and is one once the first is written anew.
    inputs.push(("overlapping".to_owned(), include_bytes!("../fuzz/corpus/slim/overlapping").to_vec()));
    // Some that do not lie where compilers put them, over and in each other.
    inputs.push(("unaligned".to_owned(), include_bytes!("../fuzz/corpus/slim/unaligned").to_vec()));
    // A cubin that ends beyond its section for bytes of a fat binary behind it, and no longer once that is written anew.
    inputs.push(("claimed".to_owned(), include_bytes!("../fuzz/corpus/slim/claimed").to_vec()));
    // PTX whose attributes can say that it is for one architecture alone.
    inputs.push(("attributes".to_owned(), include_bytes!("../fuzz/corpus/slim/attributes").to_vec()));
    replay("slim", slim::slim, &inputs, 20);
}

#[test]
fn generated_layouts_are_edited_faithfully() {
    replay("spec", spec::spec, &corpus("spec"), 20);
}

#[test]
fn any_bytes_are_a_path() {
    replay("runpath_list", harness::runpath_list, &corpus("runpath_list"), 300);
}

#[test]
fn images_replay() {
    replay("image", image::image, &image::image_seeds(), 60);
}

#[test]
fn specs_replay() {
    replay("cdi", cdi::cdi, &cdi::cdi_seeds(), 60);
}
