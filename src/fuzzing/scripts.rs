// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for CGI programs: requests to the spawner, which file is the script, its answer, lines of
//! standard error.

use std::time::Instant;

use super::{PART, parts};
use crate::{
    config::Cgi,
    exchange::Piece,
    rights::Limits,
    run::{BriefRuns, Lines, MappedPath, Relay, RelayStep, Resolved, ScriptEnd, resolve},
    sys::{
        files::Kind,
        spawner::{Exit, Report, SpawnRequest, SpawnerCommand, encode_kill},
    },
};

/// A message as the spawner gets it from a worker that nobody trusts; and a request made of parts, which must come back.
///
/// # Panics
/// When a request changes on its way, or a message is understood in two ways.
pub fn spawn_request(data: &[u8]) {
    if let Some(SpawnerCommand::Run(run)) = SpawnerCommand::decode(data) {
        let arguments: Vec<_> = run.arguments.iter().map(|word| word.to_bytes().to_vec()).collect();
        let environment: Vec<u8> =
            run.environment.iter().flat_map(|pair| pair.to_bytes_with_nul()).copied().collect();
        let again = SpawnRequest {
            id: run.id,
            identity: run.identity,
            outlives: run.outlives,
            limits: run.limits,
            directory: run.directory.to_bytes(),
            script: run.script.to_bytes(),
            program: run.program.to_bytes(),
            arguments: &arguments,
            environment: &environment,
        };
        let message = again.encode().unwrap_or_default();
        assert!(SpawnerCommand::decode(&message) == Some(SpawnerCommand::Run(run)));
    }
    if let Some(report) = Report::decode(data) {
        assert_eq!(Report::decode(&report.encode()), Some(report));
    }
    let mut words = parts(data);
    let [directory, script, program] = std::array::from_fn(|_| words.next().unwrap_or_default());
    let arguments: Vec<_> = words.map(<[u8]>::to_vec).collect();
    let request = SpawnRequest {
        id: 1,
        identity: None,
        outlives: false,
        limits: Limits::default(),
        directory,
        script,
        program,
        arguments: &arguments,
        environment: b"A=1\0",
    };
    let Ok(message) = request.encode() else {
        assert!(data.contains(&0));
        return;
    };
    let Some(SpawnerCommand::Run(run)) = SpawnerCommand::decode(&message) else {
        panic!("a request was not understood")
    };
    assert!(run.directory.to_bytes() == directory && run.script.to_bytes() == script);
    assert!(run.arguments.iter().map(|word| word.to_bytes()).eq(arguments.iter().map(Vec::as_slice)));
    assert_eq!(SpawnerCommand::decode(&encode_kill(3, 4)), Some(SpawnerCommand::Kill { id: 3, grace: 4 }));
}

/// A root, the rest of a path, and the files that there are.
///
/// # Panics
/// When something runs that is no file, when the path is not whole, or when a dangerous path is looked at.
pub fn cgi_path(data: &[u8]) {
    let mut all = parts(data);
    let (root, below) = (all.next().unwrap_or_default(), all.next().unwrap_or_default());
    let files: Vec<&[u8]> = all.collect();
    let path = [root, below].concat();
    let index = ["index.cgi".to_owned()];
    let place = MappedPath { path: &path, root: root.len(), index: &index };
    let found = resolve(&place, |file| {
        let rest = file.get(root.len()..).unwrap_or_default();
        assert!(!rest.contains(&0) && !rest.split(|byte| *byte == b'/').any(|part| part == b".."));
        if files.contains(&file) {
            Kind::File { executable: true }
        } else if files.iter().any(|known| known.starts_with(file)) {
            Kind::Directory
        } else {
            Kind::Missing
        }
    });
    if let Resolved::Script { file, info, index, .. } = found {
        assert!(files.contains(&file.as_slice()));
        let info = path.get(path.len() - info..).unwrap_or_default();
        assert!(info.is_empty() || info.starts_with(b"/"));
        assert!(!index.is_empty() || [file.as_slice(), info].concat() == path);
    }
}

/// Standard error in parts.
///
/// # Panics
/// When lines depend on how the bytes came, or bytes are lost.
pub fn stderr(data: &[u8]) {
    let run = |chunks: &[&[u8]]| {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        chunks.iter().for_each(|chunk| lines.take(chunk, |line| found.push(line.to_vec())));
        lines.finish(|line| found.push(line.to_vec()));
        found
    };
    let whole = run(&[data]);
    assert_eq!(whole, run(&data.chunks(1).collect::<Vec<_>>()));
    assert_eq!(whole, run(&data.split_inclusive(|byte| *byte == PART).collect::<Vec<_>>()));
    assert!(whole.iter().all(|line| !line.is_empty() && !line.contains(&b'\n')));
    let kept = |byte: &u8| *byte != b'\n' && *byte != b'\r';
    assert!(whole.concat().into_iter().filter(|byte| kept(byte)).eq(data.iter().copied().filter(kept)));
}

/// A script's output in parts: what its client gets.
///
/// # Panics
/// When the answer depends on how the bytes came, is none or more than one, or has a body that the script did not write.
pub fn relay(data: &[u8]) {
    let whole = answer(&mut std::iter::once(data));
    assert_eq!(whole, answer(&mut data.chunks(1)), "byte by byte");
    assert_eq!(whole, answer(&mut data.split_inclusive(|byte| *byte == PART)), "in parts");
    let (_, body, _) = whole;
    assert!(data.windows(body.len().max(1)).any(|window| window == body) || body.is_empty());
}

/// Heads in short, the body, and how it ended.
fn answer(chunks: &mut dyn Iterator<Item = &[u8]>) -> (Vec<(u16, usize)>, Vec<u8>, String) {
    let (runs, now) = (BriefRuns::default(), Instant::now());
    let mut relay = Relay::new(&Cgi::default(), &runs, b"/srv/a.cgi", String::new(), false, now);
    let (mut heads, mut body, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let mut act = |relay: &mut Relay<'_>| {
        relay.handle_time(now);
        loop {
            match relay.poll() {
                RelayStep::WaitUntil(_) => return,
                RelayStep::Log(..) | RelayStep::Kill => {}
                RelayStep::Interim(status, fields) => heads.push((status, fields.len())),
                RelayStep::Send(delivery) | RelayStep::Finish(delivery) => {
                    heads.extend(delivery.head.iter().map(|head| (head.status, head.fields.len())));
                    for piece in &delivery.pieces {
                        let Piece::Copied(bytes) = piece else { panic!("output is copied") };
                        body.extend_from_slice(bytes);
                    }
                    ends.extend(delivery.end.map(|end| format!("{end:?}")));
                }
                RelayStep::Answer(status) => ends.push(status.to_string()),
                RelayStep::Redirect(target) => ends.push(format!("to {}", target.escape_ascii())),
            }
        }
    };
    for chunk in chunks {
        relay.handle_output(chunk, now);
        act(&mut relay);
    }
    relay.handle_end(ScriptEnd::Exited(Exit::Status(0)), now);
    relay.handle_output_end(now);
    act(&mut relay);
    assert_eq!(ends.len(), 1, "{ends:?}");
    (heads, body, ends.swap_remove(0))
}
