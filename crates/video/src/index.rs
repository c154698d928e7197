//! When the frames of a video are shown, and which of them can be decoded without others.
//!
//! Separate because it costs time to make and is small, so that whoever opens a file again can keep it.
//! Invariant: times increase; there is at least one frame.

use std::ops::Range;

use mutualnet_core::ClipSampling;

mod bytes;

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

    /// The frames of a clip that begins at a frame: those that are shown nearest to the times that the stride asks for.
    ///
    /// A clip that reaches beyond the end of the video holds its last frame.
    ///
    /// # Panics
    /// There is no such frame.
    pub fn clip(&self, start: usize, sampling: ClipSampling) -> Vec<usize> {
        let begin = self.times[start] as f64;
        let distance = self.frame_ticks() * f64::from(sampling.stride);
        let frames = 0..sampling.frames.get();
        frames.map(|i| self.nearest(begin + f64::from(i) * distance)).collect()
    }

    /// The frames of the clip with a number, from 0, of so many at equal distances, from the beginning of the video to its
    /// end; a single one is its middle.
    ///
    /// # Panics
    /// There is no such clip.
    pub fn view(&self, number: usize, of: usize, sampling: ClipSampling) -> Vec<usize> {
        assert!(number < of, "there is no clip {number} of {of}");
        let last = self.last_start(sampling);
        self.clip(if of == 1 { last / 2 } else { last * number / (of - 1) }, sampling)
    }

    /// The last frame at which a clip can begin without reaching beyond the end of the video; 0 if it is too short.
    pub fn last_start(&self, sampling: ClipSampling) -> usize {
        let length = self.frame_ticks() * f64::from(sampling.stride * (sampling.frames.get() - 1));
        // Half a frame of tolerance, because the time between frames may vary.
        let latest = self.times[self.times.len() - 1] as f64 - length + self.frame_ticks() / 2.0;
        self.times.partition_point(|&time| time as f64 <= latest).saturating_sub(1)
    }

    /// All frames, in stretches that begin at a key frame and have at least so many frames, except the last one.
    pub(crate) fn stretches(&self, at_least: usize) -> Vec<Range<usize>> {
        let (mut stretches, mut begin) = (Vec::new(), 0);
        for &key in &self.keys {
            let key = key as usize;
            if key >= begin + at_least && key < self.n_frames() {
                stretches.push(begin..key);
                begin = key;
            }
        }
        stretches.push(begin..self.n_frames());
        stretches
    }

    /// Mean time from one frame to the next, in ticks; 0 for a single frame.
    fn frame_ticks(&self) -> f64 {
        let last = self.times.len() - 1;
        (self.times[last] - self.times[0]) as f64 / last.max(1) as f64
    }

    /// The frame that is shown nearest to a time, the earlier one of two that are equally near.
    fn nearest(&self, time: f64) -> usize {
        let next = self.times.partition_point(|&at| (at as f64) < time).min(self.times.len() - 1);
        let previous = next.saturating_sub(1);
        let distance = |frame: usize| (self.times[frame] as f64 - time).abs();
        if distance(previous) <= distance(next) { previous } else { next }
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::Frames;

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
    fn stretches_begin_at_key_frames() {
        let times: Vec<_> = (0..10).collect();
        let of = |keys: &[u32], at_least| index(&times, keys).stretches(at_least);
        assert_eq!(of(&[0, 3, 6, 9], 4), [0..6, 6..10]);
        assert_eq!(of(&[0, 3, 6, 9], 3), [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(of(&[0], 4), [0..10; 1]);
    }

    #[test]
    fn a_single_frame_has_no_rate() {
        assert_eq!(index(&[7], &[0]).frame_rate(), None);
        assert_eq!(index(&[7], &[]).key_distance(), 1);
    }

    fn sampling(frames: u32, stride: u32) -> ClipSampling {
        ClipSampling { frames: Frames::new(frames).unwrap(), stride }
    }

    #[test]
    fn frames_of_a_clip_are_a_stride_apart() {
        let even = index(&(0..20).map(|i| 33 * i).collect::<Vec<_>>(), &[0]);
        assert_eq!(even.clip(3, sampling(4, 2)), [3, 5, 7, 9]);
        assert_eq!(even.last_start(sampling(4, 2)), 13);
        assert_eq!(even.clip(13, sampling(4, 2)), [13, 15, 17, 19]);
        assert_eq!(even.last_start(sampling(1, 7)), 19);
    }

    #[test]
    fn a_clip_of_a_short_video_holds_its_last_frame() {
        let short = index(&[0, 10, 20], &[0]);
        assert_eq!(short.last_start(sampling(4, 2)), 0);
        assert_eq!(short.clip(0, sampling(4, 2)), [0, 2, 2, 2]);
        assert_eq!(index(&[7], &[0]).clip(0, sampling(3, 5)), [0; 3]);
    }

    #[test]
    fn time_counts_and_not_the_number_of_frames() {
        // Half of the frames are shown in the first fifth of the time; the mean frame time is 10.
        let uneven = index(&[0, 4, 8, 12, 16, 20, 36, 52, 68, 84, 100], &[0]);
        assert_eq!(uneven.clip(0, sampling(6, 2)), [0, 5, 6, 7, 9, 10]);
    }
}
