// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real scripts by a real spawner.

use std::{
    fs::File,
    io::{Read, Write},
    sync::{LazyLock, MutexGuard},
};

use super::{request::plain, *};
use crate::{rights::Limits, sys::poll};

/// One spawner for all tests. It is forked off a process with threads, which glibc allows as long as the child uses no
/// lock that another thread holds; a server forks it off while it has one thread.
static SPAWNER: LazyLock<Mutex<Spawner>> =
    LazyLock::new(|| Mutex::new(Spawner::start(&[lookup("nobody").unwrap()], || ()).unwrap()));

fn spawner() -> MutexGuard<'static, Spawner> {
    lock(&SPAWNER)
}

struct Running {
    connection: SpawnerClient,
    output: File,
    errors: File,
    input: Option<File>,
}

fn start(request: &SpawnRequest<'_>) -> Running {
    let connection = spawner().connect().unwrap();
    let (input, stdin) = io::pipe().unwrap();
    let (stdout, output) = io::pipe().unwrap();
    let (stderr, errors) = io::pipe().unwrap();
    connection.run(request.encode().unwrap(), [input.into(), output.into(), errors.into()]).unwrap();
    let [output, errors] = [stdout, stderr].map(|pipe| OwnedFd::from(pipe).into());
    Running { connection, output, errors, input: Some(OwnedFd::from(stdin).into()) }
}

fn wait_readable(connection: &SpawnerClient) {
    let fd = connection.as_raw_fd();
    poll(&mut [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }], None);
}

/// The next reports, one or more.
fn reports(connection: &SpawnerClient) -> Vec<Report> {
    wait_readable(connection);
    connection.reports().unwrap().collect()
}

fn shell(script: &str) -> Vec<Vec<u8>> {
    vec![b"-c".to_vec(), script.as_bytes().to_vec()]
}

impl Running {
    fn output(&mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        text
    }

    fn outcome(&self) -> Result<Exit, Failure> {
        let report = reports(&self.connection).remove(0);
        assert_eq!(report.id, 5);
        report.outcome
    }
}

#[test]
fn a_script_has_its_descriptors_its_directory_and_its_environment_and_nothing_else() {
    // What the spawner's parent has open must not reach the script.
    let _open = File::open("/dev/null").unwrap();
    let arguments = shell(
        "pwd; env | grep -v ^_= | grep -v ^PWD= | sort; n=3; while [ $n -lt 99 ]; do [ ! -e /proc/$$/fd/$n ] || echo $n; n=$((n+1)); done; cat; echo e >&2",
    );
    let mut run = start(&plain("/bin/sh", &arguments));
    run.input.take().unwrap().write_all(b"input").unwrap();
    assert_eq!(run.output(), "/\nA=1\nPATH=/usr/bin:/bin\ninput");
    let mut errors = String::new();
    run.errors.read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "e\n");
    assert_eq!(run.outcome(), Ok(Exit::Status(0)));
}

#[test]
fn signals_and_the_group_are_the_scripts_own() {
    let arguments =
        shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o pgid=,sid= -p $$ | grep -cw $$; umask");
    let mut run = start(&plain("/bin/sh", &arguments));
    drop(run.input.take());
    assert_eq!(run.output(), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n1\n0022\n");
}

#[test]
fn limits_hold() {
    let arguments = shell("ulimit -v; ulimit -t; ulimit -n");
    let limits = Limits { memory: 1 << 30, cpu: 7, files: 33 };
    let mut run = start(&SpawnRequest { limits, ..plain("/bin/sh", &arguments) });
    assert_eq!(run.output(), format!("{}\n7\n33\n", (1 << 30) / 1024));
}

#[test]
fn what_cannot_run_is_told_with_its_cause() {
    for (request, step, errno) in [
        (plain("/no/such/program", &[]), Step::Execute, libc::ENOENT),
        (plain("/etc/passwd", &[]), Step::Execute, libc::EACCES),
        (SpawnRequest { directory: b"/no/such", ..plain("/bin/true", &[]) }, Step::Directory, libc::ENOENT),
    ] {
        let mut run = start(&request);
        assert_eq!(run.output(), "");
        assert_eq!(run.outcome(), Err(Failure { step, errno }));
    }
    let mut run = start(&SpawnRequest { identity: Some(1), ..plain("/bin/true", &[]) });
    assert_eq!(run.output(), "");
    assert_eq!(run.outcome(), Err(Failure { step: Step::UnknownUser, errno: 0 }));
}

#[test]
fn ends_are_told() {
    let arguments = shell("kill -SEGV $$");
    assert_eq!(start(&plain("/bin/sh", &arguments)).outcome(), Ok(Exit::Signal(libc::SIGSEGV)));
    let arguments = shell("exit 3");
    assert_eq!(start(&plain("/bin/sh", &arguments)).outcome(), Ok(Exit::Status(3)));
}

#[test]
fn the_whole_group_ends_by_term_or_by_kill() {
    for (script, signal) in [
        ("echo ready; sleep 60 & wait", libc::SIGTERM),
        ("trap '' TERM; echo ready; sleep 60 & while :; do wait; done", libc::SIGKILL),
    ] {
        let arguments = shell(script);
        let mut run = start(&plain("/bin/sh", &arguments));
        let mut ready = [0; 6];
        run.output.read_exact(&mut ready).unwrap();
        run.connection.kill(5, Duration::from_millis(100)).unwrap();
        // The end of the output means that the sleeping child has gone as well.
        assert_eq!(run.output(), "");
        assert_eq!(run.outcome(), Ok(Exit::Signal(signal)));
        run.connection.kill(5, Duration::from_millis(100)).unwrap();
    }
}

#[test]
fn scripts_end_with_the_process_that_wants_them_unless_they_outlive_it() {
    let arguments = shell("echo ready; sleep 60");
    let mut run = start(&plain("/bin/sh", &arguments));
    let mut ready = [0; 6];
    run.output.read_exact(&mut ready).unwrap();
    let Running { connection, mut output, .. } = run;
    drop(connection);
    assert_eq!(output.read(&mut ready).unwrap(), 0);

    let arguments = shell("echo ready; read line; echo $line");
    let mut run = start(&SpawnRequest { outlives: true, ..plain("/bin/sh", &arguments) });
    run.output.read_exact(&mut ready).unwrap();
    let Running { connection, mut output, input, .. } = run;
    drop(connection);
    input.unwrap().write_all(b"still here\n").unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here\n");
}

#[test]
fn a_large_environment_arrives_whole() {
    let large = format!("LARGE={}", "x".repeat(100_000));
    let environment = format!("{large}\0MORE={}\0", "y".repeat(50_000));
    let arguments = shell("echo ${#LARGE} ${#MORE}");
    let mut run =
        start(&SpawnRequest { environment: environment.as_bytes(), ..plain("/bin/sh", &arguments) });
    assert_eq!(run.output(), "100000 50000\n");
    let environment = format!("TOO={}\0", "x".repeat(200_000));
    let mut run =
        start(&SpawnRequest { environment: environment.as_bytes(), ..plain("/bin/sh", &arguments) });
    assert_eq!(run.output(), "");
    assert_eq!(run.outcome(), Err(Failure { step: Step::Execute, errno: libc::E2BIG }));
}

#[test]
fn more_requests_than_a_socket_holds_are_all_sent() {
    let connection = spawner().connect().unwrap();
    let arguments = shell("cat");
    let environment = vec![b'x'; 60_000];
    let environment = [b"A=", environment.as_slice(), b"\0"].concat();
    let mut outputs = Vec::new();
    for id in 0..40 {
        let input = filled(&[b'0' + id as u8]).unwrap().unwrap();
        let (stdout, output) = io::pipe().unwrap();
        let request = SpawnRequest { id, environment: &environment, ..plain("/bin/sh", &arguments) };
        connection.run(request.encode().unwrap(), [input, output.into(), no_output().unwrap()]).unwrap();
        outputs.push(stdout);
    }
    while !connection.flush().unwrap() {
        std::thread::yield_now();
    }
    for (id, mut output) in outputs.into_iter().enumerate() {
        let mut text = Vec::new();
        output.read_to_end(&mut text).unwrap();
        assert_eq!(text, [b'0' + id as u8]);
    }
    let mut ended = Vec::new();
    while ended.len() < 40 {
        ended.extend(reports(&connection));
    }
    assert!(ended.iter().all(|report| report.outcome == Ok(Exit::Status(0))));
    ended.sort_unstable_by_key(|report| report.id);
    assert!(ended.iter().map(|report| report.id).eq(0..40));
}

/// What is done before a try, and what must come of it.
type UserCase<'a> = (&'a str, &'a dyn Fn(), Option<Step>);

#[test]
fn a_user_gets_only_what_belongs_to_it() {
    if !is_root() {
        return;
    }
    let nobody = lookup("nobody").unwrap();
    let folder = std::env::temp_dir().join(format!("gangway-user-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let script = folder.join("who");
    std::fs::write(&script, "#!/bin/sh\nid -un; id -gn; id -G | wc -w\n").unwrap();
    let chown = |path: &std::path::Path, user, group| std::os::unix::fs::chown(path, user, group).unwrap();
    let chmod = |path: &std::path::Path, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let outcome = || {
        use std::os::unix::ffi::OsStrExt;
        let (directory, file) = (folder.as_os_str().as_bytes(), script.as_os_str().as_bytes());
        let mut run = start(&SpawnRequest {
            identity: Some(0),
            directory,
            script: file,
            program: file,
            ..plain("/bin/false", &[])
        });
        let text = run.output();
        (text, run.outcome())
    };
    let (user, group) = (Some(nobody.user), Some(nobody.group));
    let steps: [UserCase<'_>; 8] = [
        ("not its own", &|| chmod(&script, 0o755), Some(Step::Owner)),
        ("its directory", &|| chown(&folder, user, group), Some(Step::Owner)),
        ("its file", &|| chown(&script, user, group), None),
        ("writable file", &|| chmod(&script, 0o775), Some(Step::ScriptWritable)),
        ("set-user-ID", &|| chmod(&script, 0o4755), Some(Step::SetId)),
        ("not executable", &|| chmod(&script, 0o655), Some(Step::Execute)),
        ("writable directory", &|| chmod(&folder, 0o777), Some(Step::DirectoryWritable)),
        (
            "all in order",
            &|| [(&folder, 0o755), (&script, 0o755)].iter().for_each(|(p, m)| chmod(p, *m)),
            None,
        ),
    ];
    for (name, change, refused) in steps {
        change();
        let (text, outcome) = outcome();
        match (outcome, refused) {
            (Err(failure), Some(step)) => assert_eq!(failure.step, step, "{name}"),
            (Ok(Exit::Status(0)), None) => {
                assert!(text.starts_with("nobody\nnogroup\n"), "{name}: {text}")
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn filled_pipes_end_and_files_are_read_from_their_beginning() {
    let mut text = String::new();
    File::from(filled(b"abc").unwrap().unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "abc");
    assert!(filled(&[0; PIPE_ROOM]).unwrap().is_some());
    assert!(filled(&[0; PIPE_ROOM + 1]).unwrap().is_none());
    let mut file = File::options().read(true).open("/etc/hostname").unwrap();
    let (mut first, mut second) = (String::new(), String::new());
    file.read_to_string(&mut first).unwrap();
    File::from(reopen(file.as_raw_fd()).unwrap()).read_to_string(&mut second).unwrap();
    assert_eq!(first, second);
}
