//! The groups of rows that were unpacked last, shared by the tables of a split and by all threads.
//!
//! Invariant: a group is unpacked by one thread at a time, and what is kept is limited, by what the files say.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Rows;
use crate::DecodeError;

/// Most bytes that are kept, but always the last group.
const LIMIT: u64 = 1 << 29;

/// A table's number and a group's.
type Key = (u32, u32);
type Slot = Arc<OnceLock<Result<Rows, String>>>;

/// Unpacked groups, the last one used at the end.
#[derive(Debug)]
pub(crate) struct Cache {
    limit: u64,
    groups: Mutex<Vec<(Key, u64, Slot)>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { limit: LIMIT, groups: Mutex::default() }
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
    /// The rows of a group, which are unpacked if they are not here; others wait for them meanwhile.
    pub(super) fn get(
        &self,
        key: Key,
        bytes: u64,
        unpack: impl FnOnce() -> Result<Rows, DecodeError>,
    ) -> Result<Held, DecodeError> {
        let slot = self.slot(key, bytes);
        match slot.get_or_init(|| unpack().map_err(|reason| reason.to_string())) {
            Ok(_) => Ok(Held(slot)),
            Err(reason) => {
                // It may have been a passing fault.
                self.change(|groups| groups.retain(|(other, ..)| *other != key));
                Err(DecodeError::Group { reason: reason.clone() })
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
            let mut kept = groups.iter().fold(0_u64, |sum, (_, bytes, _)| sum.saturating_add(*bytes));
            while kept > self.limit && groups.len() > 1 {
                kept = kept.saturating_sub(groups.remove(0).1);
            }
            Arc::clone(&groups[groups.len() - 1].2)
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<(Key, u64, Slot)>) -> T) -> T {
        change(&mut self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_last_groups_are_kept_and_a_failure_is_not() {
        let cache = Cache { limit: 100, ..Cache::default() };
        let unpacked = Cell::new(0);
        let get = |group, bytes| {
            let unpack = || {
                unpacked.set(unpacked.get() + 1);
                if group == 9 { Err(DecodeError::Empty) } else { Ok(vec![None; group as usize]) }
            };
            cache.get((0, group), bytes, unpack).map(|rows| rows.len()).map_err(|error| error.to_string())
        };
        for (group, bytes, expected) in
            [(1, 50, 1), (2, 50, 2), (1, 50, 2), (3, 50, 3), (1, 50, 3), (2, 50, 4), (4, 500, 5), (4, 500, 5)]
        {
            assert_eq!(get(group, bytes), Ok(group as usize));
            assert_eq!(unpacked.get(), expected, "group {group}");
        }
        for _ in 0..2 {
            assert_eq!(get(9, 1), Err("group of rows: the file is empty".to_owned()));
        }
        assert_eq!(unpacked.get(), 7);
        assert_eq!(get(5, u64::MAX), Ok(5));
    }
}
