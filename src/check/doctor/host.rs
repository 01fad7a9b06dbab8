//! What kind of machine it is: a Jetson, WSL, or any other.

use bstr::{BStr, ByteSlice};

use super::diagnosis::Diagnosis;
use crate::check::policy::Platform;
use crate::check::rule::Severity;
use crate::loader::FileSystem;

/// L4T's release, and the board's name in the device tree.
const L4T: &str = "/etc/nv_tegra_release";
const DEVICE_TREE: &str = "/proc/device-tree/compatible";

/// What the kernel calls itself; that of WSL has the word `microsoft` in its name.
const KERNEL: [&str; 2] = ["/proc/sys/kernel/osrelease", "/proc/version"];

/// Where WSL has Windows' driver, and the device through which that speaks to the GPU.
const WSL_DRIVER: &str = "/usr/lib/wsl/lib";
const WSL_DEVICE: (&str, &str) = ("/dev", "dxg");

/// L4T 39 has a driver for either chip and links one of them when it starts.
const L4T_DRIVERS: &str = "/opt/nvidia/l4t-gpu-libs";

/// A Jetson's chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chip {
    Orin,
    Thor,
}

/// What a machine is.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// It has a Tegra.
    pub(super) is_jetson: bool,
    /// It is Linux in Windows: the driver is that of Windows.
    pub(super) is_wsl: bool,
    /// What L4T's release says.
    pub(super) platform: Option<Platform>,
    chip: Option<Chip>,
}

impl Host {
    /// Looks at it.
    pub(super) fn of(files: &dyn FileSystem, found: &mut Vec<Diagnosis>) -> Self {
        let read = |file: &str| files.read(BStr::new(file)).unwrap_or_default();
        let (l4t, tree) = (read(L4T), read(DEVICE_TREE));
        let texts = [&l4t, &tree];
        let text = texts.into_iter().find(|text| text.contains_str("tegra") || text.starts_with(b"# R"));
        if let Some(text) = text {
            let line = text.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
            found.push(Diagnosis::fine("board", format!("a Jetson ({})", line.as_bstr())));
        }
        let kernel = KERNEL.iter().map(|file| read(file).to_ascii_lowercase());
        let is_wsl = kernel.into_iter().any(|text| text.contains_str("microsoft"));
        let chips = [("tegra234", Chip::Orin), ("tegra264", Chip::Thor)];
        Self {
            is_jetson: text.is_some(),
            is_wsl,
            platform: l4t_release(&l4t).and_then(Platform::of_l4t),
            chip: chips.into_iter().find(|(name, _)| tree.contains_str(name)).map(|(_, chip)| chip),
        }
    }

    /// Whether Windows' driver is there, under a kernel that does not call itself Microsoft's: WSL takes others, too.
    pub(super) fn has_wsl_driver(files: &dyn FileSystem, devices: Option<&[bstr::BString]>) -> bool {
        let has_device = devices.is_some_and(|devices| devices.iter().any(|name| name == WSL_DEVICE.1));
        has_device && files.directory(BStr::new(WSL_DRIVER)).exists()
    }

    /// Of WSL, which has no kernel module of nvidia's: Windows has it.
    pub(super) fn wsl_driver(&self, devices: Option<&[bstr::BString]>) -> Diagnosis {
        let (folder, device) = WSL_DEVICE;
        if devices.is_some_and(|devices| devices.iter().any(|name| name == device)) {
            return Diagnosis::fine("kernel driver", format!("that of Windows, through {folder}/{device} (WSL)"));
        }
        let remedy = "WSL 2 makes it where Windows has a driver for the GPU; a container needs it as a device";
        Diagnosis::say("kernel driver", Severity::Error, format!("{folder}/{device} does not exist; {remedy}"))
    }

    /// The directory whose files are devices.
    pub(super) fn devices() -> &'static BStr {
        BStr::new(WSL_DEVICE.0)
    }

    /// How a driver directory is made here.
    pub(super) fn remedy(&self) -> String {
        if self.is_wsl {
            return format!("NixOS-WSL makes it with wsl.useWindowsDriver; elsewhere link it to {WSL_DRIVER}");
        }
        let single = "link each of the driver's libraries there by itself (libcuda.so.1, libnvidia-ml.so.1, \
                      libnvidia-ptxjitcompiler.so.1 and so on), not the folder that they lie in: what else is in that \
                      would win over the programs' own";
        format!("NixOS makes it with hardware.graphics.enable and the nvidia driver; elsewhere {single}")
    }

    /// What there is to say of a Jetson's libcuda that is not there: L4T 39 makes the link when it starts.
    pub(super) fn unlinked(&self, files: &dyn FileSystem) -> Option<String> {
        let is_there = self.is_jetson && files.directory(BStr::new(L4T_DRIVERS)).exists();
        is_there.then(|| {
            format!("L4T links that of {L4T_DRIVERS}/nvgpu (Orin) or …/openrm (Thor) when the board starts: this did not happen")
        })
    }

    /// Whether a Jetson's libcuda is that of the other chip.
    pub(super) fn wrong_chip(&self, libcuda: &BStr) -> Option<String> {
        let below = libcuda.strip_prefix(L4T_DRIVERS.as_bytes())?;
        let (own, word) = match self.chip? {
            Chip::Orin => ("nvgpu", "an Orin"),
            Chip::Thor => ("openrm", "a Thor"),
        };
        let is_own = below.strip_prefix(b"/").is_some_and(|rest| rest.starts_with(own.as_bytes()));
        (!is_own).then(|| format!("{libcuda} is the other chip's: {word} has that of {L4T_DRIVERS}/{own}"))
    }
}

/// The `36` of `# R36 (release), REVISION: 4.0, …`.
fn l4t_release(text: &[u8]) -> Option<u32> {
    let rest = text.strip_prefix(b"# R")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest.get(..digits)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l4t_says_its_release() {
        assert_eq!(l4t_release(b"# R36 (release), REVISION: 4.0, GCID: 1\n"), Some(36));
        assert_eq!(
            l4t_release(b"# R39 (release), REVISION: 2.0\n").and_then(Platform::of_l4t),
            Some(Platform::Jetpack72)
        );
        assert_eq!(l4t_release(b"R36"), None);
        assert_eq!(l4t_release(b"# R (release)"), None);
    }
}
