//! Any bytes as a file from which GPU code goes: what is planned can be proven, and nothing is left for a second run.

use cuda_runpath::cuda::{Gpu, slim_bytes};
use cuda_runpath::elf::view::Subject;

use crate::elfgen::{Machine, Spec};

/// By the last two bytes: as a file, or as a section of a library; for which GPUs, and how it is written.
pub fn slim(bytes: &[u8]) {
    let Some((bytes, [how, gpus])) = bytes.split_last_chunk::<2>() else { return };
    let named: &[&str] = match gpus % 4 {
        0 => &["9.0"],
        1 => &["8.7"],
        2 => &["7.5", "12.0"],
        _ => &["8.6", "10.3"],
    };
    let gpus: Vec<Gpu> = named.iter().map(|name| name.parse().expect("a capability")).collect();
    let (compacts, in_place) = (how & 1 != 0, how & 2 != 0);
    let library;
    let file = if how & 4 == 0 {
        bytes
    } else {
        let section = if how & 8 == 0 { ".nv_fatbin" } else { ".data.gpu" };
        library = Spec::library(Machine::X86_64).gpu_code(section, bytes).build();
        &library
    };
    let made = slim_bytes(file, &gpus, compacts, in_place).expect("every plan can be proven");
    let Some(made) = made else { return };
    if !compacts || in_place {
        assert_eq!(made.len(), file.len(), "the length stays");
    }
    if let Ok(Subject::Object(_)) = Subject::parse(file) {
        assert!(matches!(Subject::parse(&made), Ok(Subject::Object(_))), "an object stays one");
    }
    let again = slim_bytes(&made, &gpus, compacts, in_place).expect("every plan can be proven");
    assert!(again.is_none(), "nothing is left for a second run");
}
