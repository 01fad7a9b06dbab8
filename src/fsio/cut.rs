//! Mappings of files that another process cuts. To read what is not there any more ends a process with SIGBUS
//! (`mmap(2)`); here it reads as zeros from then on, and the mapping knows that it was cut. A disk that cannot be read
//! does the same.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapOptions};

/// Mappings that are watched at once; each worker has one or two, and a search for symbols keeps those that were asked.
const MOST: usize = 4096;

/// What the handler asks: addresses of one mapping. None is at 0.
struct Watched {
    start: AtomicUsize,
    /// Behind its last page. 0 while the start is not to be believed.
    end: AtomicUsize,
    is_cut: AtomicBool,
}

static WATCHED: [Watched; MOST] =
    [const { Watched { start: AtomicUsize::new(0), end: AtomicUsize::new(0), is_cut: AtomicBool::new(false) } }; MOST];

/// Where a free one is looked for first.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A file in memory, read-only, that outlives the file.
#[derive(Debug)]
pub(super) struct Mapping {
    slot: usize,
    map: Mmap,
}

impl Mapping {
    /// Maps the first `len` bytes of a file; `None` where as many as can be watched are mapped already, or nothing can be.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn of(file: &File, len: u64) -> io::Result<Option<Self>> {
        let Some(page) = watch() else { return Ok(None) };
        let free = |watched: &Watched| {
            watched.start.compare_exchange(0, usize::MAX, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        // Those that were taken last are taken still.
        let next = NEXT.load(Ordering::Relaxed);
        let slots = (next..MOST).chain(0..next);
        let Some(slot) = slots.into_iter().find(|slot| WATCHED.get(*slot).is_some_and(free)) else { return Ok(None) };
        NEXT.store(slot.saturating_add(1) % MOST, Ordering::Relaxed);
        let mapped = map(file, len);
        let watched = WATCHED.get(slot).ok_or(io::ErrorKind::InvalidInput)?;
        let Ok(map) = mapped else {
            watched.start.store(0, Ordering::Release);
            return mapped.map(|_| None);
        };
        let start = map.as_ptr().addr();
        watched.is_cut.store(false, Ordering::Relaxed);
        watched.start.store(start, Ordering::Release);
        watched.end.store(start.saturating_add(map.len().next_multiple_of(page)), Ordering::Release);
        Ok(Some(Self { slot, map }))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether some of it was not there any more when it was read: from there on it has zeros.
    pub(super) fn is_cut(&self) -> bool {
        WATCHED.get(self.slot).is_some_and(|watched| watched.is_cut.load(Ordering::Acquire))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some(watched) = WATCHED.get(self.slot) {
            watched.end.store(0, Ordering::Release);
            watched.start.store(0, Ordering::Release);
        }
    }
}

fn map(file: &File, len: u64) -> io::Result<Mmap> {
    let mut options = MmapOptions::new();
    options.len(usize::try_from(len).map_err(io::Error::other)?);
    // SAFETY: the mapping is read-only and private to this process. Another process could still write to or cut the
    // file: reads then see other bytes, which the parser treats as hostile anyway and the comparison of identities
    // before an edit reports, or zeros, see the handler.
    #[expect(unsafe_code, reason = "gigabytes of library must not be copied to read a few headers")]
    unsafe {
        options.map(file)
    }
}

/// What SIGBUS did before, and the size of a page.
struct Before {
    action: libc::sigaction,
    page: usize,
}

static BEFORE: OnceLock<Option<Before>> = OnceLock::new();

/// Sets the handler up, once. Returns the size of a page; `None` where the system refuses.
fn watch() -> Option<usize> {
    let set = || {
        let page = rustix::param::page_size();
        // SAFETY: zeros are a valid `sigaction`: no flags, an empty mask, no handler.
        #[expect(unsafe_code, reason = "no safe interface gives the handler the address")]
        let (mut ours, mut before): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
        let handle: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) = handle;
        #[expect(clippy::as_conversions, reason = "C has no other word for the address of a function")]
        let handle = handle as usize;
        ours.sa_sigaction = handle;
        // On the stack that Rust gives each thread for this.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both point to structures that live as long as the call; the handler makes only calls that may be made in
        // one (`signal-safety(7)`; `mmap` is a bare system call).
        #[expect(unsafe_code, reason = "no safe interface gives the handler the address")]
        let refused = unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, &raw mut before) } != 0;
        (!refused).then_some(Before { action: before, page })
    };
    BEFORE.get_or_init(set).as_ref().map(|before| before.page)
}

/// Puts zeros where a mapping has nothing any more. For any other address the signal does what it did before.
extern "C" fn handle(_: c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid structure to a handler with SA_SIGINFO; where it made the signal itself (its code
    // is positive) that has an address.
    #[expect(unsafe_code, reason = "the address is in a union")]
    let (address, is_sent) = unsafe { ((*info).si_addr().addr(), (*info).si_code <= 0) };
    // It is set: the handler is.
    let Some(Some(before)) = BEFORE.get() else { return };
    for watched in &WATCHED {
        let start = watched.start.load(Ordering::Acquire);
        let end = watched.end.load(Ordering::Acquire);
        let is_stable = watched.start.load(Ordering::Acquire) == start;
        if !is_sent && is_stable && start <= address && address < end {
            let from = address.saturating_sub(address % before.page);
            watched.is_cut.store(true, Ordering::Release);
            if zeros(from, end.saturating_sub(from)) {
                return;
            }
        }
    }
    // The instruction is tried again, and then the signal comes again; one that a process sent would not.
    // SAFETY: what was there before the handler is valid.
    #[expect(unsafe_code, reason = "no safe interface gives it back")]
    unsafe {
        libc::sigaction(libc::SIGBUS, &raw const before.action, std::ptr::null_mut());
        if is_sent {
            libc::raise(libc::SIGBUS);
        }
    }
}

fn zeros(from: usize, len: usize) -> bool {
    let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    let at = std::ptr::with_exposed_provenance_mut(from);
    // SAFETY: these are pages of one of our mappings, which exists as long as it is watched and is only read.
    #[expect(unsafe_code, reason = "the mapping of the file has nothing there")]
    let mapped = unsafe { libc::mmap(at, len, protection, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the handler these reads end the tests.
    #[test]
    fn what_is_cut_reads_as_zeros_and_is_known() {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; 4 << 20], 0).unwrap();
        let whole = Mapping::of(&file, 4 << 20).unwrap().unwrap();
        let other = Mapping::of(&file, 1 << 20).unwrap().unwrap();
        assert!(whole.bytes().iter().all(|byte| *byte == 7) && !whole.is_cut());
        file.set_len((2 << 20) + 5).unwrap();
        assert_eq!(whole.bytes().get((2 << 20) + 4..(2 << 20) + 6), Some(&[7, 0][..]));
        assert!(!whole.is_cut(), "the last page is there");
        assert_eq!(whole.bytes().get(3 << 20), Some(&0));
        assert!(whole.is_cut());
        // What is in front of it and still there can be read on.
        assert_eq!(whole.bytes().first(), Some(&7));
        assert!(other.bytes().iter().all(|byte| *byte == 7) && !other.is_cut());
        drop(whole);
        let again = Mapping::of(&file, 1 << 20).unwrap().unwrap();
        assert!(!again.is_cut());
    }

    #[test]
    fn more_than_can_be_watched_are_not_mapped() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1).unwrap();
        let all: Vec<Mapping> = (0..MOST).map_while(|_| Mapping::of(&file, 1).unwrap()).collect();
        assert!(all.len() > MOST / 2);
        assert!(Mapping::of(&file, 1).unwrap().is_none());
        drop(all);
        assert!(Mapping::of(&file, 1).unwrap().is_some());
    }
}
