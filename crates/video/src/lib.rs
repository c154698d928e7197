//! Frames of a video file, chosen by their time of presentation.
//!
//! Motion JPEG in AVI is read and written here. Everything else is decoded by the `ffmpeg` program, which runs beside us,
//! so that a codec that crashes or hangs ends one file and not a training.
//! Invariant: the same file and the same frame numbers give the same pixels, whichever frames were read before.

mod error;
pub use error::{Error, Result, VideoError};

mod avi;
pub use avi::AviWriter;

mod folder;

mod ffmpeg;
pub use ffmpeg::Ffmpeg;

mod index;
pub use index::{FrameIndex, TimeBase};

mod process;

mod video;
pub use video::{Frame, Video, is_video_name};
