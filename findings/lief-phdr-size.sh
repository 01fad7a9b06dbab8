#!/usr/bin/env bash
# LIEF 0.17.0: after a library and a RUNPATH were added to a program, its PT_PHDR is larger than its table of program headers
# (gABI 5, "Program Header": PT_PHDR tells size and place of that table). The program runs: glibc takes the table from the
# ELF header. A tool that holds PT_PHDR and e_phnum against each other refuses the file.
# Seen: e_phnum * e_phentsize = 784 bytes, p_filesz of PT_PHDR = 4824; before, both are 728.
# Needs: Linux on x86-64, python3 with venv, cc, network to PyPI. Fails when LIEF does otherwise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install lief==0.17.0
printf 'int main(void) { return 0; }\n' | cc -x c - -o "$work/before"
"$work/venv/bin/python" - "$work/before" "$work/after" <<'PYTHON'
import struct
import sys

import lief

before, after = sys.argv[1:]


def table_and_phdr(path):
    """Bytes of the table of program headers, and what PT_PHDR says of it."""
    data = open(path, "rb").read()
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, _, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + index * size)
        if kind == 6:
            return size * count, length
    raise SystemExit("no PT_PHDR")


program = lief.parse(before)
program.add_library("libm.so.6")
program.add(lief.ELF.DynamicEntryRunPath(["/x" * 40]))
program.write(after)
print("lief", lief.__version__, "before", table_and_phdr(before), "after", table_and_phdr(after))
table, phdr = table_and_phdr(before)
assert table == phdr, "the compiler's file is right"
table, phdr = table_and_phdr(after)
assert phdr != table, "PT_PHDR is the table's size now"
PYTHON
chmod +x "$work/after"
"$work/after"
echo "the program runs all the same"
