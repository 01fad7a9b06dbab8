//! Makes images as tools save them: layers entry by entry, so that what no tar program writes can stand in them, and every
//! form of archive around them.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A layer, entry by entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Bytes that need not be a tar archive.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Any entry: its type's letter, its name as it stands, its contents or its link's text.
    pub(crate) fn entry(mut self, kind: u8, name: &str, (mode, link, contents): (u32, &str, &[u8])) -> Self {
        if name.len() > 100 {
            self = self.raw(b'L', "././@LongLink", (0, "", &[name.as_bytes(), b"\0"].concat()));
        }
        if link.len() > 100 {
            self = self.raw(b'K', "././@LongLink", (0, "", &[link.as_bytes(), b"\0"].concat()));
        }
        self.raw(kind, &name[..name.len().min(100)], (mode, &link[..link.len().min(100)], contents))
    }

    fn raw(mut self, kind: u8, name: &str, (mode, link, contents): (u32, &str, &[u8])) -> Self {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        old.linkflag = [kind];
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(contents.len().try_into().unwrap());
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(contents);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        self.entry(b'0', name, (0o755, "", contents.as_ref()))
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(b'5', name, (0o755, "", b""))
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, (0o777, target, b""))
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, (0o755, target, b""))
    }

    /// The records that a pax header has for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut all = Vec::new();
        for (key, value) in records {
            let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            let mut len = rest.len() + 1;
            while format!("{len}").len() + rest.len() != len {
                len = format!("{len}").len() + rest.len();
            }
            all.extend(format!("{len}").into_bytes());
            all.extend(rest);
        }
        self.raw(b'x', "PaxHeaders/next", (0o644, "", &all))
    }

    /// The whole archive.
    pub(crate) fn tar(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }
}

/// How something is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pack {
    Plain,
    Gzip,
    /// Several members, the last of them empty.
    Members,
    Zstd,
    /// Several frames, with one to skip before each.
    Frames,
}

pub(crate) const PACKS: [Pack; 5] = [Pack::Plain, Pack::Gzip, Pack::Members, Pack::Zstd, Pack::Frames];

pub(crate) fn pack(bytes: &[u8], how: Pack) -> Vec<u8> {
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    // Not at a border of entries.
    let pieces = bytes.chunks((bytes.len() / 3).max(1) + 7);
    match how {
        Pack::Plain => bytes.to_owned(),
        Pack::Gzip => gzip(bytes),
        Pack::Members => pieces.map(gzip).chain([gzip(b"")]).flatten().collect(),
        Pack::Zstd => zstd(bytes),
        Pack::Frames => {
            let skip = [0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'T', b'O', b'C'];
            pieces.flat_map(|piece| [&skip[..], &zstd(piece)].concat()).chain(skip).collect()
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// An image before it is saved.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
    pub(crate) environment: Vec<String>,
    pub(crate) platform: (&'static str, &'static str),
}

/// Files by name, in the order in which they stand in an archive.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

impl Image {
    pub(crate) fn of(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self { layers: layers.into_iter().collect(), environment: Vec::new(), platform: ("linux", "amd64") }
    }

    pub(crate) fn configuration(&self) -> Vec<u8> {
        let digests: Vec<String> = self.layers.iter().map(|layer| format!("sha256:{}", hex(&layer.tar()))).collect();
        let (os, architecture) = self.platform;
        json!({
            "architecture": architecture, "os": os, "config": {"Env": self.environment, "Cmd": ["/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [{"created_by": "nothing", "empty_layer": true}],
        })
        .to_string()
        .into_bytes()
    }

    /// An OCI layout; the manifest's digest and its descriptor come with it.
    pub(crate) fn layout(&self, how: Pack) -> Files {
        let mut files = Files::new();
        let descriptor = self.blobs(how, "blobs/sha256/", &mut files);
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string();
        files.push(("index.json".into(), index.into_bytes()));
        files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        files
    }

    /// Adds the blobs, and tells of the manifest.
    pub(crate) fn blobs(&self, how: Pack, prefix: &str, files: &mut Files) -> serde_json::Value {
        let kind = match how {
            Pack::Plain => "",
            Pack::Gzip | Pack::Members => "+gzip",
            Pack::Zstd | Pack::Frames => "+zstd",
        };
        let mut blob = |kind: &str, bytes: Vec<u8>| {
            let digest = hex(&bytes);
            let told = json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()});
            files.push((format!("{prefix}{digest}"), bytes));
            told
        };
        let layer = |layer: &Layer| pack(&layer.tar(), how);
        let media = format!("application/vnd.oci.image.layer.v1.tar{kind}");
        let layers: Vec<_> = self.layers.iter().map(|one| blob(&media, layer(one))).collect();
        let config = blob("application/vnd.oci.image.config.v1+json", self.configuration());
        let media = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media, "config": config, "layers": layers});
        let mut told = blob(media, manifest.to_string().into_bytes());
        told["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        told
    }

    /// `docker save` since 25: a layout with a list for older programs.
    pub(crate) fn docker(&self) -> Files {
        let mut files = self.layout(Pack::Plain);
        let layers: Vec<String> =
            self.layers.iter().map(|layer| format!("blobs/sha256/{}", hex(&layer.tar()))).collect();
        let config = format!("blobs/sha256/{}", hex(&self.configuration()));
        let list = json!([{"Config": config, "RepoTags": ["a:1"], "Layers": layers}]).to_string();
        files.push(("manifest.json".into(), list.into_bytes()));
        files.push(("repositories".into(), b"{}".to_vec()));
        files
    }

    /// skopeo's `dir:`.
    pub(crate) fn folder(&self, how: Pack) -> Files {
        let mut files = Files::new();
        self.blobs(how, "", &mut files);
        let (_, manifest) = files.pop().unwrap();
        files.push(("manifest.json".into(), manifest));
        files.push(("version".into(), b"Directory Transport Version: 1.1\n".to_vec()));
        files
    }

    /// dockerTools: layers in folders, the list last.
    pub(crate) fn docker_tools(&self) -> Files {
        let layers: Vec<(String, Vec<u8>)> =
            self.layers.iter().map(|layer| (format!("{}/layer.tar", hex(&layer.tar())), layer.tar())).collect();
        let config = (format!("{}.json", hex(&self.configuration())), self.configuration());
        let names: Vec<&String> = layers.iter().map(|(name, _)| name).collect();
        let list = json!([{"Config": config.0, "RepoTags": ["a:1"], "Layers": names}]).to_string();
        layers.into_iter().chain([config, ("manifest.json".into(), list.into_bytes())]).collect()
    }

    /// skopeo's `docker-archive:`, where the names of older programs are links.
    pub(crate) fn docker_archive(&self) -> Vec<u8> {
        let mut archive = Layer::new();
        let mut names = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let (name, bytes) = (format!("{}.tar", hex(&layer.tar())), layer.tar());
            let old = hex(&[u8::try_from(number).unwrap()]);
            archive = archive.file(&name, &bytes).file(&format!("{old}/VERSION"), "1.0");
            names.push(format!("{old}/layer.tar"));
            archive = archive.link(&format!("{old}/layer.tar"), &format!("../{name}"));
        }
        let config = (format!("{}.json", hex(&self.configuration())), self.configuration());
        let list = json!([{"Config": config.0, "RepoTags": null, "Layers": names}]).to_string();
        archive.file(&config.0, &config.1).file("manifest.json", list).tar()
    }
}

/// The archive of files.
pub(crate) fn archive(files: &Files) -> Vec<u8> {
    files.iter().fold(Layer::new(), |all, (name, bytes)| all.file(name, bytes)).tar()
}
