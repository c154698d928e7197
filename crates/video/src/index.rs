//! When the frames of a video are shown, and which of them can be decoded without others.
//!
//! Separate because it costs time to make and is small, so that whoever opens a file again can keep it.
//! Invariant: times increase; there is at least one frame.

/// Length of one tick in seconds, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBase {
    /// Numerator, in seconds.
    pub numerator: u32,
    /// Denominator, above 0.
    pub denominator: u32,
}

/// The frames of one video, in order of presentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameIndex {
    /// Format of the file, such as `avi`.
    pub container: String,
    /// Name of the codec, such as `h264`.
    pub codec: String,
    /// Width and height in pixels, as shown: after the file's rotation.
    pub size: [u32; 2],
    /// Unit of the times.
    pub time_base: TimeBase,
    /// Time of presentation of every frame, in ticks; they increase.
    pub times: Vec<i64>,
    /// Numbers of the frames at which decoding can start; the first one is among them.
    pub keys: Vec<u32>,
    /// How many frames the file's header announces, if it does.
    pub announced: Option<u64>,
}

impl FrameIndex {
    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.times.len()
    }

    /// Time of presentation of a frame, in seconds from the start of the file's clock.
    ///
    /// # Panics
    /// There is no such frame.
    pub fn seconds(&self, frame: usize) -> f64 {
        let TimeBase { numerator, denominator } = self.time_base;
        self.times[frame] as f64 * f64::from(numerator) / f64::from(denominator)
    }

    /// Mean number of frames per second; none for a single frame.
    pub fn frame_rate(&self) -> Option<f64> {
        let last = self.times.len() - 1;
        let seconds = self.seconds(last) - self.seconds(0);
        (seconds > 0.0).then(|| last as f64 / seconds)
    }

    /// The most frames that have to be decoded to reach one: the largest distance of a key frame from the next.
    pub fn key_distance(&self) -> usize {
        let ends = self.keys.iter().skip(1).map(|&key| key as usize).chain([self.times.len()]);
        self.keys
            .iter()
            .zip(ends)
            .map(|(&key, end)| end.saturating_sub(key as usize))
            .max()
            .unwrap_or(self.times.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(times: &[i64], keys: &[u32]) -> FrameIndex {
        FrameIndex {
            container: "mov".into(),
            codec: "h264".into(),
            size: [4, 2],
            time_base: TimeBase { numerator: 1, denominator: 10 },
            times: times.to_vec(),
            keys: keys.to_vec(),
            announced: None,
        }
    }

    #[test]
    fn times_and_keys_say_how_fast_and_how_slow() {
        let index = index(&[5, 6, 10, 30], &[0, 2]);
        assert_eq!([0, 1, 3].map(|frame| index.seconds(frame)), [0.5, 0.6, 3.0]);
        assert_eq!(index.frame_rate(), Some(3.0 / 2.5));
        assert_eq!(index.key_distance(), 2);
    }

    #[test]
    fn a_single_frame_has_no_rate() {
        assert_eq!(index(&[7], &[0]).frame_rate(), None);
        assert_eq!(index(&[7], &[]).key_distance(), 1);
    }
}
