// SPDX-License-Identifier: MIT OR Apache-2.0
//! Variables that the administrator sets.

use super::ConfigError;
use crate::error::BAD_PARAM;

/// Checks the name of a variable.
///
/// # Errors
/// When it is no name that an environment can hold.
pub fn check_param_name(name: &str) -> Result<(), ConfigError> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=') {
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
        for bad in ["", "A=B", "A B", "A\n", "Ä"] {
            assert!(check_param_name(bad).is_err(), "{bad:?}");
        }
    }
}
