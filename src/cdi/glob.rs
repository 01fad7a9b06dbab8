//! The patterns that an `include` may have, as glob(3) takes them: for `globset` braces and `**` are more than bytes, and a
//! bracket without its end is an error.

use bstr::{BStr, BString, ByteSlice};

use super::files::{ContainerFiles, join};

/// Paths that one pattern may lead to.
const MOST_FOUND: usize = 4096;
/// Steps of one comparison for each byte of the name: a pattern of stars would take many more.
const MOST_STEPS: usize = 64;

/// Every path that a pattern matches, in the order of their bytes (`glob`(3) in the C locale). What begins with a dot is
/// matched by a dot only.
///
/// Every name that is compared counts against what is left.
pub(super) fn glob(files: &dyn ContainerFiles, pattern: &BStr, left: &mut usize) -> Vec<BString> {
    let mut found: Vec<BString> = vec!["/".into()];
    for part in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        let mut below = Vec::new();
        for directory in &found {
            let Some(rest) = left.checked_sub(1) else { return Vec::new() };
            *left = rest;
            if !part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
                let path = join(directory.as_bstr(), part.as_bstr());
                below.extend(files.resolve(path.as_bstr()).map(|_| path));
                continue;
            }
            let Some(real) = files.resolve(directory.as_bstr()) else { continue };
            let names = files.names(real.as_bstr()).unwrap_or_default();
            *left = left.saturating_sub(names.len());
            let is_hidden = |name: &BString| name.starts_with(b".") && !part.starts_with(b".");
            let named = names.iter().filter(|name| !is_hidden(name) && matches(part, name));
            below.extend(named.map(|name| join(directory.as_bstr(), name.as_bstr())));
            if below.len() > MOST_FOUND {
                break;
            }
        }
        below.truncate(MOST_FOUND);
        found = below;
    }
    found.sort();
    found
}

/// Whether a name matches one component.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0_usize, 0_usize);
    // Where the last star stands, and up to where in the name it reaches.
    let mut star: Option<(usize, usize)> = None;
    let mut left = name.len().saturating_add(1).saturating_mul(MOST_STEPS);
    while from < name.len() {
        let Some(rest) = left.checked_sub(1) else { return false };
        left = rest;
        let byte = name.get(from).copied().unwrap_or_default();
        match one(pattern.get(at..).unwrap_or_default(), byte) {
            PatternStep::Star => {
                star = Some((at.saturating_add(1), from));
                at = at.saturating_add(1);
                continue;
            }
            PatternStep::Takes(length) => {
                at = at.saturating_add(length);
                from = from.saturating_add(1);
                continue;
            }
            PatternStep::Refuses => {}
        }
        let Some((behind, reached)) = star else { return false };
        let reached = reached.saturating_add(1);
        star = Some((behind, reached));
        (at, from) = (behind, reached);
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

enum PatternStep {
    Star,
    /// With so many bytes of the pattern.
    Takes(usize),
    Refuses,
}

/// What the start of a pattern says of one byte.
fn one(pattern: &[u8], byte: u8) -> PatternStep {
    let takes = |is: bool, length| if is { PatternStep::Takes(length) } else { PatternStep::Refuses };
    match pattern {
        [] => PatternStep::Refuses,
        [b'*', ..] => PatternStep::Star,
        [b'?', ..] => PatternStep::Takes(1),
        [b'\\', quoted, ..] => takes(*quoted == byte, 2),
        [b'[', rest @ ..] => {
            let (is_not, set) = match rest {
                [b'!' | b'^', set @ ..] => (true, set),
                set => (false, set),
            };
            // A bracket that stands first is one of the set.
            let Some(end) = set.iter().skip(1).position(|byte| *byte == b']').map(|at| at.saturating_add(1)) else {
                return takes(byte == b'[', 1);
            };
            let set = set.get(..end).unwrap_or_default();
            let length = end.saturating_add(2).saturating_add(usize::from(is_not));
            takes(is_in(set, byte) != is_not, length)
        }
        [plain, ..] => takes(*plain == byte, 1),
    }
}

fn is_in(mut set: &[u8], byte: u8) -> bool {
    while let [first, rest @ ..] = set {
        if let [b'-', last, behind @ ..] = rest {
            if (*first..=*last).contains(&byte) {
                return true;
            }
            set = behind;
            continue;
        }
        if *first == byte {
            return true;
        }
        set = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_shell_has_it() {
        for (pattern, name, is) in [
            ("*.conf", "libc.conf", true),
            ("*.conf", "libc.conf.bak", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("[ab", "[ab", true),
            ("\\*x", "*x", true),
            ("\\*x", "ax", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("libcuda.so.*.*", "libcuda.so.550.163.01", true),
            ("libcuda.so.*.*", "libcuda.so.1", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is, "{pattern} {name}");
        }
        let stars = "*a".repeat(2000);
        assert!(!matches(stars.as_bytes(), "a".repeat(1999).as_bytes()));
    }
}
