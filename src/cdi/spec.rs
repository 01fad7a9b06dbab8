//! A CDI spec as it is written: YAML or JSON, read as strictly as the library of the Container Device Interface reads it.
//! Fields that mean nothing to a search are taken and not kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::CdiError;

/// Bytes of a spec. That of a machine with 16 GPUs has 60,000.
pub(crate) const LARGEST_SPEC: u64 = 16 << 20;
/// Values in one another; a spec has eight.
const DEEPEST: usize = 32;
/// Values of a spec.
const MOST_VALUES: usize = 1 << 20;
/// Places where YAML says a value again.
const MOST_ALIASES: usize = 1000;

/// A whole spec (`container-device-interface specs-go/config.go`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SpecDocument {
    #[serde(rename = "cdiVersion")]
    pub(super) version: String,
    pub(super) kind: String,
    #[serde(default, rename = "annotations")]
    _annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) devices: Option<Vec<DeviceDocument>>,
    #[serde(default)]
    pub(super) container_edits: EditsDocument,
}

/// A device: the name under which a container asks for it, and what it then gets.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceDocument {
    pub(super) name: String,
    #[serde(default, rename = "annotations")]
    _annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) container_edits: EditsDocument,
}

/// What is done to a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EditsDocument {
    #[serde(default)]
    pub(super) env: Option<Vec<String>>,
    #[serde(default)]
    pub(super) hooks: Option<Vec<HookDocument>>,
    #[serde(default)]
    pub(super) mounts: Option<Vec<MountDocument>>,
    #[serde(default, rename = "deviceNodes")]
    _device_nodes: Option<Vec<NodeDocument>>,
    #[serde(default, rename = "netDevices")]
    _net_devices: Option<Vec<NetDeviceDocument>>,
    #[serde(default, rename = "intelRdt")]
    _intel_rdt: Option<RdtDocument>,
    #[serde(default, rename = "additionalGids")]
    _additional_gids: Option<Vec<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MountDocument {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default, rename = "options")]
    _options: Option<Vec<String>>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HookDocument {
    pub(super) hook_name: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) args: Option<Vec<String>>,
    #[serde(default, rename = "env")]
    _env: Option<Vec<String>>,
    #[serde(default, rename = "timeout")]
    _timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeDocument {
    #[serde(rename = "path")]
    _path: String,
    #[serde(default, rename = "hostPath")]
    _host_path: Option<String>,
    #[serde(default, rename = "type")]
    _kind: Option<String>,
    #[serde(default, rename = "major")]
    _major: Option<i64>,
    #[serde(default, rename = "minor")]
    _minor: Option<i64>,
    #[serde(default, rename = "fileMode")]
    _file_mode: Option<u32>,
    #[serde(default, rename = "permissions")]
    _permissions: Option<String>,
    #[serde(default, rename = "uid")]
    _uid: Option<u32>,
    #[serde(default, rename = "gid")]
    _gid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetDeviceDocument {
    #[serde(rename = "hostInterfaceName")]
    _host_interface_name: String,
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RdtDocument {
    #[serde(default, rename = "closID")]
    _clos_id: Option<String>,
    #[serde(default, rename = "l3CacheSchema")]
    _l3_cache_schema: Option<String>,
    #[serde(default, rename = "memBwSchema")]
    _mem_bw_schema: Option<String>,
    #[serde(default, rename = "schemata")]
    _schemata: Option<Vec<String>>,
    #[serde(default, rename = "enableMonitoring")]
    _enable_monitoring: Option<bool>,
    // Gone since 1.1.
    #[serde(default, rename = "enableCMT")]
    _enable_cmt: Option<IgnoredAny>,
    #[serde(default, rename = "enableMBM")]
    _enable_mbm: Option<IgnoredAny>,
}

impl SpecDocument {
    /// Reads a spec's text.
    ///
    /// # Errors
    /// [`CdiError`] where it is neither, or has more in it than is read.
    pub(super) fn parse(text: &[u8]) -> Result<Self, CdiError> {
        let starts = text.trim_ascii_start().first().copied();
        let document: Self = if starts == Some(b'{') {
            // serde_json goes 128 values deep and no further.
            serde_json::from_slice(text).map_err(|error| CdiError::Document(error.to_string()))?
        } else {
            let options = serde_saphyr::options! {
                budget: serde_saphyr::budget! {
                    max_depth: DEEPEST,
                    max_nodes: MOST_VALUES,
                    max_events: MOST_VALUES.saturating_mul(2),
                    max_aliases: MOST_ALIASES,
                    max_anchors: MOST_ALIASES,
                    max_documents: 1,
                },
                with_snippet: false,
            };
            let one_line = |error: serde_saphyr::Error| {
                let told = error.to_string();
                CdiError::Document(told.lines().next().unwrap_or_default().to_owned())
            };
            serde_saphyr::from_slice_with_options(text, options).map_err(one_line)?
        };
        let (vendor, class) = document.kind.split_once('/').unwrap_or_default();
        if vendor.is_empty() || class.is_empty() || class.contains('/') {
            return Err(CdiError::Kind(document.kind));
        }
        if !document.version.starts_with(|c: char| c.is_ascii_digit()) {
            let why = "a CDI version is three numbers such as 0.5.0";
            return Err(CdiError::Value { field: "cdiVersion", value: document.version, why });
        }
        Ok(document)
    }
}
