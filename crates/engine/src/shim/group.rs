//! The foreign functions of `shim/group.cpp`.
//!
//! Invariant: a [`RawGroup`] is left exactly once, when it is dropped.

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::time::Duration;

use super::{RawMessage, RawTensor, on_process, raw};
use crate::{EngineError, Rendezvous, Result, Tensor};

unsafe extern "C" {
    fn mutualnet_group_join(
        host: *const c_char,
        port: u16,
        hosts: c_int,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> RawMessage;
    fn mutualnet_group_leave(group: *mut c_void);
    fn mutualnet_group_begin_mean(
        group: *mut c_void,
        tensors: *mut RawTensor,
        n: i64,
        out: *mut *mut c_void,
    ) -> RawMessage;
    fn mutualnet_mean_end(mean: *mut c_void, tensors: *mut RawTensor, n: i64) -> RawMessage;
    fn mutualnet_mean_drop(mean: *mut c_void);
    fn mutualnet_group_sum_numbers(group: *mut c_void, numbers: *mut f64, n: i64) -> RawMessage;
    fn mutualnet_group_broadcast(group: *mut c_void, from: c_int, bytes: *mut u8, n: i64) -> RawMessage;
    fn mutualnet_group_share_norms(group: *mut c_void);
    fn mutualnet_group_has_lost_norms(group: *mut c_void) -> c_int;
    fn mutualnet_shares_norms() -> c_int;
    fn mutualnet_group_end(group: *mut c_void, wait_ms: i64, is_missing: *mut u8) -> RawMessage;
}

/// A group that C++ owns.
#[derive(Debug)]
pub(crate) struct RawGroup(*mut c_void);

// SAFETY: c10d's process groups and stores may be used from any thread. The type is not `Sync`, so no two do it at once.
unsafe impl Send for RawGroup {}

impl Drop for RawGroup {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `mutualnet_group_join`, and nothing uses it afterwards.
        unsafe { mutualnet_group_leave(self.0) }
    }
}

pub(crate) fn group_join(at: &Rendezvous) -> Result<RawGroup> {
    let Rendezvous { host, port, is_host, rank, size, timeout } = at;
    let host = CString::new(host.as_str()).map_err(|_| EngineError::Call {
        op: "join the group",
        detail: "the name of the host contains a zero byte".to_owned(),
    })?;
    let mut out = ptr::null_mut();
    // SAFETY: `host` and `out` outlive the call.
    let message = unsafe {
        let (rank, size) = (*rank as c_int, *size as c_int);
        mutualnet_group_join(
            host.as_ptr(),
            *port,
            c_int::from(*is_host),
            rank,
            size,
            millis(*timeout),
            &mut out,
        )
    };
    on_process("join the group", message).map(|()| RawGroup(out))
}

/// Means on their way, which C++ owns.
#[derive(Debug)]
pub(crate) struct RawMean(*mut c_void);

impl Drop for RawMean {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `mutualnet_group_begin_mean`; an exchange that still goes on keeps its memory.
        unsafe { mutualnet_mean_drop(self.0) }
    }
}

pub(crate) fn group_begin_mean(group: &RawGroup, tensors: &[Tensor]) -> Result<RawMean> {
    let mut pointers: Vec<_> = tensors.iter().map(raw).collect();
    let (n, mut out) = (pointers.len() as i64, ptr::null_mut());
    // SAFETY: the tensors are borrowed for the call, which copies them; `pointers` holds as many, and `out` outlives it.
    let message = unsafe { mutualnet_group_begin_mean(group.0, pointers.as_mut_ptr(), n, &mut out) };
    on_process("average over the ranks", message).map(|()| RawMean(out))
}

/// `tensors` are those that the means were begun with.
pub(crate) fn mean_end(mean: &RawMean, tensors: &mut [Tensor]) -> Result<()> {
    let mut pointers: Vec<_> = tensors.iter().map(raw).collect();
    // SAFETY: the tensors are borrowed exclusively for the call, and `pointers` holds as many.
    let message = unsafe { mutualnet_mean_end(mean.0, pointers.as_mut_ptr(), pointers.len() as i64) };
    on_process("average over the ranks", message)
}

pub(crate) fn group_sum_numbers(group: &RawGroup, numbers: &mut [f64]) -> Result<()> {
    // SAFETY: the numbers are borrowed exclusively for the call.
    let message = unsafe { mutualnet_group_sum_numbers(group.0, numbers.as_mut_ptr(), numbers.len() as i64) };
    on_process("sum over the ranks", message)
}

pub(crate) fn group_broadcast(group: &RawGroup, from: usize, bytes: &mut [u8]) -> Result<()> {
    // SAFETY: the bytes are borrowed exclusively for the call.
    let message =
        unsafe { mutualnet_group_broadcast(group.0, from as c_int, bytes.as_mut_ptr(), bytes.len() as i64) };
    on_process("broadcast", message)
}

/// While this lives, batch norms on its thread use the statistics of all ranks.
pub(crate) struct SharedNorms<'a> {
    /// It acts on one thread, so it is neither `Send` nor `Sync`.
    group: PhantomData<(&'a RawGroup, *const ())>,
}

impl<'a> SharedNorms<'a> {
    pub(crate) fn of(group: &'a RawGroup) -> Self {
        // SAFETY: the group outlives this value, which ends the sharing when it is dropped.
        unsafe { mutualnet_group_share_norms(group.0) };
        Self { group: PhantomData }
    }
}

impl Drop for SharedNorms<'_> {
    fn drop(&mut self) {
        // SAFETY: sets a thread-local pointer to null.
        unsafe { mutualnet_group_share_norms(ptr::null_mut()) }
    }
}

pub(crate) fn shares_norms() -> bool {
    // SAFETY: reads a thread-local pointer.
    unsafe { mutualnet_shares_norms() != 0 }
}

pub(crate) fn group_has_lost_norms(group: &RawGroup) -> bool {
    // SAFETY: reads a flag of a live group.
    unsafe { mutualnet_group_has_lost_norms(group.0) != 0 }
}

/// `is_missing` has one byte for every rank.
pub(crate) fn group_end(group: &RawGroup, wait: Duration, is_missing: &mut [u8]) -> Result<()> {
    // SAFETY: the bytes are borrowed exclusively for the call, and callers have one for every rank.
    let message = unsafe { mutualnet_group_end(group.0, millis(wait), is_missing.as_mut_ptr()) };
    on_process("end the group", message)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
