//! Shared by the fuzz targets: the chat server's end of the component's stream, and a watch on
//! memory. docs/fuzzing.md says what each target shows.

mod requests;
mod server;

use std::sync::OnceLock;

use peak_alloc::PeakAlloc;

pub use server::{ADMIN, COMPONENT, HOST, Server, clock, has_account};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many bytes one input may have in use at a time. Inputs are small, but may make much of it.
const MOST_AT_A_TIME: usize = 32 * 1024 * 1024;

/// How many bytes all the inputs since the first may leave behind. Some things are made once and
/// kept.
const MOST_KEPT: usize = 1024 * 1024;

/// Does `work`, and fails if it takes much memory or keeps it. SQLite's own memory is not counted
/// here. The limit on the whole process is for that.
pub fn without_growth(work: impl Fn()) {
    static BEFORE: OnceLock<usize> = OnceLock::new();
    // The first input makes tables that stay.
    let before = *BEFORE.get_or_init(|| {
        work();
        MEMORY.current_usage()
    });
    MEMORY.reset_peak_usage();
    let begin = MEMORY.current_usage();
    work();
    let (at_a_time, kept) = (MEMORY.peak_usage() - begin, MEMORY.current_usage().saturating_sub(before));
    assert!(at_a_time <= MOST_AT_A_TIME, "{at_a_time} bytes were in use for this input");
    assert!(kept <= MOST_KEPT, "{kept} bytes are still in use after this input and those before it");
}
