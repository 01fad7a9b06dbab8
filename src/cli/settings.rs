//! Arguments and environment become settings: the only place that reads the environment.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bstr::BString;

use super::args::{FixArgs, Global, Progress, ShowArgs, SlimArgs, Tag};
use super::paths;
use crate::cuda::{Capability, DriverLibraries, Gpu, Targets};
use crate::elf::class::ByClass;
use crate::elf::machine::Machine;
use crate::fsio::{Secret, Store, WriteMode};
use crate::runpath::{Actions, Directory, Hygiene, Policy, TagPolicy};
use crate::tree::{FixSettings, Scripts, Signatures, SlimSettings, Surroundings, Writing};

const DRIVER_64: &str = "/run/opengl-driver/lib";
const DRIVER_32: &str = "/run/opengl-driver-32/lib";

/// GPUs by their compute capability, each once.
pub(super) fn gpus(option: &str, names: &[String]) -> anyhow::Result<Vec<Capability>> {
    let mut gpus = Vec::with_capacity(names.len());
    for name in names {
        let gpu: Capability = name.trim().parse().context(option.to_owned())?;
        if !gpu.is_known() {
            let known: Vec<String> = Capability::known().map(|known| known.to_string()).collect();
            bail!("{option} {name}: no such architecture is known; there are {}", known.join(", "));
        }
        gpus.push(gpu);
    }
    gpus.sort_unstable();
    gpus.dedup();
    Ok(gpus)
}

/// Everything that decides about a file in `fix`.
pub(super) fn fix(args: &FixArgs) -> anyhow::Result<FixSettings> {
    let compat = paths::directories("--compat", &args.compat)?;
    let actions = match &args.actions {
        Some(words) => words.parse().context("--actions")?,
        None => Actions::Compose { compat: !compat.is_empty() && !args.drop_compat, driver: true, stubs: true },
    };
    if compat.is_empty() && matches!(actions, Actions::Compose { compat: true, driver: false, stubs: false }) {
        bail!("--actions compat needs --compat DIR");
    }
    let stubs = paths::directories("--stub", &args.stub)?;
    let hygiene = Hygiene {
        repeated: args.dedup || args.clean,
        compat: args.drop_compat,
        strays: args.clean,
        build_directories: build_directories(),
        kept: BTreeSet::new(),
    };
    let policy = policies(compat, &args.driver, stubs, actions, &hygiene)?;
    let store = store(&args.build_output);
    Ok(FixSettings {
        policy,
        tag: match args.tag {
            Tag::Auto => TagPolicy::Auto,
            Tag::Runpath => TagPolicy::Runpath,
            Tag::Keep => TagPolicy::Keep,
            Tag::Rpath => TagPolicy::Rpath,
        },
        only_consumers: args.only_consumers,
        count_consumers: args.require_consumer,
        scripts: Scripts::default(),
        signatures: Signatures::default(),
        libraries: DriverLibraries::with(&args.driver_library)?,
        surroundings: Surroundings::new(paths::sysroot(args.root.as_deref())?),
        is_cleaning: args.clean,
        machines: args.machine.iter().map(|name| machine(name)).collect::<Result<_, _>>()?,
        writing: if args.dry_run || args.check || args.diff {
            Writing::Nothing
        } else if args.output.is_some() {
            // A copy that no program uses yet needs no second one.
            Writing::Files(WriteMode::OwnCopy)
        } else if args.in_place {
            Writing::Files(WriteMode::InPlace)
        } else {
            Writing::Files(WriteMode::Replace)
        },
        has_receipt: args.receipt.is_some(),
        edits_signed: !args.only.is_empty(),
        is_strict: args.strict,
        secret: secret(&store),
        only_made: None,
        store,
    })
}

/// Everything that decides about a file in `slim`.
pub(super) fn slim(args: &SlimArgs) -> anyhow::Result<SlimSettings> {
    // As a list of Nix comes out of an environment variable, or as a person types it.
    let is_between = |letter: char| letter == ',' || letter == ';' || letter.is_whitespace();
    let names = args.arch.iter().flat_map(|list| list.split(is_between)).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    let gpus: Vec<Gpu> = gpus("--arch", &names)?.into_iter().map(Gpu::from).collect();
    if gpus.is_empty() {
        bail!("--arch names no GPU");
    }
    let store = store(&args.build_output);
    Ok(SlimSettings {
        targets: Targets { gpus, keeps_ptx: args.keep_ptx },
        compacts: !args.no_compact,
        in_place: args.in_place && args.no_compact,
        writing: match (args.dry_run || args.check, &args.output, args.in_place) {
            (true, ..) => Writing::Nothing,
            (false, Some(_), _) => Writing::Files(WriteMode::OwnCopy),
            (false, None, true) => Writing::Files(WriteMode::InPlace),
            (false, None, false) => Writing::Files(WriteMode::Replace),
        },
        secret: secret(&store),
        store,
    })
}

/// The policies that `show` names classes by.
pub(super) fn show(args: &ShowArgs) -> anyhow::Result<ByClass<Policy>> {
    let compat = paths::directories("--compat", &args.compat)?;
    let actions = Actions::Compose { compat: false, driver: true, stubs: true };
    policies(compat, &args.driver, Vec::new(), actions, &Hygiene::default())
}

pub(super) fn policies(
    compat: Vec<Directory>,
    driver: &[PathBuf],
    stubs: Vec<Directory>,
    actions: Actions,
    hygiene: &Hygiene,
) -> anyhow::Result<ByClass<Policy>> {
    let given = paths::directories("--driver", driver)?;
    let driver_or = |default: &str| {
        if given.is_empty() { paths::directories("--driver", &[PathBuf::from(default)]) } else { Ok(given.clone()) }
    };
    let stubs: BTreeSet<Directory> = stubs.into_iter().collect();
    let policy =
        |driver| Policy { compat: compat.clone(), driver, stubs: stubs.clone(), actions, hygiene: hygiene.clone() };
    Ok(ByClass { elf64: policy(driver_or(DRIVER_64)?), elf32: policy(driver_or(DRIVER_32)?) })
}

/// The machine of a name; Nix, Debian and `uname -m` have several for some.
pub(super) fn machine(name: &str) -> anyhow::Result<&'static Machine> {
    Machine::named(name).with_context(|| format!("--machine {name}: no such machine is known"))
}

/// How many threads to use.
pub(super) fn jobs(global: &Global) -> usize {
    asked_jobs(global).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// How many were asked for.
fn asked_jobs(global: &Global) -> Option<usize> {
    let asked = global.jobs.or_else(|| std::env::var("NIX_BUILD_CORES").ok()?.parse().ok());
    // Nix says 0 for "all of them".
    asked.filter(|jobs| *jobs > 0)
}

/// The same for new files that GPU code left: a large one takes a worker for longer than the disk makes it wait, so that two
/// are enough, and worth it on one processor too.
pub(super) fn slimming_jobs(global: &Global) -> usize {
    asked_jobs(global).unwrap_or_else(|| jobs(global).max(2))
}

/// How many threads wait for the disk: a copy takes a file's name only once it is on the disk, and a disk that is told of
/// many copies at once writes them together. What was asked for stays as it is.
pub(super) fn copying_jobs(global: &Global) -> usize {
    const FOR_EACH_CPU: usize = 16;
    const MOST: usize = 64;
    let jobs = jobs(global);
    if global.jobs.is_some() { jobs } else { jobs.saturating_mul(FOR_EACH_CPU).min(MOST).max(jobs) }
}

/// Whether a progress bar is wanted: on a terminal's standard error only.
pub(super) fn shows_progress(global: &Global) -> bool {
    global.progress == Progress::Auto && !global.quiet && std::io::stderr().is_terminal()
}

/// Where the Nix store is, and the outputs of the running build, if there is one.
pub(super) fn store(given: &[PathBuf]) -> Store {
    let root = std::env::var_os("NIX_STORE").filter(|root| !root.is_empty());
    let root = PathBuf::from(root.unwrap_or_else(|| "/nix/store".into()));
    let outputs = if build().is_some() { [given, &outputs()].concat() } else { Vec::new() };
    Store::new(root, &outputs)
}

/// The directory of the running build, if there is one.
fn build() -> Option<PathBuf> {
    // nix-shell sets the same variables, and its outputs can be finished store paths.
    std::env::var_os("NIX_BUILD_TOP").filter(|_| std::env::var_os("IN_NIX_SHELL").is_none()).map(PathBuf::from)
}

/// What journals are signed with: a build's own in its directory, since it has no home; else in the user's state
/// directory, and where there is none, in the one for temporary files.
pub(super) fn secret(store: &Store) -> Secret {
    const NAME: &str = "cuda-runpath";
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let states = [
        variable("XDG_STATE_HOME"),
        // Root's home may be that of the user who became root.
        Some(PathBuf::from("/var/lib")),
        // A home that is not there must not be made: Nix takes one for an impurity.
        variable("HOME").filter(|home| home.is_dir()).map(|home| home.join(".local/state")),
    ];
    let states = states.into_iter().flatten().map(|state| state.join(NAME));
    let places = build().map(|build| build.join(".cuda-runpath")).into_iter().chain(states).collect();
    Secret::of(places, &std::env::temp_dir(), &|place| store.allows_new(place))
}

/// The outputs' names are in `$outputs`, or with `__structuredAttrs` in the attributes file; each name is a variable.
fn outputs() -> Vec<PathBuf> {
    let named = std::env::var("outputs").unwrap_or_else(|_| "out".to_owned());
    let mut outputs: Vec<PathBuf> = named
        .split_whitespace()
        .filter_map(std::env::var_os)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    let attributes = std::env::var_os("NIX_ATTRS_JSON_FILE").and_then(|file| std::fs::read(file).ok());
    let attributes = attributes.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    if let Some(structured) = attributes.as_ref().and_then(|value| value.get("outputs")?.as_object()) {
        outputs.extend(structured.values().filter_map(|path| path.as_str()).map(PathBuf::from));
    }
    outputs.retain(|output| output.is_absolute());
    outputs
}

/// Where this build's temporary files are, beside the usual places.
pub(super) fn build_directories() -> Vec<BString> {
    let named = ["TMPDIR", "NIX_BUILD_TOP"].into_iter().filter_map(std::env::var_os);
    named.filter(|path| Path::new(path).is_absolute()).map(|path| BString::from(path.into_vec())).collect()
}
