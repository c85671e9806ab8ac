// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the threads of a pool do: their states, and the table of the transitions between them.

use std::collections::VecDeque;

/// What a sleeping thread is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    /// To take the application's lock, then requests.
    Search,
    /// To see whether others get on.
    Watch,
}

/// What a thread of the pool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ThreadState {
    /// It decides what it does next. Every thread begins and ends with this.
    Awake,
    /// Nobody has woken it.
    Asleep,
    /// It has been woken for a job, which whoever is awake first takes up.
    Sent(Job),
    /// It waits for the application's lock.
    Searching,
    /// It sleeps for moments, and looks after each whether others get on.
    Watching,
    /// It has the application's lock and no request.
    Running,
    /// It has a request. The handler may have given the lock up, to wait for something of its own.
    Handling,
}

/// What takes a thread from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transition {
    /// There is nothing to do.
    FallAsleep,
    /// It wakes up without having been sent.
    Rouse,
    /// A request came or was taken, and those that wait need another thread.
    Send(Job),
    /// A job for which some thread was woken.
    TakeUp(Job),
    /// A job for which nobody slept who could have been woken.
    Begin(Job),
    /// Nobody gets on.
    WatchNoLonger,
    /// There is nothing to watch.
    StopWatching,
    /// It has got the lock.
    Enter,
    Take,
    Finish,
    /// It gives the lock up.
    Leave,
    /// It gives the lock up, and asks for it again.
    Return,
}

impl Transition {
    /// The table: from where to where. No state changes in another way.
    #[rustfmt::skip]
    pub(super) const fn row(self) -> (ThreadState, ThreadState) {
        use Job::{Search, Watch};
        use ThreadState::{Asleep, Awake, Handling, Running, Searching, Sent, Watching};
        match self {
            Self::FallAsleep     => (Awake,         Asleep),
            Self::Rouse          => (Asleep,        Awake),
            Self::Send(job)      => (Asleep,        Sent(job)),
            Self::TakeUp(Search) => (Sent(Search),  Searching),
            Self::TakeUp(Watch)  => (Sent(Watch),   Watching),
            Self::Begin(Search)  => (Awake,         Searching),
            Self::Begin(Watch)   => (Awake,         Watching),
            Self::WatchNoLonger  => (Watching,      Searching),
            Self::StopWatching   => (Watching,      Awake),
            Self::Enter          => (Searching,     Running),
            Self::Take           => (Running,       Handling),
            Self::Finish         => (Handling,      Running),
            Self::Leave          => (Running,       Awake),
            Self::Return         => (Running,       Searching),
        }
    }
}

/// How many threads are in each state, and which of them sleep.
///
/// Those that are awake are not counted: they are what is left of [`PoolThreads::alive`], which so is right even for a thread
/// that a panic has ended in the middle.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct PoolThreads {
    alive: usize,
    /// The last to fall asleep at the end.
    asleep: VecDeque<usize>,
    sent_to_search: usize,
    sent_to_watch: usize,
    searching: usize,
    watching: usize,
    running: usize,
    handling: usize,
}

impl PoolThreads {
    pub(super) fn pass(&mut self, transition: Transition) {
        #[cfg(test)]
        super::tests::note(transition);
        let (from, to) = transition.row();
        if let Some(count) = self.count(from) {
            *count -= 1;
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
    }

    fn count(&mut self, state: ThreadState) -> Option<&mut usize> {
        match state {
            ThreadState::Awake | ThreadState::Asleep => None,
            ThreadState::Sent(Job::Search) => Some(&mut self.sent_to_search),
            ThreadState::Sent(Job::Watch) => Some(&mut self.sent_to_watch),
            ThreadState::Searching => Some(&mut self.searching),
            ThreadState::Watching => Some(&mut self.watching),
            ThreadState::Running => Some(&mut self.running),
            ThreadState::Handling => Some(&mut self.handling),
        }
    }

    /// Sends a sleeping thread: the last to fall asleep, or the first. Answers which, if any sleeps.
    pub(super) fn send(&mut self, job: Job, last: bool) -> Option<usize> {
        let thread = if last { self.asleep.pop_back() } else { self.asleep.pop_front() }?;
        self.pass(Transition::Send(job));
        Some(thread)
    }

    pub(super) fn fall_asleep(&mut self, thread: usize) {
        self.asleep.push_back(thread);
        self.pass(Transition::FallAsleep);
    }

    /// A thread is awake again. If it was not sent, it is not among the sleepers any more.
    pub(super) fn wake_up(&mut self, thread: usize) {
        if let Some(place) = self.asleep.iter().position(|asleep| *asleep == thread) {
            self.asleep.remove(place);
            self.pass(Transition::Rouse);
        }
    }

    pub(super) fn add(&mut self, threads: usize) {
        self.alive += threads;
    }

    pub(super) fn end(&mut self) {
        self.alive -= 1;
    }

    pub(super) fn alive(&self) -> usize {
        self.alive
    }

    /// Those that have no request, wherever they are.
    pub(super) fn idle(&self) -> usize {
        self.alive.saturating_sub(self.handling)
    }

    /// Whether one has been woken for this job and has not taken it up.
    pub(super) fn has_sent(&self, job: Job) -> bool {
        match job {
            Job::Search => self.sent_to_search > 0,
            Job::Watch => self.sent_to_watch > 0,
        }
    }

    /// Those that will ask for a request, or ask for the lock already.
    pub(super) fn searchers(&self) -> usize {
        self.sent_to_search + self.searching
    }

    pub(super) fn wait_for_lock(&self) -> bool {
        self.searching > 0
    }

    pub(super) fn have_watcher(&self) -> bool {
        self.sent_to_watch + self.watching > 0
    }

    /// Whether one has taken the application's lock and will ask for the next request.
    pub(super) fn have_runner(&self) -> bool {
        self.running + self.handling > 0
    }

    pub(super) fn handle(&self) -> bool {
        self.handling > 0
    }

    /// How many are in this state, of those that are counted.
    #[cfg(test)]
    pub(super) fn counted(&mut self, state: ThreadState) -> Option<usize> {
        match state {
            ThreadState::Asleep => Some(self.asleep.len()),
            _ => self.count(state).copied(),
        }
    }

    #[cfg(test)]
    pub(super) fn sleepers(&mut self) -> &mut VecDeque<usize> {
        &mut self.asleep
    }
}
