// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call of an engine answers, in the numbers of `gangway.h`.

use gangway_abi::ffi::{GW_AGAIN, GW_CANCELLED, GW_ERROR, GW_INVALID, GW_MISUSE, GW_OK, gw_status};

use crate::exchange::Stop;

pub(super) fn status(result: Result<(), Stop>) -> gw_status {
    match result {
        Ok(()) => GW_OK,
        Err(Stop::Again) => GW_AGAIN,
        Err(Stop::Cancelled) => GW_CANCELLED,
        Err(Stop::Failed) => GW_ERROR,
        Err(Stop::Invalid) => GW_INVALID,
        Err(Stop::Misuse) => GW_MISUSE,
    }
}
