// SPDX-License-Identifier: MIT OR Apache-2.0
//! Variables that the administrator sets.

use super::ConfigError;
use crate::error::BAD_PARAM;

/// Checks the name of a variable.
///
/// # Errors
/// When it is no name of letters, digits and `_`.
pub fn check_param_name(name: &str) -> Result<(), ConfigError> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    // `wsgi.input` and its kin are the engine's own.
    if starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(ConfigError::new(
        BAD_PARAM,
        format!("\"{name}\" is no name of a variable: use letters, digits and \"_\", for example APP_MODE"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        assert!(check_param_name("APP_MODE").is_ok());
        for bad in ["", "A=B", "A B", "A\n", "Ä", "1A", "wsgi.input", "A-B"] {
            assert!(check_param_name(bad).is_err(), "{bad:?}");
        }
    }
}
