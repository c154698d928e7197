//! The Pareto front of quality over MACs: the rows that no other row dominates.

use super::Row;

/// Marks the rows that no other row dominates; `rows` must be sorted by MACs.
///
/// A row dominates another when it is at least as good, has at most as many MACs, and differs in one of them.
/// Rows that are equal in both do not dominate each other.
pub(super) fn mark(rows: &mut [Row]) {
    let mut best_below = f64::NEG_INFINITY;
    for group in rows.chunk_by_mut(|a, b| a.macs == b.macs) {
        let best = group.iter().map(|row| row.quality.value).fold(f64::NEG_INFINITY, f64::max);
        for row in group {
            row.pareto = row.quality.value == best && best > best_below;
        }
        best_below = best_below.max(best);
    }
}
