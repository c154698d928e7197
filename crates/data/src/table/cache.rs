//! A cache of the groups of rows that were read last, shared by the tables of a split and by all threads.
//!
//! Separate because it is the same for Parquet and Arrow.
//! Invariant: a group is read by one thread at a time, and memory is limited whatever the files claim.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use parquet::data_type::ByteArray;

use super::Rows;
use crate::SampleError;

/// Most bytes that are kept, except that the last group always is.
pub(crate) const CACHE_BYTES: u64 = 1 << 29;

/// A table's number and a group's.
type Key = (u32, u32);
type Slot = Arc<OnceLock<Result<Rows, String>>>;

/// Groups that were read, with the one used last at the end.
#[derive(Debug)]
pub(crate) struct Cache {
    limit: u64,
    groups: Mutex<Vec<(Key, u64, Slot)>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { limit: CACHE_BYTES, groups: Mutex::default() }
    }
}

/// Rows of a group that stay as long as they are held.
pub(crate) struct Held(Slot);

impl std::ops::Deref for Held {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        static NONE: Rows = Rows::new();
        self.0.get().and_then(|rows| rows.as_ref().ok()).unwrap_or(&NONE)
    }
}

impl Cache {
    /// The rows of a group, which are unpacked if they are not here; other threads wait for them in the meantime.
    pub(super) fn get(
        &self,
        key: Key,
        bytes: u64,
        unpack: impl FnOnce() -> Result<Rows, SampleError>,
    ) -> Result<Held, SampleError> {
        let slot = self.slot(key, bytes);
        let mut is_new = false;
        let rows = slot.get_or_init(|| {
            is_new = true;
            unpack().map_err(|reason| reason.to_string())
        });
        match rows {
            Ok(rows) => {
                if is_new {
                    self.weigh(key, size(rows));
                }
                Ok(Held(slot))
            }
            Err(reason) => {
                // The fault may have been temporary.
                self.change(|groups| groups.retain(|(other, ..)| *other != key));
                Err(SampleError::Group { reason: reason.clone() })
            }
        }
    }

    fn slot(&self, key: Key, bytes: u64) -> Slot {
        self.change(|groups| {
            if let Some(i) = groups.iter().position(|(other, ..)| *other == key) {
                let group = groups.remove(i);
                let slot = Arc::clone(&group.2);
                groups.push(group);
                return slot;
            }
            groups.push((key, bytes, Slot::default()));
            self.shrink(groups);
            Arc::clone(&groups[groups.len() - 1].2)
        })
    }

    /// Records how large a group really is.
    fn weigh(&self, key: Key, bytes: u64) {
        self.change(|groups| {
            if let Some(group) = groups.iter_mut().find(|(other, ..)| *other == key) {
                group.1 = bytes;
            }
            self.shrink(groups);
        });
    }

    fn shrink(&self, groups: &mut Vec<(Key, u64, Slot)>) {
        let mut kept = groups.iter().fold(0_u64, |sum, (_, bytes, _)| sum.saturating_add(*bytes));
        while kept > self.limit && groups.len() > 1 {
            kept = kept.saturating_sub(groups.remove(0).1);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<(Key, u64, Slot)>) -> T) -> T {
        change(&mut self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes that rows take in memory.
fn size(rows: &Rows) -> u64 {
    let images: usize = rows.iter().flatten().map(ByteArray::len).sum();
    (images + size_of_val(rows.as_slice())) as u64
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_last_groups_are_kept_and_a_failure_is_not() {
        let cache = Cache { limit: 100_000, ..Cache::default() };
        let unpacked = Cell::new(0);
        let get = |group, claimed, bytes: usize| {
            let unpack = || {
                unpacked.set(unpacked.get() + 1);
                if group == 9 { Err(SampleError::Checksum) } else { Ok(vec![Some(vec![0; bytes].into())]) }
            };
            let rows = cache.get((0, group), claimed, unpack);
            rows.map(|rows| rows[0].as_ref().unwrap().len()).map_err(|error| error.to_string())
        };
        for (group, bytes, expected) in [
            (1, 49_000, 1),
            (2, 49_000, 2),
            (1, 49_000, 2),
            (3, 49_000, 3),
            (1, 49_000, 3),
            (2, 49_000, 4),
            (4, 500_000, 5),
            (4, 500_000, 5),
        ] {
            assert_eq!(get(group, bytes as u64, bytes), Ok(bytes));
            assert_eq!(unpacked.get(), expected, "group {group}");
        }
        for _ in 0..2 {
            assert_eq!(
                get(9, 1, 1),
                Err("row group: the checksum does not match: the image has changed since it was packed"
                    .to_owned())
            );
        }
        assert_eq!(unpacked.get(), 7);
        // What a group claims counts until it is unpacked, and then what it is.
        for (group, claimed, expected) in [(5, 0, 8), (6, 0, 9), (5, 0, 10), (7, u64::MAX, 11), (7, 0, 11)] {
            assert_eq!(get(group, claimed, 90_000), Ok(90_000));
            assert_eq!(unpacked.get(), expected, "group {group}");
        }
    }
}
