// SPDX-License-Identifier: MIT OR Apache-2.0
//! Installations and virtual environments as the usual tools lay them out, made of empty files.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    libpython::{Install, Version, install},
    python::named,
    sharing::{Environments, Plan},
    spec::{Spec, Target},
    venv::environment,
};

const ELF: &[u8] = b"\x7fELF fake";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temp dir"))
    }

    fn path(&self, path: &str) -> PathBuf {
        // Canonical, as the system's temporary folder may be a link.
        fs::canonicalize(self.0.path()).expect("exists").join(path)
    }

    fn file(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
        fs::write(&path, content).expect("write");
        path
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
        symlink(target, &path).expect("link");
        path
    }

    /// `prefix` with a program, a standard library and, below `libdir`, a shared library.
    fn install(&self, prefix: &str, version: &str, libdir: Option<&str>) -> PathBuf {
        self.file(&format!("{prefix}/bin/python{version}"), ELF);
        self.link(&format!("{prefix}/bin/python3"), format!("python{version}"));
        self.file(&format!("{prefix}/lib/python{version}/os.py"), b"");
        self.file(&format!("{prefix}/lib/python{version}/encodings/__init__.py"), b"");
        if let Some(libdir) = libdir {
            let real = format!("libpython{version}.so.1.0");
            self.file(&format!("{prefix}/{libdir}/{real}"), ELF);
            self.link(&format!("{prefix}/{libdir}/libpython{version}.so"), real);
        }
        self.path(prefix)
    }

    /// What `python -m venv` makes.
    fn venv(&self, path: &str, home: &Path, version: &str) -> PathBuf {
        let config =
            format!("home = {}\ninclude-system-site-packages = false\nversion = {version}\n", home.display());
        self.file(&format!("{path}/pyvenv.cfg"), config.as_bytes());
        self.link(&format!("{path}/bin/python3"), home.join("python3"));
        self.link(&format!("{path}/bin/python"), "python3");
        self.path(path)
    }
}

fn library(found: &Install) -> String {
    found.libpython.to_string_lossy().into_owned()
}

#[test]
fn a_library_is_found_in_every_usual_folder() {
    for libdir in ["lib", "lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu"] {
        let tree = Tree::new();
        let prefix = tree.install("py", "3.12", Some(libdir));
        let found = install(&prefix, Version(3, 12)).expect(libdir);
        assert_eq!(found.libpython, prefix.join(libdir).join("libpython3.12.so.1.0"));
        assert_eq!(found.prefix, prefix);
    }
}

#[test]
fn libdir_of_the_build_is_used() {
    let tree = Tree::new();
    let prefix = tree.install("py", "3.12", None);
    let elsewhere = tree.file("elsewhere/libpython3.12.so.1.0", ELF);
    let data = format!(
        "build_time_vars = {{'LDLIBRARY': 'x',\n 'LIBDIR': '{}',\n}}",
        tree.path("elsewhere").display()
    );
    tree.file("py/lib/python3.12/_sysconfigdata__linux_x86_64-linux-gnu.py", data.as_bytes());
    assert_eq!(install(&prefix, Version(3, 12)).expect("found").libpython, elsewhere);
}

#[test]
fn an_installation_without_a_library_is_told_how_to_get_one() {
    let tree = Tree::new();
    let prefix = tree.install("py", "3.12", None);
    // A linker script is not a library.
    tree.file("py/lib/libpython3.12.so", b"INPUT(libpython3.12.so.1.0)");
    let refusal = install(&prefix, Version(3, 12)).expect_err("no library");
    assert!(refusal.contains("libpython3.12 (Debian)") && refusal.contains("--enable-shared"), "{refusal}");
    let refusal = install(&prefix, Version(3, 8)).expect_err("too old");
    assert!(refusal.contains("3.8 is too old"), "{refusal}");
}

#[test]
fn an_installation_without_standard_library_is_refused() {
    let tree = Tree::new();
    let prefix = tree.install("py", "3.12", Some("lib"));
    fs::remove_dir_all(prefix.join("lib/python3.12/encodings")).expect("remove");
    let refusal = install(&prefix, Version(3, 12)).expect_err("no encodings");
    assert!(refusal.contains("no standard library at"), "{refusal}");
}

#[test]
fn an_unreadable_library_is_named() {
    let tree = Tree::new();
    let prefix = tree.install("py", "3.12", Some("lib"));
    // A link to itself: even root cannot read it.
    for name in ["libpython3.12.so.1.0", "libpython3.12.so"] {
        fs::remove_file(prefix.join("lib").join(name)).expect("remove");
    }
    tree.link("py/lib/libpython3.12.so.1.0", "libpython3.12.so.1.0");
    let refusal = install(&prefix, Version(3, 12)).expect_err("unreadable");
    assert!(refusal.starts_with("cannot read ") && refusal.contains("check the path"), "{refusal}");
}

#[test]
fn python_names_a_prefix_a_program_or_a_library() {
    let tree = Tree::new();
    let prefix = tree.install("py", "3.10", Some("lib/x86_64-linux-gnu"));
    let want = prefix.join("lib/x86_64-linux-gnu/libpython3.10.so.1.0").to_string_lossy().into_owned();
    for word in ["py", "py/bin/python3", "py/bin/python3.10", "py/lib/x86_64-linux-gnu/libpython3.10.so"] {
        let found = named(&tree.path(word)).expect(word);
        assert_eq!(
            (library(&found), found.version, &found.prefix),
            (want.clone(), Version(3, 10), &prefix),
            "{word}"
        );
    }
}

#[test]
fn wrong_words_for_python_are_explained() {
    let tree = Tree::new();
    tree.file("empty/nothing", b"");
    tree.install("two", "3.10", Some("lib"));
    tree.install("two2", "3.11", Some("lib"));
    tree.file("two/lib/python3.11/os.py", b"");
    fs::remove_file(tree.path("two/bin/python3")).expect("remove");
    tree.file("stub/libpython3.so", ELF);
    tree.file("free/lib/libpython3.13t.so.1.0", ELF);
    tree.file("script/libpython3.12.so", b"INPUT(x)");
    tree.file("alone/libpython3.12.so", ELF);
    tree.venv("venv", &tree.path("two2/bin"), "3.11.4");
    for (word, hint) in [
        ("absent", "No such file"),
        ("empty", "there is no Python in"),
        ("two", "holds several Pythons"),
        ("stub/libpython3.so", "has no version in its name"),
        ("free/lib/libpython3.13t.so.1.0", "free-threaded"),
        ("script/libpython3.12.so", "is not a shared library"),
        ("alone/libpython3.12.so", "has no lib/python3.12 in a folder above it"),
        ("venv", "write venv="),
        ("empty/nothing", "is neither a version such as 3.12"),
    ] {
        let refusal = named(&tree.path(word)).expect_err(word);
        assert!(refusal.contains(hint), "{word}: {refusal}");
    }
    for (word, hint) in
        [("3.8", "too old"), ("2.7", "too old"), ("three", "is neither"), ("3.12.1", "is neither")]
    {
        let refusal = named(Path::new(word)).expect_err(word);
        assert!(refusal.contains(hint), "{word}: {refusal}");
    }
    let refusal = named(Path::new("3.99")).expect_err("not installed");
    assert!(refusal.contains("Python 3.99 is not installed where it was looked for"), "{refusal}");
}

#[test]
fn a_venv_leads_to_the_installation_it_was_made_from() {
    let tree = Tree::new();
    let prefix = tree.install("opt/py", "3.11", Some("lib"));
    let venv = tree.venv("srv/venv", &prefix.join("bin"), "3.11.2");
    let found = environment(Some(&venv), None).expect("found");
    assert_eq!(found.install.libpython, prefix.join("lib/libpython3.11.so.1.0"));
    assert_eq!((found.program, found.venv), (venv.join("bin/python"), Some(venv)));
}

#[test]
fn a_home_of_links_and_a_venv_of_copies_lead_there_too() {
    let tree = Tree::new();
    let prefix = tree.install("opt/py", "3.11", Some("lib"));
    // /usr/local/bin/python3 -> /opt/py/bin/python3
    tree.link("local/bin/python3", prefix.join("bin/python3"));
    let venv = tree.venv("linked", &tree.path("local/bin"), "3.11.2");
    assert_eq!(environment(Some(&venv), None).expect("linked").install.prefix, prefix);
    // python -m venv --copies
    let venv = tree.venv("copied", &prefix.join("bin"), "3.11.2");
    fs::remove_file(venv.join("bin/python3")).expect("remove");
    tree.file("copied/bin/python3", ELF);
    assert_eq!(environment(Some(&venv), None).expect("copied").install.prefix, prefix);
}

#[test]
fn what_other_tools_note_in_pyvenv_cfg_is_understood() {
    let tree = Tree::new();
    let prefix = tree.install("share/uv/cpython-3.12.7-linux-x86_64-gnu", "3.12", Some("lib"));
    // uv: version_info instead of version. virtualenv: base-prefix, base-executable.
    let uv = format!(
        "home = {}/bin\nimplementation = CPython\nuv = 0.5.1\nversion_info = 3.12.7\n",
        prefix.display()
    );
    tree.file("uv/pyvenv.cfg", uv.as_bytes());
    assert_eq!(environment(Some(&tree.path("uv")), None).expect("uv").install.prefix, prefix);
    let config = format!(
        "home = /gone/bin\nversion_info = 3.12.7.final.0\nbase-prefix = {0}\nbase-executable = {0}/bin/python3.12\n",
        prefix.display()
    );
    tree.file("virtualenv/pyvenv.cfg", config.as_bytes());
    assert_eq!(environment(Some(&tree.path("virtualenv")), None).expect("virtualenv").install.prefix, prefix);
}

#[test]
fn a_conda_environment_is_an_installation() {
    let tree = Tree::new();
    let prefix = tree.install("conda/envs/web", "3.11", Some("lib"));
    fs::create_dir(prefix.join("conda-meta")).expect("folder");
    let found = environment(Some(&prefix), None).expect("conda");
    assert_eq!((found.install.prefix, found.program), (prefix.clone(), prefix.join("bin/python3.11")));
}

#[test]
fn a_venv_that_cannot_be_used_says_why() {
    let tree = Tree::new();
    let prefix = tree.install("py", "3.11", Some("lib"));
    let static_prefix = tree.install("static", "3.11", None);
    fs::create_dir(tree.path("plain")).expect("folder");
    tree.venv("old", &prefix.join("bin"), "3.8.10");
    tree.venv("stale", &tree.path("gone/bin"), "3.11.2");
    tree.venv("static-venv", &static_prefix.join("bin"), "3.11.2");
    let pypy =
        format!("home = {}\nimplementation = PyPy\nversion_info = 3.10.0\n", prefix.join("bin").display());
    tree.file("pypy/pyvenv.cfg", pypy.as_bytes());
    for (venv, hint) in [
        ("absent", "does not exist; correct the path, or make it with: python3 -m venv"),
        ("plain", "is not a virtual environment, for it has no pyvenv.cfg"),
        ("old", "Python 3.8 is too old"),
        ("stale", "which is not there any more; make it again"),
        ("static-venv", "install the package libpython3.11 (Debian) or build Python with --enable-shared"),
        ("pypy", "is made for PyPy"),
    ] {
        let refusal = environment(Some(&tree.path(venv)), None).expect_err(venv);
        assert!(refusal.contains(hint), "{venv}: {refusal}");
        assert!(refusal.contains(&*tree.path(venv).to_string_lossy()), "{venv}: {refusal}");
    }
}

#[test]
fn python_beside_venv_must_be_of_its_version() {
    let tree = Tree::new();
    let old = tree.install("py311", "3.11", Some("lib"));
    let new = tree.install("py312", "3.12", Some("lib"));
    let venv = tree.venv("venv", &old.join("bin"), "3.11.2");
    assert!(environment(Some(&venv), Some(&old)).is_ok());
    let refusal = environment(Some(&venv), Some(&new)).expect_err("other version");
    assert!(
        refusal.contains("is Python 3.12, but venv=") && refusal.contains("was made for 3.11"),
        "{refusal}"
    );
}

fn spec(name: &str, root: &str) -> Spec {
    Spec { root: Some(root.into()), ..Spec::new(name.to_owned(), Target::Module(name.to_owned())) }
}

#[test]
fn only_what_fits_together_shares_a_process() {
    let tree = Tree::new();
    let py311 = tree.install("py311", "3.11", Some("lib"));
    let py312 = tree.install("py312", "3.12", Some("lib"));
    let venv_a = tree.venv("a", &py311.join("bin"), "3.11.2");
    let venv_b = tree.venv("b", &py311.join("bin"), "3.11.2");
    let plan = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec("blog.wsgi", "/srv/blog");
        spec.python = Some(py311.clone());
        change(&mut spec);
        Plan::make(spec, &mut Environments::default()).expect("plan")
    };
    let base = plan(&|_| ());
    assert_eq!(base.check_sharing(&plan(&|_| ())), Ok(()));
    type Change<'a> = &'a dyn Fn(&mut Spec);
    let cases: [(Change<'_>, &str); 4] = [
        (&|spec| spec.python = Some(py312.clone()), "one server process runs one Python"),
        (&|spec| spec.root = Some("/srv/other".into()), "both have a module \"blog\""),
        (&|spec| spec.root = None, "both have a module \"blog\""),
        (&|spec| (spec.python, spec.venv) = (None, Some(venv_a.clone())), "give both the same venv="),
    ];
    for (change, hint) in cases {
        let refusal = plan(change).check_sharing(&base).expect_err(hint);
        assert!(refusal.contains(hint), "{refusal}");
    }
    let with = |venv: &PathBuf| plan(&|spec| (spec.python, spec.venv) = (None, Some(venv.clone())));
    assert!(with(&venv_a).check_sharing(&with(&venv_b)).is_err());
    assert_eq!(with(&venv_a).check_sharing(&with(&venv_a)), Ok(()));
    let set = |name: &str, value: &str| {
        let variable = (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        plan(&|spec| spec.env = vec![variable.clone()])
    };
    assert_eq!(set("A", "1").check_sharing(&set("A", "1")), Ok(()));
    assert_eq!(set("A", "1").check_sharing(&set("B", "2")), Ok(()));
    assert!(set("A", "1").check_sharing(&set("A", "2")).is_err_and(|refusal| refusal.contains("variable A")));
}
