// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says of programs.

use gangway::config::Cgi;
use once_cell::unsync::OnceCell;

use crate::raw::ConfText;

/// How a location runs programs.
pub(crate) struct Programs {
    pub(crate) settings: Cgi,
    /// Equal ones share their places: this is the number.
    pub(crate) number: usize,
    /// Where its requests are counted.
    pub(crate) counted: usize,
    /// Where its scripts are, when `alias` makes the whole path of captures. Set when the location has inherited its alias.
    pub(crate) root: OnceCell<Option<ConfText>>,
}

/// The settings of scripts, each once.
#[derive(Default)]
pub(crate) struct AllSettings(pub(super) Vec<Cgi>);

impl AllSettings {
    /// Settings of a location.
    pub(crate) fn add(&mut self, settings: Cgi) -> Programs {
        let Self(all) = self;
        let number = all.iter().position(|known| *known == settings).unwrap_or_else(|| {
            all.push(settings.clone());
            all.len() - 1
        });
        Programs { settings, number, counted: 0, root: OnceCell::new() }
    }
}
