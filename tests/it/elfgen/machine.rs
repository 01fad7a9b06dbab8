//! What differs between machines: word size, byte order, page size, flags and the two relocations that a tiny image needs.

use super::choices::{Class, Order};

/// A machine as Nix names it; byte order and class belong to it, but a spec may override both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    X86_64,
    I386,
    Aarch64,
    Aarch64Be,
    Arm,
    ArmBe,
    Ppc64Le,
    Ppc64,
    Ppc,
    Riscv64,
    Riscv32,
    S390x,
    S390,
    Mips,
    Mipsel,
    Mips64,
    Mips64el,
    Sparc64,
    Alpha,
    Loongarch64,
    M68k,
    Parisc,
    /// A number that no registry knows: nothing in the program may depend on the machine being known.
    Unknown,
}

/// The relocation types of one machine: base-relative and symbol address; `addend` says whether records carry one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relocations {
    pub(crate) relative: u32,
    pub(crate) symbol: u32,
    pub(crate) addend: bool,
}

impl Machine {
    /// Every machine.
    pub(crate) const ALL: [Self; 23] = {
        use Machine::*;
        [
            X86_64,
            I386,
            Aarch64,
            Aarch64Be,
            Arm,
            ArmBe,
            Ppc64Le,
            Ppc64,
            Ppc,
            Riscv64,
            Riscv32,
            S390x,
            S390,
            Mips,
            Mipsel,
            Mips64,
            Mips64el,
            Sparc64,
            Alpha,
            Loongarch64,
            M68k,
            Parisc,
            Unknown,
        ]
    };

    pub(crate) fn class(self) -> Class {
        use Machine::{Arm, ArmBe, I386, M68k, Mips, Mipsel, Parisc, Ppc, Riscv32, S390};
        match self {
            I386 | Arm | ArmBe | Ppc | Riscv32 | S390 | Mips | Mipsel | M68k | Parisc => Class::Elf32,
            _ => Class::Elf64,
        }
    }

    pub(crate) fn order(self) -> Order {
        use Machine::{Aarch64Be, ArmBe, M68k, Mips, Mips64, Parisc, Ppc, Ppc64, S390, S390x, Sparc64};
        match self {
            Aarch64Be | ArmBe | Ppc64 | Ppc | S390x | S390 | Mips | Mips64 | Sparc64 | M68k | Parisc => Order::Big,
            _ => Order::Little,
        }
    }

    /// `e_machine`.
    pub(crate) fn number(self) -> u16 {
        use Machine::*;
        match self {
            X86_64 => 62,
            I386 => 3,
            Aarch64 | Aarch64Be => 183,
            Arm | ArmBe => 40,
            Ppc64Le | Ppc64 => 21,
            Ppc => 20,
            Riscv64 | Riscv32 => 243,
            S390x | S390 => 22,
            Mips | Mipsel | Mips64 | Mips64el => 8,
            Sparc64 => 43,
            Alpha => 0x9026,
            Loongarch64 => 258,
            M68k => 4,
            Parisc => 15,
            Unknown => 0xfe01,
        }
    }

    /// `e_flags` of an ordinary object: readers refuse some machines without them.
    pub(crate) fn flags(self) -> u32 {
        use Machine::*;
        match self {
            Arm => 0x0500_0200,
            ArmBe => 0x0580_0200,
            Ppc64Le => 2,
            Ppc64 => 1,
            Riscv64 | Riscv32 => 5,
            Mips | Mipsel => 0x7000_1007,
            Mips64 | Mips64el => 0x8000_0007,
            Loongarch64 => 0x43,
            _ => 0,
        }
    }

    /// The largest page size that a kernel for this machine may use: what its linkers align segments to.
    pub(crate) fn page(self) -> u64 {
        use Machine::{
            Aarch64, Aarch64Be, Arm, ArmBe, Loongarch64, Mips, Mips64, Mips64el, Mipsel, Ppc, Ppc64, Ppc64Le,
        };
        match self {
            Aarch64 | Aarch64Be | Arm | ArmBe | Ppc64Le | Ppc64 | Ppc | Mips | Mipsel | Mips64 | Mips64el
            | Loongarch64 => 0x1_0000,
            Machine::Sparc64 | Machine::Alpha => 0x2000,
            _ => 0x1000,
        }
    }

    /// None where records have a shape of their own (MIPS) or the numbers are not known here.
    pub(crate) fn relocations(self) -> Option<Relocations> {
        use Machine::*;
        let (relative, symbol, addend) = match self {
            X86_64 => (8, 6, true),
            I386 => (8, 6, false),
            Aarch64 | Aarch64Be => (1027, 1025, true),
            Arm | ArmBe => (23, 21, false),
            Ppc64Le | Ppc64 | Ppc | Sparc64 => (22, 20, true),
            Riscv64 => (3, 2, true),
            Riscv32 => (3, 1, true),
            S390x | S390 => (12, 10, true),
            Alpha => (27, 25, true),
            Loongarch64 => (3, 2, true),
            M68k => (22, 20, true),
            Mips | Mipsel | Mips64 | Mips64el | Parisc | Unknown => return None,
        };
        Some(Relocations { relative, symbol, addend })
    }

    /// s390x and Alpha are the two whose `DT_HASH` has 64-bit words (gABI 5.4 "Hash Table", their psABIs).
    pub(crate) fn wide_hash(self) -> bool {
        matches!(self, Machine::S390x | Machine::Alpha)
    }

    pub(crate) fn interpreter(self) -> &'static str {
        match self {
            Machine::X86_64 => "/lib64/ld-linux-x86-64.so.2",
            Machine::Aarch64 => "/lib/ld-linux-aarch64.so.1",
            Machine::I386 => "/lib/ld-linux.so.2",
            _ => "/lib/ld.so.1",
        }
    }
}
