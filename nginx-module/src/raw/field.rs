// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fields of nginx's structures as values.

/// Reads a field of what a wrapper stands for, or calls a bit field's function: no reference to nginx's memory is left
/// when the value is there.
macro_rules! field {
    ($this:expr, $($place:tt)+) => {
        // SAFETY: whoever made the wrapper has promised that what it stands for is live, and nginx changes it on this
        // thread alone. The value is copied out before anything else runs.
        unsafe { (*$this.raw()).$($place)+ }
    };
}
pub(super) use field;
