//! Tar headers: where every file in an archive begins.
//!
//! The `tar` crate parses a header; this file walks from one header to the next, because the crate's own iterator keeps
//! names of any length in memory and does not say where damage begins.
//! Invariant: everything before damage is usable, and the damage is listed with its offset.

use std::fs::File;
use std::io::{self, BufReader, Read};

use tar::{EntryType, Header, PaxExtensions};

use super::{Member, Packing, Scan, clean_name};
use crate::SampleError;

const BLOCK: u64 = 512;
/// Longest name or pax header that is accepted.
const MAX_EXTENSION: u64 = 1 << 20;
/// Most zero blocks between two archives in one file, and at its end.
const MAX_ZEROS: usize = 2048;

/// Reads the headers of a tar file.
pub(super) fn scan(file: File) -> Scan {
    let mut scan = Scan::default();
    let bytes = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(source) => {
            scan.broken.push((Member::rest(0, 0), SampleError::read(source)));
            return scan;
        }
    };
    let mut headers = Headers { file: BufReader::with_capacity(4096, file), position: 0, bytes };
    loop {
        let begin = headers.position;
        match headers.next() {
            Ok(None) => break,
            Ok(Some(Entry::File(member))) if headers.bytes - member.offset < member.bytes => {
                let (there, of) = (headers.bytes - member.offset, member.bytes);
                scan.broken.push((member, damage(format!("ends after {there} of {of} bytes of the file"))));
                break;
            }
            Ok(Some(Entry::File(member))) => scan.members.push(member),
            Ok(Some(Entry::Sparse(member))) => {
                scan.broken.push((member, damage("sparse files are not supported".to_owned())));
            }
            Ok(Some(Entry::Other)) => scan.n_other += 1,
            Ok(Some(Entry::Folder)) => {}
            Err(reason) => {
                scan.broken.push((Member::rest(begin, bytes.saturating_sub(begin)), reason));
                break;
            }
        }
    }
    scan
}

fn damage(reason: String) -> SampleError {
    SampleError::Archive { reason }
}

enum Entry {
    File(Member),
    Sparse(Member),
    Folder,
    Other,
}

/// What extension headers say about the file that follows.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    bytes: Option<u64>,
    is_sparse: bool,
}

struct Headers {
    file: BufReader<File>,
    /// Offset of the next read; never beyond the end, except by the padding of the last file.
    position: u64,
    /// Size of the archive.
    bytes: u64,
}

impl Headers {
    /// The next entry; `None` is the end of the archive.
    fn next(&mut self) -> Result<Option<Entry>, SampleError> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let bytes = header
                .entry_size()
                .map_err(|_| damage(format!("malformed size at byte {}", self.position)))?;
            match header.entry_type() {
                EntryType::GNULongName => extensions.name = Some(until_zero(self.extension(bytes)?)),
                EntryType::GNULongLink => _ = self.extension(bytes)?,
                EntryType::XHeader => self.pax(bytes, &mut extensions)?,
                EntryType::XGlobalHeader => self.skip(bytes)?,
                kind => return self.entry(kind, &header, extensions).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        kind: EntryType,
        header: &Header,
        extensions: Extensions,
    ) -> Result<Entry, SampleError> {
        let bytes = match extensions.bytes {
            Some(bytes) => bytes,
            None => header.entry_size().map_err(SampleError::read)?,
        };
        let name = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let member =
            Member { name: clean_name(&name), offset: self.position, bytes, packing: Packing::Plain };
        // Old archives mark a folder only by its name.
        let is_folder = kind == EntryType::Directory || name.ends_with(b"/");
        match kind {
            _ if is_folder => self.skip(bytes).map(|()| Entry::Folder),
            EntryType::Regular | EntryType::Continuous if !extensions.is_sparse => {
                // A truncated file is reported by its name, so this is not an error yet.
                _ = self.skip(bytes);
                Ok(Entry::File(member))
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.sparse(header, bytes).map(|()| Entry::Sparse(member))
            }
            _ => self.skip(bytes).map(|()| Entry::Other),
        }
    }

    /// Skips a sparse file, whose list of holes may continue in further blocks.
    fn sparse(&mut self, header: &Header, bytes: u64) -> Result<(), SampleError> {
        let mut goes_on = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while goes_on {
            // The flag is the byte after 21 entries of 24 bytes.
            goes_on = self.block()?.is_some_and(|block| block[504] == 1);
        }
        self.skip(bytes)
    }

    /// The next header that is not all zeros.
    fn header(&mut self) -> Result<Option<Header>, SampleError> {
        for n_zeros in 0..MAX_ZEROS {
            let begin = self.position;
            match self.block()? {
                Some(block) if block.iter().all(|&byte| byte == 0) => {}
                Some(block) => return checked(&block, begin).map(Some),
                None if n_zeros == 0 => {
                    return Err(damage("no end marker, so the rest may be missing".to_owned()));
                }
                None => break,
            }
        }
        Ok(None)
    }

    /// The next block, if there is one.
    fn block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, SampleError> {
        let mut block = [0; BLOCK as usize];
        if self.position >= self.bytes {
            return Ok(None);
        }
        self.file.read_exact(&mut block).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => damage("ends within a header".to_owned()),
            _ => SampleError::read(source),
        })?;
        self.position += BLOCK;
        Ok(Some(block))
    }

    /// Content of a header that extends the next one.
    fn extension(&mut self, bytes: u64) -> Result<Vec<u8>, SampleError> {
        if bytes > MAX_EXTENSION {
            return Err(damage(format!("a header of {bytes} bytes is too long")));
        }
        let mut content = vec![0; bytes as usize];
        self.file.read_exact(&mut content).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => damage("ends within a header".to_owned()),
            _ => SampleError::read(source),
        })?;
        let padding = bytes.next_multiple_of(BLOCK) - bytes;
        self.file.seek_relative(padding as i64).map_err(SampleError::read)?;
        self.position += bytes + padding;
        Ok(content)
    }

    fn pax(&mut self, bytes: u64, extensions: &mut Extensions) -> Result<(), SampleError> {
        let content = self.extension(bytes)?;
        for pair in PaxExtensions::new(&content) {
            let pair = pair.map_err(|_| damage("a malformed pax header".to_owned()))?;
            match pair.key_bytes() {
                b"path" => extensions.name = Some(pair.value_bytes().to_vec()),
                b"size" => {
                    let text = String::from_utf8_lossy(pair.value_bytes());
                    let bytes = text.parse().map_err(|_| damage("a malformed pax header".to_owned()))?;
                    extensions.bytes = Some(bytes);
                }
                key => extensions.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }

    /// Skips the content of a file.
    fn skip(&mut self, bytes: u64) -> Result<(), SampleError> {
        if bytes > self.bytes.saturating_sub(self.position) {
            return Err(damage(format!("ends within {bytes} bytes at byte {}", self.position)));
        }
        let padded = bytes.next_multiple_of(BLOCK);
        self.file.seek_relative(padded as i64).map_err(SampleError::read)?;
        self.position += padded;
        Ok(())
    }
}

/// A block as a header, if its checksum is right.
fn checked(block: &[u8; BLOCK as usize], begin: u64) -> Result<Header, SampleError> {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    // The checksum counts itself as eight spaces.
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let own: u32 = block[148..156].iter().map(|&byte| u32::from(byte)).sum();
    match header.cksum() {
        Ok(expected) if expected == sum - own + 8 * u32::from(b' ') => Ok(header),
        _ => Err(damage(format!("no valid header at byte {begin}"))),
    }
}

fn until_zero(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
    name
}

#[cfg(test)]
pub(crate) mod tests;
