// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the spawner must know of a script.

use super::Words;
use crate::{config::Cgi, rights::Identity, sys::spawner::SpawnRequest};

/// The users of all directives, each once: the spawner's table.
#[must_use]
pub fn users(settings: &[Cgi]) -> Vec<Identity> {
    let mut users: Vec<Identity> = Vec::new();
    for user in settings.iter().filter_map(Cgi::user) {
        if !users.contains(user) {
            users.push(user.clone());
        }
    }
    users
}

/// The request to run `file`, in its own directory. `users` is what [`users`] gave for all directives.
#[must_use]
pub fn spawn_request<'a>(
    id: u32,
    cgi: &Cgi,
    users: &[Identity],
    file: &'a [u8],
    words: &'a Words,
) -> SpawnRequest<'a> {
    let place = cgi.user().and_then(|user| users.iter().position(|known| known == user));
    let directory = file.iter().rposition(|byte| *byte == b'/').unwrap_or(0).max(1);
    SpawnRequest {
        id,
        identity: place.and_then(|place| u32::try_from(place).ok()),
        outlives: !cgi.abort(),
        limits: cgi.limits(),
        directory: file.get(..directory).unwrap_or_default(),
        script: file,
        program: &words.program,
        arguments: &words.arguments,
        environment: &words.environment,
    }
}
