// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that is forked once its application is loaded.

use std::fs;

use super::World;
use crate::host::{Spec, Wish, take_log};

const SOURCE: &str = r#"
import gc, os, random, threading
from concurrent.futures import ThreadPoolExecutor
NOTED = []
os.register_at_fork(
    before=lambda: NOTED.append("before"),
    after_in_parent=lambda: NOTED.append("parent"),
    after_in_child=lambda: NOTED.append("child"),
)
pool = ThreadPoolExecutor(1)
def application(environ, start_response):
    start_response("200 OK", [])
    facts = [list(NOTED)]
    child = os.fork()
    if child == 0:
        os._exit(5)
    facts += [pool.submit(lambda: 7).result(), os.WEXITSTATUS(os.waitpid(child, 0)[1]), gc.get_freeze_count() > 1000]
    facts += [threading.main_thread().name, threading.active_count() >= 2]
    return [repr(facts).encode(), b" ", repr(random.random()).encode()]
"#;

fn spec(world: &World, source: &str) -> (Spec, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("temp dir");
    fs::write(folder.path().join("forked.py"), source).expect("write");
    let mut spec = world.spec("forked:application").option("root", folder.path());
    spec.template = true;
    (spec, folder)
}

pub(crate) fn forks(world: &World) {
    let (spec, folder) = spec(world, SOURCE);
    let (app, log) = world.load(&spec);
    assert!(log.is_empty(), "{log:?}");
    assert_eq!(fs::read_dir("/proc/self/task").expect("tasks").count(), 1, "no thread of the engine's own");
    let engine = world.engine;
    let before = ["['before', 'child']", "['before', 'parent', 'before', 'child']"];
    for (number, noted) in before.into_iter().enumerate() {
        let said = folder.path().join(format!("said{number}"));
        let status = engine.fork(|| {
            let answers: Vec<_> = (0..2).map(|_| world.run_app(app, Wish::path("/")).text()).collect();
            fs::write(&said, &answers[0]).expect("write");
            engine.unload(app);
        });
        let said = fs::read_to_string(&said).unwrap_or_default();
        assert_eq!(status, 0, "{said} {:?}", take_log());
        assert!(said.starts_with(&format!("[{noted}, 7, 5, True, 'MainThread', True] ")), "{said}");
    }
    let random =
        [0, 1].map(|number| fs::read_to_string(folder.path().join(format!("said{number}"))).expect("said"));
    assert_ne!(random[0].rsplit_once(' '), random[1].rsplit_once(' '));
}

pub(crate) fn cannot_load(world: &World) {
    let (spec, _folder) = spec(world, "import threading\nraise ValueError('why')\n");
    let refusal = world.engine.load(&spec).map(|_| ()).expect_err("it raises");
    assert!(refusal.starts_with("ValueError: why at "), "{refusal}");
    assert!(take_log().iter().any(|(_, line)| line.contains("GW0301")));
}
