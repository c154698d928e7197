//! Motion JPEG in AVI: every frame is a JPEG of its own, so nothing but a JPEG decoder is needed.
//!
//! Separate because these files are read without any other program.
//! Sources: Microsoft, *AVI RIFF File Reference*; Matrox, *OpenDML AVI File Format Extensions* 1.02.

mod huffman;
mod read;
mod riff;
mod write;

pub(crate) use huffman::with_tables;
pub(crate) use read::{Movie, read};
pub use write::AviWriter;

#[cfg(test)]
mod tests;
