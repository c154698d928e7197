//! The checksum over a whole file, stored inside the file.
//!
//! SHA-256 of the file with the 64 hexadecimal digits of the checksum itself replaced by zeros: every byte counts,
//! whatever program wrote the header, and anyone can compute it with a text replacement.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Placeholder for the checksum while it is computed.
pub(crate) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn digest(file: &[u8], seal: &Range<usize>) -> String {
    let mut hash = Sha256::new();
    hash.update(&file[..seal.start]);
    hash.update(BLANK);
    hash.update(&file[seal.end..]);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where `text` is in the header, if it occurs there exactly once.
fn find(file: &[u8], header: &Range<usize>, text: &str) -> Option<Range<usize>> {
    let mut places =
        file[header.clone()].windows(text.len()).enumerate().filter(|(_, w)| *w == text.as_bytes());
    let (at, _) = places.next()?;
    places.next().is_none().then(|| header.start + at..header.start + at + text.len())
}

/// Compares the content with its checksum.
pub(crate) fn check(file: &[u8], header: &Range<usize>, recorded: &str) -> Result<()> {
    let mismatch = |computed: String| Err(Error::Checksum { recorded: recorded.to_owned(), computed });
    let is_digest = recorded.len() == BLANK.len() && recorded.bytes().all(|b| b.is_ascii_hexdigit());
    let place = if is_digest { find(file, header, recorded) } else { None };
    let Some(place) = place else {
        return mismatch("none that can be compared".to_owned());
    };
    let computed = digest(file, &place);
    if computed == recorded { Ok(()) } else { mismatch(computed) }
}

/// Fills in the checksum of a file that was written with [`BLANK`] for `"sha256"`.
///
/// # Panics
/// The header has no blank checksum.
pub(crate) fn put(file: &mut [u8], header: &Range<usize>) {
    // Quotes inside strings are escaped, so this key occurs once.
    let key = "\"sha256\":\"";
    let place = find(file, header, &format!("{key}{BLANK}\"")).expect("the header has one blank checksum");
    let place = place.start + key.len()..place.end - 1;
    let digest = digest(file, &place);
    file[place].copy_from_slice(digest.as_bytes());
}
