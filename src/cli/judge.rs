//! From what `check` looks at to its report: once for the release that it is about, once for the one that it is compared with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use super::args::{ArchPolicyArg, CheckArgs, Format, Global, PtxPolicyArg};
use super::container::{self, Hosts};
use super::{input, paths, policy, settings};
use crate::check::{ArchPolicy, CheckPolicy, CheckReport, CheckRoot, CheckSetting, PtxPolicy, Scope, ScopeKind};
use crate::tree::{self, ContainerInput, Input, Workers};

/// A report, and what it is about.
pub(super) struct Judged {
    pub(super) report: CheckReport,
    pub(super) setting: CheckSetting,
    pub(super) policy: CheckPolicy,
    /// No argument leads anywhere: there is nothing to report on.
    pub(super) leads_nowhere: bool,
}

/// Judges what an input has; `records` keeps what a comparison needs. What a list names may be archives among others, and
/// has no root.
pub(super) fn judge(
    input: &Input,
    args: &CheckArgs,
    global: &Global,
    (records, is_list): (bool, bool),
) -> anyhow::Result<Judged> {
    let hosts = Hosts::of(&args.container, &args.wanted, input.is_saved)?;
    if hosts.is_asked() && !matches!(input.scope, Scope::Image) {
        bail!("--cdi and --container are for an image: a saved one, or --root DIR");
    }
    let mut policy = policy_of(args, input.scope.clone())?;
    policy.records = records;
    policy.keeps_searches = matches!(global.format, Format::Html) && !global.is_json();
    let exclude = paths::exclude(&args.inputs)?;
    let environment = policy::environment(&args.wanted, &input.environment)?;
    if hosts.is_asked() && args.wanted.driver.is_empty() {
        // It is what the host mounts.
        policy.paths.elf64.driver.clear();
        policy.paths.elf32.driver.clear();
    }
    let host_root = container::host_root(&args.container)?;
    let workers = Workers::new(settings::jobs(global));
    let roots = input.roots();
    let leads_nowhere = !roots.is_empty() && roots.iter().all(Result::is_err);
    let is_closure = matches!(input.scope, Scope::Closure(_));
    let setting = CheckSetting {
        scope: Some(ScopeKind::from(&input.scope)),
        roots: match (is_closure, is_list) {
            (true, _) => Vec::new(),
            (false, true) => common(&shown(&roots)).into_iter().collect(),
            (false, false) => shown(&roots),
        },
        asked: Some(asked(args)),
    };
    // A closure has the archives of its sources, too.
    let roots = if is_list || is_closure { roots } else { paths::refuse_packed(&*input.source, roots) };
    let listing = paths::listing_of(&*input.source, roots, &exclude, &workers);
    let report = if hosts.is_asked() {
        let container = ContainerInput {
            source: Arc::clone(&input.source),
            host: host_root,
            hosts: &|machine| hosts.of_machine(machine, &policy, &args.wanted),
            environment: &|added| policy::environment(&args.wanted, &[input.environment.as_slice(), added].concat()),
            must_run: hosts.is_named(),
        };
        tree::check_in_containers(listing, &container, &policy, &workers)?
    } else {
        tree::check(listing, input.world(), &policy, environment, &workers)
    };
    Ok(Judged { report, setting, policy, leads_nowhere })
}

/// An image of which nothing is known but that it cannot be judged.
pub(super) fn unreadable(args: &CheckArgs, error: &anyhow::Error) -> anyhow::Result<Option<Judged>> {
    let Some(report) = input::unreadable_image(args, error) else { return Ok(None) };
    let setting = CheckSetting { scope: Some(ScopeKind::Image), roots: Vec::new(), asked: Some(asked(args)) };
    let policy = policy_of(args, Scope::Image)?;
    Ok(Some(Judged { report, setting, policy, leads_nowhere: false }))
}

fn policy_of(args: &CheckArgs, scope: Scope) -> anyhow::Result<CheckPolicy> {
    let mut policy = policy::policy(&args.wanted, scope)?;
    policy.require_consumer = args.require_consumer;
    policy.symbols = args.symbols;
    policy.gpus = settings::gpus("--arch", &args.arch)?;
    policy.arch = match args.arch_policy {
        ArchPolicyArg::Exact => ArchPolicy::Exact,
        ArchPolicyArg::Family => ArchPolicy::Family,
        ArchPolicyArg::Generation => ArchPolicy::Generation,
        ArchPolicyArg::Ptx => ArchPolicy::Ptx,
    };
    policy.ptx = match args.ptx {
        PtxPolicyArg::Require => PtxPolicy::Require,
        PtxPolicyArg::Accept => PtxPolicy::Accept,
        PtxPolicyArg::Ignore => PtxPolicy::Ignore,
    };
    if let Some(machine) = &args.machine {
        policy.machine = Some(settings::machine(machine)?);
    }
    Ok(policy)
}

/// Roots under the names that paths below them begin with.
fn shown(roots: &[Result<tree::Root, tree::RootError>]) -> Vec<CheckRoot> {
    let root =
        |root: &tree::Root| CheckRoot { given: root.given.as_path().to_owned(), real: root.real.as_path().to_owned() };
    roots.iter().flatten().map(root).collect()
}

/// The directory that all files of a list lie in.
fn common(roots: &[CheckRoot]) -> Option<CheckRoot> {
    let above = |path: fn(&CheckRoot) -> &Path| -> Option<PathBuf> {
        let mut above = path(roots.first()?).parent()?.to_owned();
        for root in roots {
            while !path(root).starts_with(&above) && above.pop() {}
        }
        Some(above)
    };
    Some(CheckRoot { given: above(|root| &root.given)?, real: above(|root| &root.real)? })
}

/// The options that decide about findings and verdicts, under their names.
fn asked(args: &CheckArgs) -> BTreeMap<String, String> {
    let (wanted, container) = (&args.wanted, &args.container);
    let paths = |paths: &[PathBuf]| -> Vec<String> { paths.iter().map(|path| path.display().to_string()).collect() };
    let path = |path: &Option<PathBuf>| path.as_deref().map(Path::display).map(|path| path.to_string());
    let gpus = || !args.arch.is_empty();
    let all: [(&str, Option<String>); 23] = [
        ("--arch", list(&args.arch)),
        ("--arch-policy", gpus().then(|| name(args.arch_policy))),
        ("--cdi", list(&paths(&container.cdi))),
        ("--cdi-device", list(&container.cdi_device)),
        ("--compat", list(&paths(&wanted.compat))),
        ("--compat-policy", Some(name(wanted.compat_policy)).filter(|policy| policy != "auto")),
        ("--container", list(&container.container.iter().map(|host| name(*host)).collect::<Vec<_>>())),
        ("--driver", list(&paths(&wanted.driver))),
        ("--driver-library", list(&wanted.driver_library)),
        ("--env", list(&wanted.env)),
        ("--exclude", list(&args.inputs.exclude)),
        ("--host-cuda", wanted.host_cuda.clone()),
        ("--host-driver", wanted.host_driver.clone()),
        ("--host-root", path(&container.host_root)),
        ("--image-platform", args.image.image_platform.as_ref().map(ToString::to_string)),
        ("--machine", args.machine.clone()),
        ("--only", list(&args.only)),
        ("--platform", wanted.platform.map(name)),
        ("--ptx", gpus().then(|| name(args.ptx))),
        ("--require-consumer", args.require_consumer.then(|| "yes".to_owned())),
        ("--skip", list(&args.skip)),
        ("--stub", list(&paths(&wanted.stub))),
        ("--symbols", args.symbols.then(|| "yes".to_owned())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Several values of one option, in an order that does not matter.
fn list(values: &[String]) -> Option<String> {
    let mut values = values.to_vec();
    values.sort();
    (!values.is_empty()).then(|| values.join(","))
}

/// A choice as the command line has it.
fn name<T: clap::ValueEnum>(value: T) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
