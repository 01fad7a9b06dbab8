//! Bars of parts of a whole. What a bar shows is said in words beside it, or by its own label.

use maud::{Markup, html};

use crate::report::size::thousandths;

/// A part of a bar.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct BarPart {
    /// Its class in the style.
    pub class: &'static str,
    /// How much it is.
    pub amount: u64,
    /// It is striped: colour alone does not tell it from its neighbour.
    pub is_striped: bool,
}

/// The width of a bar in its own units.
const WIDTH: u64 = 1000;

/// The least width of a part that is not nothing.
const LEAST: u64 = 4;

/// A bar of parts side by side.
pub(in crate::report) fn bar(is_wide: bool, parts: &[BarPart], whole: u64, label: &str) -> Markup {
    let mut from = 0;
    let mut placed = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|part| part.amount > 0) {
        let width = thousandths(part.amount, whole).max(LEAST).min(WIDTH.saturating_sub(from));
        placed.push((part, from, width));
        from = from.saturating_add(width);
    }
    html! {
        svg.bar.wide[is_wide] viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(label) {
            @for (part, from, width) in placed { (filled(part, from, width)) }
        }
    }
}

fn filled(part: &BarPart, from: u64, width: u64) -> Markup {
    html! {
        @if part.is_striped {
            // Stripes that keep their slant however wide the bar is drawn would need a pattern for each width.
            @let stripes = (0..width.div_ceil(8)).map(|stripe| from.saturating_add(stripe.saturating_mul(8)));
            @for x in stripes {
                @let wide = 4.min(from.saturating_add(width).saturating_sub(x));
                rect.(part.class) x=(x) width=(wide) height="10" {}
            }
        } @else {
            rect.(part.class) x=(from) width=(width) height="10" {}
        }
    }
}

/// What the parts of a bar are, in words.
pub(in crate::report) fn key(parts: &[(BarPart, String)]) -> Markup {
    html! {
        ul.key {
            @for (part, words) in parts {
                li {
                    svg viewBox="0 0 10 10" preserveAspectRatio="none" aria-hidden="true" {
                        @if part.is_striped {
                            @for x in ["0", "4", "8"] { rect.(part.class) x=(x) width="2" height="10" {} }
                        } @else {
                            rect.(part.class) width="10" height="10" {}
                        }
                    }
                    (words)
                }
            }
        }
    }
}
