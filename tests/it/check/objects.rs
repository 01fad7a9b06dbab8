//! The objects that images are made of: who asks for the driver, and what answers.

use super::image::store;
use crate::elfgen::{Kind, Machine, Note, Spec};

pub(crate) const DRIVER: &str = "/run/opengl-driver/lib";
pub(crate) const COMPAT: &str = store!("cuda12.8-cuda_compat-12.8.39/compat");
pub(crate) const STUBS: &str = store!("cuda12.8-cuda_cudart-12.8.90-stubs/lib/stubs");
/// A directory that only its content tells.
pub(crate) const LINK: &str = "/opt/link";
/// Another directory with a driver library.
pub(crate) const OLD: &str = "/opt/old-driver";
/// The loader of the store's programs; it need not be there.
pub(crate) const LOADER: &str = store!("glibc-2.40-66/lib/ld-linux-x86-64.so.2");

/// `return 34` on each machine that stubs are known on, as compilers write it.
const RETURN_34: [(Machine, &[u8]); 2] = [
    (Machine::X86_64, &[0xb8, 0x22, 0, 0, 0, 0xc3]),
    (Machine::Aarch64, &[0x40, 0x04, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6]),
];

pub(crate) fn library() -> Spec {
    library_for(Machine::X86_64)
}

pub(crate) fn library_for(machine: Machine) -> Spec {
    Spec::new(machine, Kind::Library).soname("libuser.so.1")
}

/// Needs libcuda by DT_NEEDED.
pub(crate) fn linked() -> Spec {
    library().needs("libcuda.so.1")
}

/// Hands names to dlopen.
pub(crate) fn dlopens(names: &[&str]) -> Spec {
    dlopens_for(Machine::X86_64, names)
}

pub(crate) fn dlopens_for(machine: Machine, names: &[&str]) -> Spec {
    names.iter().fold(library_for(machine).imports("dlopen"), |spec, name| spec.carries(name))
}

pub(crate) fn program() -> Spec {
    Spec::new(Machine::X86_64, Kind::Pie).interpreter(LOADER)
}

/// A driver library as the driver ships it: its functions do something, and libcuda has the text of error 34.
pub(crate) fn driver(soname: &str) -> Spec {
    driver_for(Machine::X86_64, soname)
}

pub(crate) fn driver_for(machine: Machine, soname: &str) -> Spec {
    let spec = Spec::new(machine, Kind::Library).soname(soname);
    let spec = if soname == "libcuda.so.1" { spec.carries("CUDA driver is a stub library") } else { spec };
    functions(spec, 20, &[0x89, 0xf8, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90])
}

/// libcuda as the toolkit ships it: 24 functions that return 34.
pub(crate) fn stub(machine: Machine) -> Spec {
    let code = RETURN_34.iter().find(|(known, _)| *known == machine).unwrap().1;
    functions(Spec::new(machine, Kind::Library).soname("libcuda.so.1"), 24, code)
}

/// A stub of NVML, which says so.
pub(crate) fn nvml_stub() -> Spec {
    let text = "libnvidia-ml.so in this package is a stub library that is attached only for build purposes";
    functions(Spec::new(Machine::X86_64, Kind::Library).soname("libnvidia-ml.so.1"), 4, &[0x31, 0xc0, 0xc3])
        .carries(text)
}

pub(crate) fn functions(spec: Spec, count: usize, code: &[u8]) -> Spec {
    (0..count).fold(spec, |spec, number| spec.function(&format!("cuFunction{number}"), code))
}

/// compat's libcuda, with its note.
pub(crate) fn compat(machine: Machine, note: &str) -> Spec {
    driver_for(machine, "libcuda.so.1").runpath(DRIVER).note(compat_note(note.as_bytes()))
}

pub(crate) fn compat_note(descriptor: &[u8]) -> Note {
    let section = ".note.cuda.fwd_compatibility";
    Note { section, owner: "NVIDIA Corporation", kind: 0, descriptor: descriptor.to_vec(), overrun: 0 }
}

pub(crate) fn dlopen_note(json: &[u8]) -> Note {
    let descriptor = [json, b"\0"].concat();
    Note { section: ".note.dlopen", owner: "FDO", kind: 0x407c_0c0a, descriptor, overrun: 0 }
}

/// A toolkit library under its real name, with the link that its SONAME is.
pub(crate) fn cudart(machine: Machine) -> Spec {
    Spec::new(machine, Kind::Library).soname("libcudart.so.12")
}
