// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said of an event loop.

/// The options of this interface.
#[derive(Clone, Debug)]
pub(crate) struct LoopOptions {
    /// `asyncio`, `uvloop` or `auto`.
    pub(crate) kind: String,
    /// `on`, `off` or `auto`.
    pub(crate) lifespan: String,
    /// How long the startup of the lifespan may take, in seconds.
    pub(crate) startup_timeout: Option<f64>,
    /// How long a request may go on when its client has left, in seconds.
    pub(crate) disconnect_timeout: Option<f64>,
}

impl LoopOptions {
    /// What holds without any of them.
    pub(crate) fn new() -> Self {
        Self {
            kind: "auto".to_owned(),
            lifespan: "auto".to_owned(),
            startup_timeout: Some(60.0),
            disconnect_timeout: Some(60.0),
        }
    }

    /// Takes an option, whose value the host has checked. Answers whether it is one of these.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        let value = String::from_utf8_lossy(value);
        match key {
            b"loop" => self.kind = value.into_owned(),
            b"lifespan" => self.lifespan = value.into_owned(),
            b"disconnect_timeout" => self.disconnect_timeout = seconds(&value),
            b"startup_timeout" => self.startup_timeout = seconds(&value),
            _ => return false,
        }
        true
    }
}

/// A time in the words of the configuration; `None` for `off`.
fn seconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, length)| Some((text.strip_suffix(unit)?, *length)))
        .unwrap_or((text, 1.0));
    number.parse::<u32>().ok().map(|number| f64::from(number) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, expected) in [
            ("500ms", Some(0.5)),
            ("30s", Some(30.0)),
            ("2m", Some(120.0)),
            ("1h", Some(3600.0)),
            ("7", Some(7.0)),
            ("off", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
