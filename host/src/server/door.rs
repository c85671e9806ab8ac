// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections come and go.

use std::{io, os::fd::OwnedFd, sync::atomic::Ordering::SeqCst, time::Instant};

use gangway::{
    error::{REQUEST_REFUSED, SERVER_FAILED},
    log::{self, Level},
    sys::{explain, lock},
};

use super::Server;
use crate::{
    connection::Connection,
    sys::{self, Peer, Readiness},
};

/// Connections that are held open at a time; more wait in the backlog of the listening socket.
const CONNECTIONS_MOST: usize = 4096;

impl Server {
    /// Closes the connections that have lingered for long enough.
    pub(crate) fn close_lingering(&self, now: Instant) {
        let mut lingering = lock(&self.lingering);
        if lingering.is_empty() {
            return;
        }
        let (over, stay): (Vec<_>, Vec<_>) = lingering.drain(..).partition(|(_, until)| *until <= now);
        *lingering = stay.into_iter().filter(|(token, _)| self.table.get(*token).is_some()).collect();
        drop(lingering);
        for connection in over.into_iter().filter_map(|(token, _)| self.table.get(token)) {
            // Whoever holds it is told.
            connection.shut();
            if connection.hold() {
                self.close(&connection);
            }
        }
    }

    /// Takes the connections that have come.
    pub(super) fn accept(&self) {
        while !self.is_ending() {
            if self.table.len() >= CONNECTIONS_MOST {
                self.is_full.store(true, SeqCst);
                return;
            }
            match sys::accept(&self.listener) {
                Ok(Some((socket, peer))) => {
                    if self.welcome.lets_in(peer) {
                        self.add(socket);
                    } else if let Peer::At(address) = peer {
                        let text = format_args!(
                            "{address} is not among FCGI_WEB_SERVER_ADDRS; its connection is closed"
                        );
                        log::coded(Level::Warn, REQUEST_REFUSED, text);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    if error.kind() == io::ErrorKind::ConnectionAborted {
                        continue;
                    }
                    // Descriptors or memory; the keeper tries again.
                    if !self.is_full.swap(true, SeqCst) {
                        let text = format_args!("cannot take a connection: {}", explain(&error));
                        log::coded(Level::Error, SERVER_FAILED, text);
                    }
                    return;
                }
            }
        }
    }

    /// Takes the connections that had no place, if there is one now.
    pub(crate) fn accept_again(&self) {
        if self.is_full.swap(false, SeqCst) {
            self.accept();
        }
    }

    fn add(&self, socket: OwnedFd) {
        let connection = self.table.add(socket);
        if let Err(error) = self.epoll.add(&*connection, Readiness::Arrivals, connection.token()) {
            log::coded(
                Level::Error,
                SERVER_FAILED,
                format_args!("cannot watch a connection: {}", explain(&error)),
            );
            self.table.remove(connection.token());
        }
    }

    pub(super) fn close(&self, connection: &Connection) {
        self.epoll.remove(connection);
        connection.shut();
        self.close_lanes(connection);
        self.table.remove(connection.token());
        self.accept_again();
    }
}
