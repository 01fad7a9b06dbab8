//! What an image is for, where several are saved together.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What an image is for (image-spec 1.1, image-index.md; Go's names).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ImagePlatform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) variant: Option<String>,
}

impl ImagePlatform {
    /// Whether it is a wanted one, which may leave the variant open.
    pub(super) fn is(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || wanted.variant == self.variant)
    }
}

impl fmt::Display for ImagePlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().filter(|variant| !variant.is_empty()).map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// A platform that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no platform, such as linux/arm64")]
pub struct NoPlatform(String);

impl FromStr for ImagePlatform {
    type Err = NoPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [os, architecture, ref variant @ ..] if variant.len() < 2 && parts.iter().all(|part| !part.is_empty()) => {
                let variant = variant.first().map(|variant| (*variant).to_owned());
                Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant })
            }
            _ => Err(NoPlatform(text.to_owned())),
        }
    }
}
