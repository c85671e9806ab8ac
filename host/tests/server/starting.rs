// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the listening socket comes from, and what is wrong on the command line.

use std::{
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    process::Stdio,
};

use crate::world::{Host, Request, await_that, engine, program};

#[test]
fn the_socket_may_be_descriptor_0() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let mut command = program();
    command.arg("native").arg(engine()).arg("env=GREETING=Zero");
    let copy: OwnedFd = listener.try_clone().unwrap().into();
    let mut host = Host::launch(folder, command, |command| {
        command.stdin(Stdio::from(copy));
    });
    assert_eq!(host.get("/hello").body(), "Zero");
    let zero = std::fs::read_link(format!("/proc/{}/fd/0", host.pid())).unwrap();
    assert_eq!(zero.to_str(), Some("/dev/null"), "programs of the application do not inherit the socket");
    host.signal("TERM");
    assert!(host.end().success());
    assert!(host.socket().exists(), "it is somebody else's");
    // The one who holds the socket can use it as before: connections wait there.
    let flags =
        std::fs::read_to_string(format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&listener)))
            .unwrap();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
    assert_eq!(u32::from_str_radix(&flags, 8).unwrap() & 0o4000, 0, "{flags}: it waits as before");
}

#[test]
fn systemd_may_pass_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(crate::world::PATIENCE)).unwrap();
    let mut command = std::process::Command::new("sh");
    // As sd_listen_fds(3) has it: descriptor 3, and the number of the process itself.
    command.arg("-c").arg("exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"").arg("sh");
    command.arg(env!("CARGO_BIN_EXE_gangway-host")).arg("native").arg(engine());
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let copy: OwnedFd = listener.try_clone().unwrap().into();
    let mut host = Host::launch(folder, command, |command| {
        command.stdin(Stdio::from(copy));
    });
    let mut text = [0; 64];
    let mut told = || {
        let count = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(host.get("/hello").status(), 200);
    host.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    assert!(host.end().success());
}

#[test]
fn addresses_of_web_servers_are_looked_at() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["--listen", &format!("127.0.0.1:{port}")]).arg("native").arg(engine());
    command
        .env("FCGI_WEB_SERVER_ADDRS", "127.0.0.2")
        .stderr(std::fs::File::create(folder.path().join("log")).unwrap());
    let mut child = command.spawn().unwrap();
    let mut stream = await_that("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    let mut buffer = [0];
    assert_eq!(std::io::Read::read(&mut stream, &mut buffer).unwrap(), 0, "its address is not among them");
    await_that("the log says so", || {
        std::fs::read_to_string(folder.path().join("log"))
            .unwrap()
            .contains("FCGI_WEB_SERVER_ADDRS")
            .then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn mistakes_have_their_cures() {
    let native = engine().to_str().unwrap().to_owned();
    for (words, cure, code) in [
        (vec![], "usage: gangway-host", 2),
        (vec!["native", &native, "threads=0"], "GW0102", 2),
        (vec!["native", &native, "queue=1", "queue=2"], "GW0101", 2),
        (vec!["native", &native], "there is no socket to listen on: use --listen unix:", 1),
        (vec!["--listen", "unix:/no/such/folder/x", "native", &native], "create it", 1),
    ] {
        let output = program().args(&words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains(cure) && output.status.code() == Some(code),
            "{words:?}: {text} {:?}",
            output.status
        );
    }
    let output = program().arg("--help").output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"usage: gangway-host"));
}

#[test]
fn an_application_that_cannot_be_loaded_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let mut command = program();
    command.arg("native").arg(engine()).arg("env=FAIL=on purpose");
    let output = command.stdin(Stdio::from(OwnedFd::from(listener))).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("GW0206") && text.contains("on purpose") && output.status.code() == Some(1),
        "{text}"
    );
}

#[test]
fn a_request_of_a_tcp_connection_is_answered() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = program();
    command
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .arg("native")
        .arg(engine())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stream = await_that("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    std::io::Write::write_all(&mut stream, &Request::new("/hello").closing().bytes()).unwrap();
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut all).unwrap();
    assert!(all.windows(5).any(|part| part == b"Hello") || !all.is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
}
