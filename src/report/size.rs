//! Bytes and shares as people read them.

/// `1.56 GB`: three digits, in powers of ten, as disks and downloads are counted.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else { return format!("{bytes} B") };
    let hundredths = bytes.saturating_add(unit / 200) / (unit / 100);
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{part:02} {name}"),
        10..100 => format!("{whole}.{} {name}", part / 10),
        _ => format!("{whole} {name}"),
    }
}

/// A part of a whole in thousandths; of nothing none.
pub(super) fn thousandths(part: u64, whole: u64) -> u64 {
    let share = u128::from(part).saturating_mul(1000).checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// `43 %`, and with a digit behind the point what is less than ten.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match thousandths(part, whole) {
        0 if part > 0 => "under 0.1 %".to_owned(),
        0 => "0 %".to_owned(),
        few @ 1..100 => format!("{}.{} %", few / 10, few % 10),
        more => format!("{} %", more.saturating_add(5) / 10),
    }
}

/// An exact number with its digits in threes: `1 560 000 000`, by spaces at which no line breaks.
pub(super) fn exact(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len().saturating_mul(2));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len().saturating_sub(at)) % 3 == 0 {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (7_949, "7.95 kB"),
            (12_345_678, "12.3 MB"),
            (412_600_000, "412 MB"),
            (1_556_000_000, "1.56 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shares_and_digits() {
        assert_eq!(
            (percent(0, 0), percent(1, 10_000), percent(5, 100)),
            ("0 %".into(), "under 0.1 %".into(), "5.0 %".into())
        );
        assert_eq!((percent(437, 1000), percent(7, 7)), ("44 %".into(), "100 %".into()));
        assert_eq!(thousandths(u64::MAX, 1), u64::MAX);
        assert_eq!((exact(7), exact(1234), exact(123_456)), ("7".into(), "1\u{a0}234".into(), "123\u{a0}456".into()));
    }
}
