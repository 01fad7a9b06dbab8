//! Unpacked images: what `explain --root` says, and what the loader does when the image is its root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::compare::{Ground, Searched, differences, explained, until_failure};
use super::folders::searched;
use super::scene::{Link, Scene};
use super::{loaders, trace};
use crate::harness::{
    NOBODY, binary, command, copy_program, expect, is_root, mounting_shell, require, run, set_mode, skip,
};

/// `$1` the image, `$2` a user, then the program: in the image, with the image's own view of processes.
const ENTER: &str = r#"
mount --bind /proc "$1/proc"
exec perl -e '
    my ($root, $user, @program) = @ARGV;
    chroot $root or die "chroot: $!"; chdir "/";
    @ENV{"LD_DEBUG", "LD_DEBUG_OUTPUT"} = ("libs,files", "/ld-debug");
    $) = $user; $( = $user; $> = $user; $< = $user;
    exec @program or die "exec: $!";
' "$@"
"#;

/// A tree with a loader and a C library of its own.
pub(super) struct Image {
    pub(super) scene: Scene,
}

impl Image {
    /// `None` where one cannot be entered.
    pub(super) fn new(test: &str) -> Option<Self> {
        let scene = Scene::new(test)?;
        if !is_root() {
            skip(test, "only root enters an image");
            return None;
        }
        if !require("perl", test) || !require("/sbin/ldconfig", test) {
            return None;
        }
        mounting_shell(test, "true")?;
        let image = Self { scene };
        for folder in ["image/proc", "image/etc", "image/usr/lib", "image/lib"] {
            image.scene.folder(folder);
        }
        let (_, loader) = loaders().remove(0);
        image.copy(&loader);
        image.copy(&libc());
        Some(image)
    }

    /// Whether a program may have other rights than who starts it.
    pub(super) fn knows_set_id(&self, test: &str) -> bool {
        let flags = rustix::fs::statvfs(self.scene.tree.path()).expect("a file system").f_flag;
        let knows = !flags.contains(rustix::fs::StatVfsMountFlags::NOSUID);
        if !knows {
            skip(test, "the temporary folder is mounted nosuid");
        }
        knows
    }

    pub(super) fn root(&self) -> PathBuf {
        self.scene.tree.join("image")
    }

    /// A file of this machine at the same place in the image.
    fn copy(&self, path: &Path) {
        self.copy_to(path, path.to_str().unwrap());
    }

    pub(super) fn copy_to(&self, path: &Path, target: &str) {
        copy_program(path, &self.scene.tree.place(format!("image{target}")));
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        std::fs::write(self.root().join(path), text).unwrap();
    }

    fn symlink(&self, target: &str, path: &str) {
        self.scene.symlink(target, &format!("image/{path}"));
    }

    /// Makes `etc/ld.so.cache` from `etc/ld.so.conf`.
    fn ldconfig(&self) {
        expect(command("/sbin/ldconfig").arg("-r").arg(self.root()), 0);
    }

    pub(super) fn enter(&self, user: u32, program: &str) -> Command {
        let mut enter = command("unshare");
        enter.args(["-m", "sh", "-ec", ENTER, "sh"]).arg(self.root()).arg(user.to_string()).arg(program);
        enter
    }

    pub(super) fn explain(&self, program: &str, library_path: Option<&str>) -> Vec<Searched> {
        let mut explain = binary();
        explain.args(["explain", "--recursive", "--json", "--root"]).arg(self.root()).arg(program);
        explain.args(library_path.into_iter().flat_map(|path| ["--env".into(), format!("LD_LIBRARY_PATH={path}")]));
        let run = run(&mut explain);
        run.assert_code(0, &format!("explain {program}"));
        until_failure(explained(&run.json(), false))
    }

    /// Starts a program in the image and compares; the result is where each name was found.
    pub(super) fn start(&self, program: &str) -> Vec<(String, String)> {
        let traced = trace::logged(&mut self.enter(0, program), &self.root());
        let told = self.explain(program, None);
        self.compare(&until_failure(traced.searches), &told)
    }

    fn compare(&self, really: &[Searched], told: &[Searched]) -> Vec<(String, String)> {
        let ground = Ground { here: "/".into(), root: self.root() };
        let (_, different) = differences(&ground, really, told);
        assert!(different.is_empty(), "{}", different.join("\n"));
        let found =
            |search: &Searched| search.found.as_ref().map_or("nothing".into(), |path| path.to_str().unwrap().into());
        really.iter().map(|search| (search.name.clone(), found(search))).collect()
    }
}

/// Where this machine's C library is.
fn libc() -> PathBuf {
    let (_, loader) = loaders().remove(0);
    let run = run(command(loader).arg("--list").arg("/bin/sh"));
    let line = run.stdout.lines().find(|line| line.contains("libc.so.6 =>")).expect("a shell with a C library");
    line.split_whitespace().nth(2).expect("its path").into()
}

pub(super) fn found(of: &[(String, String)], name: &str) -> String {
    of.iter().find(|(known, _)| known == name).map_or("not searched".to_owned(), |(_, found)| found.clone())
}

/// Absolute links lead back into the image, and the machine around it has nothing to say.
#[test]
fn an_image_is_searched_as_its_own_root() {
    let Some(image) = Image::new("loader::an_image_is_searched_as_its_own_root") else { return };
    let scene = &image.scene;
    scene.link(Link::library("image/opt/v1/liba.so").needs(&["libb.so", "libd.so"]).runpath("$ORIGIN:$ORIGIN/../up"));
    scene.libraries(&["image/opt/v1/libb.so", "image/opt/up/libd.so", "image/usr/lib/liblast.so"]);
    image.symlink("/opt/v1", "opt/current");
    image.symlink("/opt/current/../up", "opt/round");
    image.symlink("/opt/pkg/bin/real", "bin/p");
    image.symlink("../../../../../../opt/round/libd.so", "opt/v1/libe.so");
    let needs = ["liba.so", "libe.so", "libm.so.6", "liblast.so"];
    scene.link(Link::program("image/opt/pkg/bin/real").needs(&needs).runpath("/opt/current:$ORIGIN/../../v1"));
    let seen = image.start("/bin/p");
    assert_eq!((found(&seen, "libb.so"), found(&seen, "libm.so.6")), ("not searched".into(), "nothing".into()));
    // With a library of its own of that name everything is found.
    scene.link(Link::library("image/lib/libm.so.6"));
    let seen = image.start("/bin/p");
    assert_eq!(found(&seen, "libb.so"), "/opt/current/libb.so");
    assert_eq!(found(&seen, "libd.so"), "not searched", "libe.so led to it");
    assert_eq!(found(&seen, "liblast.so"), "/usr/lib/liblast.so");
    assert_eq!(image.start("/opt/pkg/bin/real").len(), seen.len());
}

#[test]
fn the_cache_of_an_image_answers() {
    let test = "loader::the_cache_of_an_image_answers";
    let Some(image) = Image::new(test) else { return };
    let scene = &image.scene;
    image.write("etc/ld.so.conf", "/opt/lib\n/usr/lib/deep\n/opt/lib32\n");
    scene.libraries(&[
        "image/opt/lib/liba.so",
        "image/opt/lib/libgone.so",
        "image/usr/lib/libgone.so",
        "image/usr/lib/deep/libdeep.so",
    ]);
    // Folders for better hardware, as far as this CPU has it: each with one library of all, and one of its own.
    let known = searched(64);
    let folder = |name: &String| if name.starts_with("x86-64") { format!("glibc-hwcaps/{name}") } else { name.clone() };
    let mut folders: Vec<String> = known.iter().map(folder).collect();
    folders.extend(folders.iter().filter(|name| *name != "tls").map(|name| format!("tls/{name}")).collect::<Vec<_>>());
    let own: Vec<String> = folders.iter().map(|name| format!("lib{}.so", name.replace('/', "-"))).collect();
    for (folder, own) in folders.iter().zip(&own) {
        let all = format!("image/opt/lib/{folder}/libhw.so");
        scene.libraries(&[&all, &format!("image/opt/lib/{folder}/{own}")]);
    }
    scene.libraries(&["image/opt/lib/libhw.so"]);
    if loaders().len() > 1 {
        for (class, folder) in [(32, "opt/lib32"), (64, "opt/lib")] {
            scene.link(Link::library(&format!("image/{folder}/libboth.so")).class(class));
        }
    }
    image.ldconfig();
    std::fs::remove_file(image.root().join("opt/lib/libgone.so")).unwrap();
    let mut needs = vec!["liba.so", "libgone.so", "libdeep.so", "libhw.so", "libboth.so"];
    needs.extend(own.iter().map(String::as_str));
    let mut seen = Vec::new();
    // Each by itself: what one loader does not find must not hide the rest.
    for name in needs {
        scene.link(Link::program("image/bin/p").needs(&[name]));
        seen.extend(image.start("/bin/p"));
    }
    assert_eq!(found(&seen, "liba.so"), "/opt/lib/liba.so");
    assert_eq!(found(&seen, "libgone.so"), "/usr/lib/libgone.so", "the cache is stale");
    assert_eq!(found(&seen, "libdeep.so"), "/usr/lib/deep/libdeep.so");
    assert_ne!(found(&seen, "libhw.so"), "nothing");
    // What lies below a default directory is refused like what lies in it.
    scene.link(Link::program("image/bin/q").needs(&["libdeep.so"]).flags(&["-z", "nodefaultlib"]));
    assert_eq!(found(&image.start("/bin/q"), "libdeep.so"), "nothing");
    scene.link(Link::program("image/bin/r").needs(&["liba.so"]).flags(&["-z", "nodefaultlib"]));
    assert_eq!(found(&image.start("/bin/r"), "liba.so"), "/opt/lib/liba.so");
}

/// A program with its owner's rights ignores LD_LIBRARY_PATH, and `$ORIGIN` unless that leads below a default directory.
#[test]
fn programs_with_more_rights_trust_less() {
    let test = "loader::programs_with_more_rights_trust_less";
    let Some(image) = Image::new(test).filter(|image| image.knows_set_id(test)) else { return };
    let scene = &image.scene;
    image.write("etc/suid-debug", "");
    scene.libraries(&[
        "image/env/libx.so",
        "image/own/libx.so",
        "image/usr/lib/app/libx.so",
        "image/usr/lib/libfar.so",
    ]);
    scene.link(Link::library("image/own/liba.so").needs(&["libx.so"]).runpath("${ORIGIN}x:$ORIGIN"));
    let cases = [
        ("image/usr/lib/app/one", "libx.so", "$ORIGIN/../../../own:$ORIGIN/../app"),
        ("image/bin/two", "libx.so", "$ORIGIN/../own:/own"),
        ("image/bin/three", "libx.so", "/$ORIGIN/../own:$ORIGIN/../usr/lib/app:/own"),
        ("image/bin/four", "liba.so", "/own"),
        ("image/bin/five", "$ORIGIN/../own/libx.so", "/own"),
        ("image/bin/six", "libx.so", "/own/$LIB:/usr/lib/$PLATFORM/../app"),
    ];
    for (path, name, runpath) in cases {
        let program = scene.link(Link::opener(path).needs(&[name]).runpath(runpath));
        set_mode(&program, 0o4755);
        let path = path.strip_prefix("image").unwrap();
        let mut enter = image.enter(NOBODY, path);
        let run = run(enter.env("LD_LIBRARY_PATH", "/env"));
        let told = image.explain(path, Some("/env"));
        let loaded: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with('/')).collect();
        let usual = loaders().remove(0).1;
        let loaded: Vec<&str> = loaded.into_iter().filter(|path| Path::new(path) != usual).collect();
        let expected: Vec<&OsStr> =
            told.iter().filter_map(|search| search.found.as_deref()).map(Path::as_os_str).collect();
        if run.code == 0 {
            assert_eq!(loaded, expected, "{path}");
        } else {
            assert!(told.iter().any(|search| search.found.is_none()), "{path}: {}", run.stderr);
        }
        // Until 2.38 this file made the loader talk.
        let traced = trace::parse(&run.stderr);
        if !traced.is_empty() {
            image.compare(&until_failure(traced), &told);
        }
    }
}
