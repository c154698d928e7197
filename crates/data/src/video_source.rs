//! A video of a data set, opened: a file, or frames in a packed data set.
//!
//! Separate so that loading, checking and packing do not need to know where a video is.
//! Invariant: which frames a clip has depends on the times of the frames alone, wherever they are stored.

use std::path::Path;

use mutualnet_video::{Error, Ffmpeg, Frame, FrameIndex, Video, VideoError};

use crate::pack::PackedVideo;
use crate::{Dataset, Place, SampleError};

/// An opened video.
#[derive(Debug)]
pub(crate) enum VideoSource {
    /// A file.
    File(Video),
    /// Frames in a packed data set.
    Packed(PackedVideo),
}

impl VideoSource {
    /// Opens a video below a data set's directory, or in a packed one.
    pub(crate) fn open(dir: &Path, place: &Place, ffmpeg: &Ffmpeg) -> Result<Self, SampleError> {
        match place {
            Place::Packed(packed) => Ok(Self::Packed(PackedVideo::open(dir, packed)?)),
            place => Ok(Self::File(Video::open(&dir.join(place.name()), ffmpeg).map_err(reason)?)),
        }
    }

    /// When its frames are shown.
    pub(crate) fn index(&self) -> &FrameIndex {
        match self {
            Self::File(video) => video.index(),
            Self::Packed(video) => video.index(),
        }
    }

    /// Reads all frames in order, one at a time, and keeps of each what `map` makes of it.
    pub(crate) fn map_frames<T>(
        &mut self,
        mut map: impl FnMut(Frame) -> Result<T, SampleError>,
    ) -> Result<Vec<T>, SampleError> {
        match self {
            Self::File(video) => video.map_frames(map).map_err(reason)?.into_iter().collect(),
            Self::Packed(video) => {
                let n_frames = video.index().n_frames();
                let mut read = |number| {
                    let mut file = Vec::new();
                    let decoded = match video.frame(number, &mut file, &mut Vec::new())? {
                        pixels if pixels.is_raw() => Some(pixels.whole()?),
                        _ => None,
                    };
                    map(decoded.map_or(Frame::File(file), Frame::Decoded))
                };
                (0..n_frames).map(&mut read).collect()
            }
        }
    }
}

impl Dataset {
    /// Opens one of its videos; what is known of the frames of a file is not asked for again.
    pub(crate) fn open_video(&self, place: &Place, ffmpeg: &Ffmpeg) -> Result<VideoSource, SampleError> {
        let Place::File { path: name, .. } = place else {
            return VideoSource::open(self.dir(), place, ffmpeg);
        };
        let index = |path: &Path| self.frames().index(name, path, ffmpeg);
        let video = Video::open_with(&self.dir().join(name), ffmpeg, index);
        Ok(VideoSource::File(video.map_err(reason)?))
    }
}

/// Why a video cannot be read, without its path.
pub(crate) fn reason(error: Error) -> VideoError {
    match error {
        Error::Read { source, .. } => source,
        error => VideoError::Damaged { reason: error.to_string() },
    }
}
