//! Names and modes of a file, and processes that have it loaded.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::layouts::{Real, long_path};
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::host;
use crate::harness::{Link, MODES, NATIVE, NEW, OLD, Shape, Waiting, command, expect, fix, require, set_mode};

/// A file can have several names, be loaded, or be read-only. Who writes beside it and renames leaves the other names
/// with the old file; who truncates it and writes it anew, as patchelf does, takes the pages from under every process
/// that has it mapped. More of this, with users, folders and full disks, is in [`mod@crate::files`].
#[test]
fn names_modes_and_loaded_files() {
    let test = "names_modes_and_loaded_files";
    if !require("cc", test) {
        return;
    }
    let real = Real::new(&Link::new("fatbin_library.c", Shape::Library));
    let program = Real::new(&Link::new("user_program.c", Shape::Pie));
    // A process that has loaded the file, and goes on in it after the edit.
    let loaded = |file: &Path, edit: &dyn Fn(&Path)| {
        let process = Waiting::start(command(host("host.c", NATIVE)).arg(file).args(["user_number", "wait"]));
        edit(file);
        process.finish()
    };
    let running = |file: &Path, edit: &dyn Fn(&Path)| {
        let process = Waiting::start(command(file).arg("wait"));
        edit(file);
        process.finish()
    };
    for mode in MODES {
        let file = real.copy("loaded");
        let second = file.with_file_name("second-name.so");
        let edit = |file: &Path| _ = expect(fix(NATIVE).args(mode).arg(file), 0);
        assert_eq!(loaded(&file, &edit), Some(OLD), "{mode:?}: the process has its old file");
        assert_eq!(real.run(&file).code, NEW, "{mode:?}");
        let file = program.copy("running");
        assert_eq!(running(&file, &edit), Some(OLD), "{mode:?}: the process has its old file");
        assert_eq!(program.run(&file).code, NEW, "{mode:?}");

        let file = real.copy("linked");
        let _ = std::fs::remove_file(&second);
        std::fs::hard_link(&file, &second).unwrap();
        set_mode(&file, 0o444);
        edit(&file);
        assert_eq!((real.run(&file).code, real.run(&second).code), (NEW, NEW), "{mode:?}");
        assert_eq!(std::fs::metadata(&second).unwrap().permissions().mode() & 0o7777, 0o444, "{mode:?}");
        std::fs::remove_file(second).unwrap();
    }
    for patchelf in Patchelf::both(test) {
        let edit = |file: &Path| patchelf.must_edit(&["--set-rpath", &long_path()], file);
        let ended = loaded(&real.copy("loaded"), &edit);
        assert_ne!(ended, Some(OLD), "{} keeps what is mapped by now", patchelf.name);
        let file = program.copy("running");
        let busy = |file: &Path| {
            let ended = patchelf.edit(&["--set-rpath", &long_path()], file);
            assert!(ended.stderr.contains("Text file busy"), "{}: {}", patchelf.name, ended.said());
        };
        assert_eq!(running(&file, &busy), Some(OLD), "{}", patchelf.name);
        assert_eq!(program.run(&file).code, OLD, "{}: the path is the old one", patchelf.name);
    }
    // Beside it, and then its name.
    let file = real.copy("linked");
    let second = file.with_file_name("second-name.so");
    std::fs::hard_link(&file, &second).unwrap();
    let edited = file.with_extension("new");
    std::fs::copy(real.assert_kept("a copy").file, &edited).unwrap();
    std::fs::rename(&edited, &file).unwrap();
    assert_eq!((real.run(&file).code, real.run(&second).code), (NEW, OLD), "naive");
}
