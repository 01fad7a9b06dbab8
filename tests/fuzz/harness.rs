//! What must hold for any bytes whatever: the bodies of the fuzz targets, and of the tests that replay their corpus.

use bstr::{BStr, BString, ByteSlice};
use cuda_runpath::cuda::{self, Consumer, DriverLibraries};
use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::ldcache;
use cuda_runpath::elf::lookups::own_symbols;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, plan};
use cuda_runpath::elf::verify::verify;
use cuda_runpath::elf::view::{ElfView, Subject};
use cuda_runpath::runpath::{Actions, Decision, Directory, Hygiene, Policy, SearchPath, Setting, decide};

/// Reading any bytes ends, without a panic, and everything that it names lies inside them.
pub fn read(bytes: &[u8]) {
    let Ok(Subject::Object(view)) = Subject::parse(bytes) else { return };
    let _ = (view.search_path(), view.soname(), view.interpreter(), view.needed().count());
    let libraries = DriverLibraries::with(&[]).expect("the names are short");
    let _ = (Consumer::of(&view, &libraries), cuda::is_stub(&view), cuda::CompatNote::of(&view));
    if let Some(note) = ldcache::find(&view) {
        assert!(note.range.of(bytes).is_some());
        let rewritten = ldcache::rewrite(&view, note, view.search_path(), Some(b"/x".as_bstr()));
        assert_eq!(rewritten.map(|bytes| bytes.len()), note.range.of(bytes).map(<[u8]>::len));
    }
}

/// Looking up every symbol that an object asks for ends, in no more steps than its size allows.
pub fn symbols(bytes: &[u8]) {
    let Ok(Subject::Object(view)) = Subject::parse(bytes) else { return };
    if let Ok((found, steps)) = own_symbols(&view) {
        // A symbol has sixteen bytes at least, and is looked for twice, in a chain of no more than all of them.
        let most = bytes.len() / 16;
        assert!(found <= 2 * most, "{found} of {most}");
        assert!(steps <= 2 * (most as u64 + 1).pow(2), "{steps} steps for {most} symbols");
    }
}

/// Whatever can be planned passes the verifier, reads back with the wanted path, and is not planned twice.
/// The last two bytes choose the change.
pub fn fix(input: &[u8]) {
    let Some((bytes, choice)) = input.split_last_chunk::<2>() else { return };
    let Ok(Subject::Object(view)) = Subject::parse(bytes) else { return };
    for atomicity in [Atomicity::Replace, Atomicity::Prefixes] {
        for change in changes(&view, *choice) {
            edit(bytes, &view, &change, atomicity);
        }
    }
}

fn changes(view: &ElfView<'_>, choice: [u8; 2]) -> Vec<Change> {
    let tag = if choice[0] & 1 == 0 { PathTag::Runpath } else { PathTag::Rpath };
    let long = format!("/{}", "d".repeat(usize::from(choice[1]) * 2 + 1));
    let mut paths = vec![BString::from(long.clone()), BString::from("/a")];
    if let Some(old) = view.search_path() {
        let old = SearchPath::parse(old);
        let entries = std::iter::once(BString::from(long));
        let entries = entries.chain(old.entries().filter(|entry| !entry.is_empty()).map(BString::from));
        paths.push(entries.collect::<SearchPath>().to_bstring());
    }
    let mut changes: Vec<Change> = paths.into_iter().map(|path| Change::Set { tag, path }).collect();
    changes.push(Change::Remove);
    changes
}

fn edit(bytes: &[u8], view: &ElfView<'_>, change: &Change, atomicity: Atomicity) {
    let Ok(plan) = plan(view, change, atomicity) else { return };
    assert!(atomicity == Atomicity::Replace || plan.prefix_safe);
    // The verifier may refuse what the planner made of a contradictory file; the file is left alone then.
    if verify(bytes, plan.clone(), change).is_err() {
        return;
    }
    // A plan may open a large hole, which nobody has to hold in memory.
    if plan.new_len > (1 << 26) {
        return;
    }
    let edited = apply(bytes, &plan).expect("a plan can be applied");
    assert_eq!(u64::try_from(edited.len()).ok(), Some(plan.new_len));
    match Subject::parse(&edited) {
        Ok(Subject::Object(edited)) => assert_eq!(edited.search_path(), change.path(), "{plan:?}"),
        // A static-pie-like object with nothing but a path tag may stop being one for us; it never gets a wrong path.
        Ok(Subject::NotApplicable(reason)) => panic!("became {reason:?}: {plan:?}"),
        Err(error) => panic!("cannot be read back: {error}: {plan:?}"),
    }
}

/// Any bytes are a path, and every policy is idempotent on it.
pub fn runpath_list(bytes: &[u8]) {
    let old: &BStr = bytes.as_bstr();
    assert_eq!(SearchPath::parse(old).to_bstring(), old);
    for actions in ["driver", "compat", "stubs", "compat,driver,stubs", "order-only"] {
        let actions: Actions = actions.parse().expect("a known word");
        let directory = |name: &str| Directory::new(name).expect("an absolute directory");
        let compat = vec![directory("/nix/store/x-cuda_compat/compat")];
        let policy = Policy {
            compat,
            driver: vec![directory("/run/opengl-driver/lib")],
            stubs: std::collections::BTreeSet::new(),
            actions,
            hygiene: Hygiene::default(),
        };
        if let Decision::Set(path) = decide(Some(old), &policy, Setting::Ordinary) {
            assert!(path.entries().all(|entry| !entry.is_empty()));
            let path = path.to_bstring();
            assert_eq!(decide(Some(path.as_bstr()), &policy, Setting::Ordinary), Decision::Conforms);
        }
    }
}
