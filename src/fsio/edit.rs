//! What is asked of the writer and what it answers: ways to write, remarks, errors.

use std::io;
use std::path::PathBuf;

use super::error::FileError;
use super::journal::Finished;
use super::limits::size_limit;

/// How the person asked for files to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// A patched copy takes the file's name in one step.
    Replace,
    /// Ordered writes to the file itself.
    InPlace,
    /// The same, for a copy that this program made: all names of the inode are in the copy.
    OwnCopy,
}

/// Whether a power cut right after success may undo the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Everything is on the disk before the program says so.
    Synced,
    /// The system writes when it likes, as after any build step.
    Cached,
}

/// How a file was written in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum How {
    /// See [`WriteMode::Replace`].
    #[strum(to_string = "replace")]
    Replaced,
    /// See [`WriteMode::InPlace`].
    InPlace,
}

impl How {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// Why a file was written in another way than asked for, or what could not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// Other names of the inode follow only an edit of the inode itself.
    HardLinked(u64),
    /// Running: its inode cannot be written.
    Running,
    /// The inode cannot be written by this user, its directory can.
    NotWritable,
    /// No temporary file can be made in the directory.
    DirectoryNotWritable,
    /// The owner can only be kept by keeping the inode.
    OwnerKept,
    /// Every prefix of the writes would not load, so the file was replaced as a whole.
    NotPrefixSafe,
    /// A journal would stand between the object and the end of the file.
    Payload,
    /// Writing to the file itself would take its capabilities.
    Capability,
    /// A journal could not be signed: see [`super::Secret`].
    NoSecret,
    /// The file ends like one with a journal, which is not one of this user's for this file.
    ForeignJournal,
    /// An extended attribute that could not be copied.
    AttributeLost(String),
    /// Attributes that `lsattr` shows and that could not be given to a copy, by their letters.
    FlagsLost(String),
    /// The system does not tell which extended attributes there were.
    AttributesUnread,
    /// The old file under its temporary name, which could not be removed.
    OldFileLeft(PathBuf),
    /// An earlier run was killed.
    TakenBack,
    /// The new name may not survive a power cut: the directory could not be synced.
    NotSynced,
}

impl Remark {
    /// The sentence that reports print.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        match self {
            Self::HardLinked(names) => {
                format!("written in place: the file has {names} names, all of which keep one inode")
            }
            Self::Running => "replaced: the program is running".to_owned(),
            Self::NotWritable => "replaced: the file itself is not writable".to_owned(),
            Self::DirectoryNotWritable => "written in place: its directory is not writable".to_owned(),
            Self::OwnerKept => "written in place: its owner could not be given to a copy".to_owned(),
            Self::NotPrefixSafe => "replaced: a half-written file would not load".to_owned(),
            Self::Payload => "replaced: what stands behind the object must stay the end of the file".to_owned(),
            Self::Capability => "replaced: writing to the file itself would take its capabilities".to_owned(),
            Self::NoSecret => "replaced: no key could be kept that a journal is signed with".to_owned(),
            Self::ForeignJournal => {
                "it ends like a file with a journal, but not one that this user's runs wrote for this file: nothing is \
                 taken back by it, and it stays"
                    .to_owned()
            }
            Self::AttributesUnread => "its extended attributes could not be read and are lost".to_owned(),
            Self::OldFileLeft(path) => format!("the old file could not be removed: it is {}", path.display()),
            Self::TakenBack => "an edit that was interrupted was taken back first".to_owned(),
            Self::NotSynced => "replaced, but its directory could not be synced to disk".to_owned(),
            Self::FlagsLost(letters) => format!("replaced: attributes could not be kept (lsattr: {letters})"),
            Self::AttributeLost(name) => format!("the extended attribute {name} could not be kept"),
        }
    }
}

/// A successful edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// How it was written.
    pub(crate) how: How,
    /// What should be told.
    pub(crate) notes: Vec<Remark>,
    /// What it replaced.
    pub(crate) finished: Finished,
}

/// Why a planned edit was not made; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The system refused something.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process wrote to the file since it was read.
    #[error("the file was changed by somebody else while it was being edited")]
    ChangedMeanwhile,
    /// The size limit of this process (`ulimit -f`) would cut the file short.
    #[error("the edited file would have {needed} bytes, more than the limit of {limit} (ulimit -f)")]
    SizeLimit {
        /// Bytes needed.
        needed: u64,
        /// `RLIMIT_FSIZE`, bytes.
        limit: u64,
    },
    /// A running program whose inode has several names can be neither written nor replaced.
    #[error(
        "the program is running and has {0} names: it can be neither written in place nor replaced for all of them"
    )]
    RunningHardLinked(u64),
    /// A write would drop set-user-ID or set-group-ID, and this user cannot set them again, or not for what may be others' bytes.
    #[error("the file is set-user-ID or set-group-ID and another user may write to it: writing it would drop that")]
    SetId,
    /// The same of capabilities, which every write takes and only root can give.
    #[error("the file has capabilities, which writing to it takes and which could not be given to it again")]
    Capability,
    /// A journal stands behind a file that several names lead to, so that it cannot be replaced.
    #[error(
        "the file ends like one with a journal, which is not one that this user's runs wrote for it, and has {0} names: \
         written in place, it could be taken for an interrupted edit's"
    )]
    ForeignJournal(u64),
    /// No journal can stand behind it, it cannot be replaced, and a kill between two writes would leave what no run can go on
    /// from.
    #[error(
        "it can only be written in place, where no journal can be kept behind it (bytes behind the object must stay its end, \
         or no key can be kept), and a kill between two writes would leave a file that no run can bring in order; edit a \
         copy (--output), or give the file one name"
    )]
    NoWayOn,
    /// Hard links to a file that looks like one of the Nix store's.
    #[error(
        "the file has {0} names and looks like a file of a Nix store (read-only, modified at 1): editing it would edit the store; copy the tree first"
    )]
    LinkedToStore(u64),
    /// Another run has it.
    #[error("another run of this program is editing it")]
    Busy,
    /// The name led to another process's file when the edited one took its place, and it could not be given back.
    #[error(
        "somebody else put another file there while it was being edited; that file is {} now, because {restore}",
        at.display()
    )]
    Displaced {
        /// Where that file is.
        at: PathBuf,
        /// What went wrong.
        restore: io::Error,
    },
    /// The edit failed, and so did removing the copy that was to take the file's name.
    #[error("{failure}; and its copy could not be removed: that is {}", at.display())]
    CopyLeft {
        /// What went wrong first.
        failure: String,
        /// Where the copy is.
        at: PathBuf,
    },
    /// A run was killed while it wrote to the file.
    #[error("an edit of it was interrupted: `fix` takes that back before it goes on")]
    Interrupted,
    /// The same, and another process wrote to it since.
    #[error("an edit of it was interrupted and the file was changed since: nothing is taken back")]
    InterruptedThenChanged,
    /// The edit failed and so did taking it back.
    #[error(
        "the edit failed ({failure}) and could not be taken back ({restore}): the file loads with the old or the new \
         path, and the next run brings it in order"
    )]
    NotRestored {
        /// What went wrong first.
        failure: String,
        /// What went wrong then.
        restore: io::Error,
    },
    /// A receipt is for other contents.
    #[error("the file is not as the receipt left it ({0}); nothing was reverted")]
    NotAsReceipt(&'static str),
}

impl EditError {
    /// The text with what the system said.
    pub(super) fn with_source(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}

/// A write past the limit would kill the process with SIGXFSZ, half-way.
pub(super) fn check_size_limit(needed: u64) -> Result<(), EditError> {
    match size_limit() {
        Some(limit) if needed > limit => Err(EditError::SizeLimit { needed, limit }),
        _ => Ok(()),
    }
}
