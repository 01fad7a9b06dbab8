//! Runs the generator's images: what each says tells which of its dependencies won.

use std::path::{Path, PathBuf};

use super::build::compiled;
use super::{Tree, command, require, run};
use crate::elfgen::{Kind, Machine, Spec};

/// Loads a library (or nothing) and prints what its functions and variables say.
const LOADER: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        if (!library) { fprintf(stderr, "%s\n", dlerror()); return 1; }
        int (*probe)(void) = (int (*)(void))dlsym(library, "probe");
        int *data = dlsym(library, "answer_data"), *tls = dlsym(library, "tls_value");
        if (!probe || !data || *data != 40) { fprintf(stderr, "symbols are wrong\n"); return 2; }
        if (tls && (tls[0] != 0x7157 || tls[1] != 0x7258 || tls[2] != 0 || tls[3] != 0)) { fprintf(stderr, "TLS is wrong\n"); return 3; }
        printf("%d\n", probe());
    }
    return 0;
}
"#;

/// The loader program; None where there is no C compiler.
fn loader(test: &str) -> Option<PathBuf> {
    require("cc", test).then(|| compiled("load", LOADER, command("cc").args(["-O1", "-ldl"])))
}

/// Loads or runs an image; the answer is 40 plus the number of the folder whose `libdep.so.1` won.
pub(crate) fn answer(spec: &Spec, file: &Path, library_path: Option<&Path>, test: &str) -> Option<Result<i32, String>> {
    let mut command = match spec.kind {
        Kind::Library => {
            let mut load = command(loader(test)?);
            load.arg(file);
            load
        }
        _ => command(file),
    };
    if let Some(folder) = library_path {
        command.env("LD_LIBRARY_PATH", folder);
    }
    let run = run(&mut command);
    Some(match spec.kind {
        Kind::Library if run.code == 0 => run.stdout.trim().parse().map_err(|_| run.stdout),
        Kind::Exec | Kind::Pie if run.exited() && run.stderr.is_empty() => Ok(run.code),
        _ => Err(run.said()),
    })
}

/// Puts `libdep.so.1` whose `which` returns `number` into `folder` of the tree.
pub(crate) fn dependency(tree: &Tree, folder: &str, number: u32) -> PathBuf {
    let file = tree.file(format!("{folder}/libdep.so.1"), &Spec::dependency(Machine::X86_64, number).build());
    file.parent().expect("a folder").to_path_buf()
}
