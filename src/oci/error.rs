//! Why an image cannot be judged.

use std::io;

use bstr::{BStr, BString, ByteSlice};

/// What is wrong with an image, or that it is none.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Neither an archive nor a directory that holds an image.
    #[error("{what}, and no image of a container: {why}")]
    NoImage {
        /// What it is instead.
        what: &'static str,
        /// What an image would have.
        why: &'static str,
    },
    /// A part that the image names is not there.
    #[error("{part} {name} is not in it")]
    Missing {
        /// Which kind of part.
        part: &'static str,
        /// Its name.
        name: BString,
    },
    /// A layer that lies at its vendor's and not in the image.
    #[error("layer {digest} is not in it, but with its vendor ({url}): what it would add or hide is not known")]
    Foreign {
        /// The layer.
        digest: String,
        /// Where it lies.
        url: String,
    },
    /// Content that is not what its name says.
    #[error("{part} has the digest sha256:{found}, and not {wanted}")]
    Digest {
        /// Which part.
        part: String,
        /// What is there.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A digest that is none, or of another kind than SHA-256.
    #[error("{0:?} is no digest by SHA-256")]
    NoDigest(String),
    /// A document that does not say what it must.
    #[error("{name}: {why}")]
    Document {
        /// The document.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Several images, or none for the platform.
    #[error("{0}")]
    Choice(String),
    /// An entry of a layer that cannot be applied.
    #[error("layer {layer}, entry {}: {why}", entry.as_bstr())]
    Entry {
        /// The layer, from 1.
        layer: u32,
        /// The entry's name.
        entry: BString,
        /// Why.
        why: &'static str,
    },
    /// More of something than is read.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: u64,
    },
    /// It cannot be read or unpacked.
    #[error("{part}: cannot read it: {source}")]
    Read {
        /// Which part.
        part: String,
        /// What the system or the decoder said.
        source: io::Error,
    },
}

impl ImageError {
    /// What is given is no image, or it is not said which of several: nothing is wrong with an image.
    #[must_use]
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::NoImage { .. } | Self::Choice(_))
    }

    pub(super) fn read(part: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let part = part.into();
        move |source| Self::Read { part, source }
    }

    pub(super) fn missing(part: &'static str, name: &BStr) -> Self {
        Self::Missing { part, name: name.to_owned() }
    }
}
