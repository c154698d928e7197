//! An index as bytes, for whoever keeps it: a few hundred bytes instead of 8 for each frame.
//!
//! Separate because what comes from a file may be anything.
//! Invariant: bytes that are read without an error give an index whose own bytes are the same; hostile ones give nothing.

use super::{FrameIndex, TimeBase};

/// The most frames of an index in bytes, since a few bytes can stand for any number: 38 hours at 60 frames per second.
const MAX_FRAMES: u64 = 1 << 23;

impl FrameIndex {
    /// The index as bytes. Frames at equal distances take no more of them than two.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in [&self.container, &self.codec] {
            put(&mut bytes, text.len() as u64);
            bytes.extend(text.as_bytes());
        }
        let TimeBase { numerator, denominator } = self.time_base;
        for number in [self.size[0], self.size[1], numerator, denominator] {
            put(&mut bytes, number.into());
        }
        put(&mut bytes, self.announced.is_some().into());
        put(&mut bytes, self.announced.unwrap_or(0));
        put(&mut bytes, self.times.len() as u64);
        put(&mut bytes, self.times[0].cast_unsigned());
        let steps = self.times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]).cast_unsigned());
        put_runs(&mut bytes, steps);
        put(&mut bytes, self.keys.len() as u64);
        put(&mut bytes, self.keys.first().copied().unwrap_or(0).into());
        put_runs(&mut bytes, self.keys.windows(2).map(|pair| u64::from(pair[1] - pair[0])));
        bytes
    }

    /// The inverse of [`to_bytes`](Self::to_bytes); nothing if these are no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [container, codec] = [take_text(&mut rest)?, take_text(&mut rest)?];
        let mut number = || u32::try_from(take(&mut rest)?).ok();
        let [width, height, numerator, denominator] = [number()?, number()?, number()?, number()?];
        let announced = match (take(&mut rest)?, take(&mut rest)?) {
            (0, 0) => None,
            (1, announced) => Some(announced),
            _ => return None,
        };
        let n_frames = take(&mut rest).filter(|n| (1..=MAX_FRAMES).contains(n))?;
        let first = take(&mut rest)?.cast_signed();
        let times = take_runs(&mut rest, (first, n_frames), i64::checked_add_unsigned)?;
        let n_keys = take(&mut rest).filter(|&n| n <= n_frames)?;
        let first = u32::try_from(take(&mut rest)?).ok()?;
        let add = |key: u32, step| key.checked_add(u32::try_from(step).ok()?);
        let keys = take_runs(&mut rest, (first, n_keys), add)?;
        let is_whole = denominator > 0
            && rest.is_empty()
            && keys.last().map_or(first == 0, |&last| u64::from(last) < n_frames);
        let time_base = TimeBase { numerator, denominator };
        let size = [width, height];
        is_whole.then_some(Self { container, codec, size, time_base, times, keys, announced })
    }
}

/// Writes 7 bits in every byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Equal steps as one of them and their number.
fn put_runs(bytes: &mut Vec<u8>, steps: impl Iterator<Item = u64>) {
    let steps: Vec<_> = steps.collect();
    for run in steps.chunk_by(|a, b| a == b) {
        put(bytes, run[0]);
        put(bytes, run.len() as u64);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        // No bit is lost, and no number has two forms.
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(take(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// So many numbers from the first one on, whose steps are above 0.
fn take_runs<N: Copy>(
    bytes: &mut &[u8],
    (first, n): (N, u64),
    add: impl Fn(N, u64) -> Option<N>,
) -> Option<Vec<N>> {
    if n == 0 {
        return Some(Vec::new());
    }
    let (mut numbers, mut last, mut step_before) = (vec![first], first, 0);
    while (numbers.len() as u64) < n {
        let (step, run) = (take(bytes)?, take(bytes)?);
        if step == 0 || step == step_before || run == 0 || run > n - numbers.len() as u64 {
            return None;
        }
        for _ in 0..run {
            last = add(last, step)?;
            numbers.push(last);
        }
        step_before = step;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(times: Vec<i64>, keys: Vec<u32>) -> FrameIndex {
        FrameIndex {
            container: "matroska,webm".into(),
            codec: "vp9".into(),
            size: [640, 480],
            time_base: TimeBase { numerator: 1, denominator: 1000 },
            times,
            keys,
            announced: Some(3),
        }
    }

    #[test]
    fn a_constant_frame_rate_takes_few_bytes() {
        let even = index((0..9000).map(|i| 512 * i - 1024).collect(), (0..9000).step_by(12).collect());
        let bytes = even.to_bytes();
        assert!(bytes.len() < 60, "{}", bytes.len());
        assert_eq!(FrameIndex::from_bytes(&bytes), Some(even));
        let extremes = index(vec![i64::MIN, -1, i64::MAX], vec![]);
        assert_eq!(FrameIndex::from_bytes(&extremes.to_bytes()), Some(extremes));
    }

    #[test]
    fn what_stands_for_too_much_is_refused() {
        let valid = index(vec![0, 1], vec![0]);
        let with = |change: &dyn Fn(&mut FrameIndex)| {
            let mut index = valid.clone();
            change(&mut index);
            FrameIndex::from_bytes(&index.to_bytes())
        };
        assert_eq!(with(&|_| ()), Some(valid.clone()));
        assert_eq!(with(&|index| index.time_base.denominator = 0), None);
        assert_eq!(with(&|index| index.keys = vec![0, 2]), None);
        assert_eq!(with(&|index| index.times = vec![3, 3]), None);
        let mut bytes = valid.to_bytes();
        // Two frames, 0, one step of 1; one key, 0: the number of frames is far too large now, and its run as well.
        let at = bytes.len() - 6;
        assert_eq!(bytes[at..], [2, 0, 1, 1, 1, 0]);
        bytes.truncate(at);
        put(&mut bytes, 1 << 40);
        bytes.extend([0, 1]);
        put(&mut bytes, (1 << 40) - 1);
        bytes.extend([1, 0]);
        assert_eq!(FrameIndex::from_bytes(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_index_comes_back(
            steps in prop::collection::vec((1_u64..1 << 40, 1_usize..20), 0..12),
            first in any::<i64>().prop_map(|first| first >> 8),
            key_steps in prop::collection::vec(1_u32..30, 0..20),
            announced in any::<Option<u64>>(),
        ) {
            let mut times = vec![first];
            for (step, run) in steps {
                (0..run).for_each(|_| times.push(times[times.len() - 1] + step as i64));
            }
            let mut keys = vec![0];
            for step in key_steps {
                keys.push(keys[keys.len() - 1] + step);
            }
            keys.retain(|&key| (key as usize) < times.len());
            let index = FrameIndex { announced, ..index(times, keys) };
            prop_assert_eq!(FrameIndex::from_bytes(&index.to_bytes()), Some(index));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(0_u8..8, 0..60)) {
            if let Some(index) = FrameIndex::from_bytes(&bytes) {
                prop_assert!(index.times.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert_eq!(index.to_bytes(), bytes);
            }
        }
    }
}
