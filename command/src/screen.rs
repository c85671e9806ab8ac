// SPDX-License-Identifier: MIT OR Apache-2.0
//! A terminal that shows a page again and again, and is as it was before when that ends: by a key, by a signal, or by an error.

use std::{
    io::{self, IsTerminal, Stdin, Stdout, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use gangway::sys::EndSignals;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};

/// Another screen, without a cursor and without wrapping; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Keys that end it: q, Q, and Ctrl-C and Ctrl-D, which are keys as long as it lasts.
const KEYS: [u8; 4] = [b'q', b'Q', 3, 4];

/// The terminal.
pub(crate) struct Screen {
    input: Stdin,
    output: Stdout,
    before: Termios,
    signals: EndSignals,
}

impl Screen {
    /// Takes the terminal, if this program has one in front of it and behind it.
    pub(crate) fn take() -> Option<Self> {
        let (input, output) = (io::stdin(), io::stdout());
        if !input.is_terminal() || !output.is_terminal() {
            return None;
        }
        let before = tcgetattr(&input).ok()?;
        let signals = EndSignals::watch().ok()?;
        let mut during = before.clone();
        during.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&input, OptionalActions::Now, &during).ok()?;
        let mut screen = Self { input, output, before, signals };
        screen.write(ENTER);
        Some(screen)
    }

    fn write(&mut self, text: &str) {
        // Who has closed the terminal sees nothing more.
        let _ = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
    }

    /// Shows as many lines as there is room for, and the last one at the bottom.
    pub(crate) fn show(&mut self, lines: &[String], last: &str) {
        let size = tcgetwinsize(&self.output);
        // One that does not know its size is as they have always been.
        let rows =
            size.ok().map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0).unwrap_or(24).max(2);
        let mut page = String::from("\x1b[H");
        for line in lines.iter().take(rows - 1) {
            page.push_str(line);
            page.push_str("\x1b[K\r\n");
        }
        page.push_str(last);
        page.push_str("\x1b[K\x1b[J");
        self.write(&page);
    }

    /// Waits so long. Answers whether it is to go on.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let mut shown = [
                PollFd::new(&self.input, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            let left = Timespec::try_from(left).ok();
            if poll(&mut shown, left.as_ref()).is_err() {
                continue;
            }
            let [keys, signals] = shown.map(|entry| entry.revents());
            if !signals.is_empty() || keys.intersects(PollFlags::HUP | PollFlags::ERR) {
                return false;
            }
            if keys.contains(PollFlags::IN) {
                let mut typed = [0; 64];
                match rustix::io::read(&self.input, &mut typed) {
                    Ok(0) | Err(_) => return false,
                    Ok(count) if typed.iter().take(count).any(|key| KEYS.contains(key)) => return false,
                    // Any other key is the wish to see it anew.
                    Ok(_) => return true,
                }
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.write(LEAVE);
        let _ = tcsetattr(&self.input, OptionalActions::Flush, &self.before);
    }
}
