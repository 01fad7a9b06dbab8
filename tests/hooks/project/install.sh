# Puts the files that a case names into its outputs. Search paths are $runpath, or $lib/lib and the stub folder.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2048 # The variables are the derivation's; lists are strings or arrays.

# link OUTPUT ARGUMENT...: to an object whose DT_RUNPATH is as said above.
link() {
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    gcc -o "$file" "$@" -Wl,"${tagOption:---enable-new-dtags}",-rpath,"${runpath:-$lib/lib:$stubs}"
}

putOwned() {
    mkdir -p "$lib/lib"
    gcc -shared -Wl,-soname,libowned.so -o "$lib/lib/libowned.so" "$fixtures/owned.o"
}
putApp() { link "$out/bin/app" "$fixtures/app.o" "$lib/lib/libowned.so" "$stubs/libcuda.so.1"; }
putConsumer() { runpath=$stubs link "$1" -shared "$fixtures/consumer.o" "$stubs/libcuda.so.1"; }
putModule() { putConsumer "$out/lib/module"; }
putSpaces() { putConsumer "$out/lib/a module with spaces.so"; }
putPlain() {
    mkdir -p "$lib/lib"
    gcc -shared -o "$lib/lib/libplain.so" "$fixtures/consumer.o" "$stubs/libcuda.so.1"
}
putReadOnly() {
    putConsumer "$out/lib/readonly.so"
    chmod 0444 "$out/lib/readonly.so"
}
putHardLinks() {
    putConsumer "$out/lib/one.so"
    ln "$out/lib/one.so" "$out/lib/two.so"
}
putSymlink() { ln -s app "$out/bin/alias"; }
putStatic() { install -D -t "$out/bin" "$fixtures/static"; }
putStaticPie() { install -D -t "$out/bin" "$fixtures/static-pie"; }
putDebug() { install -D -m 0644 -t "$out/lib/debug" "$fixtures/consumer.debug"; }
putForeign() { install -D -t "$out/lib" "$fixtures/foreign.so"; }
putBits32() { install -D -t "$out/lib" "$fixtures/bits32.so"; }
putHeaderless() {
    putConsumer "$out/lib/headerless.so"
    # gABI "ELF Header", 64-bit: e_shoff is 8 bytes at 40; e_shnum and e_shstrndx are 4 bytes at 60.
    dd if=/dev/zero of="$out/lib/headerless.so" bs=1 seek=40 count=8 conv=notrunc status=none
    dd if=/dev/zero of="$out/lib/headerless.so" bs=1 seek=60 count=4 conv=notrunc status=none
}
putBroken() {
    putConsumer "$out/lib/broken.so"
    # e_phoff, 8 bytes at 32: program headers far behind the end of the file.
    printf '\377\377\377\377\377\0\0\0' | dd of="$out/lib/broken.so" bs=1 seek=32 conv=notrunc status=none
}
# Without a place for a longer path: no padding inside, and something at the end that must stay there.
putFull() {
    mkdir -p "$out/lib"
    printf 'const char *name = "%s"; int full(void) { return 1; }\n' "$2" |
        gcc -shared -o "$1" -Wl,-z,noseparate-code,-z,norelro,-rpath,/full -x c -
    printf payload >>"$1"
}
putFullPlain() { putFull "$out/lib/full.so" nothing; }
putFullConsumer() { putFull "$out/lib/consumer.so" libcuda.so.1; }
putText() {
    mkdir -p "$out/bin" "$out/share/a folder"
    echo "libcuda.so.1" >"$out/share/a folder/read me.txt"
    echo '#!/bin/sh' >"$out/bin/script"
    chmod +x "$out/bin/script"
}
# A fat binary with machine code for 8.0 and 9.0, and PTX: 4160 bytes of each kind of machine code, with headers.
putKernels() {
    mkdir -p "$out/lib"
    gcc -shared -nostdlib -o "$out/lib/libkernels.so" -x assembler - <<'END'
        .section .nv_fatbin, "a"
        .balign 8
        .4byte 0xba55ed50
        .2byte 1, 16
        .8byte .Lend - .Lfirst
        .macro entry kind, architecture, size
        .2byte \kind, 0x101
        .4byte 64
        .8byte \size
        .4byte 0, 0
        .2byte 0, 0
        .4byte \architecture
        .4byte 0, 0
        .8byte 0x11, 0, 0
        .fill \size, 1, 0x11
        .endm
.Lfirst:  entry 2, 80, 4096
        entry 2, 90, 4096
        entry 1, 80, 1024
.Lend:    .section .note.GNU-stack, "", %progbits
END
}
putWrapped() {
    link "$out/bin/.foo-wrapped" "$fixtures/app.o" "$lib/lib/libowned.so" "$stubs/libcuda.so.1"
    # shellcheck disable=SC2016 # For the script.
    printf '#!/bin/bash\nexec "%s" "$@"\n' "$out/bin/.foo-wrapped" >"$out/bin/foo"
    chmod +x "$out/bin/foo"
}

for kind in ${contents[*]}; do
    "put$kind"
done
