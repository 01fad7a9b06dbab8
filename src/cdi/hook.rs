//! Hooks by their names: what each does to a container, and its arguments.

use bstr::BString;

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// `create-symlinks`: links, each with what it leads to.
    CreateSymlinks(Vec<LinkArgument>),
    /// `enable-cuda-compat`
    EnableCudaCompat(CompatHook),
    /// `update-ldcache`: directories for the cache.
    UpdateLdcache(Vec<BString>),
    /// Nothing to what a loader finds.
    Harmless,
    /// It is not known what.
    Unknown(String),
}

/// One link of `create-symlinks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkArgument {
    /// The link's text.
    pub(crate) target: BString,
    /// Where it is made.
    pub(crate) path: BString,
}

/// The arguments of `enable-cuda-compat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompatHook {
    /// The host's driver.
    pub(crate) host_driver: Option<String>,
    /// The CUDA release of the host's driver.
    pub(crate) host_cuda: Option<String>,
    /// Where the image has its compat libraries, where that is not `/usr/local/cuda/compat`.
    pub(crate) root: Option<BString>,
}

/// What the toolkit has beside the three above, none of which touches what a loader reads: modes of device nodes, the
/// driver's profile, and a hook for tests.
const HARMLESS: [&str; 4] = ["disable-device-node-modification", "update-application-profile", "chmod", "noop"];

/// The programs whose subcommands are hooks.
const TOOLKIT: [&str; 2] = ["nvidia-cdi-hook", "nvidia-ctk"];

/// As many letters of an unknown hook are told.
const LONGEST_NAME: usize = 64;

impl Hook {
    /// What a hook of a spec does: by its name, which stands behind the program's own, for `nvidia-ctk` behind the word
    /// `hook`. The program is known by its file name, whatever directory a host keeps it in.
    pub(super) fn of(path: &str, args: &[String]) -> Self {
        let program = path.rsplit('/').next().unwrap_or(path);
        let program = program.strip_suffix(".real").unwrap_or(program);
        let mut left = args.iter().skip(1).map(String::as_str).filter(|arg| !arg.is_empty());
        let mut name = left.next();
        if name == Some("hook") {
            name = left.next();
        }
        let Some(name) = name.filter(|_| TOOLKIT.contains(&program)) else {
            return Self::unknown(program);
        };
        let options = Options::of(left);
        match name {
            "create-symlinks" => Self::links(&options),
            "enable-cuda-compat" => Self::EnableCudaCompat(CompatHook {
                host_driver: options.last("host-driver-version"),
                host_cuda: options.last("host-cuda-version"),
                root: options.last("cuda-compat-container-root").map(BString::from),
            }),
            "update-ldcache" => Self::UpdateLdcache(options.list("folder").map(BString::from).collect()),
            name if HARMLESS.contains(&name) => Self::Harmless,
            name => Self::unknown(name),
        }
    }

    fn unknown(name: &str) -> Self {
        Self::Unknown(name.chars().take(LONGEST_NAME).collect())
    }

    /// A link that is not TARGET::LINK makes the hook fail, and with it the container.
    fn links(options: &Options<'_>) -> Self {
        let mut links = Vec::new();
        for link in options.list("link") {
            match link.split_once("::") {
                Some((target, path)) if !path.contains("::") => {
                    let link = LinkArgument { target: target.into(), path: path.into() };
                    links.push(link);
                }
                _ => return Self::unknown("create-symlinks with a link that is not TARGET::LINK"),
            }
        }
        Self::CreateSymlinks(links)
    }
}

/// `--name value` and `--name=value`.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    fn of(mut args: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Vec::new();
        while let Some(arg) = args.next() {
            let Some(name) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else { continue };
            match name.split_once('=') {
                Some(pair) => found.push(pair),
                None => found.extend(args.next().map(|value| (name, value))),
            }
        }
        Self(found)
    }

    fn last(&self, name: &str) -> Option<String> {
        let found = self.0.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
    }

    /// Commas stand between values, too (urfave/cli, StringSliceFlag).
    fn list(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value);
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(path: &str, args: &str) -> Hook {
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        Hook::of(path, &args)
    }

    #[test]
    fn hooks_are_known_by_the_name_behind_the_program() {
        let folders = Hook::UpdateLdcache(vec!["/usr/lib64".into(), "/a".into()]);
        for (path, args) in [
            ("/usr/bin/nvidia-cdi-hook", "nvidia-cdi-hook update-ldcache --folder /usr/lib64 --folder=/a"),
            ("/nix/store/x-toolkit/bin/nvidia-ctk", "nvidia-ctk hook update-ldcache --folder /usr/lib64,/a"),
            // args[0] may be anything.
            ("/opt/nvidia-cdi-hook", "x update-ldcache --ldconfig-path /x --folder /usr/lib64 --folder /a"),
        ] {
            assert_eq!(hook(path, args), folders, "{path} {args}");
        }
        let links = hook("/usr/bin/nvidia-cdi-hook", "x create-symlinks --link libcuda.so.1::/usr/lib64/libcuda.so");
        let link = LinkArgument { target: "libcuda.so.1".into(), path: "/usr/lib64/libcuda.so".into() };
        assert_eq!(links, Hook::CreateSymlinks(vec![link]));
        let compat = hook("/usr/bin/nvidia-cdi-hook", "x enable-cuda-compat --host-driver-version=550.163.01");
        let wanted = CompatHook { host_driver: Some("550.163.01".into()), ..CompatHook::default() };
        assert_eq!(compat, Hook::EnableCudaCompat(wanted));
        assert_eq!(hook("/usr/bin/nvidia-cdi-hook", "x update-application-profile"), Hook::Harmless);
    }

    #[test]
    fn what_is_not_known_has_a_name() {
        for (path, args, name) in [
            ("/usr/bin/nvidia-cdi-hook", "x create-soname-symlinks --folder /a", "create-soname-symlinks"),
            ("/usr/local/bin/amd-hook", "amd-hook update-ldcache", "amd-hook"),
            ("/usr/bin/nvidia-cdi-hook", "nvidia-cdi-hook", "nvidia-cdi-hook"),
            ("/bin/sh", "", "sh"),
            (
                "/usr/bin/nvidia-cdi-hook",
                "x create-symlinks --link a:b",
                "create-symlinks with a link that is not TARGET::LINK",
            ),
        ] {
            assert_eq!(hook(path, args), Hook::Unknown(name.into()), "{path} {args}");
        }
    }
}
