//! What options let a person choose of a few names.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PlatformName {
    /// NixOS with a discrete GPU
    Nixos,
    /// Jetson, L4T 35: CUDA 11.4, with compat up to 12.2
    Jetpack5,
    /// Jetson, L4T 36: CUDA 12.6, with compat up to 12.9
    Jetpack6,
    /// Jetson, L4T 38: CUDA 13.0
    Jetpack7,
    /// Jetson, L4T 39: CUDA 13.2
    #[value(name = "jetpack7.2")]
    Jetpack72,
    /// Arm server with a discrete GPU
    Sbsa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CompatPolicyArg {
    Require,
    Prefer,
    Forbid,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ArchPolicyArg {
    /// For that very architecture
    Exact,
    /// Machine code that NVIDIA promises to run on it
    Family,
    /// Machine code of its generation, also for discrete GPUs on a Tegra and the other way round
    Generation,
    /// PTX
    Ptx,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PtxPolicyArg {
    Require,
    Accept,
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Error,
    Warning,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GroupByArg {
    /// All findings of one kind together
    Code,
    /// Under the file that each is about
    Path,
    /// Under the package of the file (a store path, what a Python environment installs, a directory), by kind
    Package,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    Check,
    Against,
}
