//! What a target's driver directory, kernel driver and compat say together.

use std::path::PathBuf;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use self::host::Host;
use super::context::Context;
use super::facts::Facts;
use super::policy::{CheckPolicy, DriverVersion, Platform};
use super::releases::driver_version;
use super::rule::{self, Rule, Severity};
use super::wanted::{older_than_native, release_of_note};
use super::world::World;
use crate::cuda::{Role, Version, of_role, release_of_branch};
use crate::elf::class::Class;
use crate::loader::{Environment, Look};
use crate::runpath::Directory;

mod diagnosis;
mod driver;
mod host;

pub(crate) use diagnosis::Diagnosis;

/// Where the kernel module says what it is; the first is nvidia's own file, the second every module's.
const MODULE_FILES: [&str; 2] = ["/proc/driver/nvidia/version", "/sys/module/nvidia/version"];

/// A library that an object wants from the driver directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeRequest {
    /// The object that asks.
    pub(crate) path: PathBuf,
    /// EI_CLASS of the object.
    pub(crate) class: Class,
    /// The library.
    pub(crate) soname: String,
    /// The program stops without it.
    pub(crate) is_needed: bool,
}

/// A world that can also list a directory.
pub(crate) trait TargetWorld: World {
    /// The names in a directory; `None` when it cannot be listed.
    fn names(&self, directory: &BStr) -> Option<Vec<BString>>;
}

/// Looks at everything; opens no device and loads no library. `requests` are what `check --runtime-list` left open.
#[must_use]
pub(crate) fn diagnose(
    world: &dyn TargetWorld,
    policy: &CheckPolicy,
    environment: &Environment,
    requests: &[RuntimeRequest],
) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    let mut host = Host::of(world, &mut found);
    let devices = world.names(Host::devices());
    host.is_wsl |= Host::has_wsl_driver(world, devices.as_deref());
    host.is_jetson |= policy.platform.is_some_and(Platform::is_jetson);
    let mut doctor = Doctor { world, policy, environment, requests, host, found };
    let kernel = doctor.kernel_driver();
    let (elf64, elf32) = (&policy.paths.elf64.driver, &policy.paths.elf32.driver);
    let directory = doctor.driver_directories(elf64, Class::Elf64);
    let has_32 = requests.iter().any(|request| request.class == Class::Elf32) || world.names(first(elf32)).is_some();
    if has_32 && elf32 != elf64 {
        doctor.driver_directories(elf32, Class::Elf32);
    }
    if let Some(directory) = &directory {
        doctor.libcuda(directory.as_bstr(), kernel.as_ref());
        if doctor.host.is_jetson {
            doctor.board_libraries(directory.as_bstr());
        }
    }
    for compat in &policy.paths.elf64.compat {
        doctor.compat(compat.as_bstr(), kernel.as_ref());
    }
    doctor.close_requests();
    doctor.found
}

fn first(directories: &[Directory]) -> &BStr {
    directories.first().map_or(b"".as_bstr(), Directory::as_bstr)
}

struct Doctor<'d> {
    world: &'d dyn TargetWorld,
    policy: &'d CheckPolicy,
    environment: &'d Environment,
    requests: &'d [RuntimeRequest],
    host: Host,
    found: Vec<Diagnosis>,
}

impl Doctor<'_> {
    fn fine(&mut self, subject: &str, detail: String) {
        self.found.push(Diagnosis::fine(subject, detail));
    }

    fn say(&mut self, subject: &str, severity: Severity, detail: String) {
        self.found.push(Diagnosis::say(subject, severity, detail));
    }

    fn finding(&mut self, subject: &str, rule: &'static Rule, detail: String) {
        self.found.push(Diagnosis::finding(subject, rule, detail));
    }

    fn kernel_driver(&mut self) -> Option<DriverVersion> {
        for file in MODULE_FILES {
            let Some(text) = self.world.read(BStr::new(file)) else { continue };
            if let Some(version) = module_version(&text) {
                self.fine("kernel driver", format!("{version} ({file})"));
                return Some(version);
            }
            self.say("kernel driver", Severity::Warning, format!("{file} names no version"));
        }
        if let Some(version) = &self.policy.host_driver {
            self.fine("kernel driver", format!("{version} (--host-driver)"));
            return Some(version.clone());
        }
        if self.host.is_wsl {
            let devices = self.world.names(Host::devices());
            self.found.push(self.host.wsl_driver(devices.as_deref()));
            return None;
        }
        let files = MODULE_FILES.join(" nor ");
        // The module of a Jetson's integrated GPU says nothing in these files.
        let severity = if self.host.is_jetson { Severity::Note } else { Severity::Error };
        self.say("kernel driver", severity, format!("neither {files}: the nvidia module is not loaded"));
        None
    }

    /// The CUDA release of this machine's own driver: as the command line says, or what L4T and the kernel driver tell.
    fn native_cuda(&self, kernel: Option<&DriverVersion>) -> Option<Version> {
        let of_l4t = self.host.platform.filter(|_| self.policy.platform.is_none()).and_then(Platform::native_cuda);
        let of_kernel = kernel.and_then(|kernel| release_of_branch(kernel.branch()));
        self.policy.host_cuda.or_else(|| self.policy.native_cuda().max(of_l4t).max(of_kernel))
    }

    /// The first driver directory that is there.
    fn driver_directories(&mut self, directories: &[Directory], class: Class) -> Option<BString> {
        let subject = format!("driver directory ({class}-bit)");
        for directory in directories {
            let path = directory.as_bstr();
            let Some(names) = self.world.names(path) else { continue };
            let real = self.world.real(path).unwrap_or_else(|| path.to_owned());
            let leads = if real == path { String::new() } else { format!(" -> {real}") };
            self.fine(&subject, format!("{path}{leads}, {} entries", names.len()));
            let leads_nowhere = |name: &&BString| {
                let link = BString::from([path.as_bytes(), b"/", name.as_bytes()].concat());
                self.world.real(link.as_bstr()).is_none()
            };
            let dangling: Vec<String> = names.iter().filter(leads_nowhere).map(ToString::to_string).collect();
            if !dangling.is_empty() {
                self.say(&subject, Severity::Error, format!("links that lead nowhere: {}", dangling.join(", ")));
            }
            return Some(path.to_owned());
        }
        let list: Vec<String> = directories.iter().map(ToString::to_string).collect();
        let remedy = self.host.remedy();
        self.say(&subject, Severity::Error, format!("{} does not exist; {remedy}", list.join(", ")));
        None
    }

    fn object(&self, directory: &BStr, name: &str) -> Result<Arc<Facts>, String> {
        match self.world.look(directory, name.into()) {
            Look::Object(object) => self.world.facts(&object).ok_or_else(|| "is not known".to_owned()),
            Look::Missing => Err("is not there".to_owned()),
            Look::Forbidden => Err("cannot be read".to_owned()),
            Look::NotLoadable(_, reason) => Err(reason.to_string()),
            Look::Broken(reason) => Err(reason.to_owned()),
        }
    }

    fn libcuda(&mut self, directory: &BStr, host: Option<&DriverVersion>) {
        let facts = match self.object(directory, "libcuda.so.1") {
            Ok(facts) => facts,
            Err(reason) => {
                let why = self.host.unlinked(self.world).map(|why| format!("; {why}")).unwrap_or_default();
                return self.say("libcuda", Severity::Error, format!("{directory}/libcuda.so.1 {reason}{why}"));
            }
        };
        if facts.is_stub {
            return self.finding("libcuda", &rule::STUB_FIRST, format!("{directory}/libcuda.so.1 is a link-time stub"));
        }
        let path = &facts.object.path;
        let version = driver_version(&facts);
        match (&version, host) {
            (Some(version), Some(host)) if version != host && !self.host.is_jetson => {
                let detail = format!(
                    "{path} is of driver {version}, the kernel module of {host}: a reboot after an update is missing"
                );
                self.say("libcuda", Severity::Error, detail);
            }
            (Some(version), _) => self.fine("libcuda", format!("{path}, driver {version}")),
            (None, _) => self.fine("libcuda", path.to_string()),
        }
        if let Some(detail) = self.host.wrong_chip(path.as_bstr()) {
            self.say("libcuda", Severity::Error, detail);
        }
        self.note("libcuda", &facts);
        let context = self.context(&facts);
        let opened = BString::from(format!("{directory}/libcuda.so.1"));
        let companions = driver::companions(&context, self.environment, ("libcuda", opened.as_bstr()), &facts);
        let names = self.world.names(directory).unwrap_or_default();
        let foreign = driver::foreign(&context, "driver directory (64-bit)", directory, &names, &facts);
        self.found.extend(companions.into_iter().chain(foreign));
    }

    /// What judges a library by itself.
    fn context(&self, facts: &Arc<Facts>) -> Context<'_> {
        Context::new(self.world, self.policy, self.environment.clone(), std::slice::from_ref(facts))
    }

    fn note(&mut self, subject: &str, facts: &Facts) {
        match &facts.compat_note {
            None => {}
            Some(Ok(note)) => {
                let list: Vec<String> = note.driver_branches.iter().map(u32::to_string).collect();
                let branches =
                    if list.is_empty() { String::new() } else { format!(", kernel drivers {}", list.join(", ")) };
                self.fine(subject, format!("its note says CUDA {}{branches}", note.cuda));
            }
            Some(Err(error)) => self.finding(subject, &rule::MALFORMED_NOTE, error.to_string()),
        }
    }

    fn board_libraries(&mut self, directory: &BStr) {
        for name in of_role(Role::Board) {
            match self.object(directory, name) {
                Ok(facts) => self.fine("board support", facts.object.path.to_string()),
                Err(reason) => {
                    self.finding("board support", &rule::NVRM_UNREACHABLE, format!("{directory}/{name} {reason}"))
                }
            }
        }
    }

    fn compat(&mut self, directory: &BStr, host: Option<&DriverVersion>) {
        let facts = match self.object(directory, "libcuda.so.1") {
            Ok(facts) => facts,
            Err(reason) => return self.say("compat", Severity::Error, format!("{directory}/libcuda.so.1 {reason}")),
        };
        let version = driver_version(&facts);
        let told = version.as_ref().map(|version| format!(", driver {version}")).unwrap_or_default();
        self.fine("compat", format!("{}{told}", facts.object.path));
        self.note("compat", &facts);
        let context = self.context(&facts);
        let opened = BString::from(format!("{directory}/libcuda.so.1"));
        let companions = driver::companions(&context, self.environment, ("compat", opened.as_bstr()), &facts);
        self.found.extend(companions);
        if let (Some(compat), Some(native)) = (release_of_note(&facts), self.native_cuda(host))
            && compat < native
        {
            let detail = format!("{} {}: CUDA error 803", facts.object.path, older_than_native(compat, native));
            return self.finding("compat", &rule::COMPAT_UNWANTED, detail);
        }
        let Some(host) = host else { return };
        if let Some(version) = version.filter(|version| host.is_as_new_as(version)) {
            let detail = format!("the kernel driver {host} is as new as compat's {version} or newer: CUDA error 803");
            self.finding("compat", &rule::COMPAT_UNWANTED, detail);
        }
        if let Some(Ok(note)) = &facts.compat_note
            && !note.driver_branches.is_empty()
            && !note.driver_branches.contains(&host.branch())
        {
            let detail = format!("the kernel driver {host} is of none of the branches in compat's note");
            self.finding("compat", &rule::HOST_DRIVER_UNSUPPORTED, detail);
        }
    }

    /// Closes what `check` left open.
    fn close_requests(&mut self) {
        let (mut served, mut optional) = (0_usize, Vec::new());
        for request in self.requests {
            let directories = &self.policy.paths.get(request.class).driver;
            let is_there = directories.iter().any(|directory| {
                let found = self.object(directory.as_bstr(), &request.soname);
                found.is_ok_and(|facts| facts.object.class == request.class && !facts.is_stub)
            });
            if is_there {
                served += 1;
            } else {
                optional.push(request);
            }
        }
        for request in optional {
            let (severity, how) = if request.is_needed {
                (Severity::Error, "needs it to start")
            } else {
                (Severity::Warning, "asks for it with dlopen")
            };
            self.say(
                "runtime list",
                severity,
                format!("{} is not in the driver directory; {} {how}", request.soname, request.path.display()),
            );
        }
        if !self.requests.is_empty() {
            self.fine("runtime list", format!("{served} of {} requests are served", self.requests.len()));
        }
    }
}

/// The first word that is a version of at least two numbers: `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05 …`.
fn module_version(text: &[u8]) -> Option<DriverVersion> {
    let words = text.split(|byte| byte.is_ascii_whitespace()).filter(|word| word.contains(&b'.'));
    words.filter_map(|word| word.to_str().ok()?.parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_modules_version_is_read() {
        let open = b"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder@U22)\nGCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n";
        assert_eq!(module_version(open).unwrap().to_string(), "580.159.04");
        let closed = b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023\n";
        assert_eq!(module_version(closed).unwrap().to_string(), "535.54.03");
        assert_eq!(module_version(b"580.95.05\n").unwrap().branch(), 580);
        assert_eq!(module_version(b"no version\n"), None);
    }
}
