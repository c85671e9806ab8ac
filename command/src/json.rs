// SPDX-License-Identifier: MIT OR Apache-2.0
//! The status for programs. Keys are the server's own: more of them may come, those that are there stay.

use gangway::{
    json::string,
    supervise::control::{Field, Record},
};

use crate::servers::Server;

/// `{"servers": [{"socket": ..., "applications": [{..., "processes": [{...}]}]}]}`
pub(crate) fn of_servers(answers: &[(Server, Vec<Record>)]) -> String {
    let servers: Vec<String> = answers.iter().map(|(server, records)| of_server(server, records)).collect();
    format!("{{\"servers\": [{}]}}\n", servers.join(", "))
}

fn of_server(server: &Server, records: &[Record]) -> String {
    let mut members = vec![member("socket", &string(&server.socket.to_string_lossy()))];
    let mut applications: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for record in records {
        match record.kind.as_str() {
            "server" => members.extend(of_fields(record)),
            "application" => applications.push((of_fields(record), Vec::new())),
            "process" => {
                if let Some((_, processes)) = applications.last_mut() {
                    processes.push(object(&of_fields(record)));
                }
            }
            // Of a later version.
            _ => {}
        }
    }
    let applications: Vec<String> = applications
        .into_iter()
        .map(|(mut members, processes)| {
            members.push(member("processes", &format!("[{}]", processes.join(", "))));
            object(&members)
        })
        .collect();
    members.push(member("applications", &format!("[{}]", applications.join(", "))));
    object(&members)
}

fn of_fields(record: &Record) -> Vec<String> {
    let value = |field: &Field| match field {
        Field::Number(number) => number.to_string(),
        Field::Text(text) => string(text),
    };
    record.fields.iter().map(|(key, field)| member(key, &value(field))).collect()
}

fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(", "))
}

fn member(key: &str, value: &str) -> String {
    format!("{}: {value}", string(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_hold_their_processes() {
        let records = vec![
            Record::new("server").number("supervisor", 5),
            Record::new("application").text("name", "a\"b\\\u{1}\u{fc}").number("generation", 2),
            Record::new("process").number("pid", 7),
            Record::new("process").number("pid", 8),
            Record::new("novelty").number("x", 1),
            Record::new("application").text("name", "c"),
        ];
        let text = of_servers(&[(Server { socket: "/run/x".into() }, records)]);
        assert_eq!(
            text,
            "{\"servers\": [{\"socket\": \"/run/x\", \"supervisor\": 5, \"applications\": [\
             {\"name\": \"a\\\"b\\\\\\u0001\u{fc}\", \"generation\": 2, \"processes\": [{\"pid\": 7}, {\"pid\": 8}]}, \
             {\"name\": \"c\", \"processes\": []}]}]}\n"
        );
    }
}
