//! The table of findings: `rules`, the manual and every output format are made from it.

/// How bad a finding is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Severity {
    /// Worth knowing.
    Note,
    /// Works today, or by chance.
    Warning,
    /// Fails, or loads the wrong library.
    Error,
}

impl Severity {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// What can be found: a code that never changes its meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `CRP100`
    pub(crate) code: &'static str,
    /// The same as words.
    pub(crate) slug: &'static str,
    /// How bad it is, unless a finding says less.
    pub(crate) severity: Severity,
    /// `fix` repairs it.
    pub(crate) fixable: bool,
    /// When it is raised.
    pub(crate) condition: &'static str,
    /// What happens then, and why.
    pub(crate) cause: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
    /// What it looks like.
    pub(crate) example: &'static str,
}

/// `FIX` marks what `fix` repairs.
const FIX: bool = true;
const HAND: bool = false;

macro_rules! rules {
    ($($name:ident = $code:literal $slug:literal $severity:ident $fix:ident
        when $condition:literal because $cause:literal do $remedy:literal such as $example:literal;)*) => {
        $(
            #[doc = $condition]
            pub(crate) static $name: Rule = Rule {
                code: $code,
                slug: $slug,
                severity: Severity::$severity,
                fixable: $fix,
                condition: $condition,
                cause: $cause,
                remedy: $remedy,
                example: $example,
            };
        )*

        /// Every rule, by code.
        pub(crate) static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    DRIVER_UNREACHABLE = "CRP100" "driver-unreachable" Error FIX
        when "An object asks for a driver library and neither the compat nor the driver directory is in its search."
        because "The loader searches the path of the object that asks, not that of the program: a library that calls dlopen needs the directory itself. Without it CUDA reports that there is no driver."
        do "cuda-runpath fix PATH"
        such as "lib/libcudart.so.12 dlopens libcuda.so.1 and has no RUNPATH.";
    DRIVER_SHADOWED = "CRP101" "driver-shadowed" Error FIX
        when "Another directory that has the driver library comes before the driver directory."
        because "The first hit wins. A library that does not belong to the kernel module of the target fails with a version mismatch."
        do "cuda-runpath fix PATH puts the driver in front; remove the other copy if nothing else needs it."
        such as "RUNPATH /opt/old-driver:/run/opengl-driver/lib, and /opt/old-driver/libcuda.so.1 exists.";
    DRIVER_AT_RUNTIME = "CRP102" "driver-at-runtime" Note HAND
        when "The answer lies in the driver directory, which only the target has."
        because "Which of these libraries a driver ships depends on the machine (libnvidia-ml.so.1 is not on a Jetson)."
        do "Write the list with check --runtime-list FILE and close it on the target with doctor --runtime-list FILE."
        such as "libnccl.so.2 dlopens libnvidia-ml.so.1, and /run/opengl-driver/lib comes first.";
    RUNPATH_NOT_INHERITED = "CRP103" "runpath-not-inherited" Warning FIX
        when "The program has the driver directory, the library that asks for the driver has not."
        because "DT_RUNPATH serves the object that has it and nobody else (glibc elf/dl-load.c); only DT_RPATH is inherited, and only into objects without DT_RUNPATH."
        do "cuda-runpath fix PATH edits the libraries as well."
        such as "bin/app has /run/opengl-driver/lib, lib/libcudart.so.12 has nothing and calls dlopen.";
    DLOPEN_PROXY = "CRP104" "dlopen-proxy" Warning HAND
        when "An object names a driver library but does not import dlopen, or a Python script names it: another object opens it in its place."
        because "The loader then searches the path of the object that calls dlopen. For Python's ctypes that is the module _ctypes, in the interpreter's lib-dynload: no edit of the script or of the interpreter helps."
        do "See that the object that calls dlopen finds the driver: explain it, or let the asking object call dlopen."
        such as "libplugin.so hands \"libcuda.so.1\" to load_library() in libloader.so.";
    HARDCODED_PATH = "CRP105" "hardcoded-path" Warning HAND
        when "A driver library stands in the file with an absolute path."
        because "An absolute path is opened without any search: it does not exist on NixOS, and where it does it passes over compat."
        do "Patch the source to ask for the soname."
        such as "/usr/lib/aarch64-linux-gnu/tegra/libcuda.so.1 in .rodata.";
    UNVERSIONED_DLOPEN = "CRP106" "unversioned-dlopen" Warning HAND
        when "An object asks for libcuda.so only, not for libcuda.so.1."
        because "The driver's directory need not have the unversioned name, and link-time stub directories have no other: a stub directory in the path would win."
        do "Ask for libcuda.so.1, and for libcuda.so only if that fails."
        such as "dlopen(\"libcuda.so\") in a Rust program.";
    STATIC_CONSUMER = "CRP108" "static-consumer" Warning HAND
        when "A statically linked executable names a driver library."
        because "It has no search path. What a static glibc loads goes through the default directories only."
        do "Link it dynamically, or start it with LD_LIBRARY_PATH."
        such as "A static Go program with \"libnvidia-ml.so.1\" in its data.";
    NO_CONSUMER = "CRP109" "no-consumer" Error HAND
        when "--require-consumer was given and nothing asks for the driver."
        because "An empty check is no pass: the closure may be the wrong one, or what it should hold was not built."
        do "Check the right output, or leave --require-consumer out."
        such as "check --require-consumer on a -dev output.";

    STUB_FIRST = "CRP200" "stub-first" Error FIX
        when "The first hit for a driver library is a link-time stub, by its content."
        because "Every function of the stub returns error 34, CUDA_ERROR_STUB_LIBRARY; those of a home-made one another constant, or they trap."
        do "cuda-runpath fix PATH drops stub directories; name others with --stub DIR."
        such as "RUNPATH /nix/store/…-cuda_cudart-12.8.90/lib/stubs.";
    STUB_IN_RUNPATH = "CRP201" "stub-in-runpath" Warning FIX
        when "A stub directory is in the search path, but not first."
        because "It wins as soon as what stands before it is missing, or for the unversioned name."
        do "cuda-runpath fix PATH; with --clean also stub directories that only their content tells."
        such as "RUNPATH /run/opengl-driver/lib:/nix/store/…/lib/stubs.";
    STUB_IN_CLOSURE = "CRP202" "stub-in-closure" Warning HAND
        when "A stub of a driver library is in the closure."
        because "Something refers to a link-time output at run time; it is dead weight, and one search path away from being loaded."
        do "Find the reference with nix why-depends; usually the RUNPATH that fix cleans."
        such as "/nix/store/…-cuda_cudart-12.8.90-stubs in the closure of an application.";

    EMPTY_ENTRY = "CRP300" "empty-entry" Error FIX
        when "The search path has an empty entry."
        because "The loader reads an empty entry as the current directory: a planted ./libcuda.so.1 is loaded."
        do "cuda-runpath fix PATH"
        such as "RUNPATH /run/opengl-driver/lib: with a colon at its end.";
    RELATIVE_ENTRY = "CRP301" "relative-entry" Error FIX
        when "An entry is neither absolute nor starts with $ORIGIN."
        because "It is resolved against the directory that the program is started in."
        do "cuda-runpath fix --clean PATH"
        such as "RUNPATH lib:../lib.";
    BUILD_DIR_ENTRY = "CRP302" "build-dir-entry" Error FIX
        when "An entry lies in a directory of a build: /build, /tmp, $TMPDIR, /home and the like."
        because "It does not exist on the target, or anybody there can make it."
        do "cuda-runpath fix --clean PATH"
        such as "RUNPATH /build/source/build/lib.";
    FHS_ENTRY = "CRP303" "fhs-entry" Warning FIX
        when "An entry is /lib*, /usr/lib*, /usr/local/lib* or /usr/local/cuda*."
        because "On NixOS it does not exist; elsewhere the host's libraries are mixed in."
        do "cuda-runpath fix --clean PATH"
        such as "RUNPATH /usr/local/cuda/lib64.";
    DUPLICATE_ENTRY = "CRP304" "duplicate-entry" Note FIX
        when "The same entry stands in the path twice."
        because "The loader looks only once; the string is longer than it need be."
        do "cuda-runpath fix --dedup PATH"
        such as "RUNPATH $ORIGIN:/nix/store/…/lib:$ORIGIN.";
    DANGLING_ENTRY = "CRP305" "dangling-entry" Warning HAND
        when "The directory of an entry does not exist, or is outside the closure."
        because "What it should serve is found elsewhere or not at all."
        do "Add the missing output to the closure, or remove the entry."
        such as "RUNPATH /nix/store/…-old-dependency/lib.";
    RPATH_TAG = "CRP307" "rpath-tag" Warning HAND
        when "The object has DT_RPATH, alone or beside DT_RUNPATH."
        because "DT_RPATH beats LD_LIBRARY_PATH and is inherited by what it loads; beside DT_RUNPATH it is ignored."
        do "fix makes it DT_RUNPATH whenever it edits the object; nothing to do where the inheritance is wanted."
        such as "A manylinux wheel with DT_RPATH $ORIGIN.";
    WRITABLE_ENTRY = "CRP310" "writable-entry" Error HAND
        when "Everybody can write to the directory of an entry, or make it."
        because "Any user can put a library there that others load."
        do "Take the write permission, or remove the entry."
        such as "RUNPATH /opt/plugins with mode 1777.";
    STALE_LDCACHE_NOTE = "CRP311" "stale-ldcache-note" Error FIX
        when "A .note.nixos.ldcache disagrees with the RUNPATH or with DT_NEEDED."
        because "A patched loader asks the note and does not search: an edit of the RUNPATH alone has no effect."
        do "cuda-runpath fix PATH rewrites or clears the note."
        such as "The note sends libcuda.so.1 to a stub directory that the RUNPATH no longer has.";
    NEEDED_UNRESOLVED = "CRP312" "needed-unresolved" Error HAND
        when "A DT_NEEDED library, not one of the driver's, is found nowhere."
        because "The program does not start, or dlopen of the library fails."
        do "Add the package that has it, and its directory to the path (autoPatchelfHook)."
        such as "libtorch_cuda.so needs libcusparseLt.so.0, which no store path has.";
    VERSION_MISSING = "CRP320" "version-missing" Error HAND
        when "An object needs a version of symbols that the library found first does not define."
        because "glibc checks every version that an object was linked with when it loads the object, used or not (elf/dl-version.c): `version 'GLIBCXX_3.4.32' not found` ends the start or the dlopen. A library that is in the process already under the same name is the one that counts. SymbolVersions that are marked weak, and libraries that define no versions at all, pass."
        do "cuda-runpath explain FILE SONAME says why that file comes first. Nix: put the newer library in front, or build both with one compiler (cudaPackages.backendStdenv for what nvcc compiles). pip: raise the pin of the package that brings the older library, and take it out of LD_LIBRARY_PATH."
        such as "bin/app was linked with the libstdc++ of gcc 13, and its RUNPATH leads to that of gcc 12.";
    SYMBOL_MISSING = "CRP321" "symbol-missing" Error HAND
        when "With --symbols: an object asks for a symbol when it is loaded, and nothing in its process has it."
        because "`undefined symbol: __nvJitLinkAddData_12_6, version libnvJitLink.so.12` ends the start or the dlopen: SONAMEs stay the same while releases add symbols. Of a library by itself only symbols with a version are judged, whose file is found: whatever loads it may have the others."
        do "cuda-runpath explain FILE --symbols says where each symbol is found, and which library further behind in the search has it. Nix: take both libraries from one package set (cudaPackages), and let no LD_LIBRARY_PATH come first. pip: install the releases that belong together (pip check), such as nvidia-nvjitlink-cu12 of the release of nvidia-cusparse-cu12."
        such as "libcusparse.so.12 of 12.5 beside libnvJitLink.so.12 of 12.1.";
    SYMBOL_MISSING_LAZY = "CRP322" "symbol-missing-lazy" Warning HAND
        when "With --symbols: an object calls a function that nothing in its process has; it is looked for at the first call."
        because "The object is loaded, and the process ends in the middle of its work; with LD_BIND_NOW or RTLD_NOW, as Python opens its modules, it is not loaded at all."
        do "As for CRP321: cuda-runpath explain FILE --symbols. Nix: one package set for both. pip: the releases that belong together."
        such as "A program calls ncclCommSplit, and the libnccl.so.2 that is found is of 2.16.";
    OTHER_RELEASE = "CRP323" "other-release" Note HAND
        when "With --symbols: a library is found, and an older release of it than the one that stands beside the object that asks, or in a directory of its path that starts with $ORIGIN."
        because "Everything that is asked of it is there today. What was built and shipped together runs apart: the next update of either may ask for more."
        do "cuda-runpath explain FILE SONAME says why the other one comes first. Nix: one package set; no LD_LIBRARY_PATH. pip: take the older copy out of LD_LIBRARY_PATH, or pin both packages to one release."
        such as "LD_LIBRARY_PATH leads libcusparse.so.12 of 12.5 to libnvJitLink.so.12.4.127, and ../../nvjitlink/lib has 12.5.82.";

    COMPAT_MISSING = "CRP400" "compat-missing" Error FIX
        when "The platform needs cuda_compat and an object that asks for libcuda has it not in its path."
        because "The CUDA release is newer than the platform's own driver: CUDA_ERROR_INSUFFICIENT_DRIVER."
        do "cuda-runpath fix --compat DIR PATH"
        such as "CUDA 12.8 on JetPack 6 (12.6) without cuda_compat in the RUNPATH.";
    COMPAT_AFTER_DRIVER = "CRP401" "compat-after-driver" Error FIX
        when "The compat directory stands behind the driver directory."
        because "The driver's libcuda is found first, and compat is never loaded."
        do "cuda-runpath fix PATH"
        such as "RUNPATH /run/opengl-driver/lib:/nix/store/…-cuda_compat-12.8/compat.";
    COMPAT_UNWANTED = "CRP402" "compat-unwanted" Warning FIX
        when "The host's driver is as new as compat or newer, or of a newer CUDA release, or compat is forbidden, and compat comes first."
        because "A compat libcuda that is older than the kernel driver fails with error 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH."
        do "cuda-runpath fix --drop-compat PATH"
        such as "Compat 580.95 in front on a machine with driver 580.159; compat of CUDA 12.6 on JetPack 7.";
    NVRM_UNREACHABLE = "CRP403" "nvrm-unreachable" Error HAND
        when "compat's own libcuda finds no libnvrm_gpu.so, libnvrm_mem.so or libnvdla_runtime.so."
        because "On a Jetson these come with the board support, through the driver directory: compat's libcuda needs that in its own path."
        do "cuda-runpath fix on the package of cuda_compat itself."
        such as "cuda_compat's libcuda.so.1 without RUNPATH.";
    COMPANION_MIX = "CRP404" "companion-mix" Warning HAND
        when "libnvidia-ptxjitcompiler or libnvidia-nvvm would come from another directory than libcuda."
        because "They are of one release: a PTX compiler of another driver may refuse what libcuda hands to it."
        do "Give compat's libcuda its own directory ($ORIGIN) in front of the driver's."
        such as "libcuda.so.1 from compat, libnvidia-ptxjitcompiler.so.1 from /run/opengl-driver/lib.";
    CUDA_NEWER_THAN_LIBCUDA = "CRP405" "cuda-newer-than-libcuda" Error HAND
        when "The newest libcudart of the closure is newer than the CUDA release of compat's libcuda."
        because "A runtime needs a driver of its own release or a newer one: cudaErrorInsufficientDriver."
        do "Use the cuda_compat of the same package set, or an older CUDA release."
        such as "libcudart 12.9 with a compat that says \"CUDA version\" 12.6.";
    HOST_DRIVER_UNSUPPORTED = "CRP406" "host-driver-unsupported" Error HAND
        when "The branch of --host-driver is not in the list of compat's note."
        because "compat's libcuda works with the kernel drivers of that list only."
        do "Update the host's driver, or take a compat package for its branch."
        such as "--host-driver 525 with a note that says 535, 550, 580.";
    SEVERAL_COMPATS = "CRP407" "several-compats" Warning HAND
        when "Two compat directories are in one closure."
        because "Which one an object gets depends on its path; in one process the first one loaded serves everybody."
        do "Build everything with one CUDA package set."
        such as "cuda12.6-cuda_compat and cuda12.8-cuda_compat.";
    COMPANION_UNREACHABLE = "CRP408" "companion-unreachable" Error HAND
        when "The libcuda that an object gets does not find a library that it opens for itself."
        because "libcuda searches its own path with the loader of the program, neither the program's path nor the directory that it lies in. Without libnvidia-ptxjitcompiler.so.1 the first PTX ends with error 221, CUDA_ERROR_JIT_COMPILER_NOT_FOUND."
        do "Put the library beside libcuda and that directory into libcuda's own path ($ORIGIN), or set LD_LIBRARY_PATH; cuda-runpath explain LIBCUDA NAME --program PROGRAM shows the search."
        such as "A driver in several packages, whose libcuda lists its own only.";
    DRIVER_DIRECTORY_SHADOWS = "CRP409" "driver-directory-shadows" Error HAND
        when "The driver directory has a library that is not the driver's, and an object gets it instead of its own."
        because "The directory comes first, so all that lies in it wins. Where it is a link to /usr/lib, that is the system's libc.so.6, with which a program of another libc does not start."
        do "Let the directory hold the driver's libraries only: link each of them by itself, not the folder that they lie in."
        such as "/run/opengl-driver/lib is a link to /usr/lib/x86_64-linux-gnu.";

    ARCH_MISSING = "CRP500" "arch-missing" Error HAND
        when "A file has GPU code, but none that a GPU of --arch runs, or none that --arch-policy and --ptx accept."
        because "Its kernels fail on that GPU: no kernel image is available for execution on the device. A Tegra, the GPU of a Jetson, runs machine code for discrete GPUs of its generation with a driver of CUDA 13.2 or newer only (JetPack 7.2), and its own code runs on nothing else."
        do "Build for it (in Nixpkgs cudaCapabilities; with nvcc -gencode arch=compute_87,code=sm_87)."
        such as "--platform jetpack6 --arch 8.7 and a library with sm_80 only.";
    ARCH_JIT_ONLY = "CRP501" "arch-jit-only" Warning HAND
        when "A file has PTX for a GPU of --arch, but no machine code."
        because "The driver compiles every kernel at first use, which takes minutes for a large library and needs libnvidia-ptxjitcompiler; a driver older than the PTX refuses it."
        do "Build machine code for it, or accept it with --arch-policy ptx."
        such as "--arch 11.0 and a library with sm_87 and PTX of compute_87.";
    ARCH_BY_FAMILY = "CRP502" "arch-by-family" Note HAND
        when "A GPU of --arch runs machine code for an earlier one of its generation."
        because "It works, without what the newer GPU does better. NVIDIA promises it among discrete GPUs; a Tegra's driver takes code for those from CUDA 13.2 on."
        do "Nothing; --arch-policy exact asks for more."
        such as "--arch 8.6 and a library with sm_80.";
    ARCH_EXTRA = "CRP503" "arch-extra" Note HAND
        when "A file has GPU code that no GPU of --arch can run."
        because "It takes room on the device and in every download."
        do "Build for the targets only, or remove it with nvprune; cuda-runpath archs --unused-for 8.7 shows where it is."
        such as "sm_50 to sm_75 in a library for a Jetson Orin.";
    PTX_MISSING = "CRP504" "ptx-missing" Warning HAND
        when "--ptx require was given, and there is no PTX as new as the machine code of the highest architecture of --arch."
        because "GPUs of a later generation run nothing but PTX."
        do "Build PTX as well (nvcc -gencode arch=compute_120,code=compute_120; in Nixpkgs cudaForwardCompat)."
        such as "A library with sm_120 and no PTX.";
    ARCH_RENAMED = "CRP506" "arch-renamed" Warning HAND
        when "A file has machine code for Thor under its other name: 10.1 up to CUDA 12.9, 11.0 since 13.0."
        because "It is one chip, and NVIDIA promises nothing between its two names: what compares numbers (a framework's list of architectures, --arch-policy exact) finds no code."
        do "Build with the CUDA release of the target's driver."
        such as "--arch 11.0 and a library with sm_101.";
    FATBIN_UNPARSED = "CRP507" "fatbin-unparsed" Warning HAND
        when "GPU code is damaged, or of a kind that is not known: a fat binary, an entry of one, a cubin, a Zstandard frame."
        because "What it holds is not known, so nothing is said to be missing or complete."
        do "Rebuild the file; report it if it is of a newer CUDA release than this program knows."
        such as "An entry that reaches past the end of .nv_fatbin.";
    LTO_ONLY = "CRP508" "lto-only" Warning HAND
        when "All GPU code of a file is LTO-IR."
        because "It runs only after nvJitLink linked it at run time."
        do "Build machine code too, or see that the program links it."
        such as "A library of nvcc -dlto -code=lto_87.";
    ARCH_OUTSIDE_TOOLKIT = "CRP509" "arch-outside-toolkit" Error HAND
        when "A GPU of --arch is outside of what the CUDA release of the closure (its newest libcudart) makes code for."
        because "Its compiler does not know the GPU yet, or no longer."
        do "Use another CUDA release, or leave the GPU out of --arch."
        such as "--arch 10.0 and libcudart 12.6.";
    OTHERS_MISSING = "CRP510" "arch-missing-outside" Note HAND
        when "A file's fat binaries have code for a GPU of --arch, and none of its kernels outside of them is for it: cubins and PTX among its data, or in Zstandard frames."
        because "Such a kernel is for one architecture. What a program does on a GPU that none of them is for, its file does not say: it may have another way, or fail."
        do "Try it on that GPU, and allow it if it has another way; or take a build for that GPU."
        such as "--arch 12.0 and onnxruntime-gpu, which has 114 cubins of sm_70 to sm_90a in .rodata.";

    SEVERAL_CUDARTS = "CRP600" "several-cudarts" Warning HAND
        when "More than one release of libcudart or libcuBLAS is in the closure."
        because "Objects of one process may end up with different runtimes, each with its own state."
        do "Build everything with one CUDA package set."
        such as "libcudart.so.11.8.89 and libcudart.so.12.8.90.";
    PACKAGE_SET_LEAK = "CRP601" "package-set-leak" Warning HAND
        when "Packages of several CUDA package sets (cudaX.Y- in their names) are reachable."
        because "A dependency was built with another set than the rest."
        do "Override the package at the end of the reported path."
        such as "An application of cuda12.8 with a dependency of cuda12.6.";
    RUNFILE_TOOLKIT = "CRP602" "runfile-toolkit" Warning HAND
        when "The monolithic cudatoolkit is in a run-time closure."
        because "It brings gigabytes of compilers, stubs and documentation that nothing needs at run time."
        do "Depend on the redistributable packages (cuda_cudart, libcublas, …)."
        such as "/nix/store/…-cudatoolkit-12.8.0.";
    HOST_COMPILER_LEAK = "CRP603" "host-compiler-leak" Warning FIX
        when "nvcc's back-end compiler is in a search path."
        because "The compiler comes into the run-time closure, and its older libstdc++ is loaded."
        do "cuda-runpath fix --clean PATH"
        such as "RUNPATH /nix/store/…-gcc-13.3.0/lib.";
    FROZEN_DRIVER = "CRP604" "frozen-driver" Error HAND
        when "A real driver library that is not compat lies in the closure."
        because "It fits only the kernel module of one release; on every other machine CUDA fails."
        do "Remove the dependency on the driver package (linuxPackages.nvidia_x11), or the copy that a wheel repair made (auditwheel repair --exclude libcuda.so.1)."
        such as "/nix/store/…-nvidia-x11-580.95/lib/libcuda.so.1.";
    FOREIGN_MACHINE = "CRP605" "foreign-machine" Error HAND
        when "An object of another machine is in the closure."
        because "It cannot run there: a prebuilt binary for the wrong system was packaged."
        do "Package the file for the right system, or allow it by name if it is data."
        such as "An x86_64 .so in an aarch64 wheel.";

    UNREADABLE_ELF = "CRP700" "unreadable-elf" Error HAND
        when "A file could not be read, or is an ELF file that contradicts itself."
        because "What cannot be read cannot be checked; the loader may refuse it too."
        do "Rebuild or replace the file."
        such as "A truncated .so.";
    MALFORMED_NOTE = "CRP701" "malformed-note" Warning HAND
        when "A note that this check relies on cannot be read."
        because "What it says about driver branches, CUDA releases or dlopened libraries stays unknown."
        do "Report it to whoever made the file."
        such as "A .note.cuda.fwd_compatibility that is no JSON.";
    ALLOW_UNUSED = "CRP703" "allow-unused" Warning HAND
        when "A row of the allowlist matched nothing."
        because "What it excused is gone, or the path is misspelt."
        do "Remove the row."
        such as "CRP105 for a library that was removed.";
    ALLOW_EXPIRED = "CRP704" "allow-expired" Warning HAND
        when "A row of the allowlist is past its date; it no longer excuses anything."
        because "Somebody wanted to look at it again by then."
        do "Mend the cause, or choose a new date and say why."
        such as "until = 2026-01-31.";
    INTERRUPTED_EDIT = "CRP705" "interrupted-edit" Warning HAND
        when "A file ends with the journal of an edit in place, or with bytes that look like one."
        because "A run of fix --in-place was killed: the file loads with its old or its new path, and what is checked may be half of an edit. A stranger's file may end like that as well; only the user whose run was killed can tell."
        do "cuda-runpath fix --in-place PATH, as the user whose run was killed, takes the edit back first; other bytes of this kind stay, and are named."
        such as "A builder that ran out of memory in fixupPhase.";
    SEARCH_CUT = "CRP707" "search-cut" Error HAND
        when "All that an object loads asks for more names and places than are followed."
        because "What was not followed was not checked. No program needs a hundredth of what is followed."
        do "Find out who made the libraries, and why."
        such as "Hundreds of libraries that each need all others.";

    IMAGE_UNREADABLE = "CRP800" "image-unreadable" Error HAND
        when "An image of a container cannot be judged: it is damaged, packed in a way that is not known, or a layer is not in it."
        because "What a layer that is not read adds or hides is not known, so nothing that is said of the rest would hold."
        do "Save the image anew, with the layers of its vendor in it (skopeo copy, docker save)."
        such as "An archive that was cut, or a foreign layer that lies with its vendor.";
    IMAGE_SHADOWS_DRIVER = "CRP801" "driver-shadowed-by-image" Error HAND
        when "A program gets a driver library of the image, and not the host's."
        because "It fits the kernel module of its own release only: on every other host CUDA fails with error 803. The toolkit lets ldconfig choose, which takes the directories in the order of ld.so.conf, and in one directory the file with the highest version in its name."
        do "Leave libcuda and what comes with it out of the image; the host brings them. A package that needs them at build time must not stay (libnvidia-compute-*, libcuda1)."
        such as "libcuda.so.570.133.20 in /usr/lib/x86_64-linux-gnu, where a host with 550.163.01 mounts its own.";
    LD_SO_CONF_WITHOUT_INCLUDE = "CRP802" "ld-so-conf-without-include" Error HAND
        when "The image's /etc/ld.so.conf does not include /etc/ld.so.conf.d/*.conf."
        because "The toolkit writes the driver's and compat's directories to files there, and leaves ld.so.conf itself as it is: ldconfig then reads none of them."
        do "Put the line include /etc/ld.so.conf.d/*.conf into the image's /etc/ld.so.conf, or remove that file: the toolkit makes one."
        such as "A slim image whose ld.so.conf lists /usr/local/lib only, on a host with the driver in a directory of its own.";
    COMPAT_NOT_ADMITTED = "CRP803" "compat-not-admitted" Error HAND
        when "A program gets the image's compat libcuda on a host for whose driver it is not made; without a known driver a warning."
        because "The toolkit puts compat in front only where the host's driver is older and in the list of compat's note. A list of the image (00-cuda-compat.conf), a RUNPATH or LD_LIBRARY_PATH puts it there on every host: error 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH."
        do "Remove what puts /usr/local/cuda/compat into the search, and let the toolkit decide (enable-cuda-compat)."
        such as "An image with 00-cuda-compat.conf and compat 550.54, on a host with driver 570.";
    TWO_LIBCUDAS = "CRP804" "two-libcudas" Warning HAND
        when "libcuda.so and libcuda.so.1 come from two places."
        because "A process that asks for both names has two drivers, each with a state of its own: contexts and pointers of one mean nothing to the other."
        do "Ask for libcuda.so.1 only; or put a link libcuda.so beside the libcuda.so.1 that comes first."
        such as "Compat without libcuda.so in front of the host's driver, which has it.";
    HOOK_NOT_MODELLED = "CRP805" "hook-not-modelled" Note HAND
        when "A spec has a hook of which it is not known what it does, or something that cannot be done in this image."
        because "A hook may change any file of a container: what is said of its search may be wrong, and no request passes."
        do "Run cuda-runpath doctor in the container on the target, or leave the hook out of the spec that is checked."
        such as "A hook of another vendor, or one that a newer toolkit brings.";
    MUSL_PATH_FILE = "CRP806" "musl-path-file" Error HAND
        when "musl does not search the driver's directory: its path file lacks a newline at its end, or the image is no Alpine; a warning where the new path file loses /usr/local/lib."
        because "musl reads no cache. The toolkit appends the driver's directories to /etc/ld-musl-ARCH.path, and only where there is /etc/alpine-release."
        do "End the path file with a newline, and list /usr/local/lib:/lib:/usr/lib in it; elsewhere than on Alpine set LD_LIBRARY_PATH to the driver's directory."
        such as "An /etc/ld-musl-x86_64.path of /opt/lib without a newline: the driver's directory is glued to it.";

    VERDICT_WORSE = "CRP900" "verdict-worse" Error HAND
        when "With --against: a request for a driver library that did not fail in the other release fails in this one."
        because "The release broke it: it worked, and a program that is updated finds another library, or none."
        do "Explain the object in both releases (cuda-runpath explain FILE); the finding that stands beside this one says what to do."
        such as "bin/app got libcuda.so.1 from compat in 1.0, and gets a link-time stub in 1.1.";
    ARCH_LOST = "CRP901" "arch-lost" Error HAND
        when "With --against and --arch: a file ran on a GPU of --arch in the other release, and in this one not, or only by JIT where it had machine code."
        because "The toolkit or the list of architectures of the build changed. The first kernel ends with \"no kernel image is available\", or starts minutes later."
        do "Build it for that GPU again (CMAKE_CUDA_ARCHITECTURES, TORCH_CUDA_ARCH_LIST), or take the GPU out of --arch."
        such as "libtorch_cuda.so without sm_70 since CUDA 13.0.";
    COMPAT_LOST = "CRP902" "compat-lost" Error HAND
        when "With --against: libcuda came from cuda_compat in the other release, and comes from elsewhere in this one; not where compat is not wanted."
        because "The target's own driver may be older than the CUDA release of the program: it fails where it worked."
        do "cuda-runpath check --compat-policy require finds every such object; with --compat-policy forbid it is as it should be."
        such as "The package set was built without cuda_compat.";
    NOT_COMPARED = "CRP903" "not-compared" Warning HAND
        when "With --against: something is not known of the other release, or was asked of it differently."
        because "What is not compared may have become worse: no word about it is no pass."
        do "Save the other release again with check --format json -v and the options of this run, or give the release itself."
        such as "A document of check --json without -v.";
}

/// Finds a rule by its code or its words.
#[must_use]
pub(crate) fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.code.eq_ignore_ascii_case(name) || rule.slug == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ascending_and_well_formed() {
        for pair in RULES.windows(2) {
            let [before, after] = pair else { continue };
            assert!(before.code < after.code, "{} {}", before.code, after.code);
        }
        let mut slugs: Vec<&str> = RULES.iter().map(|rule| rule.slug).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), RULES.len());
        for rule in RULES {
            assert!(rule.code.len() == 6 && rule.code.starts_with("CRP"), "{}", rule.code);
            assert!(
                rule.condition.ends_with('.') && rule.cause.ends_with('.') && rule.example.ends_with('.'),
                "{}",
                rule.code
            );
            assert!(!rule.fixable || rule.remedy.contains("fix"), "{}", rule.code);
        }
    }

    #[test]
    fn rules_are_found_by_code_and_by_words() {
        assert_eq!(rule("crp200"), Some(&STUB_FIRST));
        assert_eq!(rule("stub-first"), Some(&STUB_FIRST));
        assert_eq!(rule("CRP999"), None);
    }
}
