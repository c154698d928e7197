//! A file beside the videos of a data set that keeps when their frames are shown, so that no start but the first asks
//! `ffprobe` about every one of them.
//!
//! Separate from the loader because several programs may add to it, and because it may be damaged, old, or anything.
//! Invariants: an entry counts only for a file of the same name, size and time of change; nothing that is wrong with the
//! cache is an error, since a video says the same again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;
use std::{env, fmt};

use mutualnet_video::{Ffmpeg, FrameIndex, VideoError};
use sha2::{Digest, Sha256};

use crate::Notice;
use crate::text_file::os_string;

/// Name of the cache in the directory of a split's videos.
pub(crate) const FILE: &str = ".mutualnet-frames";
/// First bytes of the file; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"mnframe\x01";
/// Length and CRC-32 of an entry.
const HEAD_BYTES: usize = 8;

/// What a file was when its frames were looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970, negative before.
    modified: i64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified()?;
        let nanoseconds = match modified.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |time| -time),
        };
        Ok(Self { bytes: metadata.len(), modified: nanoseconds })
    }
}

/// Indices by path relative to the directory; as bytes, which are few, because most frame rates are constant.
type Known = HashMap<PathBuf, (Stamp, Box<[u8]>)>;

/// When the frames of the videos of a split are shown, as far as it is known.
#[derive(Default)]
pub(crate) struct FrameCache {
    known: Mutex<Known>,
    /// The files that may be added to, the best one first.
    files: Vec<Kept>,
}

impl fmt::Debug for FrameCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCache").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A file of the cache.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// Its length, and how much of that can be read, if these differ.
    damage: Mutex<Option<(u64, u64)>>,
}

impl FrameCache {
    /// The cache of a directory, with what is odd about it. Where the directory cannot be written, the user's cache
    /// directory holds the file.
    pub(crate) fn open(dir: &Path) -> (Self, Vec<Notice>) {
        Self::open_files([Some(dir.join(FILE)), in_user_cache(dir)])
    }

    fn open_files(paths: [Option<PathBuf>; 2]) -> (Self, Vec<Notice>) {
        let (mut cache, mut notices) = (Self::default(), Vec::new());
        for path in paths.into_iter().flatten() {
            match read(&path) {
                Ok(Content { entries, damage }) => {
                    if damage.is_some() {
                        notices.push(Notice::FramesDamaged { path: path.clone(), kept: entries.len() });
                    }
                    let known = cache.known.get_mut().unwrap_or_else(PoisonError::into_inner);
                    known.extend(
                        entries.into_iter().map(|Entry { name, stamp, index }| (name, (stamp, index))),
                    );
                    cache.files.push(Kept { path, damage: Mutex::new(damage) });
                }
                Err(reason) => notices.push(Notice::FramesIgnored { path, reason: reason.to_string() }),
            }
        }
        (cache, notices)
    }

    /// When the frames of a video are shown: as the cache knows it, or as `ffprobe` says it, which is then added.
    pub(crate) fn index(&self, name: &Path, path: &Path, ffmpeg: &Ffmpeg) -> Result<FrameIndex, VideoError> {
        let stamp = Stamp::of(path)?;
        if let Some(index) = self.known_index(name, stamp) {
            return Ok(index);
        }
        let index = ffmpeg.index(path)?;
        let entry = Entry { name: name.to_owned(), stamp, index: index.to_bytes().into() };
        self.add(entry);
        Ok(index)
    }

    fn known_index(&self, name: &Path, stamp: Stamp) -> Option<FrameIndex> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, index) = known.get(name)?;
        if *of == stamp { FrameIndex::from_bytes(index) } else { None }
    }

    fn add(&self, entry: Entry) {
        let bytes = entry.bytes();
        // The next start finds out again what nobody can keep.
        let _ = self.files.iter().find(|file| file.append(&bytes).is_ok());
        let Entry { name, stamp, index } = entry;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name, (stamp, index));
    }
}

impl Kept {
    /// Adds an entry at the end; other programs may do so at the same time.
    fn append(&self, entry: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        // Until the file is closed.
        file.lock()?;
        let len = file.metadata()?.len();
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner).take();
        match damage {
            // Another program may have mended it meanwhile.
            Some((before, usable)) if before == len => file.set_len(usable)?,
            _ => {}
        }
        if file.metadata()?.len() == 0 {
            file.write_all(&MAGIC)?;
        }
        file.write_all(entry)
    }
}

/// The file for a directory that cannot be written: named by a hash of its path.
fn in_user_cache(dir: &Path) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    let dir = dir.canonicalize().ok()?;
    let hash = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let digits: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(caches.join("mutualnet").join(format!("frames-{digits}")))
}

/// What is known about one video.
struct Entry {
    name: PathBuf,
    stamp: Stamp,
    index: Box<[u8]>,
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        let name = self.name.as_os_str().as_encoded_bytes();
        let mut bytes = vec![0; HEAD_BYTES];
        bytes.extend(self.stamp.bytes.to_le_bytes());
        bytes.extend(self.stamp.modified.to_le_bytes());
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(name);
        bytes.extend(&self.index);
        let (len, crc32) = ((bytes.len() - HEAD_BYTES) as u32, crc32fast::hash(&bytes[HEAD_BYTES..]));
        bytes[..HEAD_BYTES].copy_from_slice(&[len, crc32].map(u32::to_le_bytes).concat());
        bytes
    }

    /// Reads an entry from the front of a file; nothing if it is damaged or cut short.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [len, crc32] =
            [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let (entry, rest) = rest.split_at_checked(len as usize)?;
        if crc32fast::hash(entry) != crc32 {
            return None;
        }
        let (size, entry) = entry.split_first_chunk()?;
        let (modified, entry) = entry.split_first_chunk()?;
        let (name_bytes, entry) = entry.split_first_chunk()?;
        let (name, index) = entry.split_at_checked(u32::from_le_bytes(*name_bytes) as usize)?;
        let stamp = Stamp { bytes: u64::from_le_bytes(*size), modified: i64::from_le_bytes(*modified) };
        *bytes = rest;
        Some(Self { name: PathBuf::from(os_string(name.to_vec())), stamp, index: index.into() })
    }
}

/// What a file of the cache holds.
#[derive(Default)]
struct Content {
    entries: Vec<Entry>,
    /// Length of the file, and of what comes before the damage.
    damage: Option<(u64, u64)>,
}

/// Reads a file of the cache; there is nothing in one that does not exist.
fn read(path: &Path) -> io::Result<Content> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut start = Vec::new();
    (&file).take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start.is_empty() {
        return Ok(Content::default());
    }
    if start != MAGIC {
        return Err(io::Error::other("another version of the format, or another kind of file"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (mut rest, mut entries) = (bytes.as_slice(), Vec::new());
    while let Some(entry) = Entry::take(&mut rest) {
        entries.push(entry);
    }
    let len = (MAGIC.len() + bytes.len()) as u64;
    let damage = (!rest.is_empty()).then(|| (len, len - rest.len() as u64));
    Ok(Content { entries, damage })
}

#[cfg(test)]
mod tests;
