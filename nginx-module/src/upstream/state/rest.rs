// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may still come of a response body.

/// What Content-Length and the method say of the response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Rest {
    /// Whatever comes.
    Unknown,
    /// So many bytes.
    Exactly(u64),
    /// The answer to HEAD: no bytes, or those of a GET.
    Head(Option<u64>),
}

impl Rest {
    /// What of `count` bytes that have come belongs to the body.
    #[inline]
    pub(in crate::upstream) fn take(&mut self, count: usize) -> usize {
        if let Self::Head(length) = *self {
            *self = length.map_or(Self::Unknown, Self::Exactly);
        }
        match self {
            Self::Exactly(left) => {
                let taken = count.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                taken
            }
            Self::Unknown | Self::Head(_) => count,
        }
    }

    /// Whether all of `count` bytes belong to the body.
    #[inline]
    pub(in crate::upstream) fn holds(self, count: usize) -> bool {
        match self {
            Self::Unknown => true,
            Self::Exactly(left) => left >= count as u64,
            Self::Head(_) => false,
        }
    }

    /// Takes `count` bytes, all of which belong to the body: see [`Rest::holds`].
    #[inline]
    pub(in crate::upstream) fn reduce(&mut self, count: usize) {
        if let Self::Exactly(left) = self {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// Whether bytes are missing.
    pub(in crate::upstream) fn is_short(self) -> bool {
        matches!(self, Self::Exactly(left) if left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_used_up_and_not_exceeded() {
        let mut rest = Rest::Exactly(5);
        assert!(rest.holds(5) && !rest.holds(6) && rest.is_short());
        assert_eq!((rest.take(3), rest), (3, Rest::Exactly(2)));
        assert_eq!((rest.take(3), rest), (2, Rest::Exactly(0)));
        assert!(!rest.is_short());
        assert_eq!(rest.take(1), 0);
    }

    #[test]
    fn without_a_length_everything_belongs_to_the_body() {
        let mut rest = Rest::Unknown;
        assert!(rest.holds(usize::MAX) && !rest.is_short());
        rest.reduce(7);
        assert_eq!((rest.take(7), rest), (7, Rest::Unknown));
    }

    #[test]
    fn an_answer_to_head_is_complete_without_bytes_or_with_those_of_a_get() {
        assert!(!Rest::Head(Some(4)).is_short() && !Rest::Head(None).holds(1));
        let mut rest = Rest::Head(Some(4));
        assert_eq!((rest.take(3), rest), (3, Rest::Exactly(1)));
        let mut rest = Rest::Head(None);
        assert_eq!((rest.take(3), rest), (3, Rest::Unknown));
    }
}
