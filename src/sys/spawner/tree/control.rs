// SPDX-License-Identifier: MIT OR Apache-2.0
//! The template's side: a process of an application's user that has loaded the application, and makes processes of itself when
//! the keeper asks.
//!
//! ```text
//! keeper --listening socket, output--> template --fork--> nobody --fork--> process
//!                                               the keeper <--"it is me"--/  once nobody has ended and the keeper is its parent
//! ```

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

use super::{
    MessageSocket,
    birth::{Birth, TemplateMessage},
};

/// How often a process looks whether it has been adopted.
const LOOK: Duration = Duration::from_micros(50);

/// A template's way to the keeper.
#[derive(Debug)]
pub struct Control {
    channel: MessageSocket,
    /// The keeper, whose child the template is.
    keeper: libc::pid_t,
}

/// A process that is to be made.
#[derive(Debug)]
pub struct ForkRequest {
    number: u64,
    listener: OwnedFd,
    output: OwnedFd,
}

/// Where one finds oneself after a fork.
#[derive(Debug)]
pub enum ForkReply {
    /// In the template.
    Template,
    /// In the new process, with its listening socket.
    Process(OwnedFd),
}

impl Control {
    /// The socket that the keeper has given to this process, which is its child.
    #[must_use]
    pub fn of(socket: OwnedFd) -> Self {
        // SAFETY: it has no conditions.
        Self { channel: MessageSocket::of(socket), keeper: unsafe { libc::getppid() } }
    }

    /// The application is loaded.
    pub fn loaded(&self) {
        self.tell(&TemplateMessage::Loaded);
    }

    /// It cannot be loaded.
    pub fn not_loaded(&self, reason: &str) {
        self.tell(&TemplateMessage::NotLoaded(reason.as_bytes()));
    }

    /// Waits for the next process that is to be made. `None`: there is nobody any more who could want one.
    #[must_use]
    pub fn next(&self) -> Option<ForkRequest> {
        loop {
            match self.channel.receive(true) {
                Ok(parcel) => {
                    let number = Birth::decode(&parcel.bytes).map(|birth| birth.number);
                    if let (Some(number), Ok([listener, output])) =
                        (number, <[OwnedFd; 2]>::try_from(parcel.fds))
                    {
                        return Some(ForkRequest { number, listener, output });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => return None,
            }
        }
    }

    /// Forks this process, which has one thread. What is answered is answered in both.
    #[must_use]
    pub fn fork(&self, request: ForkRequest) -> ForkReply {
        // SAFETY: writes what C code has left unwritten, which both would write otherwise.
        unsafe { libc::fflush(std::ptr::null_mut()) };
        // SAFETY: the caller has one thread, so the child may use everything.
        let middle = unsafe { libc::fork() };
        if middle < 0 {
            self.tell(&TemplateMessage::NotBorn(request.number, last_errno()));
            return ForkReply::Template;
        }
        if middle > 0 {
            let errno = wait_for(middle);
            if errno != 0 {
                self.tell(&TemplateMessage::NotBorn(request.number, errno));
            }
            return ForkReply::Template;
        }
        // SAFETY: the middle process has one thread as well. What loses its parent here becomes the keeper's child.
        match unsafe { libc::fork() } {
            0 => match self.come_to_life(&request) {
                Some(()) => ForkReply::Process(request.listener),
                None => end_now(1),
            },
            // A number of an error fits into a status.
            failed if failed < 0 => end_now(last_errno()),
            _ => end_now(0),
        }
    }

    /// The first steps of a process: as those that the keeper starts itself, it ends with the keeper, leads a group and writes to a
    /// place of its own.
    fn come_to_life(&self, request: &ForkRequest) -> Option<()> {
        // SAFETY: numbers only; all of it is this process' own.
        unsafe {
            let middle = libc::getppid();
            while middle != self.keeper && libc::getppid() == middle {
                thread::sleep(LOOK);
            }
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            // The keeper may have ended before that was said.
            if libc::getppid() != self.keeper {
                return None;
            }
            libc::setpgid(0, 0);
            for fd in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
                if libc::dup2(request.output.as_raw_fd(), fd) < 0 {
                    return None;
                }
            }
        }
        self.channel.send(&TemplateMessage::Born(request.number).encode(), &[], true).ok()
    }

    fn tell(&self, message: &TemplateMessage<'_>) {
        // A keeper that has ended wants to know nothing.
        let _ = self.channel.send(&message.encode(), &[], true);
    }
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN)
}

fn end_now(status: i32) -> ! {
    // SAFETY: ends this process and runs nothing of the application's.
    unsafe { libc::_exit(status) }
}

/// The status of a child that has ended or is about to; 0 where somebody else has taken it.
fn wait_for(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status is written by waitpid(2).
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return 0;
        }
    }
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { libc::EAGAIN }
}
