//! The choices that a spec is made of.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Elf32,
    Elf64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `ET_EXEC` with `PT_INTERP`.
    Exec,
    /// `ET_DYN` with `PT_INTERP` and `DF_1_PIE`.
    Pie,
    Library,
    /// `ET_DYN` with `DF_1_PIE` and neither `PT_INTERP` nor `DT_NEEDED`.
    StaticPie,
    /// `ET_EXEC` without `PT_DYNAMIC`.
    Static,
    /// A separate debug file: the program headers of the original, none of the contents (`PT_DYNAMIC` has `p_filesz` 0).
    DebugFile,
    /// The same as elfutils writes it: `p_filesz` is kept, only the section headers say `SHT_NOBITS`.
    DebugFileKeepingSizes,
    /// `ET_REL`.
    Relocatable,
    /// `ET_CORE` with one `PT_NOTE`.
    Core,
}

/// Which of the two tags holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Runpath,
    Rpath,
}

/// How sections are grouped into `PT_LOAD`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segments {
    /// R, R E, R, RW: GNU ld since 2018.
    Separate,
    /// R E, R, RW with the code directly behind the program header table (`--rosegment`).
    CodeFirst,
    /// R E, RW: older GNU ld, most CUDA libraries.
    Combined,
}

/// How segments follow each other in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Each starts on a page of the file: zero bytes are left behind the one before.
    Padded,
    /// Each starts where the last one ended, with an address of the same remainder: no room in between (lld, gold).
    Tight,
}

/// Where `.dynstr` lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringsAt {
    /// Between `.dynsym` and the version tables.
    WithHeaders,
    /// The last bytes of the read-only segment.
    EndOfReadOnly,
    /// A `PT_LOAD` of its own at the end of the file, read-only: what this program leaves behind.
    TrailingReadOnly,
    /// The same, writable: what patchelf leaves behind.
    TrailingWritable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headers {
    /// `e_shoff` 0.
    None,
    End,
    /// Directly behind the program header table (Go).
    BehindTable,
}
