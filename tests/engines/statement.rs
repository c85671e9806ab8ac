// SPDX-License-Identifier: MIT OR Apache-2.0
//! What engines state, and directories of engines.

use std::path::{Path, PathBuf};

use gangway::{
    config::{ApplicationConf, ConfigError, Engines, Parser},
    runtime::Threads,
};

use crate::world::{World, compile, directory, get};

/// A folder of this name with copies of engines: name of the copy, source.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = directory().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (file, source) in files {
        std::fs::copy(directory().join(compile(source)), folder.join(file)).unwrap();
    }
    folder
}

fn engines(folder: &Path) -> Engines {
    let mut engines = Engines::new();
    engines.name_directory(Path::new("/"), folder.as_os_str().as_encoded_bytes()).unwrap();
    engines
}

fn parse(engines: &mut Engines, interface: &str, words: &[&str]) -> Result<ApplicationConf, ConfigError> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    Parser { base: Path::new("/"), timeout: None }.interface(engines, interface, &words)
}

fn native(words: &[&str]) -> Result<ApplicationConf, ConfigError> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    Parser { base: Path::new("/"), timeout: None }.native(&words)
}

#[test]
fn every_kind_of_option_is_checked_and_passed_on() {
    let folder = folder("stated", &[("gangway_stated.so", "good/stated")]);
    let mut engines = engines(&folder);
    let words = [
        "a:b",
        "words=x",
        "words=y z",
        "loud=on",
        "level=9",
        "size=64k",
        "idle=500ms",
        "set=A=1",
        "file=etc/passwd",
        "folder=/etc",
        "later=whatever",
        "threads=2",
    ];
    let config = parse(&mut engines, "stated", &words).unwrap();
    let world = World::new();
    let app = world.load_config(&config, Threads::Own);
    assert_eq!(
        get("/").answer(&app).text(),
        "stated a:b\nwords=x\nwords=y z\nloud=on\nlevel=9\nsize=64k\nidle=500ms\nset=A=1\nfile=/etc/passwd\n\
         folder=/etc\nlater=whatever\n"
    );
    world.end();
    for (word, part) in [
        ("words=", "it is empty"),
        ("loud=yes", "on or off"),
        ("level=0", "from 1 to 9"),
        ("size=big", "512k"),
        ("idle=soon", "30s"),
        ("set=A", "NAME=VALUE"),
        ("file=/etc", "is not a file"),
        ("folder=/no/such", "create it or correct the path"),
        ("later=", "it is empty"),
        ("words", "words=VALUE"),
        ("lvel=3", "did you mean \"level=\"?"),
        ("colour=blue", "known are words, loud, level, size, idle, set, file, folder, later, threads, queue"),
    ] {
        let error = parse(&mut engines, "stated", &["a:b", word]).unwrap_err().to_string();
        assert!(error.contains(part), "{word}: {error}");
    }
    let error = parse(&mut engines, "stated", &["a"]).unwrap_err().to_string();
    assert_eq!(error, "GW0103 \"a\" names no thing: use PLACE:THING");
}

#[test]
fn a_directory_is_searched_for_the_interface() {
    let files = [
        ("gangway_broken.so", "bad/wrong_major"),
        ("gangway_hello.so", "good/hello"),
        ("gangway_stated.so", "good/stated"),
        ("gangway_stated_part.so", "bad/no_entry"),
    ];
    let folder = folder("searched", &files);
    let mut found = engines(&folder);
    let config = parse(&mut found, "stated", &["a:b"]).unwrap();
    assert_eq!(config.engine(), folder.join("gangway_stated.so"));
    let lines = found.take_refusals();
    assert!(lines.len() == 1 && lines[0].starts_with("GW0203 the engine "), "{lines:?}");
    assert!(lines[0].contains("gangway_broken.so") && found.take_refusals().is_empty());

    let error = parse(&mut found, "other", &["a:b"]).unwrap_err().to_string();
    assert!(error.starts_with("GW0203 ") && error.contains("gangway_broken.so"), "{error}");
    assert!(error.ends_with("; no other engine has the interface \"other\""), "{error}");
}

#[test]
fn a_directory_without_the_interface_is_named() {
    let mut empty = engines(&folder("empty", &[]));
    let error = parse(&mut empty, "stated", &["a:b"]).unwrap_err().to_string();
    assert!(error.starts_with("GW0201 no engine in ") && error.contains("/engines/empty has the"), "{error}");
    assert!(error.contains("there is no file gangway_*.so; install the engine there"), "{error}");
    let mut hello = engines(&folder("hello", &[("gangway_hello.so", "good/hello")]));
    let error = parse(&mut hello, "stated", &["a:b"]).unwrap_err().to_string();
    assert!(error.contains("none of the files gangway_*.so has it"), "{error}");
}

#[test]
fn two_engines_with_one_interface_are_refused() {
    let twice = [("gangway_a.so", "good/stated"), ("gangway_b.so", "good/stated")];
    let mut engines = engines(&folder("twice", &twice));
    let error = parse(&mut engines, "stated", &["a:b"]).unwrap_err().to_string();
    assert!(error.starts_with("GW0211 both ") && error.contains("gangway_b.so"), "{error}");
}

#[test]
fn the_directory_is_named_once_and_first() {
    let folder = folder("named", &[("gangway_stated.so", "good/stated")]);
    let word = folder.as_os_str().as_encoded_bytes();
    let mut twice = engines(&folder);
    assert_eq!(twice.name_directory(Path::new("/"), word), Err("stands twice; keep one".into()));
    let mut late = Engines::new();
    // Whatever there is beside the test.
    let _ = parse(&mut late, "stated", &["a:b"]);
    let error = late.name_directory(Path::new("/"), word).unwrap_err();
    assert!(error.contains("must stand before the first application"), "{error}");
    let error = Engines::new().name_directory(Path::new("/"), b"no/such").unwrap_err();
    assert!(error.contains("\"/no/such\", which is not a directory"), "{error}");
}

#[test]
fn a_native_handler_gets_its_name_and_every_word_that_is_not_the_servers() {
    let file = directory().join(compile("good/native")).display().to_string();
    let config =
        native(&[&format!("{file}:demo:app"), "env=GREETING=n", "threads=2", "any_thing=", "env=B=2"]);
    let config = config.map(|config| (config.spec().clone(), config.queue()));
    // The name is what follows the last colon; the file is what stands before it.
    assert!(config.unwrap_err().to_string().contains("no such file"));
    let config =
        native(&[&format!("{file}:app"), "env=GREETING=n", "threads=2", "any_thing=", "queue=7"]).unwrap();
    assert_eq!((config.spec().threads, config.queue()), (2, 7));
    assert_eq!((config.spec().interface, config.spec().target.as_slice()), ("native", &b"app"[..]));
    assert_eq!(config.spec().name, format!("{file}:app"));
    let options: Vec<_> = config.spec().options.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(options, ["env", "any_thing"]);
    let error = native(&[&file, "fast"]).unwrap_err().to_string();
    assert!(error.contains("options are key=value"), "{error}");
    let error = native(&[&file, "=x"]).unwrap_err().to_string();
    assert!(error.contains("no key before"), "{error}");
}

#[test]
fn a_native_handler_that_states_its_options_has_no_others() {
    let file = directory().join(compile("good/stated")).display().to_string();
    let world = World::new();
    let app = world.load_config(&native(&[&file, "level=3", "threads=1"]).unwrap(), Threads::Own);
    assert_eq!(get("/").answer(&app).text(), "native \nlevel=3\n");
    world.end();
    for (word, part) in [
        ("level=10", "from 1 to 9"),
        ("loud=on", "unknown option \"loud\" in \"loud=on\": known are level, threads, queue"),
        ("levl=1", "did you mean \"level=\"?"),
    ] {
        let error = native(&[&file, word]).unwrap_err().to_string();
        assert!(error.contains(part), "{word}: {error}");
    }
}
