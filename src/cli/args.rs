//! The arguments, as clap reads them. Their help texts are the manual.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(super) use super::choices::{
    ArchPolicyArg, CompatPolicyArg, FailOn, GroupByArg, PlatformName, PtxPolicyArg, SchemaOf,
};
use crate::oci::ImagePlatform;
use crate::report::check::{CheckFormat, FORMATS};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do; what cannot be edited and asks for no driver library is named
  1  findings: fix --check would change something, or --require-consumer found nothing
  2  wrong usage, unreadable input, a failed edit, or a refused one of what asks for the driver";

/// Puts cuda_compat and /run/opengl-driver/lib in front of the RUNPATH of every ELF object in a tree.
#[derive(Debug, Parser)]
#[command(name = "cuda-runpath", version = env!("CUDA_RUNPATH_VERSION"), after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The formats that only one command has.
    pub(super) fn check_format(&self) -> anyhow::Result<()> {
        match (self.global.format, &self.command) {
            (Format::Human | Format::Json, _)
            | (Format::OfCheck(_), Command::Check(_))
            | (Format::Markdown, Command::Rules(_)) => Ok(()),
            (Format::Html | Format::Markdown, command) if command.has_pages() => Ok(()),
            (Format::OfCheck(_), _) => {
                let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
                let (last, others) = names.split_last().unwrap_or((&"", &[]));
                let others = others.join(", ");
                anyhow::bail!("--format {others} and {last} are for check; this command has others")
            }
            (Format::Html | Format::Markdown, _) => {
                anyhow::bail!("--format html and markdown are for check, archs, slim and explain")
            }
        }
    }
}

/// Options of every subcommand.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Output format; html and markdown are for check, archs, slim and explain, the last three for check
    #[arg(long, value_parser = Format::parser(), default_value = "human", global = true, help_heading = "Output", value_name = "FORMAT")]
    pub format: Format,
    /// Short for --format json
    #[arg(long, global = true, help_heading = "Output", conflicts_with = "format")]
    pub json: bool,
    /// Print failures only
    #[arg(short, long, global = true, help_heading = "Output", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print skipped files and how each change is made; twice: files that are not ELF too
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "Output")]
    pub verbose: u8,
    /// Use colours (NO_COLOR and CLICOLOR are honoured)
    #[arg(long, value_enum, default_value_t = When::Auto, global = true, help_heading = "Output", value_name = "WHEN")]
    pub color: When,
    /// Show progress on a terminal's standard error
    #[arg(long, value_enum, default_value_t = Progress::Auto, global = true, help_heading = "Output", value_name = "WHEN")]
    pub progress: Progress,
    /// Threads [default: NIX_BUILD_CORES, else one for each CPU; more for fix where they wait for the disk]
    #[arg(short, long, global = true, help_heading = "Output", value_name = "N")]
    pub jobs: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Human,
    Json,
    /// A page for a browser.
    Html,
    /// Tables for pull requests and job summaries; of rules a page of the documentation.
    Markdown,
    OfCheck(&'static CheckFormat),
}

impl Format {
    fn named(name: &str) -> Self {
        match name {
            "json" => Self::Json,
            "html" => Self::Html,
            "markdown" => Self::Markdown,
            name => FORMATS.iter().find(|format| format.name == name).map_or(Self::Human, Self::OfCheck),
        }
    }

    fn parser() -> impl TypedValueParser<Value = Self> {
        let of_check = FORMATS.iter().map(|format| PossibleValue::new(format.name));
        let of_several = ["human", "json", "html", "markdown"].map(PossibleValue::new);
        PossibleValuesParser::new(of_several.into_iter().chain(of_check)).map(|name| Self::named(&name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    Auto,
    Never,
}

impl Global {
    pub(super) fn is_json(&self) -> bool {
        self.json || matches!(self.format, Format::Json)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Put the driver and compat directories in front of every object's search path
    Fix(Box<FixArgs>),
    /// Take the GPU code out of files that no target runs
    Slim(Box<SlimArgs>),
    /// Show each object's search path, what it needs and where there is room
    Show(ShowArgs),
    /// Tell which libcuda each object will get, and what is wrong with its search
    Check(Box<CheckArgs>),
    /// List which GPU architectures files have code for
    Archs(ArchsArgs),
    /// Show one object's search, place by place: who wins and why
    Explain(Box<ExplainArgs>),
    /// Look at this machine's driver directory, kernel driver and compat; opens no device, loads no library
    Doctor(Box<DoctorArgs>),
    /// List the findings of check, or explain one
    Rules(RulesArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page (roff)
    Man(ManArgs),
}

impl Command {
    /// Whether it makes pages and tables.
    fn has_pages(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Archs(_) | Self::Slim(_) | Self::Explain(_))
    }
}

/// Which files.
#[derive(Debug, Args)]
pub(super) struct Inputs {
    /// File, directory or symbolic link such as ./result; links met inside a directory are not followed
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Read paths from FILE, one a line ("-" for standard input)
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub files_from: Option<PathBuf>,
    /// Paths of --files-from end with NUL instead of a newline
    #[arg(short = '0', long, requires = "files_from", help_heading = "Files")]
    pub null: bool,
    /// Leave out files and directories that match, by path below PATH or by name (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Files")]
    pub exclude: Vec<String>,
}

/// Which image.
#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    /// The platform, such as linux/arm64, where PATH is a container's image saved for several
    #[arg(long, value_name = "OS/ARCH", help_heading = "Files")]
    pub image_platform: Option<ImagePlatform>,
}

/// What an image is run in.
#[derive(Debug, Args)]
pub(super) struct ContainerArgs {
    /// What the host lays over the image: a spec of the Container Device Interface, YAML or JSON (repeatable)
    #[arg(long, value_name = "SPEC", help_heading = "Container", conflicts_with = "container")]
    pub cdi: Vec<PathBuf>,
    /// The devices of the spec that the container asks for, such as nvidia.com/gpu=0 (repeatable) [default: all]
    #[arg(long, value_name = "DEVICE", help_heading = "Container", requires = "cdi")]
    pub cdi_device: Vec<String>,
    /// Where the files lie that the spec mounts; without them they are known by their names
    #[arg(long, value_name = "DIR", help_heading = "Container", requires = "cdi")]
    pub host_root: Option<PathBuf>,
    /// Usual hosts in place of a spec (repeatable, or with commas); check asks all about a saved image that nothing is said of
    #[arg(long, value_enum, value_name = "HOST", value_delimiter = ',', help_heading = "Container")]
    pub container: Vec<ContainerName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum ContainerName {
    /// Debian's own packages: the driver has a directory of its own
    Debian,
    /// Ubuntu, and NVIDIA's packages: the driver lies among the system's libraries
    Ubuntu,
    /// RHEL, Fedora, SUSE: the driver lies in /usr/lib64
    Rhel,
    /// NixOS' module: the driver's store path and /run/opengl-driver, no links
    Nixos,
    /// A Jetson: the toolkit's lists of drivers
    Jetson,
    /// No host: the image by itself
    None,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct FixArgs {
    #[command(flatten)]
    pub inputs: Inputs,

    /// Directory with cuda_compat's libcuda.so.1 (repeatable; they come first, in order)
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub compat: Vec<PathBuf>,
    /// Driver directory (repeatable) [default: /run/opengl-driver/lib, for 32-bit objects /run/opengl-driver-32/lib]
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub driver: Vec<PathBuf>,
    /// Stub directory that its name does not tell (repeatable); .../lib/stubs and the like are known
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub stub: Vec<PathBuf>,
    /// Any of compat,driver,stubs; or order-only [default: driver,stubs, and compat when --compat is given]
    #[arg(long, value_name = "ACTIONS", help_heading = "Policy")]
    pub actions: Option<String>,
    /// Which dynamic tag holds the path afterwards
    #[arg(long, value_enum, default_value_t = Tag::Auto, value_name = "TAG", help_heading = "Policy")]
    pub tag: Tag,
    /// Only objects that ask for a driver library (DT_NEEDED, dlopen strings, .note.dlopen)
    #[arg(long, help_heading = "Policy")]
    pub only_consumers: bool,
    /// Count this library as one of the driver's too (repeatable)
    #[arg(long, value_name = "SONAME", help_heading = "Policy")]
    pub driver_library: Vec<String>,
    /// Exit with 1 when no object asks for a driver library
    #[arg(long, help_heading = "Policy")]
    pub require_consumer: bool,
    /// Remove every repeated entry, not only those of managed directories
    #[arg(long, help_heading = "Policy")]
    pub dedup: bool,
    /// Remove also what check reports of entries: relative ones, those of builds (/build, /tmp, /home …), of /usr and
    /// /lib, of compilers, repeated ones, and stub directories that only their content tells
    #[arg(long, help_heading = "Policy")]
    pub clean: bool,
    /// Look up absolute entries below DIR, an unpacked image, for --clean
    #[arg(long, value_name = "DIR", help_heading = "Policy", requires = "clean")]
    pub root: Option<PathBuf>,
    /// Remove compat directories, for a host driver that is newer
    #[arg(long, help_heading = "Policy")]
    pub drop_compat: bool,
    /// Only objects of this machine, such as x86_64 or aarch64 (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Policy")]
    pub machine: Vec<String>,
    /// Only files that match, by path below PATH or by name; also those with a signature, which breaks (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "Policy", conflicts_with = "revert")]
    pub only: Vec<String>,
    /// Fail for every file that cannot be edited, also one that asks for no driver library
    #[arg(long, help_heading = "Policy")]
    pub strict: bool,

    /// Say what would be done; write nothing
    #[arg(long, help_heading = "Writing", conflicts_with_all = ["output", "receipt", "revert"])]
    pub dry_run: bool,
    /// As --dry-run, and exit with 1 when something would change
    #[arg(long, help_heading = "Writing", conflicts_with_all = ["dry_run", "output", "receipt", "revert"])]
    pub check: bool,
    /// Show changes as differences; write nothing
    #[arg(long, help_heading = "Writing", conflicts_with_all = ["output", "receipt", "revert"])]
    pub diff: bool,
    /// Write to the files themselves, in an order in which every step loads (fast; for fresh build outputs)
    #[arg(long, help_heading = "Writing", conflicts_with = "revert")]
    pub in_place: bool,
    /// Leave PATH alone and write a patched copy of it to DIR, which must be new or empty
    #[arg(long, value_name = "DIR", help_heading = "Writing", conflicts_with_all = ["revert", "receipt"])]
    pub output: Option<PathBuf>,
    /// Write to a new FILE what --revert needs to take the edits back
    #[arg(long, value_name = "FILE", help_heading = "Writing", conflicts_with = "revert")]
    pub receipt: Option<PathBuf>,
    /// A store path that the running Nix build is making, and that may be written (repeatable; for setup hooks)
    #[arg(long, value_name = "PATH", help_heading = "Writing")]
    pub build_output: Vec<PathBuf>,
    /// Take back the edits of a receipt
    #[arg(long, value_name = "FILE", help_heading = "Writing", conflicts_with_all = ["paths", "files_from", "exclude"])]
    pub revert: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = SLIM_EXIT_CODES)]
pub(super) struct SlimArgs {
    #[command(flatten)]
    pub inputs: Inputs,

    /// GPUs that the files must still run on, such as 8.7 or sm_90, separated by commas or blanks (repeatable)
    #[arg(long, value_name = "LIST", required = true, help_heading = "Policy")]
    pub arch: Vec<String>,
    /// Keep all PTX, for GPUs that are not there yet
    #[arg(long, help_heading = "Policy")]
    pub keep_ptx: bool,
    /// Leave files as long as they are: what goes becomes holes
    #[arg(long, help_heading = "Policy")]
    pub no_compact: bool,

    /// Say what would be done; write nothing
    #[arg(long, help_heading = "Writing", conflicts_with = "output")]
    pub dry_run: bool,
    /// As --dry-run, and exit with 1 when something would change
    #[arg(long, help_heading = "Writing", conflicts_with_all = ["dry_run", "output"])]
    pub check: bool,
    /// Wait for no disk (for fresh build outputs); with --no-compact write to the files themselves, in steps each of
    /// which runs
    #[arg(long, help_heading = "Writing", conflicts_with = "output")]
    pub in_place: bool,
    /// Leave PATH alone and write a slimmed copy of it to DIR, which must be new or empty
    #[arg(long, value_name = "DIR", help_heading = "Writing")]
    pub output: Option<PathBuf>,
    /// A store path that the running Nix build is making, and that may be written (repeatable; for setup hooks)
    #[arg(long, value_name = "PATH", help_heading = "Writing")]
    pub build_output: Vec<PathBuf>,
}

const SLIM_EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  a file has no code that runs on one of the GPUs, and was left as it is; slim --check would change something
  2  wrong usage, unreadable input, or a refused or failed edit";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tag {
    /// DT_RUNPATH, but DT_RPATH where something finds libraries only because that is inherited
    Auto,
    /// DT_RUNPATH, whatever was there
    Runpath,
    /// The tag that is there; where there is none as auto
    Keep,
    /// DT_RPATH, which dependencies inherit
    Rpath,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub image: ImageArgs,
    /// Directory to show as compat (repeatable)
    #[arg(long, value_name = "DIR")]
    pub compat: Vec<PathBuf>,
    /// Directory to show as driver (repeatable)
    #[arg(long, value_name = "DIR")]
    pub driver: Vec<PathBuf>,
    /// Print only the paths of objects that have a search path or may have one, each ended with NUL
    #[arg(long, conflicts_with_all = ["json", "format"])]
    pub print0: bool,
}

/// What is wanted of objects, for check and explain.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Directory with cuda_compat's libcuda.so.1 (repeatable); those of store paths named *cuda_compat* are known
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub compat: Vec<PathBuf>,
    /// Driver directory (repeatable) [default: /run/opengl-driver/lib, for 32-bit objects /run/opengl-driver-32/lib]
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub driver: Vec<PathBuf>,
    /// Stub directory that its name does not tell (repeatable); stubs are also known by their content
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    pub stub: Vec<PathBuf>,
    /// What it will run on
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Policy")]
    pub platform: Option<PlatformName>,
    /// Whether compat must come first; auto asks platform, CUDA release and --host-driver
    #[arg(long, value_enum, default_value_t = CompatPolicyArg::Auto, value_name = "WISH", help_heading = "Policy")]
    pub compat_policy: CompatPolicyArg,
    /// The target's kernel driver: its branch, such as 540, or its whole version
    #[arg(long, value_name = "VERSION", help_heading = "Policy")]
    pub host_driver: Option<String>,
    /// The CUDA release of the target's own driver, such as 13.2, where --platform does not know it
    #[arg(long, value_name = "VERSION", help_heading = "Policy")]
    pub host_cuda: Option<String>,
    /// Count this library as one of the driver's too (repeatable)
    #[arg(long, value_name = "SONAME", help_heading = "Policy")]
    pub driver_library: Vec<String>,
    /// What if: LD_LIBRARY_PATH=DIRS or LD_PRELOAD=FILES at run time
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Policy")]
    pub env: Vec<String>,
    /// Follow every absolute path below DIR: an unpacked image or a sysroot
    #[arg(long, value_name = "DIR", help_heading = "Files")]
    pub root: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = CHECK_EXIT_CODES)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub image: ImageArgs,
    #[command(flatten)]
    pub container: ContainerArgs,
    /// Check the closure of each PATH, as nix-store knows it
    #[arg(long, help_heading = "Files", conflicts_with_all = ["closure_from", "root"])]
    pub closure: bool,
    /// Check the closure that FILE lists: closureInfo's store-paths or registration, an exportReferencesGraph file, or a
    /// .attrs.json
    #[arg(long, value_name = "FILE", help_heading = "Files", conflicts_with_all = ["paths", "files_from"])]
    pub closure_from: Option<PathBuf>,
    /// The attribute of a .attrs.json that holds the closure
    #[arg(long, value_name = "NAME", help_heading = "Files", requires = "closure_from")]
    pub attrs_key: Option<String>,

    #[command(flatten)]
    pub wanted: TargetArgs,
    /// GPUs that it will run on, such as 8.7,11.0 or sm_90a: GPU code is looked at (repeatable, or with commas)
    #[arg(long, value_name = "GPUS", value_delimiter = ',', help_heading = "GPU code")]
    pub arch: Vec<String>,
    /// Which code for them is good enough: for that very architecture, machine code that runs on it, or PTX
    #[arg(long, value_enum, default_value_t = ArchPolicyArg::Family, value_name = "POLICY", help_heading = "GPU code", requires = "arch")]
    pub arch_policy: ArchPolicyArg,
    /// Whether PTX must be there for later GPUs, counts as code, or counts for nothing
    #[arg(long, value_enum, default_value_t = PtxPolicyArg::Accept, value_name = "WISH", help_heading = "GPU code", requires = "arch")]
    pub ptx: PtxPolicyArg,
    /// The only machine that may be there, such as x86_64 or aarch64
    #[arg(long, value_name = "NAME", help_heading = "Policy")]
    pub machine: Option<String>,
    /// An error when no object asks for a driver library
    #[arg(long, help_heading = "Policy")]
    pub require_consumer: bool,
    /// Look for every symbol that an object asks for, as the loader does
    #[arg(long, help_heading = "Policy")]
    pub symbols: bool,

    /// The mildest finding that makes the exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY", help_heading = "Findings")]
    pub fail_on: FailOn,
    /// What findings stand under [default: path, but the first three only of a kind of which there are more than ten]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = "Findings")]
    pub group_by: Option<GroupByArg>,
    /// Report only these findings, by code or name (repeatable, or with commas)
    #[arg(long, value_name = "CODE", value_delimiter = ',', help_heading = "Findings")]
    pub only: Vec<String>,
    /// Leave these findings out (repeatable, or with commas)
    #[arg(long, value_name = "CODE", value_delimiter = ',', help_heading = "Findings", conflicts_with = "only")]
    pub skip: Vec<String>,
    /// Excuse what a TOML file allows: "allow" tables with code, path (a glob), reason and perhaps until (a date)
    #[arg(long, value_name = "FILE", help_heading = "Findings")]
    pub allow: Option<PathBuf>,
    /// Excuse what an earlier check --json found
    #[arg(long, value_name = "FILE", help_heading = "Findings")]
    pub baseline: Option<PathBuf>,
    /// Tell what changed since OLD, another release: a tree, an image, with --closure-from a list, or an earlier check
    /// --format json -v; findings that OLD has are excused
    #[arg(long, value_name = "OLD", help_heading = "Findings")]
    pub against: Option<PathBuf>,
    /// Write to FILE what only the target can tell, for doctor --runtime-list
    #[arg(long, value_name = "FILE", help_heading = "Findings")]
    pub runtime_list: Option<PathBuf>,
}

const CHECK_EXIT_CODES: &str = "\
Exit codes, the same with every format:
  0  no finding as bad as --fail-on
  1  findings as bad as --fail-on, or worse
  2  wrong usage or unreadable input";

#[derive(Debug, Args)]
#[command(after_help = ARCHS_EXIT_CODES)]
pub(super) struct ArchsArgs {
    #[command(flatten)]
    pub inputs: Inputs,
    #[command(flatten)]
    pub image: ImageArgs,
    /// Print one table for all files together
    #[arg(long)]
    pub sum: bool,
    /// Count kernels, too: all code is unpacked
    #[arg(long)]
    pub kernels: bool,
    /// Tell how these GPUs, such as 8.7 or sm_110, run each file, and how many bytes none of them can use
    #[arg(long, value_name = "GPUS", value_delimiter = ',')]
    pub unused_for: Vec<String>,
    /// The CUDA release of their driver, such as 13.2: from that one on a Tegra runs code for discrete GPUs
    #[arg(long, value_name = "VERSION", requires = "unused_for")]
    pub host_cuda: Option<String>,
}

const ARCHS_EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  GPU code that is not understood in full
  2  wrong usage or unreadable input";

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The object that asks; IMAGE:/PATH for one in a saved image
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What it asks for [default: everything in DT_NEEDED, and every driver library]
    #[arg(value_name = "SONAME")]
    pub soname: Option<OsString>,
    /// Explain everything that starting FILE searches for, what its libraries need included
    #[arg(long, conflicts_with = "soname")]
    pub recursive: bool,
    /// Tell where each symbol is found that FILE asks for, and who would have had those that are missing; with
    /// --recursive those of all that is loaded
    #[arg(long)]
    pub symbols: bool,
    /// In the process of this program, which loads FILE at start or opens it with dlopen
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// What if: no compat directory
    #[arg(long, help_heading = "Policy")]
    pub without_compat: bool,
    #[command(flatten)]
    pub image: ImageArgs,
    #[command(flatten)]
    pub container: ContainerArgs,
    #[command(flatten)]
    pub wanted: TargetArgs,
}

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXIT_CODES)]
pub(super) struct DoctorArgs {
    /// Close what check --runtime-list FILE left to the target
    #[arg(long, value_name = "FILE")]
    pub runtime_list: Option<PathBuf>,
    #[command(flatten)]
    pub wanted: TargetArgs,
}

const DOCTOR_EXIT_CODES: &str = "\
Exit codes:
  0  nothing is wrong
  1  an error
  2  wrong usage or unreadable input";

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    /// The finding, such as CRP200 or stub-first
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Print the JSON Schema of check --json, or of check --json --against
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "check", conflicts_with = "code", value_name = "DOCUMENT")]
    pub schema: Option<SchemaOf>,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The subcommand whose page is wanted; the program's without one
    #[arg(value_name = "SUBCOMMAND")]
    pub subcommand: Option<String>,
}
