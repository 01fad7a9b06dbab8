//! The gate that every file passes before it is written: the Nix store is immutable, by whatever name it is reached.
//!
//! What counts is which directory a file is in, by device and inode of those above it, and which part of a file system a
//! mount shows. The text of a path counts only for what is not there yet.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FileType;

use super::dir::{Anchor, Dir, Spot, Whereabouts};
use super::map::Opened;
use super::mounts::{self, ToldPlace};

/// Where the store is, and which of its paths the running build is making.
#[derive(Debug)]
pub(crate) struct Store {
    /// `$NIX_STORE`, `/nix/store` by default, links followed.
    root: PathBuf,
    /// `None` where there is no store.
    held: Option<HeldStore>,
    /// What was found out about directories.
    known: Mutex<HashMap<Whereabouts, Standing>>,
}

#[derive(Debug)]
struct HeldStore {
    directory: Arc<Dir>,
    inode: (u64, u64),
    /// Where it lies in its file system; `None` where the system does not tell.
    part: Option<mounts::DevicePath>,
    /// The names of the outputs of the running build; none outside one.
    outputs: Vec<OsString>,
}

/// Where a directory is, seen from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Outside,
    /// The store itself.
    Store,
    /// In an output of the running build.
    Output,
    /// In another store path.
    Finished,
    /// The system cannot tell.
    Nowhere,
}

/// Why a file that is in the store, or may be, must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// It is in the store.
    #[error(
        "is in the Nix store ({store}), which is immutable; write a patched copy with --output ./result-fixed, or add \
         cudaRunpathHook to nativeBuildInputs"
    )]
    Inside {
        /// The store that the file is in.
        store: String,
    },
    /// It was reached through a mount that is in no table.
    #[error(
        "was reached through a mount that is in no table of mounts (unmounted since, or never attached): it cannot be told \
         from a part of the Nix store ({store}), which is immutable; name it by a path that is mounted"
    )]
    Nowhere {
        /// The store that the file may be in.
        store: String,
    },
}

/// An open file that may be written: nothing else makes one but [`Store::admit`].
#[derive(Debug)]
pub(crate) struct Admitted(Opened);

impl Admitted {
    /// The file.
    #[must_use]
    pub(crate) fn opened(&self) -> &Opened {
        &self.0
    }

    pub(super) fn into_opened(self) -> Opened {
        self.0
    }
}

impl Store {
    /// The store at a path, and what of it the running build makes: store paths, not the store, nothing above it, nothing
    /// inside another path.
    #[must_use]
    pub(crate) fn new(root: PathBuf, outputs: &[PathBuf]) -> Self {
        let root = root.canonicalize().unwrap_or(root);
        let directory = Dir::follow(&root);
        let held = directory.ok().and_then(|directory| HeldStore::of(Arc::new(directory), outputs).ok());
        Self { root, held, known: Mutex::default() }
    }

    /// Lets a file through that may be written; root and a writable mount change nothing.
    ///
    /// # Errors
    /// [`StoreRefusal`] when it is in the store and not in an output of the running build.
    pub(crate) fn admit(&self, opened: Opened) -> Result<Admitted, StoreRefusal> {
        self.check(&opened.spot, Some(&opened))?;
        Ok(Admitted(opened))
    }

    /// The same for what an argument led to.
    ///
    /// # Errors
    /// [`StoreRefusal`], as for a file.
    pub(crate) fn check_anchor(&self, anchor: &Anchor) -> Result<(), StoreRefusal> {
        match anchor.held() {
            // What is not there any more is not written either, and each file below passes by itself.
            None | Some(Err(_)) => Ok(()),
            Some(Ok((_, Some(spot)))) => self.check(&spot, None),
            Some(Ok((directory, None))) => self.check_directory(&directory),
        }
    }

    /// The same for a name, and the file that has it where there is one.
    pub(super) fn check(&self, spot: &Spot, file: Option<&Opened>) -> Result<(), StoreRefusal> {
        let Some(held) = &self.held else { return Ok(()) };
        let directory = spot.directory();
        let standing = match self.standing(held, directory) {
            Standing::Store if held.is_output(spot.name()) => Standing::Output,
            standing => standing,
        };
        // A file can have a mount of its own.
        let elsewhere = file.and_then(|file| held.part_of_mounted(file, directory));
        self.allow(elsewhere.unwrap_or(standing))
    }

    /// Whether directories may be made at a path, by the one on the way that is there already.
    #[must_use]
    pub(crate) fn allows_new(&self, path: &Path) -> bool {
        let above = path.ancestors().find_map(|above| Dir::follow(above).ok());
        above.is_some_and(|above| self.check_directory(&above).is_ok())
    }

    /// The same for a directory that something is made in.
    pub(super) fn check_directory(&self, directory: &Dir) -> Result<(), StoreRefusal> {
        let Some(held) = &self.held else { return Ok(()) };
        self.allow(self.standing(held, directory))
    }

    /// The same for what is to be made at a canonical path that is not there yet.
    pub(super) fn check_future(&self, above: &Dir, first: &OsStr, path: &Path) -> Result<(), StoreRefusal> {
        match &self.held {
            None => self.allow(if path.starts_with(&self.root) { Standing::Finished } else { Standing::Outside }),
            Some(held) => self.allow(match self.standing(held, above) {
                Standing::Store if held.outputs.iter().any(|output| output == first) => Standing::Output,
                standing => standing,
            }),
        }
    }

    /// The store path (`<store>/<hash>-<name>`) that a canonical path belongs to.
    #[must_use]
    pub(crate) fn path_of(&self, canonical: &Path) -> Option<PathBuf> {
        let name = canonical.strip_prefix(&self.root).ok()?.components().next()?;
        Some(self.root.join(name))
    }

    fn allow(&self, standing: Standing) -> Result<(), StoreRefusal> {
        let store = || self.root.display().to_string();
        match standing {
            Standing::Outside | Standing::Output => Ok(()),
            Standing::Store | Standing::Finished => Err(StoreRefusal::Inside { store: store() }),
            Standing::Nowhere => Err(StoreRefusal::Nowhere { store: store() }),
        }
    }

    /// Climbs to the first directory that is known, and comes back with what that makes of those below.
    fn standing(&self, held: &HeldStore, directory: &Dir) -> Standing {
        let known = |here: &Whereabouts| self.known.lock().unwrap_or_else(PoisonError::into_inner).get(here).copied();
        let Ok(mut here) = directory.whereabouts() else { return held.by_text(directory) };
        let mut below = Vec::new();
        let mut climbed: Option<Dir> = None;
        let mut standing = loop {
            if let Some(standing) = known(&here) {
                break standing;
            }
            let at = climbed.as_ref().unwrap_or(directory);
            if here.inode == held.inode {
                break self.learn(here, Standing::Store);
            }
            let above = at.above().and_then(|above| Ok((above.whereabouts()?, above)));
            let (there, above) = match above {
                Ok((there, above)) if there != here => (there, above),
                // The top, or a directory that this user may not go through: the system's own names are left.
                _ => break self.learn(here, held.by_text(at)),
            };
            if there.mount != here.mount
                && let Some(standing) = held.part_of(at).filter(|standing| standing.is_in_store())
            {
                // A part of the store is mounted here: what is above does not show that.
                break self.learn(here, standing);
            }
            below.push(here);
            (here, climbed) = (there, Some(above));
        };
        for here in below.into_iter().rev() {
            if standing == Standing::Store {
                standing = if held.is_output_directory(here.inode) { Standing::Output } else { Standing::Finished };
            }
            self.learn(here, standing);
        }
        standing
    }

    fn learn(&self, here: Whereabouts, standing: Standing) -> Standing {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(here, standing);
        standing
    }
}

impl Standing {
    fn is_in_store(self) -> bool {
        matches!(self, Self::Store | Self::Output | Self::Finished)
    }
}

impl HeldStore {
    fn of(directory: Arc<Dir>, outputs: &[PathBuf]) -> io::Result<Self> {
        let inode = directory.whereabouts()?.inode;
        let is_here = |path: &Path| {
            let above = path.parent().and_then(|above| Dir::follow(above).ok());
            above.is_some_and(|above| above.whereabouts().is_ok_and(|above| above.inode == inode))
        };
        let outputs = outputs.iter().filter(|path| is_here(path)).filter_map(|path| path.file_name());
        let outputs = outputs.map(OsStr::to_owned).collect();
        let part = mounts::place_of(&directory).part();
        Ok(Self { directory, inode, part, outputs })
    }

    /// Whether a name in the store is an output's; one that is a link stands for another path.
    fn is_output(&self, name: &OsStr) -> bool {
        let spot = || Spot::new(Arc::clone(&self.directory), name);
        let is_link = |identity: super::identity::Identity| FileType::from_raw_mode(identity.mode) == FileType::Symlink;
        self.outputs.iter().any(|output| output == name) && !spot().identity().is_ok_and(is_link)
    }

    /// Whether a directory in the store is an output.
    fn is_output_directory(&self, inode: (u64, u64)) -> bool {
        self.outputs.iter().any(|output| {
            let spot = Spot::new(Arc::clone(&self.directory), output);
            spot.identity().is_ok_and(|identity| identity.inode == inode)
        })
    }

    /// What the system's own names say, where one cannot climb.
    fn by_text(&self, directory: &Dir) -> Standing {
        self.part_of(directory).unwrap_or_else(|| {
            let names = mounts::name_of(directory).zip(mounts::name_of(&*self.directory));
            let below = names.and_then(|(name, store)| name.strip_prefix(store).ok().map(Path::to_owned));
            self.standing_below(below.as_deref())
        })
    }

    /// What a path from the store on says; `None` for one that does not lie below it.
    fn standing_below(&self, below: Option<&Path>) -> Standing {
        match below.map(|below| below.iter().next()) {
            None => Standing::Outside,
            Some(None) => Standing::Store,
            Some(Some(name)) if self.is_output(name) => Standing::Output,
            Some(Some(_)) => Standing::Finished,
        }
    }

    /// For a file that is mounted by itself: where it is.
    fn part_of_mounted(&self, opened: &Opened, directory: &Dir) -> Option<Standing> {
        let is_beside = opened.identity.mount == directory.whereabouts().ok()?.mount;
        if is_beside { None } else { self.part_of(&opened.file) }
    }

    /// Where it is by its place in its file system; `None` where the system does not tell.
    fn part_of(&self, file: impl AsFd) -> Option<Standing> {
        match mounts::place_of(file) {
            ToldPlace::Part(own) => Some(self.standing_below(own.below(self.part.as_ref()?))),
            ToldPlace::Nowhere => Some(Standing::Nowhere),
            ToldPlace::Untold => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn standing(store: &Store, path: &Path) -> bool {
        store.check_directory(&Dir::follow(path).unwrap()).is_ok()
    }

    #[test]
    fn no_key_is_made_in_the_store() {
        use crate::fsio::secret::Secret;
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        fs::create_dir_all(at("store/hash-name/lib")).unwrap();
        symlink(at("store/hash-name"), at("state")).unwrap();
        let store = Store::new(at("store"), &[]);
        let places = ["state/cuda-runpath", "store/hash-name/lib/new/cuda-runpath", "store/cuda-runpath"].map(at);
        let secret =
            |places: Vec<PathBuf>| Secret::of(places, &at("store/hash-name"), &|place| store.allows_new(place)).key();
        assert_eq!(secret(places.to_vec()), None);
        assert_eq!(fs::read_dir(at("store/hash-name")).unwrap().count(), 1, "lib");
        assert!(secret(vec![at("own/cuda-runpath")]).is_some());
    }

    #[test]
    fn only_outputs_of_the_running_build_may_be_written() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for path in ["store/abc-app/bin", "store/abc-app-dev/bin", "storefront", "home"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        symlink("abc-app-dev", at("store/link-out")).unwrap();
        symlink(at("store"), at("home/other-name")).unwrap();
        let outputs = ["store/abc-app", "store/link-out", "store", "home/out"].map(at);
        let store = Store::new(at("home/other-name"), &outputs);
        for (path, may) in [
            ("storefront", true),
            ("home", true),
            ("store/abc-app/bin", true),
            ("home/other-name/abc-app", true),
            ("store", false),
            ("store/abc-app-dev/bin", false),
            ("store/link-out/bin", false),
            ("home/other-name/abc-app-dev", false),
        ] {
            for _again in 0..2 {
                assert_eq!(standing(&store, &at(path)), may, "{path}");
            }
        }
        let root = place.path().canonicalize().unwrap().join("store");
        assert_eq!(store.path_of(&root.join("abc-app/bin")), Some(root.join("abc-app")));
        let spot = |name: &str| Spot::new(Arc::new(Dir::follow(&at("store")).unwrap()), name);
        assert!(store.check(&spot("abc-app"), None).is_ok());
        assert!(store.check(&spot("link-out"), None).is_err());
        assert!(store.check(&spot("new"), None).is_err());
    }
}
