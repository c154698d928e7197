//! Parts of an Arrow file: bytes, what is said of a message, the footer.
//!
//! Separate because only this file reads, and so is the one that must not read too much.
//! Invariant: every part lies in the file, or it is an error before memory is taken for it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use arrow_ipc::{Footer, Message, root_as_footer, root_as_message};

use super::damage;
use crate::DecodeError;
use crate::decode::open_file;

/// Most bytes that say what a message or a file holds; names of classes are among them.
const MAX_METADATA_BYTES: u64 = 1 << 26;

/// What a file with a footer begins and ends with.
const MAGIC: &[u8] = b"ARROW1";

/// A file and its size when it was opened.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    bytes: u64,
}

/// What is said of a message, and where its body begins.
#[derive(Debug)]
pub(super) struct Metadata {
    content: Vec<u8>,
    body: u64,
}

/// What is said of a file, and where that begins.
#[derive(Debug)]
pub(super) struct FooterBytes {
    content: Vec<u8>,
    pub(super) begin: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, DecodeError> {
        let file = open_file(path)?;
        let bytes = file.metadata().map_err(|source| DecodeError::Read { source })?.len();
        Ok(Self { file, bytes })
    }

    /// Size of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All the bytes of a range.
    pub(super) fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, DecodeError> {
        let cut = || damage(format!("it ends after {} bytes, before what it names", self.bytes));
        if range.end > self.bytes {
            return Err(cut());
        }
        let n = range.end.saturating_sub(range.start);
        let mut content = Vec::new();
        let read = |source| DecodeError::Read { source };
        self.file.seek(SeekFrom::Start(range.start)).map_err(read)?;
        (&self.file).take(n).read_to_end(&mut content).map_err(read)?;
        if content.len() as u64 == n { Ok(content) } else { Err(cut()) }
    }

    /// What is said of the message that begins at an offset; nothing if it is an end mark.
    pub(super) fn metadata(&mut self, at: u64) -> Result<Option<Metadata>, DecodeError> {
        let begin = at.saturating_add(8);
        let prefix = self.read(at..begin)?;
        let (mark, bytes) = prefix.split_at(4);
        if mark != [0xff; 4] {
            return Err(damage(format!("no message begins at byte {at}")));
        }
        let bytes = size(bytes)?;
        if bytes == 0 {
            return Ok(None);
        }
        let body = begin + bytes;
        Ok(Some(Metadata { content: self.read(begin..body)?, body }))
    }

    /// What the file says of itself at its end.
    pub(super) fn footer(&mut self) -> Result<FooterBytes, DecodeError> {
        let cut = || damage("it does not end with a footer: cut short");
        let end = self.bytes.checked_sub(10).ok_or_else(cut)?;
        let suffix = self.read(end..self.bytes)?;
        let (bytes, magic) = suffix.split_at(4);
        if magic != MAGIC {
            return Err(cut());
        }
        let begin = end.checked_sub(size(bytes)?).ok_or_else(|| damage("its footer is larger than it"))?;
        Ok(FooterBytes { content: self.read(begin..end)?, begin })
    }
}

/// A size that is said in four bytes.
fn size(bytes: &[u8]) -> Result<u64, DecodeError> {
    let bytes = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if bytes > MAX_METADATA_BYTES {
        let limit = MAX_METADATA_BYTES;
        return Err(damage(format!("{bytes} bytes of description are more than the limit of {limit}")));
    }
    Ok(bytes)
}

impl Metadata {
    pub(super) fn message(&self) -> Result<Message<'_>, DecodeError> {
        root_as_message(&self.content).map_err(|_| damage("the description of a message is damaged"))
    }

    /// Where the body of the message lies, which does not go beyond an end.
    pub(super) fn body(&self, message: Message<'_>, end: u64) -> Result<Range<u64>, DecodeError> {
        let bytes = u64::try_from(message.bodyLength()).ok();
        match bytes.and_then(|bytes| self.body.checked_add(bytes)) {
            Some(body_end) if body_end <= end => Ok(self.body..body_end),
            _ => Err(damage("a message goes beyond the end: cut short")),
        }
    }
}

impl FooterBytes {
    pub(super) fn parse(&self) -> Result<Footer<'_>, DecodeError> {
        root_as_footer(&self.content).map_err(|_| damage("its footer is damaged"))
    }
}
