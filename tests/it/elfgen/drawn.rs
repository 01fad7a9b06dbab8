//! Any sound layout, and any damage to it, drawn from bytes: a fuzzer's or a generator's of random numbers.

use super::choices::{Class, Headers, Kind, Order, Packing, Segments, StringsAt};
use super::damage::{Damage, Field};
use super::machine::Machine;
use super::spec::Spec;

/// Bytes that answer questions, one byte each; behind the last one every answer is the first of those offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// A number of up to eight bytes, the lowest first.
    pub(crate) fn number(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |sum, index| sum | u64::from(self.byte()) << (8 * index))
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const PATHS: [&str; 8] = [
    "",
    "/a",
    "$ORIGIN/old",
    "/opt/lib:/opt/shared_tail",
    "/some/rather/long/folder/of/a/toolkit/lib/stubs",
    "/usr/local/lib/stubs:/opt/some/long/folder/that/stays",
    ":/opt/empty::/entries:",
    "/opt/some/long/folder/that/stays",
];

/// Where a program may be linked to start: multiples of every alignment below.
const BASES: [u64; 3] = [0x40_0000, 0x20_0000, 0x1000_0000];

impl Spec {
    /// Any combination of knobs that makes a sound image; `large` permits memory of hundreds of megabytes.
    pub(crate) fn drawn(choices: &mut Choices<'_>, machine: Machine, large: bool) -> Self {
        let mut spec = match choices.one_of(&[Kind::Library, Kind::Pie, Kind::Exec]) {
            Kind::Library => Self::library(machine),
            Kind::Pie => Self::pie(machine),
            _ => Self::exec(machine),
        };
        if machine == Machine::Unknown {
            spec = spec.class(choices.one_of(&[Class::Elf64, Class::Elf32]));
            spec = spec.order(choices.one_of(&[Order::Little, Order::Big]));
        }
        for _ in 0..choices.one_of(&[1, 0, 1, 2]) {
            let path = choices.one_of(&PATHS);
            spec = if choices.flag() { spec.rpath(path) } else { spec.runpath(path) };
        }
        spec = spec.headers(choices.one_of(&[Headers::End, Headers::None, Headers::BehindTable]));
        spec = spec.segments(choices.one_of(&[Segments::Separate, Segments::CodeFirst, Segments::Combined]));
        spec = spec.packing(choices.one_of(&[Packing::Tight, Packing::Padded]));
        spec = spec.strings_at(choices.one_of(&[
            StringsAt::WithHeaders,
            StringsAt::EndOfReadOnly,
            StringsAt::TrailingReadOnly,
            StringsAt::TrailingWritable,
        ]));
        spec = spec.spare(choices.below(4));
        let (gap, fill) = choices.one_of(&[(0, 0), (32, 0), (56, 0), (64, b'X'), (112, 0), (200, b'Z')]);
        spec = spec.gap(gap, fill);
        // Too large to be copied without need; too large to be copied at all.
        let sizes: &[u64] = &[0, 8, 0x1000, 0x1_4000, 300 << 20];
        spec = spec.bss(choices.one_of(&sizes[..if large { 5 } else { 4 }]));
        spec = spec.aligns(choices.one_of(&[
            &[][..],
            &[0x1000],
            &[0x1_0000],
            &[0x20_0000],
            &[0x1000, 0x1000, 0x1000, 0x1_0000],
        ]));
        if spec.kind == Kind::Exec {
            spec = spec.base(choices.one_of(&BASES));
        }
        let (load, bytes) = (choices.below(4), u64::from(choices.byte()) * 3);
        spec = spec.slack(load, bytes).dead(&vec![choices.one_of(b"d\0"); choices.below(120)]);
        spec = spec.text(choices.one_of(&[256, 96, 5000])).data(choices.one_of(&[64, 8, 5000]));
        spec.contents(choices, machine)
    }

    /// What lies in the tables, and the program headers that may be left out.
    fn contents(mut self, choices: &mut Choices<'_>, machine: Machine) -> Self {
        // One of the two tables must be there: without section headers nothing else counts the symbols.
        let (sysv, gnu) = choices.one_of(&[(false, true), (true, true), (true, false)]);
        self = self.hashes(sysv, gnu);
        if choices.flag() {
            self = self.exports("shared_tail").exports("/opt/some/long/folder/that/stays");
        }
        self.merge_tails = choices.flag();
        (self.build_id, self.property, self.tls) = (choices.flag(), choices.flag(), choices.flag());
        (self.null_slot, self.empty_note) = (choices.flag(), choices.flag());
        (self.gnu_stack, self.relro) = (!choices.flag(), choices.flag());
        self.relacount = choices.flag() && machine.relocations().is_some();
        self.debug_tag |= choices.flag();
        self.phdr |= choices.flag();
        if choices.flag() {
            self = self.verneed("libdep.so.1", "DEP_1.0");
        }
        if choices.flag() {
            self = self.verdef("GEN_1.0").verdef("GEN_2.0");
        }
        if choices.flag() {
            // A missing auxiliary library is no reason not to load.
            self = self.string_tag(0x7fff_fffd, "libmissing.so.1");
        }
        self.foreign_user = choices.below(4) == 1;
        if choices.below(4) == 1 {
            self = self.overlay(choices.one_of(&[&[b'P'; 100][..], b"MAGIC*00001", b"P"]));
        }
        if choices.below(4) == 1 {
            self = self.ldcache(&[("libdep.so.1", "=/nix/store/00000000000000000000000000000000-dep/lib/libdep.so.1")]);
            self = self.ldcache_room(choices.one_of(&[0, 100, 400]));
        }
        self
    }
}

/// Any machine.
pub(crate) fn machine(choices: &mut Choices<'_>) -> Machine {
    choices.one_of(&Machine::ALL)
}

impl Damage {
    /// Puts something into one field. False once the bytes ask for no more of it.
    pub(crate) fn drawn(&mut self, choices: &mut Choices<'_>) -> bool {
        let kind = choices.below(8);
        if kind == 0 {
            return false;
        }
        let field = match kind {
            1 => self.drawn_header(choices),
            2 => self.drawn_segment(choices),
            3 => self.drawn_section(choices),
            4 | 5 => self.drawn_dynamic(choices),
            _ => self.drawn_table(choices),
        };
        let Some(field) = field else { return true };
        let value = self.drawn_value(choices, field);
        *self = self.clone().put(field, value);
        true
    }

    fn drawn_header(&self, choices: &mut Choices<'_>) -> Option<Field> {
        Some(self.header(choices.one_of(&[
            "e_type",
            "e_machine",
            "e_version",
            "e_entry",
            "e_phoff",
            "e_shoff",
            "e_ehsize",
            "e_phentsize",
            "e_phnum",
            "e_shentsize",
            "e_shnum",
            "e_shstrndx",
        ])))
    }

    fn drawn_segment(&self, choices: &mut Choices<'_>) -> Option<Field> {
        let index = choices.below(self.image.segments.len());
        let fields = ["p_type", "p_flags", "p_offset", "p_vaddr", "p_filesz", "p_memsz", "p_align"];
        Some(self.segment(index, choices.one_of(&fields)))
    }

    fn drawn_section(&self, choices: &mut Choices<'_>) -> Option<Field> {
        let count = self.image.sections.len();
        let index = if count == 0 { return None } else { choices.below(count) };
        Some(self.section(
            index,
            choices.one_of(&[
                "sh_name",
                "sh_type",
                "sh_flags",
                "sh_addr",
                "sh_offset",
                "sh_size",
                "sh_link",
                "sh_info",
                "sh_addralign",
                "sh_entsize",
            ]),
        ))
    }

    fn drawn_dynamic(&self, choices: &mut Choices<'_>) -> Option<Field> {
        let (tag, value) = self.dynamic(choices.below(self.image.dynamic.len() + 1));
        Some(if choices.flag() { tag } else { value })
    }

    /// A half or a whole word of what the dynamic section points to: hash tables, strings, symbols, versions.
    fn drawn_table(&self, choices: &mut Choices<'_>) -> Option<Field> {
        let tag = choices.one_of(&[4, 5, 6, 0x6fff_fef5, 0x6fff_fff0, 0x6fff_fffc, 0x6fff_fffe, 7, 17]);
        let size = choices.one_of(&[4, 2, 1]);
        let at = self.target_of(tag)? + u64::from(choices.byte()) * 2;
        (at + size <= self.bytes.len() as u64).then_some((at, size))
    }

    /// The values that break careless readers, and what another field says.
    fn drawn_value(&self, choices: &mut Choices<'_>, field: Field) -> u64 {
        let was = self.get(field);
        match choices.below(14) {
            0 => choices.number(1),
            1 => choices.number(2),
            2 => choices.number(8),
            3 => was.wrapping_add(1),
            4 => was.wrapping_sub(1),
            5 => was.wrapping_add(choices.number(2)),
            6 => was.wrapping_sub(choices.number(2)),
            7 => was ^ 1 << choices.below(64),
            8 => self.half(),
            9 => self.max() - choices.number(1),
            10 => self.bytes.len() as u64 - choices.number(1).min(8),
            11 => was | self.half(),
            12 => {
                let other = self.drawn_segment(choices);
                other.map_or(0, |other| self.get(other)).wrapping_add(choices.number(1))
            }
            _ => {
                let other = self.drawn_dynamic(choices);
                other.map_or(0, |other| self.get(other)).wrapping_add(choices.number(1))
            }
        }
    }
}
