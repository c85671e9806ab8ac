// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that processes share: memfd_create(2), which nobody can make smaller.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::AtomicU64,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};

/// Nobody can make it smaller, so no access meets a missing page; nor may the seals be taken off.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::SEAL);

/// Words that processes share. All of them begin as 0.
#[derive(Debug)]
pub struct SharedWords {
    mapping: SharedMapping,
    descriptor: OwnedFd,
}

/// The words without the descriptor of their memory.
#[derive(Debug)]
pub struct SharedMapping {
    memory: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory holds nothing but atomic words, and it is unmapped by the last owner alone.
unsafe impl Send for SharedMapping {}
// SAFETY: the words are atomic: any thread may use any of them at any time.
unsafe impl Sync for SharedMapping {}

impl SharedWords {
    /// Makes `count` words; `name` is what /proc shows.
    ///
    /// # Errors
    /// What memfd_create(2), ftruncate(2), fcntl(2) and mmap(2) say.
    pub fn create(name: &std::ffi::CStr, count: usize) -> io::Result<Self> {
        Self::sealed(name, count, SEALS.union(SealFlags::GROW))
    }

    /// As [`SharedWords::create`], for words to which others may be added.
    ///
    /// # Errors
    /// As there.
    pub fn create_growing(name: &std::ffi::CStr, count: usize) -> io::Result<Self> {
        Self::sealed(name, count, SEALS)
    }

    fn sealed(name: &std::ffi::CStr, count: usize, seals: SealFlags) -> io::Result<Self> {
        let descriptor = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&descriptor, (count * size_of::<AtomicU64>()) as u64)?;
        fcntl_add_seals(&descriptor, seals)?;
        Self::map(descriptor, count)
    }

    /// The same words and others behind them, so that there are `count`, or as many as there are already. What is mapped stays.
    ///
    /// # Errors
    /// What ftruncate(2) and mmap(2) say.
    pub fn grow(&self, count: usize) -> io::Result<Self> {
        let descriptor = self.descriptor.try_clone()?;
        let size = usize::try_from(fstat(&descriptor)?.st_size).unwrap_or(0);
        let size = size.max(count * size_of::<AtomicU64>());
        ftruncate(&descriptor, size as u64)?;
        Self::map(descriptor, size / size_of::<AtomicU64>())
    }

    /// Maps what another process has made.
    ///
    /// # Errors
    /// What fstat(2), fcntl(2) and mmap(2) say; `InvalidData` for memory whose size could change.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        if !fcntl_get_seals(&descriptor)?.contains(SEALS) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let size = usize::try_from(fstat(&descriptor)?.st_size).unwrap_or(0);
        Self::map(descriptor, size / size_of::<AtomicU64>())
    }

    fn map(descriptor: OwnedFd, count: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice. The size of what is mapped cannot change: it is sealed.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                count * size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { mapping: SharedMapping { memory, count }, descriptor })
    }

    /// All words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        self.mapping.words()
    }

    /// The words, and the descriptor for who is to share them.
    #[must_use]
    pub fn into_parts(self) -> (SharedMapping, OwnedFd) {
        (self.mapping, self.descriptor)
    }
}

impl SharedMapping {
    /// All words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `count` words are mapped until this value is dropped; each bit pattern is a valid word.
        unsafe { slice::from_raw_parts(self.memory.as_ptr(), self.count) }
    }
}

impl AsFd for SharedWords {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made; the borrow of `words` ends before this.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// The half of a word that changes whenever what it says does: its lower one.
fn half(word: &AtomicU64) -> *const u32 {
    let halves = word.as_ptr().cast_const().cast::<u32>();
    if cfg!(target_endian = "big") { halves.wrapping_add(1) } else { halves }
}

/// Waits until somebody wakes those who wait for this word, unless its lower half is not `seen` any more, or until the time
/// is over. It may end early: the caller looks again. futex(2), over all processes that share the memory.
pub fn wait_for(word: &AtomicU64, seen: u64, timeout: std::time::Duration) {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(timeout.subsec_nanos()),
    };
    // SAFETY: the word is mapped while it is borrowed, and aligned; the time is readable.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            half(word),
            libc::FUTEX_WAIT,
            seen as u32,
            &raw const time,
            ptr::null::<u32>(),
            0,
        );
    }
}

/// Wakes all who wait for this word.
pub fn wake(word: &AtomicU64) {
    // SAFETY: the word is mapped while it is borrowed, and aligned; FUTEX_WAKE uses nothing else.
    unsafe { libc::syscall(libc::SYS_futex, half(word), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn words_are_the_same_in_both_mappings_and_cannot_be_resized() -> io::Result<()> {
        let first = SharedWords::create(c"words", 700)?;
        assert!(first.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        let second = SharedWords::open(first.as_fd().try_clone_to_owned()?)?;
        assert_eq!(second.words().len(), 700);
        first.words()[699].store(7, Ordering::Relaxed);
        assert_eq!(second.words()[699].load(Ordering::Relaxed), 7);
        let file = std::fs::File::from(first.as_fd().try_clone_to_owned()?);
        assert!(file.set_len(8).is_err() && file.set_len(1 << 20).is_err());
        Ok(())
    }

    #[test]
    fn words_that_may_grow_are_the_same_afterwards() -> io::Result<()> {
        let first = SharedWords::create_growing(c"words", 10)?;
        first.words()[9].store(7, Ordering::Relaxed);
        let second = first.grow(2000)?;
        assert_eq!((second.words().len(), second.words()[9].load(Ordering::Relaxed)), (2000, 7));
        second.words()[0].store(8, Ordering::Relaxed);
        assert_eq!((first.words()[0].load(Ordering::Relaxed), first.grow(1)?.words().len()), (8, 2000));
        let file = std::fs::File::from(first.as_fd().try_clone_to_owned()?);
        assert!(file.set_len(8).is_err() && SharedWords::create(c"words", 1)?.grow(2).is_err());
        Ok(())
    }

    #[test]
    fn what_could_shrink_is_not_mapped() {
        let file = std::fs::File::open("/dev/zero").map(OwnedFd::from);
        assert!(file.and_then(SharedWords::open).is_err());
    }

    #[test]
    fn a_wait_ends_when_the_word_has_changed() -> io::Result<()> {
        let words = SharedWords::create(c"words", 1)?;
        let word = &words.words()[0];
        wait_for(word, 1, std::time::Duration::from_secs(60));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::SeqCst) == 0 {
                    wait_for(word, 0, std::time::Duration::from_secs(60));
                }
            });
            word.store(1, Ordering::SeqCst);
            wake(word);
        });
        Ok(())
    }
}
