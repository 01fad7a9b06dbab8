//! The verifier against edits that are wrong: every layout's plan with one more byte changed, which the tests' own
//! comparison calls damage, must be refused.

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, Content, Patch, PathTag, Plan, Stage, plan};
use cuda_runpath::elf::units::FileOffset;
use cuda_runpath::elf::verify::verify;
use cuda_runpath::elf::view::Subject;

use crate::elfgen::{self, Machine, Spec, compare::differences, read};

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
        let edited = apply(&bytes, &plan).unwrap();
        verify(&bytes, plan.clone(), &change).unwrap();
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
            if let Ok(verified) = verify(&bytes, plan, &change) {
                missed.push(format!("{name} ({}): byte {at:#x}", verified.plan().strategy));
            }
        }
    }
    assert!(layouts > 100 && damaged > 1000, "{damaged} damaged images of {layouts} layouts");
    assert!(missed.is_empty(), "{} of {damaged} missed:\n{}", missed.len(), missed.join("\n"));
}

/// What a patched loader would ask instead of the path: every way in which a planner could leave it wrong.
#[test]
fn a_lying_resolution_note_is_refused() {
    let old = "/opt/dep";
    for (hash, prefix) in [("short", "/d"), ("long", WANTED)] {
        let spec = Spec::library(Machine::X86_64).needs("libdep.so.1").runpath(old).ldcache_room(200);
        let bytes = spec.ldcache(&[("libdep.so.1", "=/opt/dep/libdep.so.1")]).build();
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { panic!("an object") };
        let change = Change::Set { tag: PathTag::Runpath, path: format!("{prefix}:{old}").into() };
        let good = plan(&view, &change, Atomicity::Replace).unwrap();
        verify(&bytes, good.clone(), &change).unwrap();
        let at = good.patches.iter().position(|patch| patch.stage == Stage::Note).expect("the note is rewritten");
        let refused = |what: &str, lie: &dyn Fn(&mut Vec<u8>)| {
            let mut plan = good.clone();
            let Content::Bytes(note) = &mut plan.patches[at].content else { panic!("bytes") };
            lie(note);
            let error = verify(&bytes, plan, &change).expect_err(what).to_string();
            assert!(error.contains("invariant 10"), "{hash} {what}: {error}");
        };
        let start = usize::try_from(good.patches[at].offset.get()).unwrap();
        refused("as it was", &|note| {
            let len = note.len();
            note.copy_from_slice(&bytes[start..start + len]);
        });
        refused("cleared, but the descriptor stays", &|note| {
            let len = note.len();
            note.copy_from_slice(&bytes[start..start + len]);
            note[8..12].fill(0);
        });
        refused("zeroed, but still of its type", &|note| {
            note[20..].fill(0);
            note[20] = b'x';
        });
        refused("another owner", &|note| note[12] = b'M');
        // Left out altogether.
        let mut plan: Plan = good.clone();
        plan.patches.remove(at);
        assert!(verify(&bytes, plan, &change).unwrap_err().to_string().contains("invariant 10"), "{hash}");
    }
}
