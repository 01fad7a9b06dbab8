//! CRP408 and CRP409 against real loaders: programs that open a driver in pieces say themselves what they got.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Tree, binary, command, ensure, expect, for_all, require, run};

const JIT: &str = "libnvidia-ptxjitcompiler.so.1";

const CUDA: &str = r#"
#include <dlfcn.h>
int cuInit(unsigned flags) { return flags; }
int cuModuleLoadData(void) { return dlopen("libnvidia-ptxjitcompiler.so.1", RTLD_NOW) ? 0 : 221; }
"#;

/// Asks by dlopen or, with LINKED, by DT_NEEDED; exits with 1 where PTX is not compiled.
const APP: &str = r#"
#include <dlfcn.h>
int cuModuleLoadData(void);
int version(void);
int main(void) {
#ifdef LINKED
    int (*load)(void) = cuModuleLoadData;
#else
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    int (*load)(void) = cuda ? (int (*)(void))dlsym(cuda, "cuModuleLoadData") : 0;
#endif
    if (!load) return 2;
    return load() == 221 ? 1 : 0;
}
"#;

/// How an object has a path: under a tag, or not at all.
const TAGS: [&str; 3] = ["--enable-new-dtags", "--disable-new-dtags", ""];

struct Compiler<'t> {
    tree: &'t Tree,
    name: &'static str,
}

impl Compiler<'_> {
    fn compile(&self, source: &str, out: &Path, flags: &[String]) {
        let file = self.tree.file("source.c", source.as_bytes());
        let mut compiler = command(self.name);
        compiler.arg("-o").arg(out).arg(file).args(flags);
        expect(&mut compiler, 0);
    }

    fn library(&self, source: &str, out: &Path, soname: &str, tag: &str, path: &str) {
        let mut flags = vec!["-shared".to_owned(), "-fPIC".to_owned(), format!("-Wl,-soname,{soname}")];
        flags.extend(tagged(tag, path));
        self.compile(source, out, &flags);
    }
}

fn tagged(tag: &str, path: &str) -> Option<String> {
    (!tag.is_empty()).then(|| format!("-Wl,{tag},-rpath,{path}"))
}

/// The codes that a check of a folder finds.
fn found(driver: &str, folder: &Path) -> Vec<String> {
    let mut check = binary();
    check.args(["check", "--json", "--only", "CRP408,CRP409", "--driver", driver]).arg(folder);
    let json = run(&mut check).json();
    json["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Compiles what every combination is put together from: the paths are relative, so a copy is as good.
fn parts(compiler: &Compiler<'_>) -> PathBuf {
    let parts = compiler.tree.folder("parts");
    compiler.library("int jit(void) { return 0; }", &parts.join(JIT), JIT, "", "");
    for tag in TAGS {
        for (place, path) in [("beside", "$ORIGIN"), ("listed", "$ORIGIN:$ORIGIN/../second")] {
            compiler.library(CUDA, &parts.join(format!("cuda{tag}{place}")), "libcuda.so.1", tag, path);
        }
    }
    let cuda = parts.join("cudabeside").display().to_string();
    for tag in &TAGS[..2] {
        for linked in ["", "-DLINKED"] {
            let mut flags: Vec<String> = tagged(tag, "$ORIGIN/../driver").into_iter().collect();
            flags.extend((!linked.is_empty()).then(|| vec![linked.to_owned(), cuda.clone()]).into_iter().flatten());
            compiler.compile(APP, &parts.join(format!("program{tag}{linked}")), &flags);
            flags.extend(["-shared", "-fPIC", "-Dmain=ask", "-Wl,-soname,libask.so"].map(str::to_owned));
            compiler.compile(APP, &parts.join(format!("ask{tag}{linked}")), &flags);
        }
    }
    for (who, tag, path) in [("library", TAGS[0], "$ORIGIN:/nowhere"), ("lender", TAGS[1], "$ORIGIN:$ORIGIN/../driver")]
    {
        let mut flags = vec![parts.join("ask--enable-new-dtags").display().to_string()];
        flags.extend(["-Wl,--allow-shlib-undefined".to_owned()].into_iter().chain(tagged(tag, path)));
        compiler.compile("int ask(void); int main(void) { return ask(); }", &parts.join(who), &flags);
    }
    parts
}

/// Every way in which the program, libcuda and its compiler can lie: the check says what the loader does.
#[test]
fn what_libcuda_opens_is_found_as_the_loader_finds_it() {
    const TEST: &str = "check::real_driver::what_libcuda_opens_is_found_as_the_loader_finds_it";
    let outcomes = [AtomicUsize::new(0), AtomicUsize::new(0)];
    for name in ["gcc", "musl-gcc"] {
        if !require(name, TEST) {
            continue;
        }
        let tree = Tree::new();
        let parts = parts(&Compiler { tree: &tree, name });
        let wrong = for_all(&combinations(), |[who, tag, linked, cuda, place]| {
            let tree = Tree::in_memory();
            let put = |part: &str, to: &str| std::fs::copy(parts.join(part), tree.place(to)).unwrap();
            put(JIT, &format!("{}/{JIT}", if *place == "beside" { "driver" } else { "second" }));
            put(&format!("cuda{cuda}{}", if *place == "listed" { place } else { "beside" }), "driver/libcuda.so.1");
            if *who == "program" {
                put(&format!("program{tag}{linked}"), "pkg/app");
            } else {
                put(who, "pkg/app");
                put(&format!("ask{tag}{linked}"), "pkg/libask.so");
            }
            let code = run(&mut Command::new(tree.join("pkg/app"))).code;
            // musl: the program's path counts, and it does not lead to libcuda.
            if (code, name, *who, *linked) == (2, "musl-gcc", "library", "") {
                return Ok(());
            }
            let codes = found("$ORIGIN/../driver", &tree.join("pkg"));
            let is_missing = codes.iter().any(|code| code == "CRP408");
            outcomes[usize::from(is_missing)].fetch_add(1, Ordering::Relaxed);
            let said = format!("{name} {who} {tag} {linked} {cuda} {place}: {code}, {codes:?}");
            ensure(matches!(code, 0 | 1) && is_missing == (code == 1), &said)
        });
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    // Without a compiler here there is nothing of either kind.
    let outcomes = outcomes.map(AtomicUsize::into_inner);
    assert!(outcomes == [0, 0] || outcomes.iter().all(|count| *count > 20), "{outcomes:?}");
}

/// Who asks (a program, a library, a library of a program that lends it the path), its tag (it must have a path), whether
/// it is linked, libcuda's tag, and where the compiler lies.
fn combinations() -> Vec<[&'static str; 5]> {
    let mut all = Vec::new();
    for who in ["program", "library", "lender"] {
        for tag in &TAGS[..2] {
            for linked in ["", "-DLINKED"] {
                for cuda in TAGS {
                    all.extend(["beside", "listed", "elsewhere"].map(|place| [who, *tag, linked, cuda, place]));
                }
            }
        }
    }
    all
}

/// A driver directory with another build of a program's library: it is loaded, and the check says so.
#[test]
fn what_a_driver_directory_shadows() {
    const TEST: &str = "check::real_driver::what_a_driver_directory_shadows";
    for compiler in ["gcc", "musl-gcc"] {
        if !require(compiler, TEST) {
            continue;
        }
        let tree = Tree::new();
        let compiler = Compiler { tree: &tree, name: compiler };
        let (driver, own, pkg) = (tree.folder("driver"), tree.folder("own"), tree.folder("pkg"));
        compiler.library("int version(void) { return 2; }", &own.join("libown.so.1"), "libown.so.1", "", "");
        let app = pkg.join("app");
        let path = format!("{}:{}", driver.display(), own.display());
        let flags = [own.join("libown.so.1").display().to_string(), tagged(TAGS[0], &path).unwrap()];
        compiler.compile("int version(void); int main(void) { return version(); }", &app, &flags);
        assert_eq!((run(&mut Command::new(&app)).code, found(driver.to_str().unwrap(), &pkg)), (2, vec![]));
        compiler.library("int version(void) { return 1; }", &driver.join("libown.so.1"), "libown.so.1", "", "");
        assert_eq!(
            (run(&mut Command::new(&app)).code, found(driver.to_str().unwrap(), &pkg)),
            (1, vec!["CRP409".to_owned()])
        );
    }
}
