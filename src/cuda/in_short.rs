//! A file's GPU code without its sections and its containers: what two runs are compared by, and what is saved of one.

use std::collections::BTreeMap;

use bstr::BStr;

use super::capability::{Capability, Variant};
use super::code::{Code, CodeKind, Form, GpuCode, Place, Tally};

impl GpuCode {
    /// One place for each form, with what it has for each architecture and how much is not understood.
    #[must_use]
    pub(crate) fn in_short(&self) -> Self {
        let mut forms: BTreeMap<Form, Place> = BTreeMap::new();
        for place in &self.places {
            let short = forms.entry(place.form).or_insert_with(|| Place::new(BStr::new(""), place.form));
            for (code, tally) in &place.code {
                short.add(*code, *tally);
            }
            short.more_problems = short.more_problems.saturating_add(place.problem_count());
        }
        Self { places: forms.into_values().collect() }
    }

    /// Adds code to the place of its form; `false` where that form has such code already.
    pub(crate) fn put(&mut self, form: Form, code: Code, tally: Tally) -> bool {
        let at = match self.places.iter().position(|place| place.form == form) {
            Some(at) => at,
            None => {
                self.places.push(Place::new(BStr::new(""), form));
                self.places.sort_by_key(|place| place.form);
                self.places.iter().position(|place| place.form == form).unwrap_or_default()
            }
        };
        self.places.get_mut(at).is_some_and(|place| place.code.insert(code, tally).is_none())
    }

    /// Nothing but what is not understood.
    #[must_use]
    pub(crate) fn not_understood(problems: u64) -> Self {
        let place = Place { more_problems: problems, ..Place::new(BStr::new(""), Form::default()) };
        Self { places: vec![place] }
    }

    /// How many things in it are not understood.
    #[must_use]
    pub(crate) fn problem_count(&self) -> u64 {
        self.places.iter().fold(0, |sum, place| sum.saturating_add(place.problem_count()))
    }
}

impl Code {
    /// From the words that reports have for it: `sm_90a` and `cubin`.
    #[must_use]
    pub(crate) fn named(architecture: &str, kind: &str) -> Option<Self> {
        let kind = CodeKind::ALL.iter().copied().find(|known| known.name() == kind)?;
        let capability = match architecture.strip_suffix("(a)") {
            Some(marked) => {
                let capability: Capability = marked.parse().ok()?;
                (capability.variant == Variant::Common)
                    .then_some(Capability { variant: Variant::Marked, ..capability })?
            }
            None => architecture.parse().ok()?,
        };
        let code = Self { capability, kind };
        (code.architecture() == architecture).then_some(code)
    }
}

impl Form {
    /// From the word that reports have for it.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Container, Self::Frame, Self::Raw, Self::File].into_iter().find(|form| form.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_read_as_it_is_named() {
        for (architecture, kind) in [
            ("sm_87", "cubin"),
            ("sm_90a", "cubin"),
            ("sm_100(a)", "cubin"),
            ("compute_120f", "ptx"),
            ("compute_75", "lto-ir"),
        ] {
            let code = Code::named(architecture, kind).unwrap();
            assert_eq!((code.architecture().as_str(), code.kind.name()), (architecture, kind));
        }
        for (architecture, kind) in [
            ("8.7", "cubin"),
            ("compute_87", "cubin"),
            ("sm_87", "ptx"),
            ("sm_87", "CUBIN"),
            ("sm_90a(a)", "cubin"),
            ("", "ptx"),
        ] {
            assert_eq!(Code::named(architecture, kind), None, "{architecture} {kind}");
        }
        assert_eq!(Form::named("frame"), Some(Form::Frame));
        assert_eq!(Form::named("Frame"), None);
    }
}
