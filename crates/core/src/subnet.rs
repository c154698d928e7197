//! Sub-networks: a width, and the size of the input, which is a resolution and a number of frames.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Width};

macro_rules! count {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $reason:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(NonZeroU32);

        impl $name {
            /// Creates the value.
            ///
            /// # Errors
            #[doc = concat!("Fails if the number is 0 or above ", stringify!($max), ".")]
            pub fn new(n: u32) -> Result<Self> {
                NonZeroU32::new(n).filter(|n| n.get() <= $max).map(Self).ok_or(Error::OutOfRange {
                    what: $what,
                    value: f64::from(n),
                    allowed: $reason,
                })
            }

            /// The number.
            pub fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl TryFrom<u32> for $name {
            type Error = Error;

            fn try_from(n: u32) -> Result<Self> {
                Self::new(n)
            }
        }

        impl From<$name> for u32 {
            fn from(n: $name) -> u32 {
                n.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let n = text.parse().map_err(|_| Error::Parse {
                    what: $what,
                    text: text.to_owned(),
                    reason: $reason,
                })?;
                Self::new(n)
            }
        }
    };
}

count!(
    /// The side of the square input, in pixels; of an input that keeps its aspect ratio, the shorter side.
    Resolution, "resolution", 8192, "a whole number of pixels from 1 to 8192"
);
count!(
    /// The number of frames of a clip.
    Frames, "frames", 1024, "a whole number of frames from 1 to 1024"
);

impl Frames {
    /// What an image counts as.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// The frames that a sub-network with this many sees of a clip of `of` frames: frame `i` is number `⌊i·of/n⌋`.
    ///
    /// Fewer frames are further apart and cover the same time.
    pub fn picked_from(self, of: usize) -> impl Iterator<Item = usize> {
        let n = self.get() as usize;
        (0..n).map(move |i| picked_frame(i, [n, of]))
    }

    /// Whether this is [`Self::ONE`], which files leave out.
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }
}

/// The number of the frame that stands at place `i` of the `n` that are picked from a clip of `of` frames; see
/// [`Frames::picked_from`].
pub fn picked_frame(i: usize, [n, of]: [usize; 2]) -> usize {
    i * of / n
}

impl Default for Frames {
    fn default() -> Self {
        Self::ONE
    }
}

/// The size of an input. An image is a clip of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputSize {
    /// Side of the square, or the shorter side, in pixels.
    pub resolution: Resolution,
    /// Frames of the clip.
    #[serde(default, skip_serializing_if = "Frames::is_one")]
    pub frames: Frames,
}

impl InputSize {
    /// The size of an image.
    pub fn image(resolution: Resolution) -> Self {
        Self { resolution, frames: Frames::ONE }
    }
}

/// Formats as `192`, or `192-8` for more than one frame.
impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.resolution.fmt(f)?;
        if self.frames.is_one() { Ok(()) } else { write!(f, "-{}", self.frames) }
    }
}

/// A sub-network: how wide it is and what input it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subnet {
    /// Fraction of the channels.
    pub width: Width,
    /// The size of its input.
    #[serde(flatten)]
    pub input: InputSize,
}

impl Subnet {
    /// A sub-network that reads images.
    pub fn image(width: Width, resolution: Resolution) -> Self {
        Self { width, input: InputSize::image(resolution) }
    }
}

/// Formats as in the papers: `0.75-192`, or `0.75-192-8` for more than one frame.
impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.width, self.input)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split('-');
        let (Some(width), Some(resolution), frames, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::Parse {
                what: "sub-network",
                text: text.to_owned(),
                reason: "expected WIDTH-RESOLUTION such as 0.75-192",
            });
        };
        let input = InputSize {
            resolution: resolution.parse()?,
            frames: frames.map(str::parse).transpose()?.unwrap_or_default(),
        };
        Ok(Self { width: width.parse()?, input })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        for text in ["0.75-192", "1.0-224-8", "0.35-20"] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), text);
        }
        assert_eq!("0.75-192-1".parse::<Subnet>().unwrap().to_string(), "0.75-192", "one frame is an image");
    }

    #[test]
    fn one_frame_is_left_out_of_files() {
        for (text, json) in [
            ("0.75-192", r#"{"width":0.75,"resolution":192}"#),
            ("1.0-224-8", r#"{"width":1.0,"resolution":224,"frames":8}"#),
        ] {
            let subnet: Subnet = text.parse().unwrap();
            assert_eq!(serde_json::to_string(&subnet).unwrap(), json);
            assert_eq!(serde_json::from_str::<Subnet>(json).unwrap(), subnet);
        }
    }

    #[test]
    fn fewer_frames_cover_the_same_time() {
        let picked = |n: u32, of| Frames::new(n).unwrap().picked_from(of).collect::<Vec<_>>();
        assert_eq!(picked(4, 8), [0, 2, 4, 6]);
        assert_eq!(picked(3, 8), [0, 2, 5]);
        assert_eq!(picked(8, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(picked(1, 8), [0]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["0.75", "0.75-0", "0.75-192-8-1", "-192", "0.5-99999"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
