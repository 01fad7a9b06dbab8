//! Why a CDI spec cannot be used.

/// What is wrong with a spec.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    /// Neither YAML nor JSON of the form of a CDI spec.
    #[error("it is no CDI spec: {0}")]
    Document(String),
    /// A kind that is none.
    #[error("its kind is {0:?}, and not VENDOR/CLASS such as nvidia.com/gpu")]
    Kind(String),
    /// A device that it does not have.
    #[error("it has no device {wanted:?}, but {known}")]
    NoDevice {
        /// The one that is asked for.
        wanted: String,
        /// Those that it has.
        known: String,
    },
    /// A device by its whole name, which is of another kind.
    #[error("it is of kind {kind}, and {wanted:?} is a device of another one")]
    OtherKind {
        /// The kind of the spec.
        kind: String,
        /// The device.
        wanted: String,
    },
    /// More of something than is read.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// A value that no loader of specs takes.
    #[error("{field} is {value:?}: {why}")]
    Value {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
