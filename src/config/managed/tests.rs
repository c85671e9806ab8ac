// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words of applications in processes of their own.

use super::{super::ConfigError, super::Parser, *};
use crate::engine::{Interface, OptionDef, Target, Value};

fn parser() -> Parser<'static> {
    Parser { base: Path::new("/"), timeout: None }
}

fn program(words: &[&str]) -> Result<Managed, ConfigError> {
    parser().program(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
}

fn placed(words: &[&str]) -> Result<Placed, ConfigError> {
    placed_as(false, words)
}

fn placed_as(is_async: bool, words: &[&str]) -> Result<Placed, ConfigError> {
    let option = |name, value| OptionDef { name, value, repeats: false, default: "none" };
    let interface = Interface {
        name: "test",
        target: Target::Text,
        target_form: "NAME",
        is_async,
        has_sockets: false,
        has_fields: false,
        forgets_head: false,
        options: vec![option("root", Value::Directory), option("env", Value::Text)],
    };
    let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
    parser().placed(&Path::new("/lib/gangway_test.so").into(), &interface, &words)
}

fn argv(managed: &Managed) -> Vec<String> {
    let words = managed.launch().command.argv(Path::new("/usr/lib/gangway/gangway-host"));
    words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
}

#[test]
fn a_program_alone_is_enough() {
    let managed = program(&["/bin/sh"]).unwrap();
    assert_eq!((managed.name(), managed.threads(), managed.queue()), ("sh", 1, 512));
    assert_eq!((managed.life(), argv(&managed)), (&Life::default(), vec!["/bin/sh".to_owned()]));
    assert_eq!((managed.launch().umask, managed.launch().directory.as_str()), (0o022, "/"));
}

#[test]
fn arguments_end_where_options_begin() {
    let managed = program(&["bin/sh", "-d", "a.b=1", "x=y", "processes=2", "threads=3"]).unwrap();
    assert_eq!(argv(&managed), ["/bin/sh", "-d", "a.b=1", "x=y"]);
    assert_eq!((managed.life().least, managed.life().most, managed.threads()), (2, 2, 3));
    let error = program(&["/bin/sh", "-x", "proceses=2"]).unwrap_err().to_string();
    assert!(error.contains("did you mean \"processes=\"?"), "{error}");
    let error = program(&["/bin/sh", "processes=2", "-x"]).unwrap_err().to_string();
    assert!(error.contains("key=value"), "{error}");
}

#[test]
fn each_option_does_its_part() {
    let minute = Duration::from_secs(60);
    let managed = program(&[
        "/bin/sh",
        "name=wiki",
        "processes=0-4",
        "idle=1m",
        "umask=007",
        "chdir=tmp",
        "memory=64m",
        "cpu=30s",
        "files=64",
        "nice=5",
        "max_requests=1000",
        "max_rss=300m",
        "lifetime=1h",
        "warmup=/up?a=b",
        "boot_timeout=5s",
        "drain_timeout=off",
        "env=A=1",
        "env=A=2",
        "queue=0",
        "timeout=10s",
        "pass_authorization=on",
    ])
    .unwrap();
    let (launch, life) = (managed.launch(), managed.life());
    assert_eq!((managed.name(), life.least, life.most, life.idle), ("wiki", 0, 4, Some(minute)));
    assert_eq!((launch.umask, launch.directory.as_str(), launch.nice), (0o007, "/tmp", 5));
    assert_eq!(launch.limits, Limits { memory: 64 << 20, cpu: 30, files: 64 });
    assert_eq!((life.max_requests, life.lifetime), (Some(1000), Some(minute * 60)));
    assert_eq!((life.max_rss, managed.is_named()), (Some(300 << 20), true));
    assert_eq!((life.boot_timeout, life.drain_timeout), (Some(minute / 12), None));
    assert_eq!(launch.environment, [("A".to_owned(), "2".to_owned())]);
    assert_eq!((managed.queue(), managed.timeout()), (0, Some(Duration::from_secs(10))));
    assert!(managed.pass_authorization());
    assert_eq!(managed.warmup(), Some("/up?a=b"));
}

#[test]
fn processes_and_user_take_an_application_out_of_the_workers() {
    assert!(matches!(placed(&["app", "root=/"]), Ok(Placed::InProcess(_))));
    let Ok(Placed::Managed(managed)) = placed(&["app", "root=/", "processes=2", "threads=4", "env=x"]) else {
        panic!("not managed")
    };
    assert_eq!((managed.name(), managed.threads()), ("app", 4));
    assert_eq!(
        argv(&managed),
        "/usr/lib/gangway/gangway-host --managed --engines /lib test app root=/ env=x threads=4 timeout=off pass_authorization=on"
            .split(' ')
            .collect::<Vec<_>>()
    );
    let error = placed(&["app", "memory=1g"]).unwrap_err().to_string();
    assert!(error.contains("add processes=N or user=NAME"), "{error}");
}

#[test]
fn each_mistake_names_value_and_cure() {
    for (words, parts) in [
        (&[][..], &["GW0103", "/path/program [ARGUMENT ...]"][..]),
        (&["processes=2"], &["GW0103", "comes first"]),
        (&["/no/program"], &["GW0103", "/no/program", "create it or correct the path"]),
        (&["/bin/sh", "processes=0"], &["GW0102", "0-4"]),
        (&["/bin/sh", "processes=4-1"], &["GW0102", "0-4"]),
        (&["/bin/sh", "processes=0-0"], &["GW0102", "0-4"]),
        (&["/bin/sh", "processes=501"], &["GW0102", "500"]),
        (&["/bin/sh", "processes=2", "processes=3"], &["GW0101", "stands twice"]),
        (&["/bin/sh", "processes=2", "idle=1m"], &["GW0101", "processes=0-4"]),
        (&["/bin/sh", "umask=9"], &["GW0102", "octal"]),
        (&["/bin/sh", "umask=+22"], &["GW0102", "octal"]),
        (&["/bin/sh", "umask=1777"], &["GW0102", "octal"]),
        (&["/bin/sh", "nice=20"], &["GW0102", "0 to 19"]),
        (&["/bin/sh", "chdir=/no/such"], &["GW0102", "/no/such"]),
        (&["/bin/sh", "group=nogroup"], &["GW0102", "add user=NAME"]),
        (&["/bin/sh", "name=a/b"], &["GW0102", "letters"]),
        (&["/bin/sh", "name="], &["GW0102", "it is empty"]),
        (&["/bin/sh", "pass_env=A=B"], &["GW0102", "name of a variable"]),
        (&["/bin/sh", "user=no-such-user"], &["GW0102", "\"user=no-such-user\""]),
        (&["/bin/sh", "lifetime=1y"], &["GW0102", "30s"]),
        (&["/bin/sh", "warmup=health"], &["GW0102", "such as /health"]),
        (&["/bin/sh", "warmup=/a b"], &["GW0102", "such as /health"]),
        (&["/bin/sh", "reload=true"], &["GW0102", "on, off or the path"]),
        (&["/bin/sh", "reload=/tmp"], &["GW0102", "is a directory"]),
        (&["/bin/sh", "cgroup=/tmp"], &["GW0102", "below the mount of cgroup2"]),
        (&["/bin/sh", "cgroup=/no/such"], &["GW0102", "/no/such"]),
        (&["/bin/sh", "max_requests=0"], &["GW0102", "whole number"]),
        (&["/bin/sh", "max_rss=big"], &["GW0102", "such as 512k"]),
    ] {
        let message = program(words).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{words:?}: {message}");
        }
    }
}

#[test]
fn reload_is_a_switch_or_a_file_that_need_not_be_there() {
    let file = |text: &str| Reload::File(PathBuf::from(text));
    for (word, reload) in
        [("reload=off", Reload::Off), ("reload=on", Reload::On), ("reload=no/such", file("/no/such"))]
    {
        assert_eq!(program(&["/bin/sh", word]).unwrap().reload(), &reload);
    }
    let command = |words: &[&str]| program(words).unwrap().launch().command.files();
    assert_eq!(command(&["/bin/sh", "-x", "/a/b.py", "c"]), ["/bin/sh", "/a/b.py"].map(PathBuf::from));
    let Ok(Placed::Managed(managed)) = placed(&["app", "processes=1", "reload=on"]) else {
        panic!("not managed")
    };
    assert_eq!(managed.launch().environment, [("GANGWAY_REPORT_FILES".to_owned(), "1".to_owned())]);
    let Ok(Placed::Managed(managed)) = placed(&["app", "processes=1", "reload=/x/y"]) else {
        panic!("not managed")
    };
    assert_eq!(managed.reload(), &file("/x/y"));
    // A reload of the server looks at the files as well.
    assert_eq!(managed.launch().environment, [("GANGWAY_REPORT_FILES".to_owned(), "1".to_owned())]);
}

#[test]
fn users_have_one_group() {
    if !crate::sys::spawner::is_root() {
        return;
    }
    let managed = program(&["/bin/sh", "user=nobody", "group=users"]).unwrap();
    let (apart, together) =
        (managed.launch().user.clone().unwrap(), program(&["/bin/sh", "user=nobody:users"]));
    assert_eq!(Some(apart), together.unwrap().launch().user);
    let error = program(&["/bin/sh", "user=nobody:users", "group=nogroup"]).unwrap_err().to_string();
    assert!(error.contains("keep one"), "{error}");
    assert!(program(&["/bin/sh", "user=root"]).unwrap_err().to_string().contains("do not run as root"));
}

#[test]
fn the_time_for_requests_of_what_is_replaced_is_said_in_either_place() {
    let Ok(Placed::InProcess(application)) = placed_as(true, &["app", "drain_timeout=2s", "in_flight=7"])
    else {
        panic!("in the server's process");
    };
    assert_eq!((application.drain_timeout(), application.in_flight()), (Some(Duration::from_secs(2)), 7));
    let Ok(Placed::InProcess(application)) = placed_as(true, &["app"]) else { panic!("as it comes") };
    assert_eq!(application.drain_timeout(), Some(Duration::from_secs(60)));
    for is_async in [true, false] {
        let Ok(Placed::Managed(managed)) = placed_as(is_async, &["app", "drain_timeout=off", "processes=1"])
        else {
            panic!("in its own");
        };
        assert_eq!(managed.life().drain_timeout, None);
    }
    let error = placed(&["app", "drain_timeout=2s"]).unwrap_err().to_string();
    assert!(error.contains("for an application in processes of its own"), "{error}");
    let error = placed_as(true, &["app", "drain_timeout=2s", "drain_timeout=3s"]).unwrap_err().to_string();
    assert!(error.contains("stands twice"), "{error}");
}
