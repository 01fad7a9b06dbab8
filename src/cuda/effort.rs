//! How much may still be looked at in one file: what is made to be looked at again and again ends with a problem.

use super::problem::CodeProblem;

/// Steps that any file may cost: so many sections, blocks, or KiB unpacked.
const LEAST: u64 = 1 << 16;
/// So many bytes of a file are worth one more.
const BYTES: u64 = 64;

/// What is left. A file of honest code takes a small part: its blocks and sections lie apart from each other.
#[derive(Debug)]
pub(super) struct Effort(u64);

impl Effort {
    /// For a file, or a part of one, of so many bytes.
    pub(super) fn of(bytes: u64) -> Self {
        Self(bytes.checked_div(BYTES).unwrap_or(0).saturating_add(LEAST))
    }

    /// Takes steps.
    ///
    /// # Errors
    /// [`CodeProblem::Exhausted`] when fewer are left.
    pub(super) fn spend(&mut self, steps: u64, at: u64) -> Result<(), CodeProblem> {
        self.0 = self.0.checked_sub(steps).ok_or(CodeProblem::Exhausted { at })?;
        Ok(())
    }
}
