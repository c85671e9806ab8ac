// SPDX-License-Identifier: MIT OR Apache-2.0
//! What directives for handlers say of the one application that stands for all of them.

use crate::log::escape;

/// What stands before `=`.
pub(super) fn key(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// Words of which there may be several.
const REPEATED: [&[u8]; 2] = [b"env", b"import"];

/// What all directives of a configuration say of the one application that stands for its handlers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationWords(Vec<Vec<u8>>);

impl ApplicationWords {
    /// Adds those of one directive. Answers whether any of them is new.
    ///
    /// # Errors
    /// The application cannot be what this directive and an earlier one say.
    pub fn add(&mut self, words: &[Vec<u8>]) -> Result<bool, String> {
        let had = self.0.len();
        for word in words {
            if self.0.contains(word) {
                continue;
            }
            let known = self.0.iter().find(|known| key(known) == key(word) && !REPEATED.contains(&key(word)));
            if let Some(known) = known {
                return Err(format!(
                    "has \"{}\", and another one \"{}\": all handlers of phases of a process are one application",
                    escape(word),
                    escape(known)
                ));
            }
            self.0.push(word.clone());
        }
        Ok(self.0.len() > had)
    }

    /// Whether there is a word for this.
    #[must_use]
    pub fn has(&self, key: &[u8]) -> bool {
        self.0.iter().any(|word| word.strip_prefix(key).is_some_and(|rest| rest.starts_with(b"=")))
    }

    /// The words, for the parser of applications.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_what_all_directives_say() {
        let mut all = ApplicationWords::default();
        let words =
            |words: &[&str]| -> Vec<_> { words.iter().map(|word| word.as_bytes().to_vec()).collect() };
        assert_eq!(all.add(&words(&["venv=/v", "env=A=1"])), Ok(true));
        assert_eq!(all.add(&words(&["venv=/v"])), Ok(false));
        assert_eq!(all.add(&words(&["env=B=1", "import=a site", "import=b site"])), Ok(true));
        assert!(all.has(b"venv") && !all.has(b"ven") && !all.has(b"threads"));
        assert!(all.add(&words(&["venv=/w"])).unwrap_err().contains("and another one \"venv=/v\""));
        assert_eq!(all.iter().count(), 5);
    }
}
