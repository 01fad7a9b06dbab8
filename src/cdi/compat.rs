//! Whether the toolkit puts an image's own libcuda in front of the host's (nvidia-container-toolkit
//! cmd/nvidia-cdi-hook/cudacompat).

use bstr::{BStr, BString, ByteSlice};

use super::files::{ContainerFiles, StandsAt, join};
use super::glob::matches;
use super::hook::CompatHook;
use crate::cuda::CompatNote;

/// Where an image has its compat libraries.
pub(crate) const COMPAT_ROOT: &str = "/usr/local/cuda/compat";
/// `libcuda.so.1` is none of these.
const PATTERN: &[u8] = b"libcuda.so.*.*";

/// What is known of the host's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostVersions {
    /// Its version.
    pub(crate) driver: Option<String>,
    /// The CUDA release that it brings.
    pub(crate) cuda: Option<String>,
}

/// Whether a compat libcuda may be used with the host's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Admitted,
    /// It may not, and why.
    Refused(String),
    /// The host's driver is not known.
    Unknown,
}

/// What `enable-cuda-compat` makes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CompatChoice {
    /// The image has no compat directory, or no libcuda in it.
    Absent,
    /// The directory has several: none is used.
    Several(BString),
    /// The directory, and whether it is used.
    Found(BString, Admission),
}

/// As many numbers as a version of `Masterminds/semver` has; those that are missing are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ThreeNumbers([u64; 3]);

impl ThreeNumbers {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for number in &mut numbers {
            match parts.next() {
                None => break,
                Some(part) => *number = part.parse().ok()?,
            }
        }
        parts.next().is_none().then_some(Self(numbers))
    }

    fn major(self) -> u64 {
        self.0[0]
    }
}

/// Whether a libcuda of this file name, with this note, may be used in front of the host's.
#[must_use]
pub(crate) fn admission(file: &BStr, note: Option<&CompatNote>, host: &HostVersions) -> Admission {
    let driver = host.driver.as_deref().and_then(ThreeNumbers::parse);
    let cuda = host.cuda.as_deref().and_then(ThreeNumbers::parse);
    if host.driver.is_none() && host.cuda.is_none() {
        return Admission::Unknown;
    }
    let version = file.strip_prefix(b"libcuda.so.").and_then(|version| version.to_str().ok());
    let compat = version.and_then(ThreeNumbers::parse);
    let told = |version: &Option<String>| version.clone().unwrap_or_default();
    let as_new = || {
        let own = version.unwrap_or("none that is known");
        Admission::Refused(format!("the host's driver {} is as new as it ({own}) or newer", told(&host.driver)))
    };
    match (note, compat, driver) {
        (Some(note), Some(compat), Some(driver)) => {
            if !note.driver_branches.iter().any(|branch| u64::from(*branch) == driver.major()) {
                let list: Vec<String> = note.driver_branches.iter().map(u32::to_string).collect();
                let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
                let host = told(&host.driver);
                return Admission::Refused(format!(
                    "its note names drivers of branch {list}, and the host's is {host}"
                ));
            }
            if compat > driver { Admission::Admitted } else { as_new() }
        }
        (Some(note), _, _) => match (ThreeNumbers::parse(&note.cuda.to_string()), cuda) {
            (Some(own), Some(cuda)) if own > cuda => Admission::Admitted,
            (Some(_), Some(_)) => Admission::Refused(format!(
                "it is of CUDA {}, and the host's own driver of {}",
                note.cuda,
                told(&host.cuda)
            )),
            _ => Admission::Refused("neither its version nor the host's can be compared".into()),
        },
        (None, _, _) if host.cuda.is_some() => {
            Admission::Refused("it has no note, and of the host only the CUDA release is told".into())
        }
        (None, Some(compat), Some(driver)) => {
            if compat.major() > driver.major() {
                Admission::Admitted
            } else {
                as_new()
            }
        }
        (None, _, _) => Admission::Refused("it has no note, and its version or the host's cannot be compared".into()),
    }
}

/// What the hook finds in the one directory that it looks at.
pub(super) fn choose(files: &dyn ContainerFiles, hook: &CompatHook) -> CompatChoice {
    let root = hook.root.as_ref().map_or(COMPAT_ROOT.into(), |root| root.as_bstr());
    let host = HostVersions { driver: hook.host_driver.clone(), cuda: hook.host_cuda.clone() };
    let Some(directory) = files.resolve(root) else { return CompatChoice::Absent };
    let names = files.names(directory.as_bstr()).unwrap_or_default();
    let is_file = |name: &&BString| {
        matches(PATTERN, name)
            && files.standing(join(directory.as_bstr(), name.as_bstr()).as_bstr()) == Some(StandsAt::File)
    };
    let mut found = names.iter().filter(is_file);
    match (found.next(), found.next()) {
        (None, _) => CompatChoice::Absent,
        (Some(_), Some(_)) => CompatChoice::Several(directory),
        (Some(name), None) => {
            let note = files.compat_note(join(directory.as_bstr(), name.as_bstr()).as_bstr());
            let admission = admission(name.as_bstr(), note.as_ref(), &host);
            CompatChoice::Found(directory, admission)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::Version;

    fn host(driver: &str, cuda: &str) -> HostVersions {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        HostVersions { driver: some(driver), cuda: some(cuda) }
    }

    /// What the hook of toolkit 1.20.0 was seen to do on a host with driver 550.163.01.
    #[test]
    fn compat_is_used_as_the_hook_uses_it() {
        let note = |branches: &[u32]| CompatNote { cuda: Version(12, 8), driver_branches: branches.to_vec() };
        let both = note(&[535, 550]);
        for (file, note, host, is_used) in [
            ("libcuda.so.570.133.20", None, host("550.163.01", ""), true),
            ("libcuda.so.570.133.20", Some(&both), host("550.163.01", ""), true),
            ("libcuda.so.550.200.01", Some(&both), host("550.163.01", ""), true),
            // Of one branch, and nothing says that it may be.
            ("libcuda.so.550.200.01", None, host("550.163.01", ""), false),
            ("libcuda.so.550.54.14", Some(&both), host("550.163.01", ""), false),
            ("libcuda.so.550.54.14", None, host("550.163.01", ""), false),
            ("libcuda.so.570.133.20", Some(&both), host("560.35.03", ""), false),
            ("libcuda.so.570.133.20", Some(&both), host("580.95.05", ""), false),
            // A Jetson tells its CUDA release; the file's name tells nothing.
            ("libcuda.so.1.1", Some(&note(&[])), host("", "12.6"), true),
            ("libcuda.so.1.1", Some(&note(&[])), host("", "12.8"), false),
            ("libcuda.so.1.1", Some(&note(&[])), host("", "13.2"), false),
            ("libcuda.so.1.1", None, host("", "12.6"), false),
        ] {
            let found = admission(file.into(), note, &host);
            assert_eq!(found == Admission::Admitted, is_used, "{file} {note:?} {host:?}: {found:?}");
        }
        assert_eq!(admission("libcuda.so.570.1".into(), None, &HostVersions::default()), Admission::Unknown);
    }
}
