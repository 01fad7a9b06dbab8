//! What several tests build once, in a folder of this process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use super::expect;

/// A map whose values are made once, by one thread each, while other values can be made meanwhile.
pub(crate) struct Cache<V>(Mutex<Option<HashMap<String, Arc<OnceLock<V>>>>>);

impl<V: Clone> Cache<V> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn get(&self, key: &str, make: impl FnOnce() -> V) -> V {
        let cell = {
            let mut map = self.0.lock().unwrap();
            Arc::clone(map.get_or_insert_with(HashMap::new).entry(key.to_owned()).or_default())
        };
        cell.get_or_init(make).clone()
    }
}

/// A file or folder of this name in the [`folder`], made by the first test that asks for it.
pub(crate) fn shared(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    static MADE: Cache<PathBuf> = Cache::new();
    MADE.get(name, || {
        let path = folder().join(name);
        make(&path);
        path
    })
}

/// What a compiler makes of a C source that stands in a test. The command has all arguments but the source and `-o`.
pub(crate) fn compiled(name: &str, source: &str, compiler: &mut Command) -> PathBuf {
    shared(name, |output| {
        let input = output.with_file_name(format!("{name}.source.c"));
        std::fs::write(&input, source).expect("a source file");
        expect(compiler.arg(&input).arg("-o").arg(output), 0);
    })
}

/// The folder of this process for what several tests share.
///
/// Rust runs no destructors of statics, so each process removes what finished processes left.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.strip_prefix("fixtures-")) else {
                continue;
            };
            if !Path::new("/proc").join(pid).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = base.join(format!("fixtures-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}
