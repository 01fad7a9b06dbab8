"""Reads pairs of files, before and after an edit, with pyelftools: everything that it knows how to read.

Prints one line for each pair: the search path of the edited file. Says on standard error what cannot be read, or what
differs and should not.
"""

import sys

from elftools.elf.dynamic import DynamicSection, DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.hash import ELFHashSection, GNUHashSection
from elftools.elf.notes import iter_notes
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import NoteSection, SymbolTableSection


def dynamic(tags):
    """The dynamic entries that are text, and the search paths."""
    tags = list(tags)
    texts = [(tag.entry.d_tag, tag.needed) for tag in tags if tag.entry.d_tag == "DT_NEEDED"]
    texts += [(tag.entry.d_tag, tag.soname) for tag in tags if tag.entry.d_tag == "DT_SONAME"]
    paths = [tag for tag in tags if tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH")]
    return texts, [getattr(tag, "runpath", None) or tag.rpath for tag in paths]


def read(path):
    """All that must be the same after an edit, and the search path."""
    found = {}
    with open(path, "rb") as stream:
        elf = ELFFile(stream)
        found["header"] = (elf.header.e_type, elf.header.e_machine, elf.header.e_entry, elf.num_sections())
        paths = None
        for segment in elf.iter_segments():
            segment.data()
            if isinstance(segment, DynamicSegment):
                found["dynamic"], paths = dynamic(segment.iter_tags())
                found["dynamic symbols"] = [(symbol.name, symbol.entry) for symbol in segment.iter_symbols()]
                found["relocations"] = sorted(segment.get_relocation_tables())
            elif segment["p_type"] in ("PT_NOTE", "PT_GNU_PROPERTY"):
                for note in iter_notes(elf, segment["p_offset"], segment["p_filesz"]):
                    found[f"note {note.n_name} {note.n_type}"] = note.n_desc
        for section in elf.iter_sections():
            section.data()
            name = section.name
            if isinstance(section, SymbolTableSection):
                # The values of symbols that name a section are those of sections, which may move.
                keep = [symbol for symbol in section.iter_symbols() if symbol.entry.st_info.type != "STT_SECTION"]
                found[name] = [(symbol.name, symbol.entry.st_size, symbol.entry.st_shndx) for symbol in keep]
            elif isinstance(section, (GNUVerNeedSection, GNUVerDefSection)):
                versions = section.iter_versions()
                found[name] = [(getattr(one, "name", None), [aux.name for aux in more]) for one, more in versions]
            elif isinstance(section, RelocationSection):
                found[name] = [relocation.entry for relocation in section.iter_relocations()]
            elif isinstance(section, (GNUHashSection, ELFHashSection)):
                found[name] = section.get_number_of_symbols()
            elif isinstance(section, DynamicSection):
                if dynamic(section.iter_tags())[1] != paths:
                    print(f"{path}: section and segment have other search paths", file=sys.stderr)
            elif isinstance(section, NoteSection):
                found[name] = [note.n_desc for note in section.iter_notes()]
    return found, paths


def main(files):
    for before, after in zip(files[::2], files[1::2]):
        (old, _), (new, paths) = read(before), read(after)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                print(f"{after}: {key} was {old.get(key)} and is {new.get(key)}", file=sys.stderr)
        print(*paths)


main(sys.argv[1:])
