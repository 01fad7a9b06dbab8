//! The cache of this machine's own libraries, beside ldconfig's.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::source::ContainerSource;
use crate::cdi::{CdiEdits, ContainerFiles, ContainerMachine, HostVersions, apply};
use crate::elf::machine::Machine;
use crate::fsio::Sysroot;
use crate::tree::host::HostSource;

const LDCONFIG: &str = "/sbin/ldconfig";

/// What `ldconfig -p` prints of a cache: name, kind and path of each entry, in order.
fn printed(cache: &Path) -> Option<Vec<String>> {
    let output = Command::new(LDCONFIG).arg("-p").arg("-C").arg(cache).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // Of 32-bit objects it also tells whether they need libc.so.6.
    let plain = |line: &str| line.trim().replace("(ELF)", "(libc6)");
    Some(text.lines().filter(|line| line.contains(" => ")).map(plain).collect())
}

#[test]
fn the_cache_of_this_machine_is_the_one_that_ldconfig_makes() {
    let name = match std::env::consts::ARCH {
        "x86_64" => ContainerMachine::X86_64,
        "aarch64" => ContainerMachine::Aarch64,
        _ => return,
    };
    if !Path::new(LDCONFIG).exists() || !Path::new("/etc/debian_version").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (real, own) = (folder.path().join("real"), folder.path().join("own"));
    // The same lists, with the one that the toolkit adds.
    let lists = folder.path().join("conf.d");
    std::fs::create_dir(&lists).unwrap();
    for list in std::fs::read_dir("/etc/ld.so.conf.d").unwrap().map(|list| list.unwrap()) {
        std::fs::copy(list.path(), lists.join(list.file_name())).unwrap();
    }
    let multiarch = format!("{}-linux-gnu", name.name());
    let system = format!("/lib/{multiarch}\n/usr/lib/{multiarch}\n/lib\n/usr/lib\n");
    std::fs::write(lists.join("zz-nvcr-0.conf"), system).unwrap();
    let conf = folder.path().join("conf");
    std::fs::write(&conf, "include conf.d/*.conf\n").unwrap();
    let made = Command::new(LDCONFIG).arg("-X").arg("-f").arg(&conf).arg("-C").arg(&real).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let spec = "cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits:\n  hooks:\n  - hookName: createContainer\n    path: /usr/bin/nvidia-cdi-hook\n    args: [x, update-ldcache, --folder, /usr/lib/MACHINE-linux-gnu]\n";
    let edits = CdiEdits::parse(spec.replace("MACHINE", name.name()).as_bytes(), &[]).unwrap();
    let base = Arc::new(HostSource::new(Sysroot::host()));
    let machine = Machine::named(name.name()).unwrap();
    let mut source = ContainerSource::new(base, None, machine, Arc::default());
    let state = apply(&mut source, &edits, name, &HostVersions::default());
    assert!(state.failures.is_empty() && state.cache.is_some(), "{state:?}");
    std::fs::write(&own, source.contents("/etc/ld.so.cache".into(), u64::MAX).unwrap()).unwrap();

    let (real, own) = (printed(&real).unwrap(), printed(&own).unwrap());
    assert!(real.len() > 20, "{real:?}");
    let (first, second): (BTreeSet<&String>, BTreeSet<&String>) = (real.iter().collect(), own.iter().collect());
    let only_real: Vec<_> = first.difference(&second).collect();
    let only_own: Vec<_> = second.difference(&first).collect();
    assert!(only_real.is_empty() && only_own.is_empty(), "ldconfig alone: {only_real:#?}\nonly here: {only_own:#?}");
    let differ = real.iter().zip(&own).find(|(real, own)| real != own);
    assert_eq!(differ, None, "the order");
}
