//! The machines that fixtures are built for: a compiler each, and what runs its programs here.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use super::build::{Cache, folder, shared};
use super::{command, found, run};

/// A machine, with the loader and the page size that its programs meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The name in reports, and the key of everything that is built once per machine.
    pub(crate) name: &'static str,
    /// What the names of its tools start with: a Debian triplet and a hyphen, or nothing.
    prefix: &'static str,
    compiler: &'static str,
    /// What makes the compiler make programs for this machine.
    flags: &'static [&'static str],
    /// What runs a program of this machine; empty: the kernel.
    ///
    /// qemu-user computes AT_PHDR as kernels before 5.17.2 do (load address + `e_phoff`), which a program header table
    /// that moved does not survive; Jetson kernels are 5.10 and 5.15.
    emulator: &'static [&'static str],
    /// The largest page, in bytes, that kernels of this machine have.
    pub(crate) largest_page: u64,
}

const SMALL: u64 = 4096;
const LARGE: u64 = 65536;

/// What `cc` compiles for and the kernel runs.
pub(crate) const NATIVE: Target =
    Target { name: "native", prefix: "", compiler: "cc", flags: &[], emulator: &[], largest_page: SMALL };
/// The same compiler's 32-bit programs.
pub(crate) const NARROW: Target = Target { name: "i686", flags: &["-m32"], ..NATIVE };
/// The same files, where AT_PHDR is what old kernels say.
pub(crate) const NATIVE_QEMU: Target = Target { name: "native-qemu", emulator: &["qemu-x86_64-static"], ..NATIVE };
pub(crate) const NARROW_QEMU: Target = Target { name: "i686-qemu", emulator: &["qemu-i386-static"], ..NARROW };
/// The host's machine with another libc and loader.
pub(crate) const MUSL: Target = Target { name: "musl", compiler: "musl-gcc", ..NATIVE };

const fn cross(
    name: &'static str,
    prefix: &'static str,
    largest_page: u64,
    emulator: &'static [&'static str],
) -> Target {
    Target { name, prefix, compiler: "gcc", flags: &[], emulator, largest_page }
}

/// As on a Jetson: laid out for every page size, loaded with the smallest.
pub(crate) const AARCH64: Target = cross("aarch64", "aarch64-linux-gnu-", LARGE, CORTEX_A57);
pub(crate) const AARCH64_4K: Target = Target { name: "aarch64-4K", flags: &["-Wl,-z,max-page-size=4096"], ..AARCH64 };
pub(crate) const AARCH64_16K: Target = Target {
    name: "aarch64-16K",
    flags: &["-Wl,-z,max-page-size=16384"],
    emulator: &["qemu-aarch64-static", "-cpu", "cortex-a57", "-p", "16384"],
    ..AARCH64
};
pub(crate) const AARCH64_64K: Target = Target {
    name: "aarch64-64K",
    flags: &["-Wl,-z,max-page-size=65536"],
    emulator: &["qemu-aarch64-static", "-cpu", "cortex-a57", "-p", "65536"],
    ..AARCH64
};
/// One that checks branch targets would stop in Debian's start files.
const CORTEX_A57: &[&str] = &["qemu-aarch64-static", "-cpu", "cortex-a57", "-p", "4096"];

pub(crate) const ARMHF: Target = cross("armhf", "arm-linux-gnueabihf-", LARGE, &["qemu-arm-static"]);
pub(crate) const PPC64LE: Target = cross("ppc64le", "powerpc64le-linux-gnu-", LARGE, &["qemu-ppc64le-static"]);
pub(crate) const RISCV64: Target = cross("riscv64", "riscv64-linux-gnu-", SMALL, &["qemu-riscv64-static"]);
/// Big-endian.
pub(crate) const S390X: Target = cross("s390x", "s390x-linux-gnu-", SMALL, &["qemu-s390x-static"]);
/// Big-endian; a read-only dynamic section, DT_MIPS_RLD_MAP_REL, PT_NULL in the program header table.
pub(crate) const MIPS: Target = cross("mips", "mips-linux-gnu-", LARGE, &["qemu-mips-static"]);
pub(crate) const MIPS64EL: Target = cross("mips64el", "mips64el-linux-gnuabi64-", LARGE, &["qemu-mips64el-static"]);
/// Big-endian.
pub(crate) const PPC: Target = cross("ppc", "powerpc-linux-gnu-", LARGE, &["qemu-ppc-static"]);

impl Target {
    /// The compiler, with `-fuse-ld=linker` unless that is empty.
    pub(crate) fn compiler(self, linker: &str) -> Command {
        let chosen = std::env::var_os("CC").filter(|_| self.compiler == NATIVE.compiler);
        let mut command = command(chosen.unwrap_or_else(|| self.tool(self.compiler).into()));
        command.args(self.flags);
        if !linker.is_empty() {
            command.arg(format!("-fuse-ld={linker}"));
            if !self.prefix.is_empty() {
                // A cross compiler looks for linkers with its prefix only; these link for every machine.
                command.arg("-B").arg(foreign_linkers());
            }
        }
        command
    }

    /// A command that runs a program of this machine without the caller's settings of the dynamic loader.
    pub(crate) fn runner(self, program: impl AsRef<OsStr>) -> Command {
        let [emulator, arguments @ ..] = self.emulator else {
            return command(program);
        };
        let mut command = command(emulator);
        command.args(arguments);
        if let Some(triplet) = self.prefix.strip_suffix('-') {
            // Where its libc is.
            command.arg("-L").arg(format!("/usr/{triplet}"));
        }
        command.arg(program.as_ref());
        command
    }

    /// The name of one of its tools.
    pub(crate) fn tool(self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What has to be installed, for a skip's reason; `None` when programs can be built and run.
    pub(crate) fn missing(self) -> Option<String> {
        static ANSWERS: Cache<Option<String>> = Cache::new();
        ANSWERS.get(self.name, || self.probe())
    }

    fn probe(self) -> Option<String> {
        let emulator = self.emulator.first().map(|emulator| (*emulator).to_owned());
        if let Some(tool) = [Some(self.tool(self.compiler)), emulator].into_iter().flatten().find(|tool| !found(tool)) {
            return Some(format!("{tool} is not installed"));
        }
        let source = folder().join(format!("probe-{}.c", self.name));
        let out = source.with_extension("");
        std::fs::write(&source, "#include <stdio.h>\nint main(void) { return 3; }\n").unwrap();
        let built = run(self.compiler("").arg(&source).arg("-o").arg(&out)).code == 0;
        let works = built && run(&mut self.runner(&out)).code == 3;
        (!works).then(|| format!("no programs for {} can be built and run", self.name))
    }
}

/// A folder in which every compiler finds the linkers that link for all machines.
fn foreign_linkers() -> PathBuf {
    shared("linkers", |folder| {
        std::fs::create_dir_all(folder).unwrap();
        for (name, program) in [("ld.lld", "ld.lld"), ("ld.mold", "mold")] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            if let Some(found) = std::env::split_paths(&path).map(|p| p.join(program)).find(|p| p.is_file()) {
                std::os::unix::fs::symlink(found, folder.join(name)).unwrap();
            }
        }
    })
}
