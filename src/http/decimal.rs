// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers as text without an allocation.

/// Room for the decimal digits of a number.
#[derive(Debug, Default)]
pub struct Decimal([u8; 20]);

impl Decimal {
    /// Writes a number; no leading zeros.
    pub fn write(&mut self, value: impl Into<u64>) -> &[u8] {
        let mut value = value.into();
        let mut at = self.0.len();
        while let Some(digit) = at.checked_sub(1).and_then(|next| self.0.get_mut(next)) {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
            at -= 1;
            if value == 0 {
                break;
            }
        }
        self.0.get(at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_in_full() {
        for number in [0, 7, 80, 443, 8080, 65535, 65536, 10_000_000_000, u64::MAX] {
            assert_eq!(Decimal::default().write(number), number.to_string().as_bytes());
        }
    }
}
