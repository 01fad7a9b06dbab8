//! All that a spec does to a container, in the order of a runtime: environment, mounts, hooks. What comes of it is told beside
//! the files themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bstr::{BStr, BString, ByteSlice};

use super::cache_file;
use super::compat::{self, Admission, CompatChoice, HostVersions};
use super::conf::{self, CONF, CONF_D, ConfDirectory};
use super::edits::CdiEdits;
use super::files::{self, ContainerFiles, LeftByHook, Mounted, StandsAt, join, split};
use super::hook::{CompatHook, Hook, LinkArgument};
use super::ldconfig;
use super::machine::ContainerMachine;
use crate::cuda;

const DEBIAN: &str = "/etc/debian_version";
const ALPINE: &str = "/etc/alpine-release";
/// Where the toolkit says that it found the host's libcuda.
const LIBCUDA_DIRECTORIES: &str = "NVIDIA_CTK_LIBCUDA_DIR";
/// Bytes of a path file.
const LARGEST_PATH_FILE: u64 = 1 << 20;
/// Directories on the way to one link.
const MOST_DEPTH: usize = 128;
/// Hooks that go through directories; the toolkit writes two.
const MOST_RUNS: usize = 16;
/// Names of unknown hooks that are told.
const MOST_TOLD: usize = 16;

/// A directory of the host whose contents are not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownDirectory {
    /// Where the container has it.
    pub(crate) path: BString,
    /// Where the host has it.
    host: BString,
}

/// A cache that `update-ldcache` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RebuiltCache {
    /// What ldconfig went through, in order, each directory once.
    pub(crate) searched: Vec<ConfDirectory>,
    /// `ld.so.conf` includes the folder in which the toolkit leaves its lists.
    pub(crate) is_included: bool,
}

/// musl's list of directories, as the toolkit leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathFile {
    /// Where it is.
    pub(crate) path: BString,
    /// The image had none.
    pub(crate) is_new: bool,
    /// A last line that does not end, and what was written behind it.
    pub(crate) glued: Option<(BString, BString)>,
}

/// What is known of a container beside its files.
#[derive(Clone, Debug)]
pub struct ContainerState {
    /// What a spec adds to the environment, `NAME=VALUE`.
    pub(crate) environment: Vec<String>,
    /// Files and directories of the host, by their paths in the container without links, with those on the host.
    pub(crate) mounted: BTreeMap<BString, BString>,
    /// The SONAMEs of libraries among them, each with its path.
    pub(crate) provided: BTreeMap<BString, BString>,
    /// Directories of the host that may have anything in them.
    pub(crate) unknown: Vec<UnknownDirectory>,
    /// What `update-ldcache` was given.
    pub(crate) folders: Vec<BString>,
    /// The cache, where a hook makes one.
    pub(crate) cache: Option<RebuiltCache>,
    /// The host's driver.
    pub(crate) host: HostVersions,
    /// Directories of compat that hooks look at, without links.
    pub(crate) compat_roots: Vec<BString>,
    /// What the hook makes of them.
    pub(crate) compat: CompatChoice,
    /// What became of musl's list.
    pub(crate) path_file: Option<PathFile>,
    /// Hooks of which it is not known what they do, by name.
    pub(crate) unknown_hooks: BTreeSet<String>,
    /// What cannot be done in this container.
    pub(crate) failures: Vec<String>,
    /// Not everything was looked at.
    pub(crate) is_cut: bool,
}

/// Makes a container of an image: `known` is what else is known of the host.
pub(crate) fn apply(
    files: &mut dyn ContainerFiles,
    edits: &CdiEdits,
    machine: ContainerMachine,
    known: &HostVersions,
) -> ContainerState {
    let mut making = Making {
        files,
        machine,
        runs_left: MOST_RUNS,
        state: ContainerState {
            environment: edits.environment.clone(),
            mounted: BTreeMap::new(),
            provided: BTreeMap::new(),
            unknown: Vec::new(),
            folders: Vec::new(),
            cache: None,
            host: known.clone(),
            compat_roots: Vec::new(),
            compat: CompatChoice::Absent,
            path_file: None,
            unknown_hooks: BTreeSet::new(),
            failures: Vec::new(),
            is_cut: false,
        },
    };
    making.mounts(edits);
    for hook in &edits.hooks {
        making.hook(&hook.hook);
    }
    let mut state = making.state;
    if state.host == HostVersions::default() {
        state.host.driver = state.mounted_libcuda_version();
    }
    let root = files.resolve(compat::COMPAT_ROOT.into());
    state.compat_roots.extend(root.filter(|root| !state.compat_roots.contains(root)));
    state
}

struct Making<'f> {
    files: &'f mut dyn ContainerFiles,
    machine: ContainerMachine,
    /// Hooks that go through directories and may still run.
    runs_left: usize,
    state: ContainerState,
}

impl Making<'_> {
    fn mounts(&mut self, edits: &CdiEdits) {
        let sonames = sonames(edits);
        for mount in edits.mounts_in_order() {
            let soname = soname_of(mount.container.as_bstr(), &sonames);
            let (path, mounted) = files::mount(self.files, mount, soname.as_ref().map(|name| name.as_bstr()));
            match mounted {
                Mounted::File | Mounted::Directory | Mounted::OpaqueFile => {
                    if let Some(soname) = soname {
                        self.state.provided.entry(soname).or_insert_with(|| path.clone());
                    }
                    self.state.mounted.insert(path, mount.host.clone());
                }
                Mounted::UnknownDirectory => {
                    self.state.unknown.push(UnknownDirectory { path, host: mount.host.clone() });
                }
                Mounted::InImage => {}
                Mounted::Nowhere => self.fails(format!("nothing can be mounted at {path}")),
            }
        }
    }

    fn fails(&mut self, why: String) {
        if self.state.failures.len() < MOST_TOLD {
            self.state.failures.push(why);
        }
    }

    fn hook(&mut self, hook: &Hook) {
        if matches!(hook, Hook::EnableCudaCompat(_) | Hook::UpdateLdcache(_)) {
            match self.runs_left.checked_sub(1) {
                Some(left) => self.runs_left = left,
                None => return self.fails("it has more than 16 hooks that go through directories".into()),
            }
        }
        match hook {
            Hook::CreateSymlinks(links) => links.iter().for_each(|link| self.link(link)),
            Hook::EnableCudaCompat(hook) => self.enable_compat(hook),
            Hook::UpdateLdcache(folders) => self.update_cache(folders),
            Hook::Harmless => {}
            Hook::Unknown(name) => {
                if self.state.unknown_hooks.len() < MOST_TOLD {
                    self.state.unknown_hooks.insert(name.clone());
                }
            }
        }
    }

    /// What has the name is replaced, whatever it is, but for a directory.
    fn link(&mut self, link: &LinkArgument) {
        let is_long = link.path.iter().filter(|byte| **byte == b'/').count() > MOST_DEPTH;
        let made = split(link.path.as_bstr()).filter(|_| !is_long).and_then(|(above, name)| {
            let above = files::directory(self.files, above)?;
            let path = join(above.as_bstr(), name);
            (self.files.standing(path.as_bstr()) != Some(StandsAt::Directory)).then_some(path)
        });
        match made {
            Some(path) => self.files.make(path.as_bstr(), LeftByHook::Link(link.target.clone())),
            None => self.fails(format!("create-symlinks cannot make {}", link.path)),
        }
    }

    fn enable_compat(&mut self, hook: &CompatHook) {
        if let Some(driver) = &hook.host_driver {
            self.state.host.driver = Some(driver.clone());
        }
        if let Some(cuda) = &hook.host_cuda {
            self.state.host.cuda = Some(cuda.clone());
        }
        // What a profile leaves open, the command line may tell.
        let host = &self.state.host;
        let hook =
            CompatHook { host_driver: host.driver.clone(), host_cuda: host.cuda.clone(), root: hook.root.clone() };
        let choice = compat::choose(self.files, &hook);
        if let CompatChoice::Found(directory, _) | CompatChoice::Several(directory) = &choice
            && !self.state.compat_roots.contains(directory)
        {
            self.state.compat_roots.push(directory.clone());
        }
        if let CompatChoice::Found(directory, Admission::Admitted) = &choice {
            let line = [directory.as_slice(), b"\n"].concat();
            self.drop_in("00-compat-0.conf", line);
        }
        if self.state.compat == CompatChoice::Absent {
            self.state.compat = choice;
        }
    }

    /// A file in `ld.so.conf.d`. The toolkit gives each a random name that sorts as these do.
    fn drop_in(&mut self, name: &str, text: Vec<u8>) {
        match files::directory(self.files, CONF_D.into()) {
            Some(directory) => {
                self.files.make(join(directory.as_bstr(), name.into()).as_bstr(), LeftByHook::File(text))
            }
            None => self.fails(format!("no file can be made in {CONF_D}")),
        }
    }

    /// `nvidia-container-toolkit internal/ldconfig/ldconfig.go`, `UpdateLDCache`.
    fn update_cache(&mut self, folders: &[BString]) {
        let Some(etc) = files::directory(self.files, "/etc".into()) else {
            return self.fails("update-ldcache cannot make /etc".into());
        };
        if self.files.resolve(CONF.into()).is_none() && self.files.standing(CONF.into()).is_none() {
            let text = format!("include {CONF_D}/*.conf\n").into_bytes();
            self.files.make(join(etc.as_bstr(), "ld.so.conf".into()).as_bstr(), LeftByHook::File(text));
        }
        let system = self.machine.system_directories(self.is_file(DEBIAN));
        let mut known = conf::known_to_toolkit(self.files);
        known.extend(system.iter().cloned());
        let front: Vec<BString> = folders.iter().filter(|folder| known.insert((*folder).clone())).cloned().collect();
        if !front.is_empty() {
            self.drop_in("00-nvcr-0.conf", lines(&front));
        }
        self.drop_in("zz-nvcr-0.conf", lines(&system));
        if self.is_file(ALPINE) {
            let all: Vec<BString> = front.iter().chain(&system).cloned().collect();
            self.append_to_path_file(&all);
        }
        let mut directories = conf::directories(self.files);
        let is_ours = |directory: &ConfDirectory| {
            let from = directory.from.as_ref();
            from.is_some_and(|from| from.ends_with(b"/zz-nvcr-0.conf"))
        };
        let is_included = directories.iter().any(is_ours);
        let own = self.machine.own_directories_of_ldconfig(folders);
        directories.extend(own.into_iter().map(|path| ConfDirectory { path, from: None }));
        let run = ldconfig::run(self.files, directories);
        self.files
            .make(join(etc.as_bstr(), "ld.so.cache".into()).as_bstr(), LeftByHook::File(cache_file::of(&run.entries)));
        let new = folders.iter().filter(|folder| !self.state.folders.contains(folder)).cloned();
        let new: Vec<BString> = new.collect();
        self.state.folders.extend(new);
        self.state.is_cut |= run.is_cut;
        self.state.cache = Some(RebuiltCache { searched: run.searched, is_included });
    }

    fn is_file(&self, path: &str) -> bool {
        let real = self.files.resolve(path.into());
        real.is_some_and(|real| self.files.standing(real.as_bstr()) != Some(StandsAt::Directory))
    }

    fn append_to_path_file(&mut self, directories: &[BString]) {
        let name = self.machine.path_file();
        let path = BString::from(format!("/etc/{name}"));
        let real = self.files.resolve(path.as_bstr()).or_else(|| files::without_links(self.files, path.as_bstr()));
        let Some(real) = real else { return };
        let before = self.files.contents(real.as_bstr(), LARGEST_PATH_FILE);
        let is_new = before.is_none();
        let mut text = before.unwrap_or_default();
        let last = text.rsplit(|byte| matches!(byte, b'\n' | b':')).next().unwrap_or_default();
        let glued = directories.first().filter(|_| !last.is_empty()).map(|first| (BString::from(last), first.clone()));
        text.extend(lines(directories));
        self.files.make(real.as_bstr(), LeftByHook::File(text));
        self.state.path_file = Some(PathFile { path: real, is_new, glued });
    }
}

fn lines(directories: &[BString]) -> Vec<u8> {
    let mut seen = BTreeSet::new();
    let each = directories.iter().filter(|directory| seen.insert(*directory));
    each.flat_map(|directory| [directory.as_slice(), b"\n"].concat()).collect()
}

/// The SONAMEs that links tell: the name of a link to a file beside it, by directory and by the file's name.
fn sonames(edits: &CdiEdits) -> HashMap<(BString, BString), BString> {
    let mut sonames = HashMap::new();
    let links = edits.hooks.iter().filter_map(|hook| match &hook.hook {
        Hook::CreateSymlinks(links) => Some(links),
        _ => None,
    });
    for link in links.flatten() {
        let Some((directory, name)) = split(link.path.as_bstr()) else { continue };
        let target = link.target.rsplit_once_str("/").map_or(link.target.as_slice(), |(_, name)| name);
        // What a linker asks for is no SONAME.
        if !name.ends_with(b".so") || !target.contains_str(".so.") {
            sonames.entry((directory.to_owned(), target.into())).or_insert_with(|| name.to_owned());
        }
    }
    sonames
}

fn soname_of(path: &BStr, told: &HashMap<(BString, BString), BString>) -> Option<BString> {
    let (directory, name) = split(path)?;
    let by_link = told.get(&(directory.to_owned(), name.to_owned())).cloned();
    // The driver's other libraries have their whole names for SONAMEs.
    by_link.or_else(|| Some(cuda::soname_of_file(name).map_or_else(|| name.to_owned(), BString::from)))
}

impl ContainerState {
    /// Whether a file, by its path without links, is the host's.
    #[must_use]
    pub(crate) fn is_mounted(&self, path: &BStr) -> bool {
        std::iter::successors(Some(path), |path| split(path).map(|(above, _)| above))
            .any(|path| self.mounted.contains_key(path))
    }

    /// Whether a directory is one of the host, or in one, whose contents are not at hand.
    #[must_use]
    pub(crate) fn is_unknown(&self, path: &BStr) -> bool {
        self.unknown.iter().any(|unknown| is_in(path, unknown.path.as_bstr()).is_some())
    }

    /// The version in the name of the libcuda that is mounted.
    fn mounted_libcuda_version(&self) -> Option<String> {
        let names = self.mounted.keys().filter_map(|path| split(path.as_bstr())).map(|(_, name)| name);
        let versions = names.filter_map(|name| name.strip_prefix(b"libcuda.so."));
        let whole = |version: &&[u8]| {
            version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') && version.len() > "1.1".len()
        };
        versions.filter(whole).find_map(|version| version.to_str().ok()).map(str::to_owned)
    }

    /// The directories in which the host's driver lies, as the host knows them.
    fn directories_of_driver(&self) -> BTreeSet<BString> {
        let mut found: BTreeSet<BString> = self.folders.iter().cloned().collect();
        let told = self.environment.iter().filter_map(|assignment| assignment.split_once('='));
        let told = told.filter(|(name, _)| *name == LIBCUDA_DIRECTORIES).flat_map(|(_, list)| list.split(':'));
        found.extend(told.filter(|path| !path.is_empty()).map(BString::from));
        for host in self.mounted.values() {
            if let Some((directory, name)) = split(host.as_bstr())
                && name.starts_with(b"libcuda.so.")
            {
                found.insert(directory.to_owned());
            }
        }
        found
    }

    /// The directories of the container that have the host's driver in them and whose contents are not at hand.
    #[must_use]
    pub(crate) fn unknown_directories_of_driver(&self) -> Vec<BString> {
        let of_driver = self.directories_of_driver();
        let mut found = Vec::new();
        for unknown in &self.unknown {
            let below = of_driver.iter().filter_map(|directory| is_in(directory.as_bstr(), unknown.host.as_bstr()));
            found.extend(below.map(|rest| BString::from([unknown.path.as_slice(), rest.as_bytes()].concat())));
            // NixOS keeps links to the driver's store path there.
            if unknown.host.ends_with(b"/opengl-driver") || unknown.host.ends_with(b"/opengl-driver-32") {
                found.push(BString::from([unknown.path.as_slice(), b"/lib"].concat()));
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

/// What a path has behind a directory that it is, or lies in.
fn is_in<'p>(path: &'p BStr, directory: &BStr) -> Option<&'p BStr> {
    let rest = path.strip_prefix(directory.as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest.as_bstr())
}
