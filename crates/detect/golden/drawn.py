"""Numbers that the golden scripts and the tests draw alike, so that golden files need to contain results only.

The stream is SplitMix64, started at a seed; `crates/detect/src/drawn.rs` is the same in Rust.
"""

MASK = (1 << 64) - 1


class Stream:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def between(self, low, high):
        """A whole number from `low` to `high`."""
        return low + (self.next() >> 11) % (high - low + 1)
