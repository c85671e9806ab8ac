// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of an interface with every kind of value.

use super::*;

const fn option(name: &'static str, value: Value) -> OptionDef {
    OptionDef { name, value, repeats: false, default: "none" }
}

fn interface(target: Target) -> Interface {
    Interface {
        name: "test",
        target,
        target_form: "MODULE:CALLABLE or /path/file:CALLABLE",
        is_async: false,
        has_sockets: false,
        has_fields: false,
        forgets_head: false,
        options: vec![
            option("root", Value::Directory),
            option("file", Value::File),
            option("mode", Value::Text),
            option("debug", Value::Switch),
            option("level", Value::Count(1, 9)),
            option("size", Value::Size),
            option("idle", Value::Time),
            OptionDef { repeats: true, ..option("env", Value::Assignment) },
            option("env_file", Value::File),
        ],
    }
}

fn parse_as(target: Target, words: &[&str]) -> Result<ApplicationConf, ConfigError> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let parser = Parser { base: Path::new("/"), timeout: Some(Duration::from_secs(60)) };
    parser.application(&Path::new("/gangway_test.so").into(), &interface(target), &words)
}

fn parse(words: &[&str]) -> Result<ApplicationConf, ConfigError> {
    parse_as(Target::Member("callable"), words)
}

fn options(application: &ApplicationConf) -> Vec<String> {
    let shown = |(key, value): &(String, Vec<u8>)| format!("{key}={}", String::from_utf8_lossy(value));
    application.spec().options.iter().map(shown).collect()
}

#[test]
fn a_target_alone_is_enough() {
    let application = parse(&["blog.app:application"]).unwrap();
    assert_eq!(application.spec().name, "blog.app:application");
    assert_eq!((application.spec().threads, application.queue()), (8, 512));
    assert_eq!(application.timeout(), Some(Duration::from_secs(60)));
    assert_eq!(application.engine(), Path::new("/gangway_test.so"));
    assert!(application.spec().options.is_empty());
}

#[test]
fn a_target_may_be_any_text() {
    for target in ["/no/such/file", "Main", "a:b"] {
        let application = parse_as(Target::Text, &[target, "level=3"]).unwrap();
        assert_eq!(application.spec().target, target.as_bytes());
    }
    assert!(parse_as(Target::Text, &["level=3"]).is_err());
}

#[test]
fn who_says_with_what_environment_loads_before_who_does_not() {
    let [silent, says] = [&["a:b"][..], &["a:b", "env=A=1"]].map(|words| parse(words).unwrap());
    for (it, other, is_first) in
        [(&silent, &silent, true), (&silent, &says, false), (&says, &silent, true), (&says, &says, true)]
    {
        assert_eq!(it.loads_before([other]), is_first);
    }
    assert!(silent.loads_before([]));
    let of_a_file = parse(&["a:b", "env_file=/dev/null"]).unwrap();
    assert!(!silent.loads_before([&of_a_file]) && of_a_file.loads_before([&says]));
}

#[test]
fn options_reach_their_owner() {
    let words = ["a:b", "root=/", "threads=3", "queue=0", "timeout=off", "env=A=1", "env=B=2", "debug=on"];
    let application = parse(&words).unwrap();
    assert_eq!((application.spec().threads, application.queue(), application.timeout()), (3, 0, None));
    assert_eq!(options(&application), ["root=/", "env=A=1", "env=B=2", "debug=on"]);
    let application = parse(&["a:b", "level=7", "size=64k", "idle=30s", "mode=x y", "root=tmp"]).unwrap();
    assert_eq!(options(&application), ["level=7", "size=64k", "idle=30s", "mode=x y", "root=/tmp"]);
    assert_eq!(application.timeout(), Some(Duration::from_secs(60)), "a time of the engine is the engine's");
}

#[test]
fn each_mistake_names_value_and_cure() {
    for (words, parts) in [
        (&[][..], &["GW0103", "needs what to run"][..]),
        (&["blog"], &["GW0103", "\"blog\" names no callable", "MODULE:CALLABLE"]),
        (&["blog:"], &["GW0103", "not complete"]),
        (&["root=/srv"], &["GW0103", "comes first"]),
        (&["/no/file.py:app"], &["GW0103", "/no/file.py", "create it or correct the path"]),
        (&["a:b", "thread=4"], &["GW0101", "unknown option \"thread\"", "did you mean \"threads=\"?"]),
        (&["a:b", "workers=4"], &["GW0101", "known are root, file"]),
        (&["a:b", "threads"], &["GW0101", "threads=VALUE"]),
        (&["a:b", "fast"], &["GW0101", "key=value"]),
        (&["a:b", "threads=0"], &["GW0102", "\"threads=0\"", "1 to 1024"]),
        (&["a:b", "threads=2", "threads=3"], &["GW0101", "stands twice"]),
        (&["a:b", "timeout=1y"], &["GW0102", "30s"]),
        (&["a:b", "root=/no/root"], &["GW0102", "/no/root", "create it"]),
        (&["a:b", "debug=yes"], &["GW0102", "on or off"]),
        (&["a:b", "pass_authorization=yes"], &["GW0102", "on or off"]),
        (&["a:b", "env=A"], &["GW0102", "NAME=VALUE"]),
        (&["a:b", "level=10"], &["GW0102", "1 to 9"]),
        (&["a:b", "size=0"], &["GW0102", "512k"]),
        (&["a:b", "idle=0"], &["GW0102", "use off for none"]),
        (&["a:b", "mode="], &["GW0102", "it is empty"]),
    ] {
        let message = parse(words).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{words:?}: {message}");
        }
    }
}

#[test]
fn an_engine_cannot_take_an_option_of_the_server_module() {
    let clash = Interface { options: vec![option("queue", Value::Text)], ..interface(Target::Text) };
    let parser = Parser { base: Path::new("/"), timeout: None };
    let error = parser.application(&Path::new("/gangway_test.so").into(), &clash, &[b"a"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "GW0210 the engine /gangway_test.so states an option \"queue\", which is the server module's own"
    );
}
