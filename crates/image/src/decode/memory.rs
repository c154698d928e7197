//! How much memory one image may take while it is decoded, and the environment variable that changes the limit.
//!
//! Separate because every format estimates its own need, and all of them are refused alike.
//! Invariant: memory that grows with the size of an image is checked here before it is allocated.

use std::env;
use std::sync::LazyLock;

use crate::{DecodeError, Error, Result};

/// Environment variable that changes the limit: a number of MiB.
pub const MEMORY_VARIABLE: &str = "MUTUALNET_MAX_IMAGE_MIB";

/// The limit without the variable: 179 megapixels of RGB, the size above which Pillow refuses an image, too.
const DEFAULT_MIB: u64 = 512;

const MIB: u64 = 1 << 20;

/// The limit in MiB, or the value of the variable if that is not a number of MiB.
static LIMIT: LazyLock<Result<u64, String>> = LazyLock::new(|| match env::var_os(MEMORY_VARIABLE) {
    None => Ok(DEFAULT_MIB),
    Some(value) => parse(&value.to_string_lossy()),
});

fn parse(value: &str) -> Result<u64, String> {
    // More would overflow when it is counted in bytes.
    let usable = |mib: &u64| (1..=u64::MAX / MIB).contains(mib);
    value.trim().parse().ok().filter(usable).ok_or_else(|| format!("`{}`", value.escape_debug()))
}

/// Checks the environment variable before many images are decoded, so that a typo does not make all of them broken.
pub fn check_variable() -> Result<()> {
    let reason = |value: &String| format!("{value} is not a whole number of MiB, such as {DEFAULT_MIB}");
    LIMIT.as_ref().map_err(|value| Error::Setting { setting: MEMORY_VARIABLE, reason: reason(value) })?;
    Ok(())
}

/// The limit in bytes.
pub(super) fn limit() -> Result<u64, DecodeError> {
    match &*LIMIT {
        Ok(mib) => Ok(mib * MIB),
        Err(value) => Err(DecodeError::MemoryVariable { value: value.clone() }),
    }
}

/// Refuses an image that takes more memory than the limit.
///
/// Every pixel counts as half a byte at least: a JPEG that is scaled down while it is decoded takes little memory, but
/// the time grows with its pixels.
///
/// # Errors
/// [`DecodeError::TooLarge`], or [`DecodeError::MemoryVariable`] when [`MEMORY_VARIABLE`] is not a number.
pub fn check([width, height]: [u32; 2], bytes: u64) -> Result<(), DecodeError> {
    let limit = limit()?;
    let bytes = bytes.max(u64::from(width) * u64::from(height) / 2);
    if bytes > limit {
        return Err(DecodeError::TooLarge {
            width,
            height,
            mib: bytes.div_ceil(MIB),
            limit_mib: limit / MIB,
        });
    }
    Ok(())
}

/// Refuses a file that is larger than the limit before memory is taken for it.
pub fn check_file_size(bytes: u64) -> Result<(), DecodeError> {
    let limit = limit()?;
    if bytes > limit {
        return Err(DecodeError::FileTooLarge { mib: bytes.div_ceil(MIB), limit_mib: limit / MIB });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_number_of_mib() {
        assert_eq!(parse("2000"), Ok(2000));
        assert_eq!(parse(" 1 "), Ok(1));
        for wrong in ["", "0", "-1", "1.5", "2 GB", "99999999999999999999", "17592186044416", "\x1b[2J"] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.contains('\x1b'), "{error}");
        }
    }

    #[test]
    fn what_takes_too_much_is_refused_with_its_need_and_the_limit() {
        assert!(check([16_000, 12_000], 512 << 20).is_ok());
        let error = check([16_320, 12_240], 3 * 16_320 * 12_240).unwrap_err();
        assert_eq!(
            error.to_string(),
            "16320x12240 pixels take 572 MiB to decode, more than the limit of 512 MiB (MUTUALNET_MAX_IMAGE_MIB raises it)"
        );
        // Gigapixels, however little memory they take.
        assert!(check([32_768, 32_768], 1).is_ok());
        assert!(check([65_000, 65_000], 1).is_err());
        assert!(check([u32::MAX; 2], u64::MAX).is_err());
        assert!(check_file_size(512 << 20).is_ok());
        let error = check_file_size((512 << 20) + 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the file is 513 MiB, more than the limit of 512 MiB (MUTUALNET_MAX_IMAGE_MIB raises it)"
        );
    }
}
