//! What an image should look like: a value with defaults, changed by a chain of calls.

use super::choices::{Class, Headers, Kind, Order, Packing, Segments, StringsAt, Tag};
use super::machine::Machine;

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) class: Class,
    pub(crate) order: Order,
    pub(crate) machine: Machine,
    pub(crate) kind: Kind,
    pub(crate) headers: Headers,
    pub(crate) segments: Segments,
    pub(crate) packing: Packing,
    pub(crate) strings_at: StringsAt,
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    pub(crate) paths: Vec<(Tag, Vec<u8>)>,
    /// `DT_NULL` entries behind the terminator.
    pub(crate) spare: usize,
    pub(crate) debug_tag: bool,
    pub(crate) relacount: bool,
    pub(crate) rld_map: bool,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) merge_tails: bool,
    pub(crate) verneed: Vec<(String, String)>,
    pub(crate) verdef: Vec<String>,
    pub(crate) hash: bool,
    pub(crate) gnu_hash: bool,
    pub(crate) build_id: bool,
    pub(crate) property: bool,
    pub(crate) ldcache: Option<Vec<(String, String)>>,
    /// Zero bytes behind the note's pairs.
    pub(crate) ldcache_room: usize,
    /// Dynamic entries with strings of their own, such as `DT_AUDIT`.
    pub(crate) string_tags: Vec<(u64, String)>,
    /// A section of another type that refers to `.dynstr`, by the offset of the path.
    pub(crate) foreign_user: bool,
    pub(crate) phdr: bool,
    pub(crate) null_slot: bool,
    pub(crate) empty_note: bool,
    pub(crate) gnu_stack: bool,
    pub(crate) relro: bool,
    pub(crate) tls: bool,
    /// Bytes between the program header table and what follows, and what they hold.
    pub(crate) gap: (u64, u8),
    /// Extra file bytes behind a segment: index among the `PT_LOAD`s, number of zero bytes.
    pub(crate) slack: Vec<(usize, u64)>,
    pub(crate) bss: u64,
    pub(crate) text: u64,
    pub(crate) rodata: u64,
    pub(crate) data: u64,
    /// `p_align` of each `PT_LOAD`; the last one given holds for the rest, none means the machine's page.
    pub(crate) aligns: Vec<u64>,
    pub(crate) base: u64,
    pub(crate) overlay: Vec<u8>,
    /// Unreferenced bytes inside `.dynstr`.
    pub(crate) dead: Vec<u8>,
    /// What the exported function `which` returns; none leaves it out.
    pub(crate) answer: Option<u32>,
    /// Exported functions with the machine code of each.
    pub(crate) functions: Vec<(String, Vec<u8>)>,
    /// Strings among the constants, each between two NUL bytes.
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) notes: Vec<Note>,
    /// Sections with contents of any kind, by name: `.text…` is code, `.data…` and `.nvFatBinSegment` are writable. One of the same
    /// name as another section comes behind it.
    pub(crate) gpu_code: Vec<(&'static str, Vec<u8>)>,
    /// Another loader than the machine's usual one.
    pub(crate) interpreter: Option<String>,
}

/// A note in a section and a `PT_NOTE` of its own.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) section: &'static str,
    /// Without its NUL.
    pub(crate) owner: &'static str,
    pub(crate) kind: u32,
    pub(crate) descriptor: Vec<u8>,
    /// How far `n_descsz` reaches past the section.
    pub(crate) overrun: u32,
}

impl Spec {
    pub(crate) fn new(machine: Machine, kind: Kind) -> Self {
        let program = matches!(kind, Kind::Exec | Kind::Pie);
        Self {
            class: machine.class(),
            order: machine.order(),
            machine,
            kind,
            headers: Headers::End,
            segments: Segments::Separate,
            packing: Packing::Tight,
            strings_at: StringsAt::WithHeaders,
            needed: Vec::new(),
            soname: None,
            paths: Vec::new(),
            spare: 5,
            debug_tag: program,
            relacount: false,
            rld_map: false,
            imports: Vec::new(),
            exports: Vec::new(),
            merge_tails: false,
            verneed: Vec::new(),
            verdef: Vec::new(),
            hash: false,
            gnu_hash: true,
            build_id: false,
            property: false,
            ldcache: None,
            ldcache_room: 0,
            string_tags: Vec::new(),
            foreign_user: false,
            phdr: program,
            null_slot: false,
            empty_note: false,
            gnu_stack: true,
            relro: false,
            tls: false,
            gap: (0, 0),
            slack: Vec::new(),
            bss: 0,
            text: 256,
            rodata: 128,
            data: 64,
            aligns: Vec::new(),
            base: if matches!(kind, Kind::Exec | Kind::Static) { 0x40_0000 } else { 0 },
            overlay: Vec::new(),
            dead: Vec::new(),
            answer: None,
            functions: Vec::new(),
            texts: Vec::new(),
            notes: Vec::new(),
            gpu_code: Vec::new(),
            interpreter: None,
        }
    }

    /// A library that needs `libdep.so.1` and calls its `which`: the test sees which folder won.
    pub(crate) fn library(machine: Machine) -> Self {
        Self::new(machine, Kind::Library).soname("libgen.so.1").needs("libdep.so.1").imports("which")
    }

    /// A position-independent program; its exit code is 40 plus what `which` returns.
    pub(crate) fn pie(machine: Machine) -> Self {
        Self::new(machine, Kind::Pie).needs("libdep.so.1").imports("which")
    }

    pub(crate) fn exec(machine: Machine) -> Self {
        Self::new(machine, Kind::Exec).needs("libdep.so.1").imports("which")
    }

    /// The dependency that the images above need: `which` returns `answer`.
    pub(crate) fn dependency(machine: Machine, answer: u32) -> Self {
        let mut spec = Self::new(machine, Kind::Library).soname("libdep.so.1").verdef("DEP_1.0");
        spec.answer = Some(answer);
        spec
    }

    pub(crate) fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
    pub(crate) fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }
    pub(crate) fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
    pub(crate) fn segments(mut self, segments: Segments) -> Self {
        self.segments = segments;
        self
    }
    pub(crate) fn packing(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }
    pub(crate) fn strings_at(mut self, place: StringsAt) -> Self {
        self.strings_at = place;
        self
    }
    pub(crate) fn needs(mut self, soname: &str) -> Self {
        self.needed.push(soname.into());
        self
    }
    pub(crate) fn soname(mut self, soname: &str) -> Self {
        self.soname = Some(soname.into());
        self
    }
    pub(crate) fn runpath(mut self, path: impl AsRef<[u8]>) -> Self {
        self.paths.push((Tag::Runpath, path.as_ref().to_vec()));
        self
    }
    pub(crate) fn rpath(mut self, path: impl AsRef<[u8]>) -> Self {
        self.paths.push((Tag::Rpath, path.as_ref().to_vec()));
        self
    }
    pub(crate) fn spare(mut self, count: usize) -> Self {
        self.spare = count;
        self
    }
    pub(crate) fn debug_tag(mut self, present: bool) -> Self {
        self.debug_tag = present;
        self
    }
    pub(crate) fn relacount(mut self) -> Self {
        self.relacount = true;
        self
    }
    pub(crate) fn rld_map(mut self) -> Self {
        self.rld_map = true;
        self
    }
    pub(crate) fn imports(mut self, name: &str) -> Self {
        self.imports.push(name.into());
        self
    }
    pub(crate) fn exports(mut self, name: &str) -> Self {
        self.exports.push(name.into());
        self
    }
    pub(crate) fn merge_tails(mut self) -> Self {
        self.merge_tails = true;
        self
    }
    pub(crate) fn verneed(mut self, library: &str, version: &str) -> Self {
        self.verneed.push((library.into(), version.into()));
        self
    }
    pub(crate) fn verdef(mut self, version: &str) -> Self {
        self.verdef.push(version.into());
        self
    }
    /// `DT_HASH` and `DT_GNU_HASH`, each on its own switch.
    pub(crate) fn hashes(mut self, sysv: bool, gnu: bool) -> Self {
        (self.hash, self.gnu_hash) = (sysv, gnu);
        self
    }
    pub(crate) fn build_id(mut self) -> Self {
        self.build_id = true;
        self
    }
    /// `.note.gnu.property` with `PT_GNU_PROPERTY` and a `PT_NOTE` of the same range.
    pub(crate) fn property(mut self) -> Self {
        self.property = true;
        self
    }
    pub(crate) fn ldcache(mut self, pairs: &[(&str, &str)]) -> Self {
        self.ldcache = Some(pairs.iter().map(|&(a, b)| (a.into(), b.into())).collect());
        self
    }
    pub(crate) fn ldcache_room(mut self, bytes: usize) -> Self {
        self.ldcache_room = bytes;
        self
    }
    pub(crate) fn string_tag(mut self, tag: u64, text: &str) -> Self {
        self.string_tags.push((tag, text.into()));
        self
    }
    pub(crate) fn foreign_user(mut self) -> Self {
        self.foreign_user = true;
        self
    }
    pub(crate) fn phdr(mut self, present: bool) -> Self {
        self.phdr = present;
        self
    }
    pub(crate) fn null_slot(mut self) -> Self {
        self.null_slot = true;
        self
    }
    pub(crate) fn empty_note(mut self) -> Self {
        self.empty_note = true;
        self
    }
    pub(crate) fn gnu_stack(mut self, present: bool) -> Self {
        self.gnu_stack = present;
        self
    }
    pub(crate) fn relro(mut self) -> Self {
        self.relro = true;
        self
    }
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }
    pub(crate) fn gap(mut self, bytes: u64, fill: u8) -> Self {
        self.gap = (bytes, fill);
        self
    }
    pub(crate) fn slack(mut self, load: usize, bytes: u64) -> Self {
        self.slack.push((load, bytes));
        self
    }
    pub(crate) fn bss(mut self, bytes: u64) -> Self {
        self.bss = bytes;
        self
    }
    pub(crate) fn text(mut self, bytes: u64) -> Self {
        self.text = bytes;
        self
    }
    pub(crate) fn data(mut self, bytes: u64) -> Self {
        self.data = bytes;
        self
    }
    pub(crate) fn aligns(mut self, aligns: &[u64]) -> Self {
        self.aligns = aligns.to_vec();
        self
    }
    pub(crate) fn base(mut self, address: u64) -> Self {
        self.base = address;
        self
    }
    pub(crate) fn overlay(mut self, bytes: &[u8]) -> Self {
        self.overlay = bytes.to_vec();
        self
    }
    pub(crate) fn dead(mut self, bytes: &[u8]) -> Self {
        self.dead = bytes.to_vec();
        self
    }

    pub(crate) fn function(mut self, name: &str, code: &[u8]) -> Self {
        self.functions.push((name.into(), code.to_vec()));
        self
    }
    pub(crate) fn carries(mut self, text: impl AsRef<[u8]>) -> Self {
        self.texts.push(text.as_ref().to_vec());
        self
    }
    pub(crate) fn note(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }
    pub(crate) fn gpu_code(mut self, section: &'static str, bytes: &[u8]) -> Self {
        self.gpu_code.push((section, bytes.to_vec()));
        self
    }
    pub(crate) fn interpreter(mut self, path: &str) -> Self {
        self.interpreter = Some(path.into());
        self
    }

    /// The image's bytes.
    pub(crate) fn build(&self) -> Vec<u8> {
        super::emit::image(self)
    }

    pub(crate) fn has_interpreter(&self) -> bool {
        matches!(self.kind, Kind::Exec | Kind::Pie)
    }

    pub(crate) fn interpreter_path(&self) -> &str {
        self.interpreter.as_deref().unwrap_or(self.machine.interpreter())
    }

    pub(crate) fn is_dynamic(&self) -> bool {
        !matches!(self.kind, Kind::Static | Kind::Relocatable | Kind::Core)
    }

    /// Whether this machine can load or run the image.
    pub(crate) fn runs_here(&self) -> bool {
        cfg!(all(target_arch = "x86_64", target_os = "linux"))
            && self.machine == Machine::X86_64
            && self.class == Class::Elf64
            && self.order == Order::Little
            && matches!(self.kind, Kind::Exec | Kind::Pie | Kind::Library)
    }
}
