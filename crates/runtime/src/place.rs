//! Places feature maps in the arena, so that maps that are never in use at the same time share memory.

/// Places each block in the first gap between the blocks in use.
#[derive(Debug, Default)]
pub(crate) struct Placer {
    /// Blocks in use, ordered by start.
    alive: Vec<Block>,
    /// The highest end of any block so far.
    pub(crate) high_water: usize,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    start: usize,
    len: usize,
    last_use: usize,
}

impl Placer {
    /// Returns the start of a block of `len` numbers that is written at `time` and read for the last time at `last_use`.
    ///
    /// Blocks must be requested in order of time.
    pub(crate) fn place(&mut self, len: usize, time: usize, last_use: usize) -> usize {
        self.alive.retain(|block| block.last_use >= time);
        let mut start = 0;
        let mut at = 0;
        for block in &self.alive {
            if block.start - start >= len {
                break;
            }
            start = block.start + block.len;
            at += 1;
        }
        self.alive.insert(at, Block { start, len, last_use });
        self.high_water = self.high_water.max(start + len);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_alive_together_do_not_overlap() {
        let mut state = 7_u32;
        let mut random = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % n
        };
        let mut placer = Placer::default();
        let mut all = Vec::new();
        for time in 0..200 {
            let (len, last_use) = (1 + random(50) as usize, time + 1 + random(5) as usize);
            let start = placer.place(len, time, last_use);
            for &(other, other_len, other_last) in &all {
                let apart = start + len <= other || other + other_len <= start;
                assert!(other_last < time || apart, "at {time}");
            }
            all.push((start, len, last_use));
        }
        assert!(placer.high_water < 50 * 8, "{}", placer.high_water);
    }
}
