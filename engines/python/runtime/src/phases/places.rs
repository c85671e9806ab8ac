// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the configuration says at a place, as the package takes it: made once for many requests.

use std::{collections::HashMap, mem::offset_of, sync::Arc};

use gangway_abi::{
    bytes::{borrow, fields},
    ffi::{gw_field, gw_phase},
};
use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

use crate::{
    gil::Guarded,
    text::{file_name, native},
};

/// More than the places of a large configuration. Whoever has more of them begins anew then.
const MOST: usize = 4096;

/// The places that are known.
#[derive(Debug, Default)]
pub(super) struct Places(Guarded<KnownPlaces>);

#[derive(Debug, Default)]
struct KnownPlaces {
    /// The last one of a phase, which most likely is the next one: by the number of the phase.
    last: Vec<Option<Arc<Place>>>,
    all: HashMap<u64, Vec<Arc<Place>>>,
}

/// More than there are.
const PHASES: usize = 32;

/// The handlers of a phase at a place of the configuration, and what they are told.
#[derive(Debug)]
pub(super) struct Place {
    said: Said,
    /// The package's own object for it, from which all that is below is read.
    pub(super) object: Py<PyAny>,
    /// The word of the first handler.
    pub(super) word: Py<PyAny>,
    /// Whether the next handler runs after OK, and after DECLINED.
    pub(super) goes_on: (bool, bool),
    /// Whether nobody asks after a request when these have run.
    pub(super) is_last: bool,
    /// Whether there is one handler, which gets the request and nothing else.
    is_single: bool,
    /// Where that is, once the package has found that it stays there: a module, and a name in it.
    steady: Guarded<Option<Steady>>,
}

/// Where a handler is.
#[derive(Debug)]
pub(super) struct Steady {
    module: Py<PyAny>,
    name: Py<PyAny>,
}

/// A copy of all that a call says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    phase: u32,
    counts: [usize; 2],
    parts: Vec<Vec<u8>>,
}

/// What a call says: borrowed for it.
struct PhaseWords<'p> {
    phase: u32,
    interpreter: &'p [u8],
    filter: &'p [u8],
    suffix: &'p [u8],
    /// Handlers, settings, options.
    fields: [&'p [gw_field]; 3],
}

impl<'p> PhaseWords<'p> {
    /// # Safety
    /// What `phase` points to is borrowed for as long as `'p`.
    unsafe fn of(phase: &'p gw_phase) -> Self {
        // A host before 1.6 has a shorter struct, which ends before the first of these members, one before 1.14 before the second.
        let has_filter = phase.struct_size >= offset_of!(gw_phase, suffix);
        let has_suffix = phase.struct_size >= size_of::<gw_phase>();
        // SAFETY: the caller promises that all of the phase is borrowed; the member is there.
        unsafe {
            Self {
                phase: phase.phase,
                interpreter: borrow(phase.interpreter),
                filter: if has_filter { borrow(phase.filter) } else { b"" },
                suffix: if has_suffix { borrow(phase.suffix) } else { b"" },
                fields: [
                    fields(phase.handlers, phase.handler_count),
                    fields(phase.settings, phase.setting_count),
                    fields(phase.options, phase.option_count),
                ],
            }
        }
    }

    fn counts(&self) -> [usize; 2] {
        let [handlers, settings, _] = self.fields;
        [handlers.len(), settings.len()]
    }

    fn pairs(&self, which: usize) -> impl Iterator<Item = (&'p [u8], &'p [u8])> {
        let fields = self.fields.get(which).copied().unwrap_or_default();
        // SAFETY: of() was promised that names and values are borrowed for 'p.
        fields.iter().map(|field| unsafe { (borrow(field.name), borrow(field.value)) })
    }

    /// Gives all of its words in order, as long as they are wanted. Answers whether all were.
    fn each(&self, mut wants: impl FnMut(&'p [u8]) -> bool) -> bool {
        // Plain loops: this is done for each request.
        if !wants(self.interpreter) || !wants(self.filter) || !wants(self.suffix) {
            return false;
        }
        for which in 0..self.fields.len() {
            for (name, value) in self.pairs(which) {
                if !wants(name) || !wants(value) {
                    return false;
                }
            }
        }
        true
    }

    /// For the table: what is equal has the same one.
    fn mix(&self) -> u64 {
        // Nobody who could choose such words wins anything by equal ones.
        let mut mixed = u64::from(self.phase);
        self.each(|part| {
            let mut add =
                |word: u64| mixed = (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
            let (words, rest) = part.as_chunks::<8>();
            words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
            // The end of a long one, some of whose bytes count twice.
            let rest = match (part.last_chunk::<8>(), rest) {
                (Some(end), _) => u64::from_le_bytes(*end),
                (None, rest) => rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            };
            add(rest ^ part.len() as u64);
            true
        });
        mixed
    }

    fn is(&self, said: &Said) -> bool {
        let mut known = said.parts.iter();
        said.phase == self.phase
            && said.counts == self.counts()
            && self.each(|part| known.next().is_some_and(|known| known == part))
            && known.next().is_none()
    }
}

impl Places {
    /// The place of a call.
    ///
    /// # Safety
    /// What `phase` points to is borrowed for the call.
    pub(super) unsafe fn find(&self, class: &Bound<'_, PyAny>, phase: &gw_phase) -> PyResult<Arc<Place>> {
        let py = class.py();
        // SAFETY: all that the phase points to is borrowed for this call, as the caller promises.
        let call = unsafe { PhaseWords::of(phase) };
        let slot = call.phase as usize % PHASES;
        let last = self
            .0
            .get(py)?
            .last
            .get(slot)
            .and_then(Option::as_ref)
            .filter(|last| call.is(&last.said))
            .cloned();
        if let Some(last) = last {
            return Ok(last);
        }
        let mixed = call.mix();
        let is_it = |one: &&Arc<Place>| call.is(&one.said);
        let known = self.0.get(py)?.all.get(&mixed).and_then(|all| all.iter().find(is_it).cloned());
        let (found, is_new) = match known {
            Some(known) => (known, false),
            None => (Arc::new(Place::new(class, &call)?), true),
        };
        let mut places = self.0.get_mut(py)?;
        let mut forgotten = KnownPlaces::default();
        if is_new {
            if places.all.len() >= MOST {
                std::mem::swap(&mut *places, &mut forgotten);
            }
            places.all.entry(mixed).or_default().push(Arc::clone(&found));
        }
        places.last.resize(PHASES, None);
        if let Some(last) = places.last.get_mut(slot) {
            *last = Some(Arc::clone(&found));
        }
        drop(places);
        // The end of an object may run code of the application.
        drop(forgotten);
        Ok(found)
    }
}

impl Place {
    fn new(class: &Bound<'_, PyAny>, call: &PhaseWords<'_>) -> PyResult<Self> {
        let py = class.py();
        let handlers = PyList::empty(py);
        for (name, directory) in call.pairs(0) {
            // What names files, as Python takes that.
            handlers.append((file_name(py, name)?, file_name(py, directory)?))?;
        }
        let assignments = |which| -> PyResult<Bound<'_, PyDict>> {
            let all = PyDict::new(py);
            call.pairs(which)
                .try_for_each(|(name, value)| all.set_item(native(py, name)?, native(py, value)?))?;
            Ok(all)
        };
        let word = file_name(py, call.pairs(0).next().map_or(&b""[..], |(name, _)| name))?;
        let (interpreter, filter) = (native(py, call.interpreter)?, native(py, call.filter)?);
        let suffix = (!call.suffix.is_empty()).then(|| native(py, call.suffix)).transpose()?;
        let told = (call.phase, interpreter, handlers, assignments(1)?, assignments(2)?, filter, suffix);
        let object = class.call1(told)?;
        let going = object.getattr(intern!(py, "going"))?;
        let is_plain: bool = object.getattr(intern!(py, "is_plain"))?.extract()?;
        let mut parts = Vec::new();
        call.each(|part| {
            parts.push(part.to_vec());
            true
        });
        Ok(Self {
            said: Said { phase: call.phase, counts: call.counts(), parts },
            word: word.unbind(),
            goes_on: (going.contains(0)?, going.contains(-1)?),
            is_last: object.getattr(intern!(py, "is_last"))?.extract()?,
            is_single: is_plain && call.counts()[0] == 1,
            object: object.unbind(),
            steady: Guarded::default(),
        })
    }

    /// The one handler, where the package has found it once and its module is not loaded again.
    pub(super) fn single<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let steady = self.steady.get(py)?;
        let Some(Steady { module, name }) = &*steady else { return Ok(None) };
        // Who has set another object there means that.
        let found = module.bind(py).getattr(name.bind(py).cast::<pyo3::types::PyString>()?);
        Ok(found.ok().filter(|found| !found.is_instance_of::<pyo3::types::PyType>()))
    }

    /// The package has run the handlers, and may know more.
    pub(super) fn learn(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_single || self.steady.get(py)?.is_some() {
            return Ok(());
        }
        let steady = self.object.bind(py).getattr(intern!(py, "steady"))?;
        let Ok(found) = steady.get_item(0) else { return Ok(()) };
        let (module, name) = found.cast::<PyTuple>()?.extract::<(Py<PyAny>, Py<PyAny>)>()?;
        *self.steady.get_mut(py)? = Some(Steady { module, name });
        Ok(())
    }
}
