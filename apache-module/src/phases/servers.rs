// SPDX-License-Identifier: MIT OR Apache-2.0
//! The servers of the configuration, as handlers see them on any thread and without a request.

use gangway::{
    engine::tell_servers,
    exchange::Stop,
    log::Level,
    phases::{Change, Fact, LookUp, Number, RequestFacts, Table, Transaction, possible},
};
use gangway_httpd::server::Server;

use super::wanted;
use crate::{
    phase_conf::PhaseConf,
    raw::{ChildPool, Gangway, servers},
};

/// What a server is.
struct ServerFacts {
    server: Server<'static>,
    place: usize,
}

/// A process begins: its engine may ask for them from now on.
pub(crate) fn begin_servers(child: &ChildPool) {
    if wanted::number().is_some() {
        let facts = |(place, server)| Box::new(ServerFacts { server, place }) as Box<_>;
        tell_servers(servers(child).enumerate().map(facts).collect());
    }
}

impl ServerFacts {
    fn conf(&self) -> Option<&PhaseConf<'static>> {
        self.server.conf::<Gangway>().map(|conf| conf.phases())
    }
}

impl RequestFacts for ServerFacts {
    fn text(&self, fact: Fact, give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        use Fact::{DefnName, ErrorFname, ServerAdmin, ServerHostname, ServerPath, ServerRoot};
        possible(matches!(
            fact,
            DefnName | ErrorFname | ServerAdmin | ServerHostname | ServerPath | ServerRoot
        ))?;
        self.server.fact(fact).into_iter().for_each(give);
        Ok(())
    }

    fn set_text(&self, _: Fact, _: Option<&[u8]>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn number(&self, number: Number) -> Result<i64, Stop> {
        self.server.figure(number).ok_or(Stop::Invalid)
    }

    fn set_number(&self, _: Number, _: i64) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn entries(
        &self,
        table: Table,
        name: Option<&[u8]>,
        give: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Stop> {
        let mut show = |known: &[u8], value: &[u8]| {
            if name.is_none_or(|name| known.eq_ignore_ascii_case(name)) {
                give(known, value);
            }
        };
        let words = match table {
            Table::Settings => self.conf().map(|conf| conf.settings),
            Table::Options => self.conf().map(|conf| conf.options),
            _ => return possible(self.server.show_list(table, &mut show)),
        };
        let words = words.unwrap_or_default().iter();
        // An empty one takes a name away.
        words.filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| show(name, value));
        Ok(())
    }

    fn change(&self, _: Table, _: Change<'_>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn server(&self) -> Result<usize, Stop> {
        Ok(self.place)
    }

    fn look_up(&self, what: LookUp, name: &[u8], give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        possible(self.server.look_up(what, name, give))
    }

    fn log(&self, level: Level, line: &str) {
        self.server.log::<Gangway>(level, line);
    }
}

/// Nothing of it is read or written.
impl Transaction for ServerFacts {
    fn facts(&self) -> &dyn RequestFacts {
        self
    }
}
