//! How a GPU runs code, in words.

use crate::cuda::{Gpu, GpuCode, Runs, SHARED_SINCE};

/// How a GPU would run a file's code.
pub(super) fn how(code: &GpuCode, gpu: Gpu) -> String {
    match code.runs_on(gpu) {
        Runs::Exactly(found) => format!("runs {}", found.sm()),
        Runs::Family(found) => format!("runs through {}", found.sm()),
        Runs::Jit(found) => format!("JIT from {} {}", found.architecture(), found.kind.title().trim_end()),
        Runs::Renamed(found) => format!("{} is another name of it", found.sm()),
        Runs::Not => match code.promised_later(gpu) {
            Some(found) => format!("missing; {} from CUDA {SHARED_SINCE} on", found.sm()),
            None => "missing".to_owned(),
        },
    }
}
