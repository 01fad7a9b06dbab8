//! Names in UTF-16 and UTF-32, as .NET and `wchar_t` have them: a program converts such a string before it hands it on.

use memchr::memmem::Finder;

/// What nearly every library name has.
const ANCHOR: &[u8] = b".so";

/// The searches, prepared: how many bytes a character has, and the anchor in such characters.
#[derive(Clone, Debug)]
pub(in crate::cuda) struct WideNames(Vec<(usize, Finder<'static>)>);

impl WideNames {
    pub(in crate::cuda) fn new() -> Self {
        // The last character's zeros are those of the one behind it: a needle without them is looked for faster.
        let widened = |size: usize| {
            let mut needle: Vec<u8> = ANCHOR.iter().flat_map(|byte| wide(*byte, size)).collect();
            needle.truncate(needle.len().saturating_sub(size.saturating_sub(1)));
            (size, Finder::new(&needle).into_owned())
        };
        Self([2, 4].map(widened).to_vec())
    }

    /// Hands over the place in the list of each name that stands in `bytes` as a string of its own.
    pub(super) fn each(&self, bytes: &[u8], names: &[String], mut found: impl FnMut(usize)) {
        for (size, finder) in &self.0 {
            for at in finder.find_iter(bytes) {
                let here = names.iter().position(|name| is_here(bytes, at, name.as_bytes(), *size));
                here.into_iter().for_each(&mut found);
            }
        }
    }
}

fn wide(byte: u8, size: usize) -> impl Iterator<Item = u8> {
    std::iter::once(byte).chain(std::iter::repeat_n(0, size.saturating_sub(1)))
}

/// Whether a name whose anchor is at `at` stands there, with a zero on either side.
fn is_here(bytes: &[u8], at: usize, name: &[u8], size: usize) -> bool {
    let anchor = name.windows(ANCHOR.len()).position(|window| window == ANCHOR);
    let start = anchor.and_then(|anchor| at.checked_sub(anchor.checked_mul(size)?));
    let Some(rest) = start.and_then(|start| bytes.get(start..)) else { return false };
    let is_zero = |unit: &[u8]| unit.len() == size && unit.iter().all(|byte| *byte == 0);
    let front = start.and_then(|start| bytes.get(start.checked_sub(size)?..start));
    let (text, behind) = rest.split_at_checked(name.len().saturating_mul(size)).unwrap_or_default();
    let is_text = !text.is_empty() && text.iter().copied().eq(name.iter().flat_map(|byte| wide(*byte, size)));
    is_text && front.is_none_or(is_zero) && behind.get(..size).is_some_and(is_zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Vec<usize> {
        let names = ["libcuda.so.1".to_owned(), "libcuda.so".to_owned()];
        let mut all = Vec::new();
        WideNames::new().each(bytes, &names, |index| all.push(index));
        all
    }

    fn widened(text: &str, size: usize) -> Vec<u8> {
        text.bytes().flat_map(|byte| wide(byte, size)).collect()
    }

    #[test]
    fn wide_names_are_found_by_themselves() {
        for size in [2, 4] {
            assert_eq!(found(&widened("\0libcuda.so.1\0", size)), [0], "{size}");
            assert_eq!(found(&widened("libcuda.so\0x", size)), [1], "{size}");
            for other in ["no libcuda.so.1\0", "libcuda.so.12\0", "libcuda.so.1", "xlibcuda.so\0", ".so\0", ".so"] {
                assert_eq!(found(&widened(other, size)), [0_usize; 0], "{size} {other}");
            }
        }
        assert_eq!(found(b"\0libcuda.so.1\0"), [0_usize; 0]);
    }
}
