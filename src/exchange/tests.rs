// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server's side without a server, and what the exchange and the channel do with it.

#![expect(unsafe_code, reason = "bytes that are lent, as an engine lends them")]

mod channel;
mod direct;
mod gathered;
mod lent;
mod model;
mod plain;
mod pump;
mod rules;

use std::{
    ffi::c_void,
    fs::File,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;

/// A port that keeps what it gets, and answers as it is told.
#[derive(Default)]
struct Fake {
    state: Mutex<FakeState>,
}

#[derive(Default)]
struct FakeState {
    out: Delivery,
    deliveries: usize,
    lines: Vec<String>,
    /// There is no room.
    full: bool,
    patient: bool,
    /// The client leaves between `room` and `deliver`.
    broken: bool,
    cancels: usize,
}

impl Port for Fake {
    fn read_body(&self, out: &mut [u8], _wait: Wait) -> Result<usize, Stop> {
        out.fill(b'b');
        Ok(out.len())
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        assert!(wait == Wait::No || !lock(&self.state).full, "this port cannot wait");
        if lock(&self.state).full { Err(Stop::Again) } else { Ok(()) }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        let mut state = lock(&self.state);
        if state.broken {
            return Err(Stop::Cancelled);
        }
        state.deliveries += 1;
        state.out.append(delivery);
        Ok(())
    }

    fn log(&self, _level: Level, line: &str) {
        lock(&self.state).lines.push(line.to_owned());
    }

    fn cancel(&self) {
        lock(&self.state).cancels += 1;
    }

    fn is_patient(&self) -> bool {
        lock(&self.state).patient
    }
}

impl Fake {
    fn exchange(head: RequestHead) -> (Arc<Exchange>, Arc<Self>) {
        let port = Arc::new(Self::default());
        (Exchange::new(head, port.clone()), port)
    }

    fn body(&self) -> Vec<u8> {
        lock(&self.state).out.pieces.iter().flat_map(bytes_of).collect()
    }

    fn end(&self) -> Option<End> {
        lock(&self.state).out.end
    }

    fn has_head(&self) -> bool {
        lock(&self.state).out.head.is_some()
    }

    fn deliveries(&self) -> usize {
        lock(&self.state).deliveries
    }

    /// The codes of the lines so far.
    fn codes(&self) -> Vec<String> {
        lock(&self.state).lines.drain(..).map(|line| line.chars().take(6).collect()).collect()
    }

    fn set_full(&self, full: bool) {
        lock(&self.state).full = full;
    }
}

fn bytes_of(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Copied(bytes) => bytes.clone(),
        Piece::Lent(lent) => lent.as_slice().to_vec(),
        Piece::File(file) => (file.offset..file.offset + file.len).map(|at| at as u8).collect(),
    }
}

/// Lends bytes and counts what comes back.
#[derive(Default)]
struct Lender {
    released: Arc<AtomicUsize>,
}

impl Lender {
    fn lend(&self, bytes: &'static [u8]) -> Piece {
        unsafe extern "C" fn release(context: *mut c_void) {
            // SAFETY: the context is the counter that `lend` has leaked for this one call.
            let counter = unsafe { Arc::from_raw(context.cast::<AtomicUsize>().cast_const()) };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let context = Arc::into_raw(Arc::clone(&self.released)).cast_mut().cast();
        // SAFETY: the bytes are static, and each context is made for one release.
        Piece::Lent(unsafe { Lent::new(bytes.as_ptr(), bytes.len(), Some(release), context) })
    }

    fn released(&self) -> usize {
        self.released.load(Ordering::Relaxed)
    }
}

/// What `gw_host.write_owned` does with a piece that comes back: the borrow stays the caller's.
fn give_back(refused: Result<(), (Stop, Option<Piece>)>) -> Result<(), Stop> {
    refused.map_err(|(stop, piece)| {
        if let Some(Piece::Lent(lent)) = piece {
            // SAFETY: the context is the counter that `lend` has leaked for a call that nobody makes any more.
            drop(unsafe { Arc::from_raw(lent.forget().cast::<AtomicUsize>().cast_const()) });
        }
        stop
    })
}

fn copied(length: usize) -> Piece {
    Piece::Copied(vec![b'c'; length])
}

/// A slice of a file whose byte at each place is the place.
fn file(offset: u64, len: u64) -> Piece {
    let fd = File::open("/dev/null").unwrap().into();
    Piece::File(FileSlice { fd, offset, len })
}

fn start(exchange: &Exchange, status: u16, length: Option<u64>) -> Result<(), Stop> {
    let length = length.map(|length| length.to_string());
    let header = length.iter().map(|length| (&b"Content-Length"[..], length.as_bytes()));
    exchange.start(status, b"", header)
}
