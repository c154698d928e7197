//! One video file, opened: its index, and its frames by number.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mutualnet_core::FileKind;
use mutualnet_image::{Image, decode};

use crate::avi::{self, Movie};
use crate::{Error, Ffmpeg, FrameIndex, Result, VideoError, folder};

/// Endings of the names of videos.
const ENDINGS: [&str; 12] =
    ["avi", "mp4", "m4v", "mov", "mkv", "webm", "mpg", "mpeg", "ts", "flv", "wmv", "3gp"];

/// Whether a file is taken for a video by the ending of its name.
pub fn is_video_name(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// A video file, or a folder with a picture for each frame.
#[derive(Debug)]
pub struct Video {
    path: PathBuf,
    index: FrameIndex,
    reader: Reader,
}

/// A frame, as a file gives it.
#[derive(Debug)]
pub enum Frame {
    /// An image file of its own, as it is stored in Motion JPEG or in a folder.
    File(Vec<u8>),
    /// A decoded frame, upright.
    Decoded(Image),
}

/// The fewest frames of one call that decodes a stretch of a video.
const STRETCH: usize = 256;

/// How frames are decoded.
#[derive(Debug)]
enum Reader {
    /// Positions and lengths of the JPEGs of all frames.
    MotionJpeg(Vec<(u64, u32)>),
    Ffmpeg(Ffmpeg),
    /// The files of all frames, in the folder.
    Folder(Vec<PathBuf>),
}

impl Video {
    /// Opens a file, or a folder of pictures, and finds out when its frames are shown.
    ///
    /// # Errors
    /// [`Error::Read`]: the file is no video, is damaged, or needs a program that is not installed.
    pub fn open(path: &Path, ffmpeg: &Ffmpeg) -> Result<Self> {
        Self::open_with(path, ffmpeg, |path| ffmpeg.index(path))
    }

    /// As [`Self::open`], with an index from elsewhere, such as [`Ffmpeg::index`], for a file that is not read here.
    ///
    /// # Errors
    /// As [`Self::open`]. The index of another file, or of an older one, gives wrong frames, or none.
    pub fn open_with(
        path: &Path,
        ffmpeg: &Ffmpeg,
        index: impl FnOnce(&Path) -> Result<FrameIndex, VideoError>,
    ) -> Result<Self> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        if path.is_dir() {
            let files = folder::files(path).map_err(read)?;
            let index = folder::index(path, &files).map_err(read)?;
            return Ok(Self { path: path.to_owned(), index, reader: Reader::Folder(files) });
        }
        let opened = match motion_jpeg(path).map_err(read)? {
            Some(Movie { index, frames }) => (index, Reader::MotionJpeg(frames)),
            None => (index(path).map_err(read)?, Reader::Ffmpeg(ffmpeg.clone())),
        };
        let (index, reader) = opened;
        Ok(Self { path: path.to_owned(), index, reader })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of its frames, in order, if it is a folder of pictures.
    pub fn pictures(&self) -> Option<&[PathBuf]> {
        match &self.reader {
            Reader::Folder(files) => Some(files),
            _ => None,
        }
    }

    /// When its frames are shown.
    pub fn index(&self) -> &FrameIndex {
        &self.index
    }

    /// Decodes frames by number, in any order; a number may occur more than once. Pictures are upright.
    ///
    /// # Errors
    /// [`Error::Read`]: there is no such frame, it is damaged, or decoding takes too long.
    pub fn frames(&self, numbers: &[usize]) -> Result<Vec<Image>> {
        self.decode(numbers).map_err(|source| Error::Read { path: self.path.clone(), source })
    }

    /// Reads all frames in order, one at a time, and keeps of each what `map` makes of it.
    ///
    /// It may be called more often than there are frames, if a file has to be read again from its beginning.
    ///
    /// # Errors
    /// [`Error::Read`]: a frame is damaged, or decoding a stretch of a few hundred frames takes too long.
    pub fn map_frames<T>(&self, mut map: impl FnMut(Frame) -> T) -> Result<Vec<T>> {
        let mapped = match &self.reader {
            Reader::MotionJpeg(places) => read_jpegs(&self.path, places, |jpeg| map(Frame::File(jpeg))),
            Reader::Folder(files) => {
                files.iter().map(|file| Ok(map(Frame::File(folder::read(&self.path, file)?)))).collect()
            }
            Reader::Ffmpeg(ffmpeg) => self.index.stretches(STRETCH).into_iter().try_fold(
                Vec::with_capacity(self.index.n_frames()),
                |mut mapped, stretch| {
                    let frames = (&self.index, &[stretch][..]);
                    mapped.extend(ffmpeg.map(&self.path, frames, &mut |image| map(Frame::Decoded(image)))?);
                    Ok(mapped)
                },
            ),
        };
        mapped.map_err(|source| Error::Read { path: self.path.clone(), source })
    }

    fn decode(&self, numbers: &[usize]) -> Result<Vec<Image>, VideoError> {
        let frames = self.index.n_frames();
        if let Some(&number) = numbers.iter().find(|&&number| number >= frames) {
            return Err(VideoError::NoSuchFrame { number, frames });
        }
        let mut ordered = numbers.to_vec();
        ordered.sort_unstable();
        ordered.dedup();
        let images = match &self.reader {
            Reader::MotionJpeg(places) => decode_jpegs(&self.path, places, &ordered)?,
            Reader::Folder(files) => {
                let decode = |&number: &usize| folder::decode(&self.path, &files[number]);
                ordered.iter().map(decode).collect::<Result<_, _>>()?
            }
            Reader::Ffmpeg(ffmpeg) => ffmpeg.frames(&self.path, &self.index, &ordered)?,
        };
        if ordered == numbers {
            return Ok(images);
        }
        let place = |number| ordered.binary_search(number).expect("every number was decoded");
        Ok(numbers.iter().map(|number| images[place(number)].clone()).collect())
    }
}

/// The frames of a file that is Motion JPEG in AVI and can be decoded here.
fn motion_jpeg(path: &Path) -> Result<Option<Movie>, VideoError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(VideoError::NoFile);
    }
    if metadata.len() == 0 {
        return Err(VideoError::Empty);
    }
    let mut file = BufReader::new(File::open(path)?);
    let mut start = Vec::new();
    (&mut file).take(FileKind::START_BYTES as u64).read_to_end(&mut start)?;
    match FileKind::of(&start) {
        // Animations, and formats that are not in the table, are left to ffmpeg.
        FileKind::Video | FileKind::Gif | FileKind::Unknown => {}
        kind => return Err(VideoError::OtherKind { kind }),
    }
    file.rewind()?;
    let Some(mut movie) = avi::read(&mut file)? else { return Ok(None) };
    let first = decode_jpeg(&mut file, movie.frames[0], 0)?;
    // Half of the height: two fields of lines in each frame, which ffmpeg can put together.
    if u64::from(first.height()) * 2 == u64::from(movie.index.size[1]) {
        return Ok(None);
    }
    movie.index.size = [first.width(), first.height()];
    Ok(Some(movie))
}

fn decode_jpegs(path: &Path, places: &[(u64, u32)], numbers: &[usize]) -> Result<Vec<Image>, VideoError> {
    let mut file = BufReader::new(File::open(path)?);
    numbers.iter().map(|&number| decode_jpeg(&mut file, places[number], number)).collect()
}

fn decode_jpeg(file: &mut (impl Read + Seek), place: (u64, u32), number: usize) -> Result<Image, VideoError> {
    let jpeg = read_jpeg(file, place, number)?;
    decode::decode(&avi::with_tables(&jpeg)).map_err(|source| VideoError::Frame { number, source })
}

/// The files of all frames, with the tables that cameras leave out.
fn read_jpegs<T>(
    path: &Path,
    places: &[(u64, u32)],
    mut map: impl FnMut(Vec<u8>) -> T,
) -> Result<Vec<T>, VideoError> {
    let mut file = BufReader::new(File::open(path)?);
    let mut read = |(number, &place): (usize, &(u64, u32))| {
        let jpeg = read_jpeg(&mut file, place, number)?;
        Ok(map(avi::with_tables(&jpeg).into_owned()))
    };
    places.iter().enumerate().map(&mut read).collect()
}

fn read_jpeg(
    file: &mut (impl Read + Seek),
    (start, len): (u64, u32),
    number: usize,
) -> Result<Vec<u8>, VideoError> {
    decode::check_file_size(u64::from(len)).map_err(|source| VideoError::Frame { number, source })?;
    let mut jpeg = vec![0; len as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut jpeg)?;
    Ok(jpeg)
}
