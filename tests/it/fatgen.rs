//! Fat binaries on demand: containers, entries, joint entries and a host's records of containers, byte by byte.
//!
//! Nothing here shares code with `src/`: the layout is written down a second time, from what NVIDIA's libraries hold.
//!
//! ```ignore
//! let bytes = fatgen::container([Entry::cubin(87), Entry::ptx(90).flags(LINUX)]).build();
//! let library = Spec::new(Machine::X86_64, Kind::Library).gpu_code(".nv_fatbin", &bytes).build();
//! ```

pub(crate) const CONTAINER_MAGIC: [u8; 4] = [0x50, 0xed, 0x55, 0xba];
pub(crate) const WRAPPER_MAGIC: [u8; 4] = [0xb1, 0x43, 0x62, 0x46];

pub(crate) const PTX: u16 = 1;
pub(crate) const CUBIN: u16 = 2;
pub(crate) const LTO_IR: u16 = 8;
pub(crate) const JOINT: u16 = 0x100;

pub(crate) const WIDE: u64 = 0x1;
pub(crate) const DEBUG: u64 = 0x2;
pub(crate) const LINUX: u64 = 0x10;
pub(crate) const LZ4: u64 = 0x2000;
pub(crate) const ZSTD: u64 = 0x8000;
pub(crate) const LTO: u64 = 0x1_0000;
/// `sm_90a`
pub(crate) const EXACT: u64 = 0x10_0000;
/// `sm_100f`
pub(crate) const FAMILY: u64 = 0x20_0000;

/// An entry of a container; every field can be given a wrong value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: u16,
    pub(crate) version: u16,
    pub(crate) header_size: u32,
    /// None: what is stored.
    pub(crate) size: Option<u64>,
    pub(crate) compressed: u32,
    /// Offset in the header of two words about options; 0 without.
    pub(crate) options_at: u32,
    pub(crate) release: (u16, u16),
    pub(crate) architecture: u32,
    pub(crate) name_size: u32,
    pub(crate) flags: u64,
    pub(crate) unpacked: u64,
    /// The header from offset 64 on; zeros follow up to `header_size`.
    pub(crate) tail: Vec<u8>,
    /// What lies behind the header, filled up to a multiple of 8 bytes.
    pub(crate) stored: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(kind: u16, architecture: u32) -> Self {
        Self {
            kind,
            version: 0x101,
            header_size: 64,
            size: None,
            compressed: 0,
            options_at: 0,
            release: if kind == PTX { (9, 3) } else { (1, 8) },
            architecture,
            name_size: 0,
            flags: WIDE | LINUX,
            unpacked: 0,
            tail: Vec::new(),
            stored: filler(48),
        }
    }

    pub(crate) fn cubin(architecture: u32) -> Self {
        Self::new(CUBIN, architecture)
    }

    pub(crate) fn ptx(architecture: u32) -> Self {
        Self::new(PTX, architecture).options("")
    }

    pub(crate) fn lto_ir(architecture: u32) -> Self {
        Self::new(LTO_IR, architecture).flags(LTO)
    }

    /// Several contents packed together (`fatbinary -concat`): `stored` is what remains of all of them. Behind the header's fixed part
    /// are a count, the size of this and what follows, and for each content its own header, with its place in them.
    pub(crate) fn joint(parts: &[Self], stored: &[u8]) -> Self {
        let mut table = Vec::new();
        let mut offset = 0_u32;
        for part in parts {
            let size = part.stored.len() as u32;
            let mut record = part.header();
            record[4..8].copy_from_slice(&offset.to_le_bytes());
            record[8..16].copy_from_slice(&u64::from(size).to_le_bytes());
            table.extend(record);
            offset += size;
        }
        let size = 8 + table.len() as u32;
        let tail = [&(parts.len() as u32).to_le_bytes(), &size.to_le_bytes(), &table[..]].concat();
        let entry = Self { header_size: 64 + size, options_at: 64, release: (0, 1), tail, ..Self::new(JOINT, 0) };
        entry.packed(ZSTD, stored, u64::from(offset))
    }

    pub(crate) fn flags(mut self, flags: u64) -> Self {
        self.flags |= flags;
        self
    }

    /// The name of the source file, as `-G` keeps it; before the options.
    pub(crate) fn source(mut self, name: &str) -> Self {
        self.name_size = name.len() as u32;
        self.tail = text(name);
        self.header_size = 64 + self.tail.len() as u32;
        self
    }

    /// Options of `ptxas`, or attributes of newer architectures.
    pub(crate) fn options(mut self, options: &str) -> Self {
        self.options_at = 64 + self.tail.len() as u32;
        self.tail.extend((self.options_at + 8).to_le_bytes());
        self.tail.extend((options.len() as u32).to_le_bytes());
        self.tail.extend(text(options));
        self.header_size = 64 + self.tail.len() as u32;
        self
    }

    /// What `.nv.compat` says of the cubin, behind empty options: attribute 9, in a row of two.
    pub(crate) fn attributes(mut self, is_exact: bool) -> Self {
        self = self.flags(0x100_0000);
        self.options_at = 64 + self.tail.len() as u32;
        self.tail.extend((self.options_at + 8).to_le_bytes());
        self.tail.extend(8_u32.to_le_bytes());
        self.tail.extend([0, 3, 7, 1, 1, 2, 9, u8::from(is_exact), 0, 0, 0, 0, 0, 0, 0, 0]);
        self.header_size = 64 + self.tail.len() as u32;
        self
    }

    pub(crate) fn header_size(mut self, size: u32) -> Self {
        self.header_size = size;
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.stored = bytes.to_vec();
        self
    }

    /// Stored as `bytes`, which make `unpacked` bytes when `flag` is undone.
    pub(crate) fn packed(mut self, flag: u64, bytes: &[u8], unpacked: u64) -> Self {
        self.flags |= flag;
        self.compressed = bytes.len() as u32;
        self.unpacked = unpacked;
        self.raw(bytes)
    }

    /// The header with its tail.
    fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.kind.to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(self.header_size.to_le_bytes());
        out.extend(self.size.unwrap_or(self.stored.len().next_multiple_of(8) as u64).to_le_bytes());
        out.extend(self.compressed.to_le_bytes());
        out.extend(self.options_at.to_le_bytes());
        out.extend(self.release.1.to_le_bytes());
        out.extend(self.release.0.to_le_bytes());
        out.extend(self.architecture.to_le_bytes());
        out.extend(if self.name_size > 0 { 64_u32 } else { 0 }.to_le_bytes());
        out.extend(self.name_size.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        out.extend([0; 8]);
        out.extend(self.unpacked.to_le_bytes());
        assert_eq!(out.len(), 64, "the fixed part of a header");
        out.extend(&self.tail);
        let wanted = (self.header_size as usize).clamp(64, 1 << 16);
        out.resize(wanted.max(out.len()), 0);
        out
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = self.header();
        let start = out.len();
        out.extend(&self.stored);
        let end = start + self.stored.len().next_multiple_of(8);
        out.resize(end, 0);
        out
    }
}

/// A container; every field can be given a wrong value.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u16,
    pub(crate) header_size: u16,
    /// None: what is there.
    pub(crate) payload_size: Option<u64>,
    pub(crate) payload: Vec<u8>,
}

/// A container of these entries.
pub(crate) fn container(entries: impl IntoIterator<Item = Entry>) -> Container {
    let payload = entries.into_iter().flat_map(|entry| entry.build()).collect();
    Container { magic: CONTAINER_MAGIC, version: 1, header_size: 16, payload_size: None, payload }
}

impl Container {
    /// Zeros at the end of the payload.
    pub(crate) fn padded(mut self, bytes: usize) -> Self {
        self.payload.resize(self.payload.len() + bytes, 0);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.header_size.to_le_bytes());
        out.extend(self.payload_size.unwrap_or(self.payload.len() as u64).to_le_bytes());
        out.extend(&self.payload);
        out
    }
}

/// A host's record of a container (`.nvFatBinSegment`): version 1, or 2 as `-rdc=true` has it.
pub(crate) fn wrapper(version: u32, container: u64) -> Vec<u8> {
    [&WRAPPER_MAGIC[..], &version.to_le_bytes(), &container.to_le_bytes(), &[0; 8]].concat()
}

/// With a NUL, in whole words.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize((text.len() + 1).next_multiple_of(8), 0);
    bytes
}

/// Bytes that are neither a cubin nor PTX: no reader can say that there is nothing in them.
pub(crate) fn filler(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index as u8) | 0x11).collect()
}

/// A cubin of sm_87: an ELF file with these sections, each a name, `sh_flags` and a size.
pub(crate) fn cubin(sections: &[(&str, u64, usize)]) -> Vec<u8> {
    let sections: Vec<_> = sections.iter().map(|(name, flags, size)| (*name, *flags, filler(*size))).collect();
    cubin_for((0x33, 7), 0x57_0557, &sections)
}

/// A cubin as ptxas 13 writes it, with a kernel: `number` as in sm_87, and what `.note.nv.tkinfo` says of the variant.
pub(crate) fn noted_cubin(number: u32, arch: &str) -> Vec<u8> {
    let sections = [(".note.nv.tkinfo", 0, tool_note(arch)), (".text.k", 6, filler(32))];
    cubin_for((0x41, 8), 0x600_0002 | number << 8, &sections)
}

/// What ptxas says of itself: the words of the header, then its strings, the last of which is how it was called.
pub(crate) fn tool_note(arch: &str) -> Vec<u8> {
    let text = format!("\0ptxas\0Cuda compilation tools\0Build cuda\0-arch {arch} \0");
    let mut strings = text.into_bytes();
    strings.resize(strings.len().next_multiple_of(4), 0);
    let words: [u32; 6] = [2, 0, 1, 7, 30, 41];
    let description = [words.map(u32::to_le_bytes).as_flattened(), &strings].concat();
    let head = [12, description.len() as u32, 2000].map(u32::to_le_bytes);
    [head.as_flattened(), b"NVIDIA Corp\0", &description].concat()
}

/// EI_OSABI and EI_ABIVERSION, `e_flags`, sections with their contents.
pub(crate) fn cubin_for(abi: (u8, u8), flags: u32, sections: &[(&str, u64, Vec<u8>)]) -> Vec<u8> {
    let mut names = vec![0_u8];
    let mut body: Vec<u8> = Vec::new();
    let mut headers = vec![0_u8; 64];
    let mut put = |name: &str, kind: u32, flags: u64, bytes: &[u8]| {
        headers.extend((names.len() as u32).to_le_bytes());
        names.extend([name.as_bytes(), b"\0"].concat());
        headers.extend(kind.to_le_bytes());
        for word in [flags, 0, 64 + body.len() as u64, bytes.len() as u64, 0, 8, 0] {
            headers.extend(word.to_le_bytes());
        }
        body.extend(bytes);
    };
    for (name, flags, bytes) in sections {
        put(name, 1, *flags, bytes);
    }
    let all = sections.iter().map(|(name, ..)| *name).chain([".shstrtab"]);
    let strings: Vec<u8> = all.flat_map(|name| [b"\0", name.as_bytes()].concat()).chain([0]).collect();
    put(".shstrtab", 3, 0, &strings);
    let table = 64 + body.len().next_multiple_of(8);
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.extend([abi.0, abi.1]);
    out.resize(16, 0);
    // ET_EXEC, EM_CUDA.
    out.extend([2, 0, 190, 0, 1, 0, 0, 0]);
    for word in [0, 0, table as u64] {
        out.extend(word.to_le_bytes());
    }
    out.extend(flags.to_le_bytes());
    let count = sections.len() as u16 + 2;
    for half in [64, 56, 0, 64, count, count - 1] {
        out.extend(half.to_le_bytes());
    }
    out.extend(body);
    out.resize(table, 0);
    out.extend(headers);
    out
}

/// A Zstandard frame of raw blocks of so many bytes, which says that it unpacks to `said`.
pub(crate) fn frame(contents: &[u8], block: usize, said: u64) -> Vec<u8> {
    // A content size of eight bytes, a window of 8 MiB.
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x68];
    out.extend(said.to_le_bytes());
    let blocks: Vec<&[u8]> = contents.chunks(block).collect();
    for (index, bytes) in blocks.iter().enumerate() {
        let header = (bytes.len() as u32) << 3 | u32::from(index + 1 == blocks.len());
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(*bytes);
    }
    out
}

/// An archive as GNU ar writes it, without tables: names of up to 15 bytes.
pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        out.extend(
            format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", format!("{name}/"), 0, 0, 0, 644, bytes.len()).bytes(),
        );
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// A module with a kernel.
pub(crate) fn ptx(target: &str) -> Vec<u8> {
    format!("//\n// Generated\n//\n\n.version 9.0\n.target {target}\n.address_size 64\n\n.visible .entry k()\n{{\n\tret;\n}}\n").into()
}

/// Fat binaries that between them have everything that the reader looks at.
pub(crate) fn presets() -> Vec<(&'static str, Vec<u8>)> {
    let kernel = cubin(&[(".nv.info", 0, 16), (".text.k", 6, 32)]);
    let nothing = cubin(&[(".nv.info", 0, 16)]);
    let text = b".version 9.3\n.target sm_75\n.address_size 64\n";
    let parts =
        [Entry::cubin(75), Entry::cubin(100).options("attributes"), Entry::new(PTX, 90).source("k.cu").options("-g")];
    // An LZ4 block of literals, a Zstandard frame of one raw block.
    let block = [&[0xf0, text.len() as u8 - 15][..], text].concat();
    let packed = [
        &[
            0x28,
            0xb5,
            0x2f,
            0xfd,
            0x20,
            text.len() as u8,
            ((text.len() as u16) << 3 | 1) as u8,
            (text.len() >> 5) as u8,
            0,
        ][..],
        text,
    ]
    .concat();
    let size = text.len() as u64;
    let two = [container([Entry::cubin(87)]).build(), container([Entry::ptx(90).flags(EXACT)]).build()];
    vec![
        ("empty", container([]).build()),
        ("kernel", container([Entry::cubin(87).raw(&kernel)]).build()),
        ("nothing", container([Entry::cubin(75).raw(&nothing), Entry::ptx(75).raw(text)]).build()),
        ("lz4", container([Entry::ptx(75).packed(LZ4, &block, size)]).build()),
        ("zstd", container([Entry::ptx(75).packed(ZSTD, &packed, size)]).build()),
        ("joint", container([Entry::joint(&parts, &filler(60)), Entry::lto_ir(80)]).build()),
        ("adjacent", two.concat()),
        ("apart", two.join(&[0; 24][..])),
        ("raw", [&[0; 40], &kernel[..], &noted_cubin(100, "sm_100a"), b"\0", &ptx("sm_90a"), b"\0"].concat()),
        ("frames", [frame(&kernel, 64, kernel.len() as u64), frame(&noted_cubin(120, "sm_120f"), 4096, 0)].concat()),
        ("frame", frame(&kernel, 1 << 17, kernel.len() as u64)),
        ("cubin", noted_cubin(103, "sm_103a")),
        ("ptx", ptx("sm_75")),
        ("archive", archive(&[("k.cubin", &kernel), ("k.fatbin", &container([Entry::new(0x80, 80)]).build())])),
        (
            "kinds",
            container([Entry::new(0x40, 80), Entry::new(0x20, 0), Entry::new(0x77, 80), Entry::cubin(87)]).build(),
        ),
        ("family", container([Entry::cubin(100).flags(FAMILY), Entry::cubin(120).flags(DEBUG)]).padded(40).build()),
    ]
}
