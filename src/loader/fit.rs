//! Whether the versions that objects of a process need are defined (`glibc elf/dl-version.c`).

use bstr::{BStr, BString};

use super::libc::Libc;
use super::process::Process;
use super::system::System;
use crate::elf::versions::SymbolVersions;

/// Where a version should be defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    /// In this object of the process.
    Loaded(BString),
    /// In the loader itself.
    Interpreter(BString),
    /// In nothing: no name that anything asked for led to such a file, and glibc's loader stops with an assertion.
    Nothing,
}

/// A version that an object needs and that is not defined where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnmetVersion {
    /// Who needs it.
    pub(crate) by: BString,
    /// The file that should have it, as the need names it.
    pub(crate) file: BString,
    /// The version.
    pub(crate) version: BString,
    /// What that file is in the process.
    pub(crate) provider: Provider,
}

/// The unmet needs of the object at an index. Those for a file that is not in the process count only where nothing else
/// could bring it: when the process `is_whole`. musl looks at no versions.
#[must_use]
pub(crate) fn unmet_versions(process: &Process, index: usize, system: &System, is_whole: bool) -> Vec<UnmetVersion> {
    let mut unmet = Vec::new();
    let Some(map) = process.maps.get(index).filter(|_| system.libc == Libc::Glibc) else { return unmet };
    let Ok(own) = &map.object.versions else { return unmet };
    for need in &own.needs {
        let file = own.name(need.file);
        let found = found_as(process, file, system);
        if found.is_none() && !is_whole {
            continue;
        }
        for version in own.of_need(need) {
            let is_met = match found {
                None => false,
                // What cannot be read has a finding of its own.
                Some((_, versions)) => version.is_weak || versions.is_none_or(|other| other.meets(own, version)),
            };
            if !is_met {
                let provider = match found {
                    None => Provider::Nothing,
                    Some((Some(index), _)) => {
                        Provider::Loaded(process.maps.get(index).map(|map| map.opened.clone()).unwrap_or_default())
                    }
                    Some((None, _)) => Provider::Interpreter(system.interpreter.clone()),
                };
                let (by, file, version) = (map.object.path.clone(), file.to_owned(), own.name(version.name).to_owned());
                unmet.push(UnmetVersion { by, file, version, provider });
            }
        }
    }
    unmet
}

/// The place of an object in a process, none for the loader itself; and its versions, where they can be read.
type FoundVersions<'p> = (Option<usize>, Option<&'p SymbolVersions>);

fn found_as<'p>(process: &'p Process, file: &BStr, system: &'p System) -> Option<FoundVersions<'p>> {
    if let Some(index) = process.asked_for_as(file) {
        let map = process.maps.get(index)?;
        return Some((Some(index), map.object.versions.as_ref().ok()));
    }
    system.is_itself(file).then_some((None, system.versions.as_deref()))
}
