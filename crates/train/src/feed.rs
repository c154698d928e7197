//! The next batch, and what to say when it does not come.
//!
//! Separate because training and tabulating wait alike.

use std::time::{Duration, Instant};

use mutualnet_data::{Batch, Batches, HANGS_AFTER, Loader};

use crate::Result;
use crate::events::{Event, EventLog};

/// Time between two looks whether the run is to stop.
const TICK: Duration = Duration::from_millis(200);

/// Waits for the next batch; `None` after the last one, or when it is told to stop meanwhile.
///
/// # Errors
/// Of the loader, or the log cannot be written.
pub(crate) fn next(
    batches: &mut Batches,
    loader: &Loader,
    log: &mut EventLog<'_>,
    must_stop: impl Fn() -> bool,
) -> Result<Option<Batch>> {
    let mut last_told = Instant::now();
    while !batches.wait(TICK) {
        if must_stop() {
            return Ok(None);
        }
        if let Some((path, time)) = loader.longest_read().filter(|(_, time)| *time >= HANGS_AFTER)
            && last_told.elapsed() >= HANGS_AFTER
        {
            last_told = Instant::now();
            log.log(&Event::Waiting { path, seconds: time.as_secs_f64() })?;
            log.flush()?;
        }
    }
    Ok(batches.next().transpose()?)
}
