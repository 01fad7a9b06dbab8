//! One named image per interesting layout.
//!
//! `rung-X-…` is made so that, with the default policy and `/run/opengl-driver/lib`, rung X of the ladder for a string's place is the
//! first that fits. Images for x86-64 that [`Spec::runs_here`] accepts find their old dependency in `$ORIGIN/old` unless their name says otherwise.

use super::Machine::*;
use super::{Class, Headers, Kind, Machine, Order, Packing, Segments, Spec, StringsAt};

const OLD: &str = "$ORIGIN/old";
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Room nowhere: segments follow each other without padding.
fn tight(machine: Machine) -> Spec {
    Spec::library(machine).runpath(OLD)
}

/// Also no room for another program header: code lies directly behind the table.
fn code_first(machine: Machine) -> Spec {
    tight(machine).segments(Segments::CodeFirst)
}

fn padded(machine: Machine) -> Spec {
    tight(machine).packing(Packing::Padded)
}

/// The preset of this name.
pub(crate) fn preset(name: &str) -> Spec {
    presets().into_iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no preset {name}")).1
}

pub(crate) fn presets() -> Vec<(&'static str, Spec)> {
    let mut list = rungs();
    list.extend(slots());
    list.extend(contents());
    list.extend(shapes());
    list.extend(machines());
    list.extend(untouched());
    list
}

fn rungs() -> Vec<(&'static str, Spec)> {
    let shared = "x/run/opengl-driver/lib:$ORIGIN/old";
    let stub = "/usr/local/cuda-12.8/targets/x86_64-linux/lib/stubs:$ORIGIN/old";
    vec![
        ("rung-a-share", tight(X86_64).exports(shared)),
        ("rung-a-share-be", tight(S390x).exports(shared)),
        ("rung-b-overwrite", Spec::library(X86_64).runpath(stub)),
        ("rung-b-overwrite-pie", Spec::pie(X86_64).runpath(stub)),
        ("rung-b-overwrite-32-be", Spec::library(Ppc).runpath("/opt/some/long/folder/name/of/a/toolkit/lib/stubs")),
        ("rung-c-dead-zero", tight(X86_64).dead(&[0; 200])),
        ("rung-c-dead-garbage", code_first(X86_64).dead(&[b'd'; 200])),
        ("rung-c-dead-32", tight(I386).dead(&[0; 200])),
        ("rung-d-grow-own", tight(X86_64).strings_at(StringsAt::TrailingReadOnly)),
        ("rung-d-grow-own-be", tight(S390x).strings_at(StringsAt::TrailingReadOnly)),
        ("rung-d-grow-patchelf", tight(X86_64).strings_at(StringsAt::TrailingWritable).gap(56, b'X')),
        ("rung-d-grow-end-of-read-only", padded(X86_64).strings_at(StringsAt::EndOfReadOnly)),
        ("rung-e-slack", padded(X86_64)),
        ("rung-e-slack-pie", Spec::pie(X86_64).runpath(OLD).packing(Packing::Padded).property().relro()),
        ("rung-e-slack-exec", Spec::exec(X86_64).runpath(OLD).packing(Packing::Padded)),
        ("rung-e-slack-combined", padded(X86_64).segments(Segments::Combined).bss(64)),
        ("rung-e-slack-code-first", padded(X86_64).segments(Segments::CodeFirst).bss(64)),
        ("rung-e-slack-code", tight(X86_64).slack(1, 512)),
        ("rung-e-slack-knob", tight(X86_64).slack(0, 512)),
        ("rung-e-slack-no-headers", padded(X86_64).headers(Headers::None).bss(64)),
        ("rung-e-slack-overlay", padded(X86_64).overlay(&[b'P'; 5000])),
        ("rung-e-slack-aarch64", padded(Aarch64)),
        ("rung-f-null-slot", tight(X86_64).null_slot()),
        ("rung-f-null-slot-mips", Spec::library(Mips).runpath(OLD).null_slot()),
        ("rung-f-phdr-of-library", tight(X86_64).phdr(true)),
        ("rung-f-phdr-of-library-arm", tight(Arm).phdr(true)),
        ("rung-f-property-note", Spec::pie(X86_64).runpath(OLD).property().build_id()),
        ("rung-f-property-note-exec", Spec::exec(X86_64).runpath(OLD).property().build_id()),
        ("rung-f-empty-note", tight(X86_64).empty_note()),
        ("rung-g-gap-zero", tight(X86_64).gap(64, 0)),
        ("rung-g-gap-x", tight(X86_64).gap(112, b'X')),
        ("rung-g-gap-z-pie", Spec::pie(X86_64).runpath(OLD).gap(112, b'Z')),
        ("rung-g-gap-32", tight(Ppc).gap(32, 0)),
        ("rung-g-headers-behind-table", tight(X86_64).headers(Headers::BehindTable)),
        ("rung-g-headers-behind-table-be", tight(Ppc64).headers(Headers::BehindTable)),
        ("rung-h-reimage", code_first(X86_64)),
        ("rung-h-reimage-bss-tls", code_first(X86_64).bss(8 * KIB).tls().relro()),
        ("rung-h-reimage-pie", Spec::pie(X86_64).runpath(OLD).segments(Segments::CodeFirst).bss(100)),
        ("rung-h-reimage-no-headers", code_first(X86_64).bss(64).headers(Headers::None)),
        ("rung-h-reimage-be", code_first(S390x).bss(64)),
        ("rung-h-reimage-32", code_first(I386).bss(64)),
        ("rung-i-make-room-note", tight(X86_64).build_id().bss(MIB)),
        ("rung-i-make-room-hash", tight(X86_64).bss(MIB)),
        ("rung-i-make-room-interp", Spec::pie(X86_64).runpath(OLD).build_id().bss(MIB)),
        ("rung-i-make-room-be", tight(Ppc64).build_id().hashes(true, true).bss(MIB)),
        ("rung-j-reimage-large", code_first(X86_64).bss(MIB)),
        ("rung-j-reimage-large-32", code_first(Arm).bss(MIB)),
        ("rung-k-move-table", code_first(X86_64).bss(300 * MIB)),
        ("rung-k-move-table-pie", Spec::pie(X86_64).runpath(OLD).segments(Segments::CodeFirst).bss(300 * MIB)),
        ("rung-k-move-table-be", code_first(S390x).bss(300 * MIB)),
        ("rung-l-overlay", code_first(X86_64).overlay(&[b'P'; 5000])),
        ("rung-l-overlay-null-slot", tight(X86_64).null_slot().overlay(&[b'P'; 5000])),
    ]
}

/// Which dynamic entry the path gets.
fn slots() -> Vec<(&'static str, Spec)> {
    let bare = || Spec::library(X86_64).packing(Packing::Padded);
    vec![
        ("slot-spare", bare()),
        ("slot-one-spare", bare().spare(1)),
        ("slot-debug-of-library", bare().spare(0).debug_tag(true)),
        ("slot-relacount", bare().spare(0).relacount()),
        ("slot-relacount-pie", Spec::pie(X86_64).packing(Packing::Padded).spare(0).relacount()),
        ("slot-move-dynamic", bare().spare(0)),
        ("slot-move-dynamic-pie", Spec::pie(X86_64).spare(0).null_slot()),
        ("slot-move-dynamic-mips", Spec::new(Mips, Kind::Pie).needs("libdep.so.1").spare(0).rld_map().null_slot()),
        ("slot-move-dynamic-tight", Spec::library(X86_64).spare(0).bss(64)),
        ("slot-rpath", bare().rpath(OLD)),
        ("slot-both", bare().rpath(OLD).runpath(OLD)),
        ("slot-both-differ", bare().rpath("/opt/stale").runpath(OLD)),
        ("slot-two-runpaths", bare().runpath("/opt/first").runpath(OLD)),
        ("slot-empty-runpath", bare().runpath("")),
        ("slot-exec-none", Spec::exec(X86_64).packing(Packing::Padded)),
        ("slot-relcount-32", Spec::library(I386).packing(Packing::Padded).spare(0).relacount()),
    ]
}

/// What the string table and its users look like.
fn contents() -> Vec<(&'static str, Spec)> {
    let tail = "$ORIGIN/old:/opt/shared_tail";
    let versions = |machine| padded(machine).verneed("libdep.so.1", "DEP_1.0").verdef("GEN_1.0").verdef("GEN_2.0");
    vec![
        ("tail-merged", Spec::library(X86_64).runpath(tail).exports("shared_tail").merge_tails()),
        ("tail-merged-be", Spec::library(Sparc64).runpath(tail).exports("shared_tail").merge_tails()),
        ("tail-merged-padded", padded(X86_64).exports("old").merge_tails()),
        (
            "tail-merged-whole",
            Spec::library(X86_64)
                .runpath("/usr/lib/stubs:/x/some/long/name")
                .exports("/usr/lib/stubs:/x/some/long/name")
                .merge_tails(),
        ),
        ("versions", versions(X86_64)),
        ("versions-tight", versions(X86_64).packing(Packing::Tight).null_slot()),
        ("versions-be", versions(S390x)),
        ("versions-32", versions(I386)),
        ("versions-32-be", versions(Ppc)),
        ("hash-sysv-only", padded(X86_64).hashes(true, false)),
        ("hash-both", padded(X86_64).hashes(true, true)),
        ("hash-both-no-headers", padded(X86_64).hashes(true, true).headers(Headers::None)),
        ("hash-wide-s390x", padded(S390x).hashes(true, false)),
        ("hash-wide-s390x-no-headers", padded(S390x).hashes(true, false).headers(Headers::None)),
        ("hash-wide-alpha", padded(Alpha).hashes(true, true)),
        ("hash-gnu-no-headers-be", padded(Ppc64).headers(Headers::None)),
        ("notes", padded(X86_64).build_id().property()),
        (
            "ldcache-note",
            padded(X86_64).ldcache(&[
                ("libdep.so.1", "=/nix/store/00000000000000000000000000000000-dep/lib/libdep.so.1"),
                ("libcuda.so.1", "?/opt/old/lib"),
            ]),
        ),
        ("ldcache-note-small", padded(X86_64).ldcache(&[("libc.so.6", "=/c")])),
        (
            "ldcache-note-be",
            padded(S390x)
                .ldcache(&[("libdep.so.1", "=/nix/store/00000000000000000000000000000000-dep/lib/libdep.so.1")]),
        ),
        (
            "ldcache-note-roomy",
            padded(X86_64)
                .ldcache(&[("libdep.so.1", "=/nix/store/00000000000000000000000000000000-dep/lib/libdep.so.1")])
                .ldcache_room(200),
        ),
        (
            "string-tags",
            padded(X86_64)
                .string_tag(0x6fff_fefc, "audit.so")
                .string_tag(0x6fff_fefb, "depaudit.so")
                .string_tag(0x6fff_fefa, "/etc/config"),
        ),
        // An auxiliary library may be missing; one that exists would answer for the symbols.
        ("filter-tags", padded(X86_64).string_tag(0x7fff_fffd, "libmissing.so.1")),
        ("filter-tags-be", padded(S390x).string_tag(0x7fff_fffd, "auxiliary.so").string_tag(0x7fff_ffff, "filter.so")),
        // The old path is never free: an unknown section refers to it.
        (
            "foreign-user",
            Spec::library(X86_64).runpath("/usr/local/some/long/name/lib/stubs:$ORIGIN/old").foreign_user().null_slot(),
        ),
        (
            "foreign-user-be",
            Spec::library(Ppc)
                .runpath("/usr/local/some/long/name/of/a/folder/lib/stubs")
                .foreign_user()
                .packing(Packing::Padded),
        ),
        ("path-not-utf8", Spec::library(X86_64).packing(Packing::Padded).runpath(b"/opt/\xff\xfe/lib")),
        (
            "path-long",
            Spec::library(X86_64).runpath(format!("{OLD}:/{}", "long/".repeat(800))).packing(Packing::Padded),
        ),
    ]
}

/// How segments and headers lie.
fn shapes() -> Vec<(&'static str, Spec)> {
    vec![
        ("no-headers-tight", tight(X86_64).headers(Headers::None)),
        ("no-headers-eof-slack", tight(X86_64).headers(Headers::None).segments(Segments::CodeFirst)),
        ("no-headers-32-be", padded(Ppc).headers(Headers::None)),
        ("align-2m", padded(X86_64).segments(Segments::Combined).aligns(&[2 * MIB]).bss(64)),
        ("align-mixed", tight(X86_64).aligns(&[0x1000, 0x1000, 0x1000, 0x1_0000]).bss(0x3000).null_slot()),
        ("align-64k-tight", tight(Aarch64).bss(0x100).phdr(true)),
        ("exec-low-address", Spec::exec(X86_64).runpath(OLD).base(0x1_0000).null_slot()),
        ("exec-no-table-entry", Spec::exec(X86_64).runpath(OLD).phdr(false).property()),
        ("exec-no-stack", Spec::exec(X86_64).runpath(OLD).packing(Packing::Padded).gnu_stack(false)),
        ("exec-32", Spec::exec(I386).runpath(OLD).base(0x0804_8000).gap(32, 0)),
        ("exec-32-be", Spec::exec(Ppc).runpath(OLD).base(0x1000_0000).gap(32, 0)),
        ("pie-bss-last", Spec::pie(X86_64).runpath(OLD).bss(0x5000).tls().relro().null_slot()),
        ("library-tls", padded(X86_64).tls().relro().bss(0x2000)),
        ("combined-tight", tight(X86_64).segments(Segments::Combined).phdr(true).bss(16)),
        ("gap-too-small", tight(X86_64).gap(48, 0).bss(64)),
        ("gap-in-use-x", code_first(X86_64).gap(48, b'X').bss(64)),
        ("gap-no-headers", tight(X86_64).gap(112, 0).headers(Headers::None).bss(64)),
        ("text-large", code_first(X86_64).text(2 * MIB).bss(80 * KIB)),
        ("data-large", code_first(X86_64).data(128 * KIB)),
    ]
}

/// Nothing in the editor may depend on the machine: class, order and page size are all there is.
fn machines() -> Vec<(&'static str, Spec)> {
    let odd = |class, order| Spec::library(Unknown).class(class).order(order).runpath(OLD).packing(Packing::Padded);
    vec![
        ("machine-aarch64-pie", Spec::pie(Aarch64).runpath(OLD).property()),
        ("machine-aarch64-be", padded(Aarch64Be)),
        ("machine-arm", padded(Arm)),
        ("machine-arm-be", padded(ArmBe)),
        ("machine-i386-pie", Spec::pie(I386).runpath(OLD).property()),
        ("machine-ppc64le", padded(Ppc64Le)),
        ("machine-ppc64-pie", Spec::pie(Ppc64).runpath(OLD).null_slot()),
        ("machine-riscv64", padded(Riscv64)),
        ("machine-riscv32", padded(Riscv32)),
        ("machine-s390", padded(S390)),
        ("machine-mipsel", padded(Mipsel)),
        ("machine-mips64", padded(Mips64)),
        ("machine-mips64el-pie", Spec::pie(Mips64el).runpath(OLD).rld_map().null_slot()),
        ("machine-sparc64", padded(Sparc64)),
        ("machine-loongarch64", padded(Loongarch64)),
        ("machine-m68k", padded(M68k)),
        ("machine-parisc", padded(Parisc)),
        ("machine-unknown-64", odd(Class::Elf64, Order::Little)),
        ("machine-unknown-64-be", odd(Class::Elf64, Order::Big)),
        ("machine-unknown-32", odd(Class::Elf32, Order::Little)),
        ("machine-unknown-32-be", odd(Class::Elf32, Order::Big)),
    ]
}

/// Files that `fix` leaves alone without a word.
fn untouched() -> Vec<(&'static str, Spec)> {
    let loader = Spec::new(X86_64, Kind::Library).soname("ld-linux-x86-64.so.2").verdef("GLIBC_2.2.5");
    vec![
        ("skip-static", Spec::new(X86_64, Kind::Static)),
        ("skip-static-32-be", Spec::new(Ppc, Kind::Static)),
        ("skip-static-pie", Spec::new(X86_64, Kind::StaticPie)),
        ("skip-loader", loader.clone()),
        ("skip-loader-no-headers", loader.headers(Headers::None)),
        ("skip-debug-file", Spec { kind: Kind::DebugFile, ..padded(X86_64).build_id() }),
        ("skip-debug-file-be", Spec { kind: Kind::DebugFile, ..padded(S390x).build_id() }),
        ("skip-debug-file-sizes", Spec { kind: Kind::DebugFileKeepingSizes, ..padded(X86_64).build_id() }),
        ("skip-relocatable", Spec::new(X86_64, Kind::Relocatable)),
        ("skip-relocatable-32-be", Spec::new(M68k, Kind::Relocatable)),
        ("skip-core", Spec::new(X86_64, Kind::Core)),
    ]
}
