// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a section, as httpd keeps, merges and frees it: plain data in a pool.

use gangway::{cgi, phases::RequestPhase};
use gangway_httpd::{
    module::Module,
    param::{self, Param},
    pool::Pool,
    request::Request,
};

use super::kind::HandlerKind;
use crate::{phase_conf::PhaseConf, section::Section};

/// What a section says about who serves it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Choice {
    /// Nothing: as the enclosing section.
    #[default]
    Inherit,
    /// `Off` of a directive for handlers.
    Off,
    /// A handler of this kind, by the settings with this number.
    Handler(&'static HandlerKind, usize),
}

/// The configuration of one section, or of the merged sections of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DirConf<'p> {
    choice: Choice,
    section: Section,
    path: &'p [u8],
    params: &'p [Param<'p>],
    phases: PhaseConf<'p>,
}

impl<'p> DirConf<'p> {
    /// Whether a directive of the section itself has said who serves it.
    pub(crate) fn is_chosen(&self) -> bool {
        !matches!(self.choice, Choice::Inherit)
    }

    /// Who serves it, and the number of the settings.
    pub(crate) fn handler(&self) -> Option<(&'static HandlerKind, usize)> {
        match self.choice {
            Choice::Handler(kind, number) => Some((kind, number)),
            Choice::Inherit | Choice::Off => None,
        }
    }

    pub(crate) fn section(&self) -> Section {
        self.section
    }

    /// The path of the section.
    pub(crate) fn path(&self) -> &'p [u8] {
        self.path
    }

    pub(crate) fn set(&mut self, choice: Choice, section: Section, path: &'p [u8]) {
        (self.choice, self.section, self.path) = (choice, section, path);
    }

    /// The handlers of phases.
    pub(crate) fn phases(&self) -> &PhaseConf<'p> {
        &self.phases
    }

    /// The same, while the configuration is read.
    pub(crate) fn phases_mut(&mut self) -> &mut PhaseConf<'p> {
        &mut self.phases
    }

    /// Adds a variable, in the place of an earlier one of its name.
    pub(crate) fn add_param(&mut self, param: Param<'p>, pool: Pool<'p>) {
        self.params = param::with(self.params, &[param], pool);
    }

    pub(super) fn merged(outer: &Self, inner: &Self, pool: Pool<'p>) -> Self {
        let of_content = matches!(outer.choice, Choice::Handler(kind, _) if kind.is_of_content);
        let is_ended = of_content && inner.phases.ends(RequestPhase::Content);
        let chosen = if inner.is_chosen() || is_ended { inner } else { outer };
        Self {
            params: param::with(outer.params, inner.params, pool),
            phases: PhaseConf::merged(&outer.phases, &inner.phases, pool),
            ..*chosen
        }
    }

    /// The variables for a request that this configuration applies to.
    ///
    /// # Errors
    /// The name of a variable whose expression failed, and why.
    pub(crate) fn params<M: Module>(
        &self,
        request: Request<'p, M>,
    ) -> Result<Vec<cgi::Param<'p>>, (&'p [u8], &'p [u8])> {
        let param = |entry: &Param<'p>| {
            let (name, value) = (entry.name.to_bytes(), entry.value.to_bytes());
            let value = match entry.expression {
                None => value,
                Some(expression) => request.evaluate(expression).map_err(|why| (name, why))?,
            };
            Ok(cgi::Param { name, value, if_not_empty: entry.if_not_empty })
        };
        self.params.iter().map(param).collect()
    }
}
