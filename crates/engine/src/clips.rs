//! Clips and their frames as images.
//!
//! Separate because only clips have frames; everything else works on either rank.
//! Invariant: channels-last clips give channels-last images without a copy of more than the frames that are wanted.

use crate::error::failed;
use crate::tensor::signed;
use crate::{EngineError, Result, Tensor};

impl Tensor {
    /// The frames of clips with these numbers, as images, clip by clip: `[n, c, t, h, w]` to `[n × numbers, c, h, w]` in
    /// channels-last memory.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] for anything but clips, and if there is no such frame.
    pub fn frames(&self, numbers: &[usize]) -> Result<Self> {
        let shape = self.shape();
        let &[n, c, t, h, w] = shape.as_slice() else {
            return Err(EngineError::Rank { op: "frames", expected: "[n, c, t, h, w]", shape });
        };
        let is_whole = numbers.len() == t && numbers.iter().enumerate().all(|(i, &number)| i == number);
        let made = self.0.f_permute([0, 2, 3, 4, 1]).and_then(|frames| {
            let frames = if is_whole {
                frames
            } else {
                let numbers = tch::Tensor::f_from_slice(&signed(numbers))?.f_to(self.0.device())?;
                frames.f_index_select(1, &numbers)?
            };
            let images = signed(&[n * numbers.len(), h, w, c]);
            frames.f_contiguous()?.f_view(images.as_slice())?.f_permute([0, 3, 1, 2])
        });
        made.map(Self).map_err(failed("frames", [self]))
    }

    /// Images as the frames of `n` clips, clip by clip: `[n × t, c, h, w]` to `[n, c, t, h, w]` in channels-last memory.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] for anything but images, and if they are not those of `n` clips.
    pub fn clips(&self, n: usize) -> Result<Self> {
        let shape = self.shape();
        let &[images, c, h, w] = shape.as_slice() else {
            return Err(EngineError::Rank { op: "clips", expected: "[n × t, c, h, w]", shape });
        };
        let clips = signed(&[n, images / n.max(1), h, w, c]);
        let made = self
            .0
            .f_permute([0, 2, 3, 1])
            .and_then(|images| images.f_contiguous()?.f_view(clips.as_slice())?.f_permute([0, 4, 1, 2, 3]));
        made.map(Self).map_err(failed("clips", [self]))
    }

    /// Clips as images whose columns are positions: `[n, c, t, h, w]` to `[n, c, t, h × w]` in channels-last memory.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] for anything but clips.
    pub(crate) fn positions(&self) -> Result<Self> {
        let shape = self.shape();
        let &[n, c, t, h, w] = shape.as_slice() else {
            return Err(EngineError::Rank { op: "positions", expected: "[n, c, t, h, w]", shape });
        };
        let flat = signed(&[n, t, h * w, c]);
        let made = self
            .0
            .f_permute([0, 2, 3, 4, 1])
            .and_then(|frames| frames.f_contiguous()?.f_view(flat.as_slice())?.f_permute([0, 3, 1, 2]));
        made.map(Self).map_err(failed("positions", [self]))
    }

    /// The reverse of [`Self::positions`]: `[n, c, t, h × w]` to `[n, c, t, h, w]` in channels-last memory.
    ///
    /// # Errors
    /// Fails with [`EngineError::Rank`] for anything but images.
    pub(crate) fn with_positions(&self, [height, width]: [usize; 2]) -> Result<Self> {
        let shape = self.shape();
        let &[n, c, t, _] = shape.as_slice() else {
            return Err(EngineError::Rank { op: "with_positions", expected: "[n, c, t, h × w]", shape });
        };
        let clips = signed(&[n, t, height, width, c]);
        let made = self
            .0
            .f_permute([0, 2, 3, 1])
            .and_then(|images| images.f_contiguous()?.f_view(clips.as_slice())?.f_permute([0, 4, 1, 2, 3]));
        made.map(Self).map_err(failed("with_positions", [self]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn frames_come_clip_by_clip_and_go_back() {
        // Two clips of 3 frames of 2 × 2 pixels with 2 channels; a value tells its clip and its frame.
        let values: Vec<f32> = (0..2 * 3 * 8).map(|i| (i / 8) as f32).collect();
        let clips = Tensor::from_channels_last(&values, &[2, 3, 2, 2, 2], Device::Cpu).unwrap();
        let frames = clips.frames(&[0, 2]).unwrap();
        assert_eq!(frames.shape(), [4, 2, 2, 2]);
        let first = frames.narrow(1, 0, 1).unwrap().contiguous().unwrap().to_vec_f32().unwrap();
        assert_eq!(first.iter().step_by(4).copied().collect::<Vec<_>>(), [0.0, 2.0, 3.0, 5.0]);
        let back = clips.frames(&[0, 1, 2]).unwrap().clips(2).unwrap();
        assert_eq!(back.shape(), clips.shape());
        let [back, clips] = [&back, &clips].map(|clips| clips.contiguous().unwrap().to_vec_f32().unwrap());
        assert_eq!(back, clips);
        assert!(frames.frames(&[0]).is_err() && frames.clips(3).is_err());
    }
}
