//! A source that lives in memory: no file of it is on a disk, and every command that reads works on it. What it shows is
//! that an archive or a container's image can be an input like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cuda_runpath::check::{CheckPolicy, Question, Verdict};
use cuda_runpath::cuda::{Counting, DriverLibraries};
use cuda_runpath::elf::class::ByClass;
use cuda_runpath::fsio::{FileError, ImagePath, Site};
use cuda_runpath::loader::Environment;
use cuda_runpath::runpath::{Actions, Directory, Hygiene, Policy};
use cuda_runpath::tree::{
    self, EntryKind, Input, IsWanted, Source, SourceDirectory, SourceFile, Workers, archs, check, discover, explain,
    show,
};

use crate::elfgen::{Machine, Spec};
use crate::fatgen::{Entry, container};

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(Arc<[u8]>),
    Link(PathBuf),
}

/// Every path with what is there.
#[derive(Debug)]
struct Memory(BTreeMap<PathBuf, Node>);

impl Memory {
    fn new(entries: &[(&str, Node)]) -> Self {
        let mut nodes = BTreeMap::from([(PathBuf::from("/"), Node::Directory)]);
        for (path, node) in entries {
            for above in Path::new(path).ancestors().skip(1) {
                nodes.entry(above.to_owned()).or_insert(Node::Directory);
            }
            nodes.insert(path.into(), node.clone());
        }
        Self(nodes)
    }

    fn node(&self, path: &ImagePath) -> io::Result<&Node> {
        self.0.get(path.as_path()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, path: &ImagePath) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.0.iter().filter(move |(known, _)| known.parent() == Some(path.as_path()))
    }
}

impl Source for Memory {
    fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        let mut done = PathBuf::from("/");
        let mut left: Vec<PathBuf> = vec![path.as_path().to_owned()];
        while let Some(next) = left.pop() {
            let mut components = next.components();
            let Some(first) = components.next() else { continue };
            left.push(components.as_path().to_owned());
            match first {
                Component::RootDir => done = "/".into(),
                Component::ParentDir => drop(done.pop()),
                Component::Normal(name) => match self.0.get(&done.join(name)) {
                    Some(Node::Link(target)) => left.push(target.clone()),
                    Some(_) => done.push(name),
                    None => return Err(io::ErrorKind::NotFound.into()),
                },
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(ImagePath::new(done))
    }

    fn kind(&self, path: &ImagePath) -> io::Result<EntryKind> {
        Ok(match self.node(path)? {
            Node::Directory => EntryKind::Directory,
            Node::File(_) => EntryKind::File,
            Node::Link(_) => EntryKind::Other,
        })
    }

    fn directory(&self, path: &ImagePath) -> io::Result<SourceDirectory> {
        let Node::Directory = self.node(path)? else { return Err(io::ErrorKind::NotADirectory.into()) };
        let names: Vec<OsString> = self.names(path).map(|(path, _)| path.file_name().unwrap().to_owned()).collect();
        Ok(SourceDirectory { names: Some(names), is_world_writable: false })
    }

    fn is_world_writable(&self, _: &ImagePath) -> bool {
        false
    }

    fn walk_into(&self, site: Site<'_>, found: &mut Vec<(ImagePath, EntryKind)>) -> io::Result<()> {
        for (below, node) in self.names(site.path()) {
            match node {
                Node::Directory => found.push((ImagePath::new(below), EntryKind::Directory)),
                Node::File(_) => found.push((ImagePath::new(below), EntryKind::File)),
                Node::Link(_) => {}
            }
        }
        Ok(())
    }

    fn open(&self, site: Site<'_>, is_wanted: IsWanted<'_>) -> Result<Option<SourceFile>, FileError> {
        let path = site.path();
        let missing = |source| FileError { path: path.as_path().to_owned(), action: "open it", source };
        let Node::File(bytes) = self.node(path).map_err(missing)? else {
            return Err(missing(io::ErrorKind::InvalidInput.into()));
        };
        let number = self.0.keys().position(|known| known == path.as_path()).unwrap();
        let is_wanted = bytes.get(..4).is_some_and(is_wanted);
        Ok(is_wanted.then(|| SourceFile::new(Arc::clone(bytes), (0, u64::try_from(number).unwrap()), 0o100_755)))
    }

    fn read(&self, path: &ImagePath, _: u64) -> Option<Vec<u8>> {
        match self.node(path) {
            Ok(Node::File(bytes)) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

const DRIVER: &str = "/run/opengl-driver/lib";

fn image() -> Input {
    let file = |bytes: Vec<u8>| Node::File(bytes.into());
    let good = Spec::pie(Machine::X86_64).needs("libcuda.so.1").runpath(format!("/opt/lib:{DRIVER}")).build();
    let bad = Spec::pie(Machine::X86_64).needs("libcuda.so.1").runpath("/opt/lib").build();
    let code = container([Entry::cubin(87)]).build();
    let gpu = Spec::library(Machine::X86_64).gpu_code(".nv_fatbin", &code).build();
    let memory = Memory::new(&[
        ("/nowhere/but/here/bin/good", file(good)),
        ("/nowhere/but/here/bin/bad", file(bad)),
        ("/nowhere/but/here/lib/libgpu.so", file(gpu)),
        ("/nowhere/but/here/notes.txt", file(b"no ELF file".to_vec())),
        ("/nowhere/but/here/linked", Node::Link("bin/good".into())),
        ("/opt", Node::Link("/nowhere/but/here".into())),
    ]);
    Input::image(Arc::new(memory), vec![ImagePath::new("/opt")])
}

fn policy() -> ByClass<Policy> {
    let policy = Policy {
        compat: Vec::new(),
        driver: vec![Directory::new(DRIVER).unwrap()],
        stubs: BTreeSet::new(),
        actions: Actions::Compose { compat: true, driver: true, stubs: true },
        hygiene: Hygiene::default(),
    };
    ByClass { elf64: policy.clone(), elf32: policy }
}

fn check_policy(input: &Input) -> CheckPolicy {
    CheckPolicy {
        container: None,
        platform: None,
        compat: cuda_runpath::check::CompatPolicy::default(),
        paths: policy(),
        host_driver: None,
        host_cuda: None,
        machine: None,
        build_directories: Vec::new(),
        libraries: DriverLibraries::with(&[]).unwrap(),
        require_consumer: false,
        symbols: false,
        records: false,
        keeps_searches: false,
        gpus: Vec::new(),
        arch: cuda_runpath::check::ArchPolicy::default(),
        ptx: cuda_runpath::check::PtxPolicy::default(),
        scope: input.scope.clone(),
    }
}

#[test]
fn a_check_needs_no_file_on_disk() {
    let input = image();
    assert!(!Path::new("/nowhere").exists());
    let workers = Workers::new(2);
    let roots = input.roots().into_iter().map(Result::unwrap).collect::<Vec<_>>();
    let listing = discover(&*input.source, &roots, &globset::GlobSet::empty(), &workers);
    assert!(listing.failures.is_empty());
    let report = check(listing, input.world(), &check_policy(&input), Environment::default(), &workers);
    assert_eq!((report.files, report.elf), (4, 3));
    let verdicts: Vec<(String, Option<Verdict>)> =
        report.objects.iter().map(|object| (object.facts.shown.display().to_string(), object.verdict())).collect();
    assert_eq!(
        verdicts,
        [
            ("/nowhere/but/here/bin/bad".to_owned(), Some(Verdict::Fail)),
            ("/nowhere/but/here/bin/good".to_owned(), Some(Verdict::Pass)),
            ("/nowhere/but/here/lib/libgpu.so".to_owned(), None),
        ]
    );
}

#[test]
fn archs_and_show_need_no_file_on_disk() {
    let input = image();
    let workers = Workers::new(1);
    let files = || {
        discover(
            &*input.source,
            &input.roots().into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            &globset::GlobSet::empty(),
            &workers,
        )
        .files
    };
    let code = archs(&*input.source, files(), Counting::Off, &workers);
    let architectures: Vec<String> = code
        .iter()
        .flat_map(|file| file.code.as_ref().unwrap().total().into_keys().map(|code| code.architecture()))
        .collect();
    assert_eq!(architectures, ["sm_87"]);
    let libraries = DriverLibraries::with(&[]).unwrap();
    let shown = show(&*input.source, files(), &policy(), &libraries, &workers);
    let asks = shown.iter().filter(|file| matches!(&file.facts, Ok(Ok(facts)) if !facts.requests.is_empty()));
    assert_eq!(asks.count(), 2);
}

#[test]
fn explain_follows_links_in_memory() {
    let input = image();
    let mut world = input.world();
    let policy = check_policy(&input);
    let path = ImagePath::new("/opt/linked");
    let question = Question::Own;
    let found = explain(&mut world, &policy, Environment::default(), (&path, None), &question).unwrap();
    let search = found.searches.iter().find(|explained| explained.search.name == "libcuda.so.1").unwrap();
    assert_eq!(search.verdict, Some(Verdict::Pass));
    assert!(matches!(
        explain(&mut world, &policy, Environment::default(), (&ImagePath::new("/opt/none"), None), &question),
        Err(tree::ExplainError::File { .. })
    ));
}
