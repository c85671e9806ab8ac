// SPDX-License-Identifier: MIT OR Apache-2.0
//! The servers of the configuration, as engines name them: they last as long as the process, and no request has them for itself.

use std::{
    ptr::{self, NonNull},
    sync::OnceLock,
};

use gangway_abi::ffi::{self as abi, GW_ERROR};

use super::{
    answers::status,
    fence::fence,
    visit::{Visit, Visited},
};
use crate::{
    error::ENGINE_MISUSE,
    exchange::Stop,
    log::{self, Level},
    phases::Transaction,
};

/// A server. Its address is lent.
struct KnownServer(Visit<'static>);

// SAFETY: `tell_servers` takes what any thread may ask, and the list of what is beside a visit stays as it is: nothing is beside a server, whose facts
// have no relations.
unsafe impl Send for KnownServer {}
// SAFETY: `tell_servers` takes what any thread may ask while others do, and nothing is ever put beside it.
unsafe impl Sync for KnownServer {}

static SERVERS: OnceLock<Vec<KnownServer>> = OnceLock::new();

/// Tells of the servers of this process, the main one first, before an engine loads anything. The first call counts: they stay what they are until the
/// process ends.
pub fn tell_servers(servers: Vec<Box<dyn Transaction + Send + Sync>>) {
    let known = |server| KnownServer(Visit::new(Visited::Own(server)));
    let _first =
        SERVERS.set(servers.into_iter().map(|server| known(server as Box<dyn Transaction>)).collect());
}

/// The server behind that of a transaction; the first one for none.
fn find(visit: Option<&Visit<'_>>) -> Result<*mut abi::gw_transaction, Stop> {
    let at = visit.map_or(Ok(0), |visit| visit.get().facts().server().map(|at| at + 1))?;
    let servers = SERVERS.get().ok_or(Stop::Invalid)?;
    Ok(servers.get(at).map_or(ptr::null_mut(), |server| server.0.lend()))
}

pub(super) unsafe extern "C" fn next_server(
    transaction: *mut abi::gw_transaction,
    server: *mut *mut abi::gw_transaction,
) -> abi::gw_status {
    fence("next_server", GW_ERROR, || {
        let Some(out) = NonNull::new(server) else {
            let text = format_args!("an engine called next_server() without a place for the answer");
            log::coded(Level::Error, ENGINE_MISUSE, text);
            return abi::GW_MISUSE;
        };
        // SAFETY: gangway.h: NULL, or a transaction that is live for the call.
        let found = find(unsafe { transaction.cast::<Visit<'_>>().as_ref() });
        // SAFETY: the place is the caller's.
        status(found.map(|found| unsafe { out.write(found) }))
    })
}
