//! Edits of generated layouts, sound and damaged, judged by a reader that shares no code with the program.

use bstr::{BString, ByteSlice};
use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, Plan, PlanError, Stage, Strategy, plan};
use cuda_runpath::elf::verify::verify;
use cuda_runpath::elf::view::Subject;
use cuda_runpath::runpath::SearchPath;

use crate::elfgen::compare::{differences, loaded};
use crate::elfgen::damage::Damage;
use crate::elfgen::drawn::{self, Choices};
use crate::elfgen::harm::harm;
use crate::elfgen::{Headers, Spec, read};

/// A plan may open a large hole, which nobody has to hold in memory.
const LARGEST: u64 = 1 << 22;

/// What the bytes ask for beside the layout.
struct Wish {
    tag: PathTag,
    rounds: usize,
    first: usize,
    step: usize,
}

/// The bytes choose a layout, an edit, and damage. Every edit is faithful, a sound layout is never refused, and edit after edit
/// grows nothing but the strings; whatever the damage, an edit changes nothing that it should not.
pub fn spec(input: &[u8]) {
    let mut choices = Choices::new(input);
    let wish = Wish {
        tag: if choices.flag() { PathTag::Rpath } else { PathTag::Runpath },
        rounds: 1 + choices.below(6),
        first: choices.one_of(&[20, 0, 3, 100, 1000, 5000]) + choices.below(40),
        step: choices.one_of(&[1, 0, 16, 200]),
    };
    let machine = drawn::machine(&mut choices);
    let spec = Spec::drawn(&mut choices, machine, true);
    let sound = spec.build();
    let mut damage = Damage::new(&sound);
    while damage.drawn(&mut choices) {}
    for atomicity in [Atomicity::Replace, Atomicity::Prefixes] {
        if damage.bytes == sound {
            edit_sound(&spec, &sound, &wish, atomicity);
        } else {
            edit_damaged(&damage.bytes, &spec.overlay, &wish, atomicity);
        }
    }
}

/// The path of a round: one folder in front of what is there.
fn change(wish: &Wish, round: usize, old: Option<&[u8]>) -> Change {
    let letter = char::from(b'a' + u8::try_from(round).unwrap_or(0));
    let folder = format!("/{}", letter.to_string().repeat(wish.first + round * wish.step));
    let old = SearchPath::parse(old.unwrap_or_default().as_bstr());
    let rest = old.entries().filter(|entry| !entry.is_empty()).map(BString::from);
    Change::Set { tag: wish.tag, path: std::iter::once(folder.into()).chain(rest).collect::<SearchPath>().to_bstring() }
}

fn edit_sound(spec: &Spec, sound: &[u8], wish: &Wish, atomicity: Atomicity) {
    let original = read::Image::parse(sound).expect("a sound image");
    let mut bytes = sound.to_vec();
    let mut taken = Vec::new();
    for round in 0..wish.rounds {
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else {
            panic!("round {round}: not an object: {spec:?}")
        };
        let change = change(wish, round, view.search_path().map(AsRef::as_ref));
        let path = change.path().expect("a path is set");
        let planned = match plan(&view, &change, atomicity) {
            // What cannot be done step by step is done at once.
            Err(PlanError::NoPlace(_)) if atomicity == Atomicity::Prefixes => plan(&view, &change, Atomicity::Replace),
            planned => planned,
        };
        let planned = match planned {
            Ok(planned) => planned,
            // A payload must stay at the end of the file: there may be no room before it.
            Err(PlanError::NoPlace(_)) if !spec.overlay.is_empty() => return,
            Err(error) => panic!("round {round}: a sound layout is refused: {error}: {spec:?}"),
        };
        if let Err(error) = verify(&bytes, planned.clone(), &change) {
            panic!("round {round}: a sound plan is refused: {error}: {planned:?}: {spec:?}");
        }
        if planned.new_len > LARGEST {
            return;
        }
        let edited = apply(&bytes, &planned).expect("a plan can be applied");
        let Some(image) = read::Image::parse(&edited) else { panic!("round {round}: cannot be read back: {spec:?}") };
        let found = differences(&original, &image, path, &spec.overlay);
        assert!(found.is_empty(), "round {round}, {}: {found:#?}: {spec:?}", planned.strategy);
        if atomicity == Atomicity::Prefixes && planned.prefix_safe {
            prefixes(&bytes, &planned, &[view.search_path().map(AsRef::as_ref), Some(path)]);
        }
        taken.push((planned.strategy, edited.len()));
        let costly = taken.iter().filter(|(strategy, _)| *strategy > Strategy::Slack).count();
        // Section headers that gave way lie behind the new table, which then moves once more.
        let most = if spec.headers == Headers::BehindTable { 2 } else { 1 };
        assert!(costly <= most, "{taken:?} from {} on: {spec:?}", sound.len());
        bytes = edited;
    }
}

/// Every prefix of the writes is a file that the loader reads with the old or the new path, and otherwise as before.
fn prefixes(bytes: &[u8], plan: &Plan, paths: &[Option<&[u8]>; 2]) {
    let original = read::Image::parse(bytes).expect("a sound image");
    let strings = original.strings();
    for count in 0..plan.patches.len() {
        let mut prefix = plan.clone();
        prefix.patches.truncate(count);
        // As long as the last write made it.
        let end = prefix.patches.iter().filter_map(|patch| patch.range()).map(|range| range.end().get()).max();
        prefix.new_len = plan.old_len.max(end.unwrap_or(0));
        let written = apply(bytes, &prefix).expect("a plan can be applied in part");
        let at = || format!("{} after {count} writes of {plan:?}", plan.strategy);
        let Some(image) = read::Image::parse(&written) else { panic!("cannot be read: {}", at()) };
        assert!(paths.contains(&image.runpath().as_deref()), "the path is {:?}: {}", image.runpath(), at());
        assert!(image.strings() == strings, "a string changed: {}", at());
        let mut found = loaded(&original, &image);
        if plan.patches.iter().any(|patch| patch.stage == Stage::WholeTable) {
            // For a moment the table is without PT_GNU_RELRO or a PT_NOTE.
            found.retain(|what| what != "program header 0x6474e552 changed" && what != "a note is lost or changed");
        }
        assert!(found.is_empty(), "{found:#?}: {}", at());
    }
}

/// A damaged file may be refused. If it is edited, then to no harm.
fn edit_damaged(bytes: &[u8], overlay: &[u8], wish: &Wish, atomicity: Atomicity) {
    let Ok(Subject::Object(view)) = Subject::parse(bytes) else { return };
    let change = change(wish, 0, view.search_path().map(AsRef::as_ref));
    let Ok(planned) = plan(&view, &change, atomicity) else { return };
    if verify(bytes, planned.clone(), &change).is_err() || planned.new_len > LARGEST {
        return;
    }
    let edited = apply(bytes, &planned).expect("a plan can be applied");
    let found = harm(bytes, &edited, &|path| Some(path) == change.path().map(AsRef::as_ref), overlay);
    assert!(found.is_empty(), "{}: {found:#?}: {planned:?}", planned.strategy);
}
