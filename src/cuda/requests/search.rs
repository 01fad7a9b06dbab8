//! Where driver libraries are named in any bytes: one pass for all names.
//!
//! A pass for each name, and an automaton over all of them, cost several times the pass over three bytes that nearly every
//! name has: `.so`. It is rare in data, and what stands around it tells the name at once.

use memchr::memmem::Finder;

/// What nearly every library name has.
const ANCHOR: &[u8] = b".so";

/// A name in some bytes: `bytes[start..end]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Its place in the list of names.
    pub(super) name: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The names, prepared.
#[derive(Clone, Debug)]
pub(in crate::cuda) struct NameSearch {
    anchor: Finder<'static>,
    /// With `.so` in them, by the byte in front of that, at which most hits end.
    anchored: Vec<Vec<Anchored>>,
    /// Without, which only a caller's own name can be: a pass for each.
    others: Vec<(usize, Finder<'static>)>,
}

/// The place of a name in the list, the name, and the anchor's first place in it.
type Anchored = (usize, Vec<u8>, usize);

impl NameSearch {
    /// Prepares a list of names; empty ones are found nowhere.
    pub(in crate::cuda) fn new(names: &[String]) -> Self {
        let anchor = Finder::new(ANCHOR);
        let (mut anchored, mut others): (Vec<Vec<Anchored>>, _) = (vec![Vec::new(); 256], Vec::new());
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let name = name.as_bytes();
            match anchor.find(name).filter(|at| *at > 0) {
                Some(at) => {
                    let front = at.checked_sub(1).and_then(|front| name.get(front));
                    if let Some(list) = front.and_then(|byte| anchored.get_mut(usize::from(*byte))) {
                        list.push((index, name.to_vec(), at));
                    }
                }
                None => others.push((index, Finder::new(name).into_owned())),
            }
        }
        Self { anchor, anchored, others }
    }

    /// Hands over every name that stands in `bytes`, whatever stands around it: also those that are a part of another.
    pub(super) fn each(&self, bytes: &[u8], mut found: impl FnMut(Hit)) {
        for at in self.anchor.find_iter(bytes) {
            let front = at.checked_sub(1).and_then(|front| bytes.get(front));
            let Some(names) = front.and_then(|byte| self.anchored.get(usize::from(*byte))) else { continue };
            for (index, name, anchor) in names {
                let Some(start) = at.checked_sub(*anchor) else { continue };
                if bytes.get(start..).is_some_and(|rest| rest.starts_with(name)) {
                    found(Hit { name: *index, start, end: start.saturating_add(name.len()) });
                }
            }
        }
        for (index, finder) in &self.others {
            for start in finder.find_iter(bytes) {
                found(Hit { name: *index, start, end: start.saturating_add(finder.needle().len()) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], bytes: &[u8]) -> Vec<(usize, usize)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut hits = Vec::new();
        NameSearch::new(&names).each(bytes, |hit| {
            assert_eq!(bytes.get(hit.start..hit.end), names.get(hit.name).map(String::as_bytes));
            hits.push((hit.name, hit.start));
        });
        hits
    }

    #[test]
    fn names_that_are_a_part_of_each_other_are_all_found() {
        let names = ["libcuda.so.1", "libcuda.so", "cuda.so.1"];
        assert_eq!(found(&names, b"xlibcuda.so.1libcuda.so"), [(0, 1), (1, 1), (2, 4), (1, 13)]);
        assert_eq!(found(&names, b"libcuda.s.so.1 .so"), []);
        assert_eq!(found(&names, b".so"), []);
    }

    #[test]
    fn a_name_without_an_anchor_is_found_too() {
        assert_eq!(found(&["driver", "", ".so.1"], b"a driver.so.1"), [(0, 2), (2, 8)]);
    }
}
