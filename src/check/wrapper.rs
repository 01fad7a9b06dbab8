//! What Nixpkgs' wrappers set for the program that they hide (`.name-wrapped` beside `name`).

use bstr::{BStr, BString, ByteSlice};

/// The name of the program that a wrapper of this name hides; `makeWrapper` appends underscores when it is taken.
#[must_use]
pub fn hidden_name(name: &BStr) -> BString {
    BString::from([b".", name.as_bytes(), b"-wrapped"].concat())
}

/// The directories that a wrapper puts in front of LD_LIBRARY_PATH; `None` when it does not touch it.
///
/// A shell wrapper assigns the variable in lines of its own; a binary one carries the arguments it was made with as text
/// (`makeCWrapper … --prefix LD_LIBRARY_PATH : dir`).
#[must_use]
pub fn library_path(wrapper: &[u8]) -> Option<BString> {
    let mut directories: Vec<&BStr> = Vec::new();
    for line in wrapper.split(|byte| matches!(byte, b'\n' | 0)) {
        let Some((_, after)) = line.split_once_str("LD_LIBRARY_PATH") else { continue };
        let words = after.split(|byte| b"'\":=;$(){} \t\\".contains(byte));
        for word in words.filter(|word| word.starts_with(b"/") && word.len() > 1) {
            let word = word.trim_end_with(|c| c == '/').as_bstr();
            if !directories.contains(&word) {
                directories.push(word);
            }
        }
    }
    (!directories.is_empty()).then(|| BString::from(bstr::join(":", directories)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_wrapper_are_read() {
        let shell = b"#! /bin/bash -e\nLD_LIBRARY_PATH=${LD_LIBRARY_PATH:+':'$LD_LIBRARY_PATH':'}\n\
            LD_LIBRARY_PATH=${LD_LIBRARY_PATH/':''/run/opengl-driver/lib'':'/':'}\n\
            LD_LIBRARY_PATH='/run/opengl-driver/lib'$LD_LIBRARY_PATH\nexport LD_LIBRARY_PATH\nexec -a \"$0\" /nix/store/a-x/bin/.x-wrapped\n";
        assert_eq!(library_path(shell).unwrap(), "/run/opengl-driver/lib");
        let binary = b"\x7fELF\0makeCWrapper '/nix/store/a-x/bin/.x-wrapped' \\\n    --prefix 'LD_LIBRARY_PATH' ':' '/nix/store/b-y/lib' \\\n    --set 'A' '/b'\n\0";
        assert_eq!(library_path(binary).unwrap(), "/nix/store/b-y/lib");
        assert_eq!(library_path(b"#!/bin/sh\nexec /bin/x\n"), None);
        assert_eq!(hidden_name("x".into()), ".x-wrapped");
    }
}
