// SPDX-License-Identifier: MIT OR Apache-2.0
//! The applications of a configuration, as they are counted: each once.

use gangway::{
    config::{ApplicationConf, Managed},
    status::{Announced, AppKind, Roll},
};

/// What tells one application from another.
#[derive(PartialEq)]
pub(crate) enum CountKey {
    Application(ApplicationConf),
    Managed(Box<Managed>),
    /// Scripts, by the number of their settings.
    Scripts(usize),
    /// A backend, by the word that names it.
    Backend(Vec<u8>),
}

/// All of them, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Counted(pub(crate) Roll<CountKey>);

impl Counted {
    /// The number of an application that runs in the workers.
    pub(crate) fn add_application(&mut self, config: &ApplicationConf) -> usize {
        let spec = config.spec();
        self.add(
            CountKey::Application(config.clone()),
            AppKind::InProcess,
            &spec.name,
            (spec.threads, config.queue()),
        )
    }

    /// The number of one that has processes of its own.
    pub(crate) fn add_managed(&mut self, managed: &Managed) -> usize {
        let limits = (managed.threads(), managed.queue());
        self.add(CountKey::Managed(Box::new(managed.clone())), AppKind::Managed, managed.name(), limits)
    }

    /// The number of scripts with these settings; `name`: where they stand first.
    pub(crate) fn add_scripts(&mut self, settings: usize, name: &[u8], limits: (u32, usize)) -> usize {
        self.add(CountKey::Scripts(settings), AppKind::Cgi, &String::from_utf8_lossy(name), limits)
    }

    /// The number of a backend.
    pub(crate) fn add_backend(&mut self, word: &[u8]) -> usize {
        self.add(CountKey::Backend(word.to_vec()), AppKind::Upstream, &String::from_utf8_lossy(word), (0, 0))
    }

    fn add(&mut self, key: CountKey, kind: AppKind, name: &str, (places, room): (u32, usize)) -> usize {
        self.0.add(key, Announced { kind, name: name.to_owned(), places, room })
    }
}

/// What `gangway_pass` says, beside the settings of upstreams.
pub(crate) struct Backend {
    /// Where its requests are counted.
    pub(crate) counted: usize,
}
