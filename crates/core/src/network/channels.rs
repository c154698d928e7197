//! The number of channels that a layer has at a width.

use serde::{Deserialize, Serialize};

use crate::Width;

/// The multiple of `divisor` nearest to `value`, but at least 1, and one `divisor` more if that is more than 10 % below
/// `value`.
///
/// # Source
/// `[MN-code models/slimmable_ops.py make_divisible]` with its `min_value` of 1.
pub fn make_divisible(value: f64, divisor: u32) -> u32 {
    let divisor_f = f64::from(divisor);
    let rounded = (value + divisor_f / 2.0).floor() as u32 / divisor * divisor;
    let rounded = rounded.max(1);
    if f64::from(rounded) < 0.9 * value { rounded + divisor } else { rounded }
}

/// How many output channels a layer has at a width. They are the first ones of the full network's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRule {
    /// Channels at width 1.
    pub base: u32,
    /// `base × width / ratio` is rounded and then multiplied by `ratio`, so that an expanded layer stays a multiple of the
    /// layer that it expands.
    pub ratio: f64,
    /// Whether the width applies; otherwise there are always `base` channels.
    pub slim: bool,
    /// What the rounded number is a multiple of.
    #[serde(
        default = "ChannelRule::published_divisor",
        skip_serializing_if = "ChannelRule::is_published_divisor"
    )]
    pub divisor: u32,
}

impl ChannelRule {
    /// What numbers of channels are multiples of in the authors' code.
    ///
    /// # Source
    /// `[MN-code models/slimmable_ops.py make_divisible]`.
    pub const DIVISOR: u32 = 8;
    /// The most channels that a layer may have.
    pub const MAX_CHANNELS: u32 = 1 << 16;
    /// The largest divisor that a network may have.
    pub const MAX_DIVISOR: u32 = 64;

    /// A number of channels that follows the width.
    pub fn slim(base: u32) -> Self {
        Self::slim_by(base, 1.0)
    }

    /// A number of channels that follows the width and is rounded before it is multiplied by `ratio`.
    pub fn slim_by(base: u32, ratio: f64) -> Self {
        Self { base, ratio, slim: true, divisor: Self::DIVISOR }
    }

    /// A number of channels that is the same at every width.
    ///
    /// # Panics
    /// Panics if there are more than `u32::MAX` channels.
    pub fn whole(channels: usize) -> Self {
        let base = u32::try_from(channels).expect("channel counts are far below 2^32");
        Self { base, ratio: 1.0, slim: false, divisor: Self::DIVISOR }
    }

    /// The number of channels at `width`.
    ///
    /// # Source
    /// `[MN-code models/slimmable_ops.py USConv2d]`: `int(make_divisible(base * width / ratio) * ratio)`.
    pub fn at(self, width: Width) -> usize {
        if self.slim {
            let divisible =
                make_divisible(f64::from(self.base) * width.fraction() / self.ratio, self.divisor);
            (f64::from(divisible) * self.ratio) as usize
        } else {
            self.base as usize
        }
    }

    /// Checks the limits on what a file may ask for.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let Self { base, ratio, divisor, .. } = self;
        if !(1..=Self::MAX_CHANNELS).contains(base) {
            Err("channels must be 1 to 65536")
        } else if !(1.0 / 64.0..=64.0).contains(ratio) {
            Err("channel ratio must be 1/64 to 64")
        } else if !(1..=Self::MAX_DIVISOR).contains(divisor) {
            Err("channel divisor must be 1 to 64")
        } else {
            Ok(())
        }
    }

    fn published_divisor() -> u32 {
        Self::DIVISOR
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
    fn is_published_divisor(divisor: &u32) -> bool {
        *divisor == Self::DIVISOR
    }
}
