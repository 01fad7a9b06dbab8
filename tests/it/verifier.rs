//! The verifier against edits that are wrong: every layout's plan with one more byte changed, which the tests' own
//! comparison calls damage, must be refused.

use cuda_runpath::elf::image::{Image, apply};
use cuda_runpath::elf::ldcache;
use cuda_runpath::elf::plan::{Atomicity, Change, Content, Patch, PathTag, Stage, plan};
use cuda_runpath::elf::units::FileOffset;
use cuda_runpath::elf::verify::verify;
use cuda_runpath::elf::view::Subject;

use crate::elfgen::{self, compare::differences, read};

const WANTED: &str = "/run/opengl-driver/lib:$ORIGIN/somewhere/else";

#[test]
fn one_wrong_byte_is_seen() {
    let (mut damaged, mut layouts) = (0, 0);
    let mut missed = Vec::new();
    for (name, spec) in elfgen::presets() {
        let bytes = spec.build();
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { continue };
        let change = Change::Set { tag: PathTag::Runpath, path: WANTED.into() };
        let Ok(plan) = plan(&view, &change, Atomicity::Replace) else { continue };
        // Megabytes and holes hold no other kinds of fields.
        if plan.new_len > 200_000 {
            continue;
        }
        let note = ldcache::find(&view).map(|note| note.range);
        let edited = apply(&bytes, &plan).unwrap();
        let before = Image::of(&bytes);
        verify(&before, &Image::planned(&bytes, &plan).unwrap(), &change, note).unwrap();
        let old = read::Image::parse(&bytes).unwrap();
        let good = differences(&old, &read::Image::parse(&edited).unwrap(), WANTED.as_bytes(), &spec.overlay);
        assert!(good.is_empty(), "{name}: {good:?}");
        layouts += 1;
        // A hundred places spread over the file and over all layouts; large files have no more kinds of fields.
        let step = (edited.len() / 100).max(13) | 1;
        for at in (0..edited.len()).step_by(step) {
            let mut wrong = edited.clone();
            wrong[at] ^= 0x41;
            let is_damage = read::Image::parse(&wrong)
                .is_none_or(|wrong| !differences(&old, &wrong, WANTED.as_bytes(), &spec.overlay).is_empty());
            if !is_damage {
                continue;
            }
            damaged += 1;
            let mut plan = plan.clone();
            let offset = FileOffset::new(u64::try_from(at).unwrap());
            plan.patches.push(Patch { stage: Stage::Scrub, offset, content: Content::Bytes(vec![wrong[at]]) });
            if verify(&before, &Image::planned(&bytes, &plan).unwrap(), &change, note).is_ok() {
                missed.push(format!("{name} ({}): byte {at:#x}", plan.strategy));
            }
        }
    }
    assert!(layouts > 100 && damaged > 1000, "{damaged} damaged images of {layouts} layouts");
    assert!(missed.is_empty(), "{} of {damaged} missed:\n{}", missed.len(), missed.join("\n"));
}
