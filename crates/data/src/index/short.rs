//! Finds out whether videos are shorter than the clips that are read from them.

use mutualnet_core::ClipSampling;
use mutualnet_video::Ffmpeg;

use super::{Dataset, Notice};

/// So many videos of a split are looked at.
const LOOKED_AT: usize = 16;

impl Dataset {
    /// Adds a notice if most videos, of a few that are looked at, have fewer frames than a clip spans.
    #[must_use]
    pub fn noting_short(mut self, sampling: ClipSampling) -> Self {
        let span = (sampling.frames.get() as usize - 1) * sampling.stride as usize + 1;
        let ffmpeg = Ffmpeg::default();
        let frames = |place| self.open_video(place, &ffmpeg).ok().map(|video| video.index().n_frames());
        let every = self.samples.len().div_ceil(LOOKED_AT).max(1);
        let looked_at = self.samples.iter().step_by(every).filter_map(|sample| frames(&sample.place));
        let lengths: Vec<_> = looked_at.collect();
        let short = lengths.iter().filter(|&&length| length < span).count();
        if 2 * short > lengths.len() {
            self.notices.push(Notice::ShortVideos { short, of: lengths.len(), span });
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use mutualnet_core::network::Rank;
    use mutualnet_core::{Frames, Task};

    use super::*;
    use crate::clips::{self, ClipsSpec};

    #[test]
    fn clips_that_are_longer_than_the_videos_are_noted() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        clips::generate(&dir, &ClipsSpec { seed: 1, train: 40, test: 8, side: 16, frames: 8 }).unwrap();
        let noted = |frames, stride| {
            let train = Dataset::open_for(Task::Classify, Rank::Clip, &dir, "train").unwrap();
            let sampling = ClipSampling { frames: Frames::new(frames).unwrap(), stride };
            train.noting_short(sampling).notices().last().map(ToString::to_string)
        };
        assert_eq!((noted(8, 1), noted(4, 2)), (None, None));
        let told = "a clip spans 9 frames, and 14 of 14 videos have fewer: their last frame is repeated";
        assert_eq!(noted(5, 2).as_deref(), Some(told));
    }
}
