//! COCO's compressed text for the runs of a mask.
//!
//! Every run is written as the difference to the run before the last one (from the fourth on), in groups of 5 bits from
//! the lowest on, each as one character from `0` (48) to `o` (111) whose sixth bit says that more follow.

use super::{Extent, Rle, RleFault};

/// Value of the first character.
const FIRST: u8 = b'0';
/// Bits of a number in one character.
const BITS: u32 = 5;
const DIGIT: u8 = 0x1f;
const SIGN: u8 = 0x10;
const MORE: u8 = 0x20;
/// Characters that the largest difference between two runs needs.
const MAX_CHARACTERS: u32 = 7;

impl Rle {
    /// The runs as COCO's compressed text.
    ///
    /// # Source
    /// `[pycocotools]`, `rleToString`.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (i, &count) in self.counts().iter().enumerate() {
            let before = if i > 2 { self.counts()[i - 2] } else { 0 };
            write(&mut text, i64::from(count) - i64::from(before));
        }
        text
    }

    /// The mask with runs in COCO's compressed text.
    ///
    /// # Errors
    /// The text has a character that does not belong there, ends within a number, or its runs do not cover the mask.
    ///
    /// # Source
    /// `[pycocotools]`, `rleFrString`.
    pub fn from_text(extent: Extent, text: &str) -> Result<Self, RleFault> {
        let mut counts: Vec<u32> = Vec::with_capacity(text.len() / 2 + 1);
        let mut bytes = text.bytes().enumerate();
        while let Some(first) = bytes.next() {
            let number = counts.len();
            let difference = read(first, &mut bytes)?.ok_or(RleFault::Length { number })?;
            let before = if number > 2 { counts[number - 2] } else { 0 };
            let count = u32::try_from(difference + i64::from(before));
            counts.push(count.map_err(|_| RleFault::Length { number })?);
        }
        Self::from_vec(extent, counts)
    }
}

fn write(text: &mut String, mut number: i64) {
    loop {
        let digit = (number & i64::from(DIGIT)) as u8;
        number >>= BITS;
        let is_done = if digit & SIGN != 0 { number == -1 } else { number == 0 };
        text.push(char::from(FIRST + digit + if is_done { 0 } else { MORE }));
        if is_done {
            return;
        }
    }
}

/// The number that begins with a character, or nothing if it is too large.
fn read(first: (usize, u8), rest: &mut impl Iterator<Item = (usize, u8)>) -> Result<Option<i64>, RleFault> {
    let (mut number, mut shift, mut next) = (0, 0, first);
    loop {
        let (at, byte) = next;
        let digit = byte.checked_sub(FIRST).filter(|digit| *digit <= DIGIT | MORE);
        let digit = digit.ok_or(RleFault::Character { at })?;
        number |= i64::from(digit & DIGIT) << shift;
        shift += BITS;
        if digit & MORE == 0 {
            let is_negative = digit & SIGN != 0;
            return Ok(Some(if is_negative { number | -1 << shift } else { number }));
        }
        if shift == MAX_CHARACTERS * BITS {
            return Ok(None);
        }
        next = rest.next().ok_or(RleFault::Unfinished)?;
    }
}
