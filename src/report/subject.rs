//! What a run was about and how it ended, as pages and tables tell it.

use std::path::{Path, PathBuf};

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportSubject {
    /// Files and trees, or the list that names them.
    pub given: Vec<PathBuf>,
    /// What they are, where a path does not say it: `closure of`.
    pub kind: &'static str,
    /// The directory that stands for `/`.
    pub root: Option<PathBuf>,
}

impl ReportSubject {
    /// Of one file.
    #[must_use]
    pub(crate) fn of_file(file: &Path) -> Self {
        Self { given: vec![file.to_owned()], ..Self::default() }
    }

    /// The paths as words of a command; `PATH` in place of those that a shell would not take as they are.
    #[must_use]
    pub(super) fn words(&self) -> String {
        let is_plain = |text: &&str| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "._/@+=:,-".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(is_word)
        };
        let words: Option<Vec<&str>> = self.given.iter().map(|path| path.to_str().filter(is_plain)).collect();
        match words {
            Some(words) if self.kind.is_empty() && self.root.is_none() && (1..=4).contains(&words.len()) => {
                words.join(" ")
            }
            _ => "PATH".to_owned(),
        }
    }
}

/// How a run ends for the one who started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conclusion {
    /// The exit code.
    pub code: u8,
    /// What that means here.
    pub meaning: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_no_name_that_a_shell_would_take_apart() {
        let words = |given: &[&str]| {
            ReportSubject { given: given.iter().map(PathBuf::from).collect(), ..ReportSubject::default() }.words()
        };
        assert_eq!(words(&["./result", "/opt/cuda-12.8"]), "./result /opt/cuda-12.8");
        for hostile in ["a b", "$(id)", "a;b", "-rf", "\u{e4}", "", "a\nb"] {
            assert_eq!(words(&["fine", hostile]), "PATH", "{hostile:?}");
        }
        assert_eq!(
            ReportSubject { root: Some("/image".into()), ..ReportSubject::of_file("a".as_ref()) }.words(),
            "PATH"
        );
    }
}
