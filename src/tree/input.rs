//! What a check is about: where the files come from, what is looked at first, and what it is part of.

use std::sync::Arc;

use super::discover::{Root, RootError};
use super::source::Source;
use super::world::SourceWorld;
use crate::check::{Closure, Scope};
use crate::fsio::ImagePath;

/// An input, made by one function for each kind.
#[derive(Debug)]
pub struct Input {
    /// Where its files come from.
    pub source: Arc<dyn Source>,
    /// What is walked, in the source.
    pub(crate) paths: Vec<ImagePath>,
    /// What the objects are part of.
    pub scope: Scope,
    /// Its paths are names of an image, which are reported with their links followed.
    pub(crate) is_inside: bool,
    /// It is a saved image, which only a container has for its root.
    pub(crate) is_saved: bool,
    /// What an image's programs are started with, `NAME=VALUE`.
    pub(crate) environment: Vec<String>,
}

impl Input {
    /// Files and trees: what they need may lie anywhere in the source.
    #[must_use]
    pub(crate) fn tree(source: Arc<dyn Source>, paths: Vec<ImagePath>) -> Self {
        Self { source, paths, scope: Scope::Tree, is_inside: false, is_saved: false, environment: Vec::new() }
    }

    /// An image: everything that its programs need is in it.
    #[must_use]
    pub fn image(source: Arc<dyn Source>, paths: Vec<ImagePath>) -> Self {
        Self { source, paths, scope: Scope::Image, is_inside: true, is_saved: false, environment: Vec::new() }
    }

    /// The store paths of a closure: nothing else is there, whatever else the source has.
    #[must_use]
    pub(crate) fn closure(source: Arc<dyn Source>, paths: Vec<ImagePath>, closure: Closure) -> Self {
        Self {
            source,
            paths,
            scope: Scope::Closure(closure),
            is_inside: false,
            is_saved: false,
            environment: Vec::new(),
        }
    }

    /// What its paths lead to, or that one leads nowhere.
    #[must_use]
    pub fn roots(&self) -> Vec<Result<Root, RootError>> {
        let resolve = |path: &ImagePath| {
            let root = Root::resolve(&*self.source, path.clone())?;
            Ok(if self.is_inside { Root { given: root.real.clone(), ..root } } else { root })
        };
        self.paths.iter().map(resolve).collect()
    }

    /// The file system that its loaders search.
    #[must_use]
    pub fn world(&self) -> SourceWorld {
        let within = match &self.scope {
            Scope::Closure(closure) => Some(closure.paths.clone()),
            Scope::Tree | Scope::Image => None,
        };
        SourceWorld::new(Arc::clone(&self.source), within)
    }
}
