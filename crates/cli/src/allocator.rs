//! jemalloc as the whole process's `malloc`, libtorch's included.
//!
//! A training step allocates and frees the same large tensors over and over: pages are kept (`dirty_decay_ms:-1`)
//! and huge (`thp:always`). Measured in docs/benchmarks.md.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings, as a C string pointer that it looks for under this name; `MALLOC_CONF` in the environment
/// takes precedence.
#[repr(transparent)]
pub(crate) struct Settings(*const u8);

// SAFETY: the pointer is to a constant that nobody writes.
unsafe impl Sync for Settings {}

// SAFETY: jemalloc documents this symbol as `const char *malloc_conf`; no other definition is linked.
#[unsafe(export_name = "malloc_conf")]
pub(crate) static SETTINGS: Settings =
    Settings(c"dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always".as_ptr().cast());
