// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says of all handlers of phases together: one application of the engine stands for them.

use gangway::{
    config::{ApplicationConf, Engines, Parser},
    phases::{ApplicationWords, RequestPhase},
};

use crate::wsgi::Mounted;

/// Of the http block.
#[derive(Default)]
pub(crate) struct WantedHandlers {
    /// Words of the application.
    words: ApplicationWords,
    /// The application as it is known so far.
    config: Option<ApplicationConf>,
    /// Phases that have handlers somewhere.
    phases: Vec<RequestPhase>,
    /// The application, when everything has been read.
    pub(super) mounted: Option<Mounted>,
}

impl WantedHandlers {
    /// Adds what one directive says.
    ///
    /// # Errors
    /// What is wrong, with the cure.
    pub(crate) fn add(
        &mut self,
        parser: &Parser<'_>,
        engines: &mut Engines,
        phase: RequestPhase,
        words: &[Vec<u8>],
    ) -> Result<(), String> {
        if !self.phases.contains(&phase) {
            self.phases.push(phase);
        }
        if !self.words.add(words)? && self.config.is_some() {
            return Ok(());
        }
        let mut all: Vec<&[u8]> = vec![b"mod_python"];
        all.extend(self.words.iter());
        let config = parser.interface(engines, "handlers", &all).map_err(|error| error.to_string())?;
        self.config = Some(config);
        Ok(())
    }

    /// The application, if there are handlers.
    pub(crate) fn config(&self) -> Option<&ApplicationConf> {
        self.config.as_ref()
    }

    /// Everything has been read: this is where the application is counted.
    pub(crate) fn settle(&mut self, counted: usize) {
        self.mounted = self.config.clone().map(|config| Mounted::new(config, Vec::new(), counted));
    }

    /// Whether one of these phases has handlers somewhere, or one that comes before them.
    pub(super) fn has_before(&self, phases: &[RequestPhase]) -> bool {
        let last = phases.iter().copied().map(order).max().unwrap_or_default();
        self.phases.iter().any(|phase| order(*phase) <= last)
    }

    /// Whether there are handlers that can add a filter to a response, or filters.
    pub(crate) fn has_filters(&self) -> bool {
        self.phases.iter().any(|phase| phase.has_bodies() || *phase == RequestPhase::OutputFilter)
    }
}

/// The place of a phase in the life of a request.
fn order(phase: RequestPhase) -> usize {
    use RequestPhase::{Init, PostReadRequest, Trans};
    match phase {
        PostReadRequest => 0,
        Trans => 1,
        Init => 2,
        other => other as usize,
    }
}
