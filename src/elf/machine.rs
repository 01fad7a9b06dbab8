//! What is particular about a machine, by `e_machine`, class and byte order: its name, its pages, its loader.

use std::fmt;

use goblin::elf::header;

use super::class::Class;
use super::record::Encoding;
use super::units::Alignment;

/// A machine that objects are for.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// The name that people use (`uname -m`, Nix); `other` for one that has none here.
    pub(crate) name: &'static str,
    /// Other names of it, of Nix, Debian and `uname -m`.
    pub(crate) aliases: &'static [&'static str],
    /// Where glibc's loader is by convention.
    pub(crate) loader: Option<&'static str>,
    /// What musl calls it, where that is another name.
    musl: Option<&'static str>,
    /// A machine whose programs it runs as well.
    pub(crate) also_runs: Option<&'static str>,
    /// Every kernel for it has pages of 4 KiB.
    has_small_pages: bool,
    /// `e_machine`
    code: u16,
    /// Only this class.
    class: Option<Class>,
    /// Only this byte order.
    is_big_endian: Option<bool>,
}

const EM_LOONGARCH: u16 = 258;
const EM_ALPHA: u16 = 0x9026;

/// NVIDIA's, Intel's and AMD's device code: ELF files that no dynamic loader of the host reads.
const DEVICES: [u16; 3] = [190, 205, 224];

/// What is said of an object that a processor beside the host's or a virtual machine reads.
macro_rules! foreign {
    ($what:literal) => {
        concat!("for ", $what, ", which no loader of the host reads")
    };
}

/// Processors beside the host's and virtual machines, by `e_machine` (the registry of the gABI): they have loaders of their
/// own, some of which verify the end of the file.
const OTHER_PROCESSORS: [(u16, &str); 16] = [
    (23, foreign!("the Cell's SPU")),
    (140, foreign!("a TI C6000 signal processor")),
    (141, foreign!("a TI C2000 signal processor")),
    (142, foreign!("a TI C5500 signal processor")),
    (144, foreign!("a TI real-time unit")),
    (164, foreign!("a Hexagon signal processor")),
    (180, foreign!("an Intel L1OM card")),
    (181, foreign!("an Intel Xeon Phi card")),
    (247, foreign!("the virtual machine of eBPF")),
    (250, foreign!("a Netronome card")),
    (256, foreign!("a Kalray card")),
    (263, foreign!("the virtual machine of Solana")),
    (264, foreign!("an AMD AI Engine")),
    (265, foreign!("a SiMa accelerator")),
    (266, foreign!("a Cambricon card")),
    (0x4157, foreign!("WebAssembly")),
];

const fn machine(name: &'static str, code: u16) -> Machine {
    Machine {
        name,
        aliases: &[],
        loader: None,
        musl: None,
        also_runs: None,
        has_small_pages: false,
        code,
        class: None,
        is_big_endian: None,
    }
}

impl Machine {
    const fn only(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }

    const fn big(self) -> Self {
        Self { is_big_endian: Some(true), ..self }
    }

    const fn little(self) -> Self {
        Self { is_big_endian: Some(false), ..self }
    }

    const fn small_pages(self) -> Self {
        Self { has_small_pages: true, ..self }
    }

    const fn loader(self, path: &'static str) -> Self {
        Self { loader: Some(path), ..self }
    }
}

/// Every machine that has a name here.
static MACHINES: [Machine; 24] = [
    Machine { aliases: &["amd64"], also_runs: Some("i686"), ..machine("x86_64", header::EM_X86_64) }
        .only(Class::Elf64)
        .small_pages()
        .loader("/lib64/ld-linux-x86-64.so.2"),
    machine("x32", header::EM_X86_64).only(Class::Elf32).small_pages(),
    Machine { aliases: &["i386", "i486", "i586"], musl: Some("i386"), ..machine("i686", header::EM_386) }
        .small_pages()
        .loader("/lib/ld-linux.so.2"),
    Machine { aliases: &["arm64"], also_runs: Some("armv7l"), ..machine("aarch64", header::EM_AARCH64) }
        .little()
        .loader("/lib/ld-linux-aarch64.so.1"),
    machine("aarch64_be", header::EM_AARCH64).big(),
    Machine {
        aliases: &["arm", "armv5tel", "armv6l", "armv7a"],
        musl: Some("armhf"),
        ..machine("armv7l", header::EM_ARM)
    }
    .little()
    .loader("/lib/ld-linux-armhf.so.3"),
    machine("armeb", header::EM_ARM).big(),
    Machine { aliases: &["ppc64le", "ppc64el"], ..machine("powerpc64le", header::EM_PPC64) }
        .little()
        .loader("/lib64/ld64.so.2"),
    machine("powerpc64", header::EM_PPC64).big().loader("/lib/ld64.so.1"),
    machine("powerpc", header::EM_PPC),
    machine("riscv64", header::EM_RISCV).only(Class::Elf64).small_pages().loader("/lib/ld-linux-riscv64-lp64d.so.1"),
    machine("riscv32", header::EM_RISCV).only(Class::Elf32).small_pages(),
    machine("s390x", header::EM_S390).only(Class::Elf64).small_pages().loader("/lib/ld64.so.1"),
    machine("s390", header::EM_S390).only(Class::Elf32).small_pages(),
    machine("mips64el", header::EM_MIPS).only(Class::Elf64).little(),
    machine("mips64", header::EM_MIPS).only(Class::Elf64).big(),
    machine("mipsel", header::EM_MIPS).only(Class::Elf32).little(),
    machine("mips", header::EM_MIPS).only(Class::Elf32).big(),
    machine("sparc64", header::EM_SPARCV9),
    machine("ia64", header::EM_IA_64),
    machine("m68k", header::EM_68K),
    machine("hppa", header::EM_PARISC),
    machine("loongarch64", EM_LOONGARCH).loader("/lib64/ld-linux-loongarch-lp64d.so.1"),
    machine("alpha", EM_ALPHA),
];

static OTHER: Machine = machine("other", 0);

impl Machine {
    /// The machine of an object.
    #[must_use]
    pub(crate) fn of(code: u16, encoding: Encoding) -> &'static Self {
        let found = MACHINES.iter().find(|known| {
            known.code == code
                && known.class.is_none_or(|class| class == encoding.class())
                && known.is_big_endian.is_none_or(|big| big == encoding.is_big_endian)
        });
        found.unwrap_or(&OTHER)
    }

    /// The machine of a name: of `uname -m`, Nix or Debian.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        MACHINES.iter().find(|known| known.name == name || known.aliases.contains(&name))
    }

    /// The largest page of its kernels: 4096 bytes where none has larger ones, 64 KiB everywhere else.
    #[must_use]
    pub(crate) fn page(&self) -> Alignment {
        Alignment::new(if self.has_small_pages { 0x1000 } else { 0x1_0000 }).unwrap_or(Alignment::ONE)
    }

    /// `e_machine`, class and byte order of its objects; those of 64 bits where it has both.
    #[must_use]
    pub(crate) fn ident(&self) -> (u16, Class, bool) {
        (self.code, self.class.unwrap_or(Class::Elf64), self.is_big_endian.unwrap_or(false))
    }

    /// What musl calls it.
    #[must_use]
    pub(crate) fn musl(&self) -> &'static str {
        self.musl.unwrap_or(self.name)
    }

    /// Whether objects of another machine run on it.
    #[must_use]
    pub(crate) fn runs(&self, other: &Self) -> bool {
        self == other || self.also_runs == Some(other.name)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Whether `e_machine` is that of a GPU.
#[must_use]
pub(super) fn is_device(code: u16) -> bool {
    DEVICES.contains(&code)
}

/// What is said of an object where `e_machine` is that of a processor beside the host's, or of a virtual machine.
#[must_use]
pub(super) fn other_processor(code: u16) -> Option<&'static str> {
    OTHER_PROCESSORS.iter().find(|(known, _)| *known == code).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_many_names_and_one_meaning() {
        assert_eq!(Machine::named("arm64"), Machine::named("aarch64"));
        assert_eq!(Machine::named("vax"), None);
        let little = Encoding { is_64: true, is_big_endian: false };
        assert_eq!(Machine::of(62, little).name, "x86_64");
        assert_eq!(Machine::of(62, Encoding { is_64: false, ..little }).name, "x32");
        assert_eq!(Machine::of(21, little).name, "powerpc64le");
        assert_eq!(Machine::of(0xbeef, little).name, "other");
        let mut names: Vec<&str> =
            MACHINES.iter().flat_map(|known| known.aliases.iter().chain([&known.name])).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
