//! What a spec does to a container that asks for some of its devices.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice};

use super::error::CdiError;
use super::hook::Hook;
use super::spec::{EditsDocument, HookDocument, MountDocument, SpecDocument};

/// Mounts of a spec; a desktop's has sixty.
const MOST_MOUNTS: usize = 1 << 14;
/// Hooks of a spec; the toolkit writes five.
const MOST_HOOKS: usize = 1 << 12;
/// Links of all of them.
const MOST_LINKS: usize = 1 << 16;
/// Arguments of one hook.
const MOST_ARGUMENTS: usize = 1 << 14;
/// Names of a path in a spec.
const MOST_NAMES: usize = 128;
/// Bytes of a path in a spec (PATH_MAX).
const LONGEST_PATH: usize = 4096;

/// The device that stands for all of them.
pub(crate) const ALL: &str = "all";

/// A hook, and when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CdiHook {
    moment: Moment,
    /// What it does.
    pub(crate) hook: Hook,
}

/// The moments at which hooks run before a program does, in this order (`runtime-spec config.md`, "POSIX-platform Hooks").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
}

/// A file or directory of the host, and where a container has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CdiMount {
    /// On the host.
    pub(crate) host: BString,
    /// In the container.
    pub(crate) container: BString,
}

/// Everything that is done, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CdiEdits {
    /// `NAME=VALUE`, the last one of a name wins.
    pub(crate) environment: Vec<String>,
    /// Laid over the image, in this order.
    pub(crate) mounts: Vec<CdiMount>,
    /// Run when all mounts are there.
    pub(crate) hooks: Vec<CdiHook>,
}

impl CdiEdits {
    /// What a spec does for devices of these names: all that is said of the whole spec, and what is said of each device.
    /// `all`, or the kind and that, is every device where none has that name.
    ///
    /// # Errors
    /// [`CdiError`] says why the spec cannot be used, or which device it lacks.
    pub fn parse(text: &[u8], devices: &[String]) -> Result<Self, CdiError> {
        let document = SpecDocument::parse(text)?;
        let chosen = chosen(&document, devices)?;
        let SpecDocument { devices, container_edits, .. } = document;
        let mut edits = Self::default();
        // container-device-interface pkg/cdi/cache.go, `InjectDevices`
        edits.add(container_edits)?;
        let mut devices: Vec<Option<EditsDocument>> =
            devices.unwrap_or_default().into_iter().map(|device| Some(device.container_edits)).collect();
        for index in chosen {
            let device = devices.get_mut(index).and_then(Option::take);
            device.map_or(Ok(()), |device| edits.add(device))?;
        }
        Ok(edits)
    }

    /// The mounts as a runtime makes them: of two in one place the later one, and what lies deeper later
    /// (container-device-interface pkg/cdi/container-edits.go, `Apply`).
    pub(crate) fn mounts_in_order(&self) -> Vec<&CdiMount> {
        let mut last: HashMap<BString, usize> = HashMap::new();
        for (index, mount) in self.mounts.iter().enumerate() {
            last.insert(clean(mount.container.as_bstr()), index);
        }
        let mut kept: Vec<(usize, &CdiMount)> = Vec::new();
        for (index, mount) in self.mounts.iter().enumerate() {
            let path = clean(mount.container.as_bstr());
            if last.get(&path) == Some(&index) {
                kept.push((path.iter().filter(|byte| **byte == b'/').count(), mount));
            }
        }
        kept.sort_by_key(|(depth, _)| *depth);
        kept.into_iter().map(|(_, mount)| mount).collect()
    }

    /// The same with those of another spec behind them.
    ///
    /// # Errors
    /// Together they are more than one spec may have.
    pub(crate) fn and(mut self, other: Self) -> Result<Self, CdiError> {
        self.environment.extend(other.environment);
        self.mounts.extend(other.mounts);
        self.hooks.extend(other.hooks);
        self.within_limits()
    }

    fn within_limits(self) -> Result<Self, CdiError> {
        if self.mounts.len() > MOST_MOUNTS {
            return Err(CdiError::TooMany { what: "mounts", limit: MOST_MOUNTS });
        }
        if self.hooks.len() > MOST_HOOKS {
            return Err(CdiError::TooMany { what: "hooks", limit: MOST_HOOKS });
        }
        let links = self.hooks.iter().map(|hook| match &hook.hook {
            Hook::CreateSymlinks(links) => links.len(),
            _ => 0,
        });
        if links.fold(0, usize::saturating_add) > MOST_LINKS {
            return Err(CdiError::TooMany { what: "links", limit: MOST_LINKS });
        }
        Ok(self)
    }

    fn add(&mut self, edits: EditsDocument) -> Result<(), CdiError> {
        for assignment in edits.env.unwrap_or_default() {
            if !assignment.contains('=') {
                return Err(CdiError::Value { field: "env", value: assignment, why: "it is not NAME=VALUE" });
            }
            self.environment.push(assignment);
        }
        for mount in edits.mounts.unwrap_or_default() {
            self.mounts.extend(mount_of(mount)?);
        }
        for hook in edits.hooks.unwrap_or_default() {
            self.hooks.extend(hook_of(&hook)?);
        }
        self.hooks.sort_by_key(|hook| hook.moment);
        std::mem::take(self).within_limits().map(|within| *self = within)
    }
}

/// Where the chosen devices stand, in the order in which they are asked for.
fn chosen(document: &SpecDocument, wanted: &[String]) -> Result<Vec<usize>, CdiError> {
    let known = document.devices.as_deref().unwrap_or_default();
    let places: HashMap<&str, usize> =
        known.iter().enumerate().rev().map(|(index, device)| (device.name.as_str(), index)).collect();
    let mut chosen = Vec::new();
    for wanted in wanted {
        let name = match wanted.split_once('=') {
            Some((kind, name)) if kind == document.kind => name,
            Some(_) => return Err(CdiError::OtherKind { kind: document.kind.clone(), wanted: wanted.clone() }),
            None => wanted,
        };
        match places.get(name) {
            Some(found) => chosen.push(*found),
            None if name == ALL => chosen.extend(0..known.len()),
            None => {
                const TOLD: usize = 16;
                let names: Vec<&str> = known.iter().take(TOLD).map(|device| device.name.as_str()).collect();
                let known = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
                return Err(CdiError::NoDevice { wanted: wanted.clone(), known });
            }
        }
    }
    Ok(chosen)
}

/// A path as Go's `filepath.Clean` writes it: nothing is looked up.
pub(super) fn clean(path: &BStr) -> BString {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    BString::from([b"/", bstr::join("/", parts).as_slice()].concat())
}

/// `None` for what holds no file of the host.
fn mount_of(mount: MountDocument) -> Result<Option<CdiMount>, CdiError> {
    let is_bind = matches!(mount.kind.as_deref(), None | Some("" | "bind" | "none"));
    for (field, value) in [("hostPath", &mount.host_path), ("containerPath", &mount.container_path)] {
        let why = if value.len() > LONGEST_PATH {
            "it has more than 4096 bytes"
        } else if value.split('/').count() > MOST_NAMES {
            "it has more than 128 names"
        } else if value.contains('\0') {
            "it has a NUL in it"
        } else if value.is_empty() || (is_bind && !value.starts_with('/')) {
            "it is no absolute path"
        } else {
            continue;
        };
        let value = value.chars().take(64).collect();
        return Err(CdiError::Value { field, value, why });
    }
    let found = CdiMount { host: mount.host_path.into(), container: mount.container_path.into() };
    Ok(is_bind.then_some(found))
}

/// `None` for one that runs when a program runs already, or has ended.
fn hook_of(hook: &HookDocument) -> Result<Option<CdiHook>, CdiError> {
    let args = hook.args.as_deref().unwrap_or_default();
    if args.len() > MOST_ARGUMENTS {
        return Err(CdiError::TooMany { what: "arguments of one hook", limit: MOST_ARGUMENTS });
    }
    let moment = match hook.hook_name.as_str() {
        "prestart" => Moment::Prestart,
        "createRuntime" => Moment::CreateRuntime,
        "createContainer" => Moment::CreateContainer,
        "startContainer" => Moment::StartContainer,
        "poststart" | "poststop" => return Ok(None),
        other => {
            let why = "it is no moment at which a hook runs";
            return Err(CdiError::Value { field: "hookName", value: other.chars().take(64).collect(), why });
        }
    };
    Ok(Some(CdiHook { moment, hook: Hook::of(&hook.path, args) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
  - name: "0"
    containerEdits:
      env: [A=0]
      deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/nvidia0}]
  - name: all
    containerEdits:
      env: [A=all]
      mounts: [{hostPath: /b, containerPath: /usr/lib/../lib/x}]
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  hooks:
    - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib]}
    - {hookName: prestart, path: /bin/x}
    - {hookName: poststop, path: /bin/y}
  mounts:
    - {hostPath: /a, containerPath: /usr/lib/x, options: [ro, rbind]}
    - {hostPath: /d, containerPath: /d}
    - {hostPath: tmpfs, containerPath: /t, type: tmpfs}
"#;

    fn parse(text: &str, devices: &[&str]) -> Result<CdiEdits, CdiError> {
        let devices: Vec<String> = devices.iter().map(|name| (*name).to_owned()).collect();
        CdiEdits::parse(text.as_bytes(), &devices)
    }

    #[test]
    fn devices_are_added_to_what_all_get() {
        let edits = parse(SPEC, &["all"]).unwrap();
        assert_eq!(edits.environment, ["NVIDIA_VISIBLE_DEVICES=void", "A=all"]);
        let mounts: Vec<String> =
            edits.mounts_in_order().iter().map(|m| format!("{}:{}", m.host, m.container)).collect();
        assert_eq!(mounts, ["/d:/d", "/b:/usr/lib/../lib/x"]);
        let hooks: Vec<&Hook> = edits.hooks.iter().map(|hook| &hook.hook).collect();
        assert_eq!(hooks, [&Hook::Unknown("x".into()), &Hook::UpdateLdcache(vec!["/usr/lib".into()])]);
        assert_eq!(parse(SPEC, &["nvidia.com/gpu=0"]).unwrap().environment, ["NVIDIA_VISIBLE_DEVICES=void", "A=0"]);
    }

    #[test]
    fn json_is_the_same() {
        let yaml = parse("cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits: {env: [X=1]}\n", &["all"]).unwrap();
        let json =
            parse(r#"{"cdiVersion":"0.5.0","kind":"a.b/c","containerEdits":{"env":["X=1"]}}"#, &["all"]).unwrap();
        assert_eq!((&yaml, yaml.environment.as_slice()), (&json, ["X=1".to_owned()].as_slice()));
    }

    #[test]
    fn what_no_loader_of_specs_takes_is_named() {
        let told = |text: &str, devices: &[&str]| parse(text, devices).unwrap_err().to_string();
        let with = |edits: &str| format!("cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits: {edits}\n");
        for (text, why) in [
            (with("{mount: []}"), "unknown field `mount`"),
            (with("{mounts: [{hostPath: /a}]}"), "containerPath"),
            (with("{mounts: [{hostPath: /a, containerPath: a}]}"), "containerPath is \"a\": it is no absolute path"),
            (with("{hooks: [{hookName: before, path: /x}]}"), "hookName is \"before\""),
            (with("{env: [A]}"), "env is \"A\": it is not NAME=VALUE"),
            ("cdiVersion: 0.5.0\nkind: gpu\n".into(), "its kind is \"gpu\""),
            ("a: &a [*a, *a]\n".into(), "it is no CDI spec: "),
            (String::new(), "it is no CDI spec: "),
            ("{".into(), "it is no CDI spec: "),
            ("[".repeat(100_000), "it is no CDI spec: "),
        ] {
            let told = told(&text, &[]);
            assert!(told.contains(why) && !told.contains('\n'), "{why}: {told}");
        }
        assert_eq!(told(SPEC, &["1"]), "it has no device \"1\", but 0, all");
        assert!(told(SPEC, &["x/y=all"]).contains("a device of another one"));
    }

    #[test]
    fn a_bomb_of_aliases_is_no_spec() {
        let mut text = String::from("cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits:\n  env: &a0 [A=1, A=2]\n");
        for level in 1..40 {
            let below = level - 1;
            text.push_str(&format!("  x{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n"));
        }
        let told = parse(&text, &[]).unwrap_err().to_string();
        assert!(told.starts_with("it is no CDI spec: "), "{told}");
    }

    #[test]
    fn more_than_is_read_is_named() {
        let hooks = "{hookName: createContainer, path: /x}, ".repeat(MOST_HOOKS + 1);
        let text = format!("cdiVersion: 0.5.0\nkind: a.b/c\ncontainerEdits: {{hooks: [{hooks}]}}\n");
        assert_eq!(parse(&text, &[]).unwrap_err().to_string(), "it has more than 4096 hooks");
    }
}
