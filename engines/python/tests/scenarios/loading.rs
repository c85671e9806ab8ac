// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications that do not load, and how they heal; applications that cannot share a process.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::World;
use crate::host::{Answer, App, Wish, take_log};

const GOOD: &str =
    "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [TEXT]\n";

/// Asks until the answer is this one: the engine looks at files once in a while.
fn wait_for(world: &World, app: App, status: u16) -> Answer {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = world.run_app(app, Wish::path("/"));
        if answer.status == Some(status) {
            return answer;
        }
        assert!(Instant::now() < end, "status {status} never came: {answer:?}");
        std::thread::yield_now();
    }
}

pub(crate) fn heals(world: &World) {
    let folder = tempfile::tempdir().expect("temp dir");
    let root = folder.path();
    fs::create_dir(root.join("blog")).expect("folder");
    fs::write(root.join("blog/__init__.py"), "").expect("write");
    fs::write(root.join("blog/settings.py"), "TEXT = b'settings'\nif True\n").expect("write");
    fs::write(
        root.join("blog/wsgi.py"),
        format!("from blog.settings import TEXT\nimport missing_thing\n{GOOD}"),
    )
    .expect("write");
    let (app, log) = world.load(&world.spec("blog.wsgi:application").option("root", root));
    let last = &log.last().expect("a line").1;
    assert!(last.starts_with("GW0301 cannot load \"blog.wsgi:application\": SyntaxError in "), "{last}");
    assert!(last.contains("blog/settings.py line 2"), "{last}");
    assert!(log.iter().any(|(_, line)| line.starts_with("Traceback")), "{log:?}");
    let answer = world.run_app(app, Wish::path("/"));
    assert_eq!(answer.status, Some(500));
    assert!(answer.header("content-type")[0].starts_with("text/plain"));
    assert!(answer.logged("GW0304") && !answer.text().contains("SyntaxError"), "{answer:?}");
    // What another application imports meanwhile stays when this one is tried again.
    fs::write(root.join("state.py"), "COUNT = [0]\n").expect("write");
    let counting = "import state\ndef application(environ, start_response):\n    import state as again\n    \
        again.COUNT[0] += 1\n    start_response('200 OK', [])\n    return [b'%d' % state.COUNT[0]]\n";
    fs::write(root.join("counting.py"), counting).expect("write");
    let (other, _) = world.load(&world.spec("counting:application").option("root", root));
    assert_eq!(world.run_app(other, Wish::path("/")).text(), "1");
    // The syntax error is corrected; the next failure is a missing module.
    fs::write(root.join("blog/settings.py"), "TEXT = b'settings'\n").expect("write");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        world.run_app(app, Wish::path("/"));
        let log = take_log();
        if let Some((_, line)) = log.iter().find(|(_, line)| line.contains("GW0301")) {
            assert!(line.contains("there is no module \"missing_thing\" (searched root "), "{line}");
            break;
        }
        assert!(Instant::now() < end, "no second attempt");
        std::thread::yield_now();
    }
    fs::write(root.join("missing_thing.py"), "").expect("write");
    assert_eq!(wait_for(world, app, 200).text(), "settings");
    assert!(take_log().iter().any(|(_, line)| line.starts_with("GW0305 ")));
    assert_eq!(world.run_app(other, Wish::path("/")).text(), "2");
}

pub(crate) fn explained(world: &World) {
    let folder = tempfile::tempdir().expect("temp dir");
    let root = folder.path();
    fs::write(root.join("raising.py"), "def f():\n    raise ValueError('why')\nf()\n").expect("write");
    fs::write(root.join("leaving.py"), "import sys\nsys.exit('bye')\n").expect("write");
    fs::write(root.join("empty.py"), "app = lambda e, s: []\ntext = 'no'\n").expect("write");
    fs::write(root.join("needing.py"), "import nothing.at.all\n").expect("write");
    for (target, parts) in [
        ("raising:application", &["GW0301", "ValueError: why at ", "raising.py line 2 in f"][..]),
        ("leaving:application", &["GW0301", "SystemExit: bye"]),
        ("empty:application", &["GW0302", "has no \"application\", but it has \"app\""]),
        ("empty:text", &["GW0302", "is not callable (it is a str)"]),
        ("empty:app.deep", &["GW0302", "does not exist"]),
        ("needing:application", &["GW0301", "there is no module \"nothing\"", "install it"]),
        ("absent:application", &["GW0301", "there is no module \"absent\"", "correct the target or root="]),
        (
            "absent.deep:application",
            &["GW0301", "there is no module \"absent\"", "correct the target or root="],
        ),
    ] {
        let (app, log) = world.load(&world.spec(target).option("root", root));
        let last = &log.last().expect("a line").1;
        assert!(parts.iter().all(|part| last.contains(part)), "{target}: {last}");
        assert_eq!(world.run_app(app, Wish::path("/")).status, Some(500), "{target}");
    }
    let (app, _) = world.load(&world.spec("raising:other").option("root", root).option("debug", "on"));
    let page = world.run_app(app, Wish::path("/")).text();
    assert!(page.contains("ValueError: why") && page.contains("raising.py&quot;, line 2, in f"), "{page}");
}

pub(crate) fn files(world: &World) {
    let folder = tempfile::tempdir().expect("temp dir");
    let root = folder.path();
    fs::write(root.join("sibling.py"), "from solo import COUNT\nCOUNT.append(1)\nTEXT = b'sibling'\n")
        .expect("write");
    fs::write(
        root.join("solo.py"),
        format!("COUNT = []\nimport sibling\nTEXT = b'%d %s' % (len(COUNT), __name__.encode())\n{GOOD}"),
    )
    .expect("write");
    let (app, log) = world.load(&world.spec(&format!("{}:application", root.join("solo.py").display())));
    assert_eq!(world.run_app(app, Wish::path("/")).text(), "1 solo", "{log:?}");
    // Not a name that import could have.
    fs::write(root.join("site-a.wsgi"), format!("import sibling\nTEXT = sibling.TEXT\n{GOOD}"))
        .expect("write");
    let (app, log) = world.load(&world.spec(&format!("{}:application", root.join("site-a.wsgi").display())));
    assert_eq!(world.run_app(app, Wish::path("/")).text(), "sibling", "{log:?}");
    // The name of a module of the standard library.
    fs::create_dir(root.join("sub")).expect("folder");
    fs::write(root.join("sub/queue.py"), format!("TEXT = b'own queue'\n{GOOD}")).expect("write");
    let spec =
        world.spec(&format!("{}:application", root.join("sub/queue.py").display())).option("root", root);
    let (app, log) = world.load(&spec);
    assert_eq!(world.run_app(app, Wish::path("/")).text(), "own queue", "{log:?}");
    let missing = world.spec(&format!("{}:application", root.join("gone.py").display()));
    let refusal = world.engine.check(std::slice::from_ref(&missing)).expect_err("missing");
    assert!(refusal.contains("gone.py: No such file"), "{refusal}");
    let (app, log) = world.load(&missing);
    assert!(log.iter().any(|(_, line)| line.contains("GW0301") && line.contains("gone.py")), "{log:?}");
    fs::write(root.join("gone.py"), format!("TEXT = b'deployed'\n{GOOD}")).expect("write");
    assert_eq!(wait_for(world, app, 200).text(), "deployed");
}

pub(crate) fn name_clash(world: &World) {
    let folder = tempfile::tempdir().expect("temp dir");
    let roots = ["one", "two", "three"].map(|name| folder.path().join(name));
    for (root, module) in roots.iter().zip(["first", "second", "third"]) {
        fs::create_dir(root).expect("folder");
        fs::write(root.join(format!("{module}.py")), format!("import importlib\nTEXT = b'{module}'\n{GOOD}\ndef late(e, s):\n    importlib.import_module('late')\n    return application(e, s)\n")).expect("write");
    }
    fs::write(roots[0].join("settings.py"), "").expect("write");
    fs::write(roots[0].join("first.py"), format!("import settings\nTEXT = b'first'\n{GOOD}")).expect("write");
    fs::write(roots[1].join("settings.py"), "").expect("write");
    world.load(&world.spec("first:application").option("root", &roots[0]));
    // Known at once: the first application has imported it already.
    let refusal = world.engine.load(&world.spec("second:application").option("root", &roots[1])).map(|_| ());
    let refusal = refusal.expect_err("clash");
    assert!(
        refusal.contains("module \"settings\" is in ") && refusal.contains("rename one of the two"),
        "{refusal}"
    );
    // Known when it is imported.
    for root in [&roots[0], &roots[2]] {
        fs::write(root.join("late.py"), "").expect("write");
    }
    let (app, _) = world.load(&world.spec("third:late").option("root", &roots[2]));
    let answer = world.run_app(app, Wish::path("/"));
    assert!(answer.logged("module \"late\" is in "), "{:?}", answer.log);
}

pub(crate) fn sharing(world: &World) {
    let folder = tempfile::tempdir().expect("temp dir");
    let roots = ["one", "two"].map(|name| folder.path().join(name));
    for root in &roots {
        fs::create_dir(root).expect("folder");
        fs::write(root.join("app.py"), format!("TEXT = b''\n{GOOD}")).expect("write");
    }
    let spec = |root: &Path| world.spec("app:application").option("root", root);
    assert_eq!(world.engine.check(&[spec(&roots[0]), spec(&roots[0])]), Ok(()));
    let refusal = world.engine.check(&[spec(&roots[0]), spec(&roots[1])]).expect_err("clash");
    assert!(refusal.contains("both have a module \"app\""), "{refusal}");
    world.load(&spec(&roots[0]));
    let refusal = world.engine.load(&spec(&roots[1])).map(|_| ()).expect_err("clash");
    assert!(refusal.contains("both have a module \"app\""), "{refusal}");
    for other in crate::host::pythons::found().iter().filter(|other| **other != world.python) {
        let other = crate::host::Spec::new("other:app").option("python", other).option("root", &roots[1]);
        if let Err(refusal) = world.engine.load(&other).map(|_| ()) {
            assert!(refusal.contains("one server process runs one Python"), "{refusal}");
            return;
        }
    }
}

pub(crate) fn virtual_environment(world: &World) {
    let folder = tempfile::tempdir().expect("temp dir");
    let venv = folder.path().join("venv");
    let program = if world.python.is_dir() { world.python.join("bin/python3") } else { world.python.clone() };
    let made = std::process::Command::new(program)
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv)
        .status()
        .expect("python runs");
    assert!(made.success());
    let packages = fs::read_dir(venv.join("lib")).expect("lib").flatten().next().expect("one version").path();
    fs::write(packages.join("site-packages/only_here.py"), "TEXT = b'from the venv'\n").expect("write");
    fs::write(
        folder.path().join("app.py"),
        format!(
            "import sys\nfrom only_here import TEXT\nTEXT += b' %r %r' % (sys.prefix, sys.executable)\n{GOOD}"
        )
        .replace("b' %r %r' % (", "b' %s %s' % tuple(x.encode() for x in (")
        .replace("sys.executable)", "sys.executable))"),
    )
    .expect("write");
    // No python=: the library is found from pyvenv.cfg.
    let spec = crate::host::Spec::new("app:application").option("root", folder.path()).option("venv", &venv);
    assert_eq!(world.engine.check(std::slice::from_ref(&spec)), Ok(()));
    let (app, log) = world.load(&spec);
    let want = format!("from the venv {0} {0}/bin/python", venv.display());
    assert_eq!(world.run_app(app, Wish::path("/")).text(), want, "{log:?}");
    let other = crate::host::Spec::new("other:app").option("python", &world.python);
    let refusal = world.engine.load(&other).map(|_| ()).expect_err("another environment");
    assert!(refusal.contains("give both the same venv="), "{refusal}");
    for (wrong, reason) in [("absent", "does not exist"), ("venv/lib", "is not a virtual environment")] {
        let spec = crate::host::Spec::new("app:application").option("venv", folder.path().join(wrong));
        let refusal = world.engine.check(&[spec]).expect_err("wrong venv");
        assert!(refusal.contains(reason) && refusal.contains("python3 -m venv"), "{refusal}");
    }
}
