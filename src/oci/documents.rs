//! The documents of an image: which configuration and which layers it has, in every form in which images are saved.

use std::collections::HashSet;

use bstr::ByteSlice;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::error::ImageError;
use super::platform::ImagePlatform;
use super::store::ImageStore;

/// `manifest.json` of `docker save` and of what is made like it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A reference to a part (image-spec 1.1, descriptor.md).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    urls: Option<Vec<String>>,
    #[serde(default)]
    platform: Option<ImagePlatform>,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// An index or a manifest: both have the name `index.json` or `manifest.json` somewhere.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestOrIndex {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    fs_layers: Option<serde_json::Value>,
}

/// An image's configuration, of which this is all that a search asks (image-spec 1.1, config.md).
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    #[serde(flatten)]
    pub(super) platform: ImagePlatform,
    #[serde(default)]
    config: Option<StartedWith>,
    rootfs: Rootfs,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartedWith {
    #[serde(default)]
    env: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Rootfs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

impl Configuration {
    /// What its programs are started with.
    pub(super) fn environment(&mut self) -> Vec<String> {
        self.config.as_mut().and_then(|config| config.env.take()).unwrap_or_default()
    }

    /// The digest of each layer, unpacked, the lowest first.
    pub(super) fn layers(&self) -> &[String] {
        self.rootfs.diff_ids.as_deref().unwrap_or_default()
    }
}

/// A layer as a manifest names it.
#[derive(Clone, Debug)]
pub(super) struct NamedLayer {
    /// The part that holds it.
    pub(super) part: String,
    /// Where it lies, if it does not lie in the image.
    pub(super) url: Option<String>,
}

/// One image of those that are in a store.
pub(super) struct Chosen {
    pub(super) configuration: Configuration,
    pub(super) layers: Vec<NamedLayer>,
}

/// An index may name indexes; no tool makes more than two of them.
const DEEPEST: usize = 4;
/// Images that are looked at in one store.
const MOST_IMAGES: usize = 1024;

/// How a store calls its parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// `blobs/sha256/HEX`
    Layout,
    /// skopeo's `dir:`
    Bare,
}

impl Naming {
    fn part(self, digest: &str) -> Result<String, ImageError> {
        let hex = hex(digest)?;
        Ok(match self {
            Self::Layout => format!("blobs/sha256/{hex}"),
            Self::Bare => hex.to_owned(),
        })
    }
}

/// The image of a store, for a platform where one is asked for.
///
/// # Errors
/// There is none, there are several, or what tells of it is not what it should be.
pub(super) fn choose(store: &ImageStore, wanted: Option<&ImagePlatform>) -> Result<Chosen, ImageError> {
    let manifest = store.document(b"manifest.json".into())?;
    if let Some(text) = manifest.as_deref().filter(|text| text.trim_ascii_start().starts_with(b"[")) {
        return of_docker(store, text, wanted);
    }
    let (name, text, naming) = match (store.document(b"index.json".into())?, manifest) {
        (Some(text), _) => ("index.json", text, Naming::Layout),
        (None, Some(text)) => ("manifest.json", text, Naming::Bare),
        (None, None) => {
            return Err(ImageError::NoImage { what: store.kind(), why: "it has neither manifest.json nor index.json" });
        }
    };
    let mut found = Vec::new();
    gather(store, naming, parse(name, &text)?, None, 0, &mut found)?;
    // An archive of one platform of several names all of them (docker save of the containerd store).
    let is_there = |(_, manifest): &FoundManifest| manifest.is_ok();
    if found.iter().any(is_there) && wanted.is_none() {
        found.retain(is_there);
    }
    let mut images = Vec::new();
    for (platform, manifest) in found {
        let platform = match (platform, &manifest) {
            (Some(platform), _) => platform,
            (None, Ok(manifest)) => platform_of(&of_manifest(store, naming, manifest)?)?,
            (None, Err(_)) => ImagePlatform::default(),
        };
        images.push((platform, String::new(), manifest));
    }
    let manifest = only_one(images, wanted)??;
    let document = of_manifest(store, naming, &manifest)?;
    let configuration = parse(&document.name, &document.text)?;
    Ok(Chosen { configuration, layers: layers_of(manifest, naming)? })
}

fn of_docker(store: &ImageStore, text: &[u8], wanted: Option<&ImagePlatform>) -> Result<Chosen, ImageError> {
    let listed: Vec<DockerImage> = parse("manifest.json", text)?;
    if listed.len() > MOST_IMAGES {
        return Err(ImageError::TooMany { what: "images", limit: 1024 });
    }
    let mut images = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    for image in listed {
        // One image may have several names.
        if !known.insert(image.config.clone()) {
            continue;
        }
        let platform = platform_of(&configuration(store, image.config.clone())?)?;
        images.push((platform, image.repo_tags.unwrap_or_default().join(", "), (image.config, image.layers)));
    }
    let (config, layers) = only_one(images, wanted)?;
    let document = configuration(store, config)?;
    let configuration = parse(&document.name, &document.text)?;
    let layers = layers.into_iter().map(|part| NamedLayer { part, url: None }).collect();
    Ok(Chosen { configuration, layers })
}

/// A configuration as it is written, which is kept for the image that is chosen only.
struct ConfigurationText {
    name: String,
    text: Vec<u8>,
}

fn configuration(store: &ImageStore, name: String) -> Result<ConfigurationText, ImageError> {
    let text = store.document(name.as_bytes().as_bstr())?;
    let text = text.ok_or_else(|| ImageError::missing("configuration", name.as_bytes().as_bstr()))?;
    Ok(ConfigurationText { name, text })
}

fn platform_of(document: &ConfigurationText) -> Result<ImagePlatform, ImageError> {
    parse(&document.name, &document.text)
}

fn only_one<T>(mut images: Vec<(ImagePlatform, String, T)>, wanted: Option<&ImagePlatform>) -> Result<T, ImageError> {
    let named = |(platform, tags, _): &(ImagePlatform, String, T)| {
        if tags.is_empty() { platform.to_string() } else { format!("{platform} ({tags})") }
    };
    let all = images.iter().map(named).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        images.retain(|(platform, _, _)| platform.is(wanted));
    }
    match (images.len(), images.pop(), wanted) {
        (1, Some((_, _, chosen)), _) => Ok(chosen),
        (0 | 1, _, Some(wanted)) if !all.is_empty() => {
            Err(ImageError::Choice(format!("it has no image for {wanted}, but for {all}")))
        }
        (0 | 1, _, _) => Err(ImageError::Choice("it has no image".into())),
        (_, _, None) => {
            Err(ImageError::Choice(format!("it has several images: {all}; name one with --image-platform")))
        }
        (_, _, Some(wanted)) => Err(ImageError::Choice(format!("it has several images for {wanted}: {all}"))),
    }
}

/// A manifest, for a platform where the index tells it; or why it is not there.
type FoundManifest = (Option<ImagePlatform>, Result<ManifestOrIndex, ImageError>);

/// Every manifest below an index, each once.
fn gather(
    store: &ImageStore,
    naming: Naming,
    document: ManifestOrIndex,
    platform: Option<ImagePlatform>,
    depth: usize,
    found: &mut Vec<FoundManifest>,
) -> Result<(), ImageError> {
    let Some(listed) = document.manifests else {
        found.push((platform, Ok(document)));
        return if found.len() > MOST_IMAGES {
            Err(ImageError::TooMany { what: "images", limit: 1024 })
        } else {
            Ok(())
        };
    };
    if depth >= DEEPEST {
        return Err(ImageError::TooMany { what: "indexes in one another", limit: 4 });
    }
    let mut known: HashSet<String> = HashSet::new();
    for descriptor in listed {
        if descriptor.is_no_image() || !known.insert(descriptor.digest.clone()) {
            continue;
        }
        if known.len() > MOST_IMAGES {
            return Err(ImageError::TooMany { what: "images", limit: 1024 });
        }
        let name = match naming {
            Naming::Layout => naming.part(&descriptor.digest)?,
            Naming::Bare => format!("{}.manifest.json", naming.part(&descriptor.digest)?),
        };
        let Some(text) = store.document(name.as_bytes().as_bstr())? else {
            found.push((descriptor.platform, Err(ImageError::missing("manifest", name.as_bytes().as_bstr()))));
            continue;
        };
        check_digest(&name, &text, &descriptor.digest)?;
        gather(store, naming, parse(&name, &text)?, descriptor.platform, depth.saturating_add(1), found)?;
    }
    Ok(())
}

impl Descriptor {
    /// An attestation of BuildKit's.
    fn is_no_image(&self) -> bool {
        let unknown = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        let attests = |all: &std::collections::BTreeMap<_, _>| all.contains_key("vnd.docker.reference.type");
        unknown || self.annotations.as_ref().is_some_and(attests)
    }

    fn is_foreign(&self) -> bool {
        self.media_type.contains("nondistributable") || self.media_type.contains("foreign")
    }
}

/// The configuration that a manifest names.
fn of_manifest(
    store: &ImageStore,
    naming: Naming,
    manifest: &ManifestOrIndex,
) -> Result<ConfigurationText, ImageError> {
    if manifest.fs_layers.is_some() {
        return Err(wrong_manifest("it is of Docker's first schema, which no tool writes any more"));
    }
    let config = manifest.config.as_ref().ok_or_else(|| wrong_manifest("it names no configuration"))?;
    let document = configuration(store, naming.part(&config.digest)?)?;
    check_digest(&document.name, &document.text, &config.digest)?;
    Ok(document)
}

fn layers_of(manifest: ManifestOrIndex, naming: Naming) -> Result<Vec<NamedLayer>, ImageError> {
    let layers = manifest.layers.ok_or_else(|| wrong_manifest("it names no layers"))?;
    let named = |layer: Descriptor| {
        let foreign = layer.is_foreign();
        let url = layer.urls.unwrap_or_default().into_iter().next();
        let url = url.or_else(|| foreign.then(|| "no address given".to_owned()));
        Ok(NamedLayer { part: naming.part(&layer.digest)?, url })
    };
    layers.into_iter().map(named).collect()
}

fn wrong_manifest(why: &str) -> ImageError {
    ImageError::Document { name: "the manifest".into(), why: why.into() }
}

fn parse<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, ImageError> {
    let why = |error: serde_json::Error| ImageError::Document { name: name.to_owned(), why: error.to_string() };
    serde_json::from_slice(text).map_err(why)
}

/// The 64 digits of a digest.
pub(super) fn hex(digest: &str) -> Result<&str, ImageError> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
    let is_hex = |hex: &&str| hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    hex.filter(is_hex).ok_or_else(|| ImageError::NoDigest(digest.to_owned()))
}

fn check_digest(part: &str, bytes: &[u8], wanted: &str) -> Result<(), ImageError> {
    is_digest(part, &Sha256::digest(bytes), wanted)
}

/// Fails where a digest is another one than is wanted.
pub(super) fn is_digest(part: &str, found: &[u8], wanted: &str) -> Result<(), ImageError> {
    use std::fmt::Write as _;
    let wanted_hex = hex(wanted)?;
    let mut found_hex = String::new();
    for byte in found {
        let _ = write!(found_hex, "{byte:02x}");
    }
    if found_hex == wanted_hex {
        return Ok(());
    }
    Err(ImageError::Digest { part: part.to_owned(), found: found_hex, wanted: wanted.to_owned() })
}
