//! Images in containers: which libcuda their programs get under a spec, beside what the real ldconfig and the real loaders do
//! in a root that is made the same way.

mod hostile;
mod hosts;
mod outcomes;
mod rules;
pub(crate) mod scene;
