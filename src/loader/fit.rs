//! Whether the versions that objects of a process need are defined (`glibc elf/dl-version.c`).

use bstr::{BStr, BString, ByteSlice};

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
    let Ok(SymbolVersions { needs, .. }) = &map.object.versions else { return unmet };
    for need in needs {
        let found = versions_of(process, need.file.as_bstr(), system);
        let (provider, versions) = match found {
            Some(found) => found,
            None if is_whole => (Provider::Nothing, None),
            None => continue,
        };
        let is_met = |version| match (&provider, versions) {
            (_, Some(versions)) => SymbolVersions::meets(versions, version),
            // What cannot be read has a finding of its own.
            (Provider::Loaded(_) | Provider::Interpreter(_), None) => true,
            (Provider::Nothing, None) => false,
        };
        let missing = need.versions.iter().filter(|version| {
            let may_be_missing = version.is_weak && provider != Provider::Nothing;
            !may_be_missing && !is_met(version)
        });
        unmet.extend(missing.map(|version| UnmetVersion {
            by: map.object.path.clone(),
            file: need.file.clone(),
            version: version.name.clone(),
            provider: provider.clone(),
        }));
    }
    unmet
}

fn versions_of<'p>(
    process: &'p Process,
    file: &BStr,
    system: &'p System,
) -> Option<(Provider, Option<&'p SymbolVersions>)> {
    if let Some(map) = process.asked_for_as(file).and_then(|index| process.maps.get(index)) {
        return Some((Provider::Loaded(map.opened.clone()), map.object.versions.as_ref().ok()));
    }
    system.is_itself(file).then(|| (Provider::Interpreter(system.interpreter.clone()), system.versions.as_deref()))
}
