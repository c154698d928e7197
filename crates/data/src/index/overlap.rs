//! Finds test images that are training images as well.
//!
//! Names and sizes are all that indexing knows, so nothing is read here: images are the same if they are the same files, or
//! if every test image has the class, the name and the size of a training image, as in a copied folder.
//! Invariant: images that share a name and a size by chance are not reported, because all of them would have to.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::notice::SameBy;
use super::{Dataset, Notice, SampleRef};
use crate::Place;

/// Fewest test images that count as copies by name and size alone.
const MIN_BY_NAME: usize = 3;

/// Where an image is, whatever links lead there.
type FileId = (PathBuf, OsString, u64);

/// What a copy of an image keeps: its class, its name within the file or folder that was copied, its size, its content.
type CopyId = (u32, OsString, u64, u64);

impl Dataset {
    /// The notice about images of `test` that are in this training split too; both must have the same classes.
    pub fn overlap(&self, test: &Self) -> Option<Notice> {
        let of = test.samples.len();
        let n = n_shared(self, test, &mut FileIds::default());
        if n > 0 {
            return Some(Notice::Overlap { rank: self.rank, n, of, by: SameBy::File });
        }
        // The test split is the smaller one, so it is the one that is kept in memory.
        let mut unmatched: HashSet<CopyId> = test.samples.iter().map(copy_id).collect();
        // Files that are missing have no size, so all of them look alike.
        let are_there = test.samples.iter().any(|sample| sample.place.bytes() > 0);
        let is_large = are_there && unmatched.len() >= MIN_BY_NAME;
        self.samples.iter().for_each(|sample| _ = unmatched.remove(&copy_id(sample)));
        let is_copy = is_large && unmatched.is_empty();
        is_copy.then_some(Notice::Overlap { rank: self.rank, n: of, of, by: SameBy::NameAndSize })
    }

    /// Adds what [`Dataset::overlap`] finds to the notices of the test split.
    #[must_use]
    pub fn noting_overlap(mut self, train: &Self) -> Self {
        self.notices.extend(train.overlap(&self));
        self
    }
}

/// How many test images are the same files as training images.
fn n_shared(train: &Dataset, test: &Dataset, ids: &mut FileIds) -> usize {
    let tested: HashSet<FileId> =
        test.samples.iter().map(|sample| ids.of(&test.dir, &sample.place)).collect();
    let trained = train.samples.iter().map(|sample| ids.of(&train.dir, &sample.place));
    let shared: HashSet<FileId> = trained.filter(|id| tested.contains(id)).collect();
    test.samples.iter().filter(|sample| shared.contains(&ids.of(&test.dir, &sample.place))).count()
}

/// The real paths of folders and files; each is looked up once.
#[derive(Default)]
struct FileIds(HashMap<PathBuf, PathBuf>);

impl FileIds {
    fn of(&mut self, dir: &Path, place: &Place) -> FileId {
        let name = place.name();
        match place {
            // Links to folders are common, links to single images are not worth a look-up each.
            Place::File { .. } => {
                let path = dir.join(&name);
                let folder = self.real(path.parent().unwrap_or(dir));
                (folder, path.file_name().unwrap_or_default().to_owned(), 0)
            }
            Place::Record { file, number } => {
                (self.real(&dir.join(file.path())), OsString::new(), (*number).into())
            }
            Place::Packed(packed) => (self.real(dir), OsString::new(), packed.offset()),
            Place::Member { shard, member } => {
                (self.real(&dir.join(shard.path())), OsString::new(), member.offset())
            }
            Place::Row { table, row } => (self.real(&dir.join(table.path())), OsString::new(), (*row).into()),
        }
    }

    fn real(&mut self, path: &Path) -> PathBuf {
        if let Some(real) = self.0.get(path) {
            return real.clone();
        }
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.0.insert(path.to_owned(), real.clone());
        real
    }
}

fn copy_id(sample: &SampleRef) -> CopyId {
    let file_name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let (name, bytes, content) = match &sample.place {
        Place::File { path, bytes } => (file_name(path), *bytes, 0),
        Place::Record { file, number } => {
            let hash = file.sha256().iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte));
            (OsString::new(), (*number).into(), hash)
        }
        Place::Packed(packed) => (file_name(packed.name()), packed.bytes(), packed.crc32().into()),
        Place::Member { member, .. } => (file_name(member.name()), member.bytes(), 0),
        Place::Row { table, row } => (OsString::new(), table.bytes(), (*row).into()),
    };
    (sample.class(), name, bytes, content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mutualnet_core::network::Rank;

    use super::*;
    use crate::Split;

    fn data(files: &[(&str, usize)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; *bytes]).unwrap();
        }
        dir
    }

    const TRAIN: [(&str, usize); 4] =
        [("train/a/1.jpg", 5), ("train/a/2.jpg", 6), ("train/b/1.jpg", 7), ("train/b/2.jpg", 8)];

    fn overlap(dir: &tempfile::TempDir) -> Option<String> {
        let open = |split| Dataset::open_split(dir.path(), split).unwrap();
        open(Split::Train).overlap(&open(Split::Test)).map(|notice| notice.to_string())
    }

    #[test]
    fn the_same_split_twice_is_told() {
        let dir = data(&TRAIN);
        let train = Dataset::open_split(dir.path(), Split::Train).unwrap();
        let told = train.clone().noting_overlap(&train).notices().to_vec();
        assert_eq!(told, [Notice::Overlap { rank: Rank::Image, n: 4, of: 4, by: SameBy::File }]);
        assert!(told[0].is_warning());
        assert_eq!(
            told[0].to_string(),
            "all 4 images are training images as well; accuracy on them says nothing about new images"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_to_training_folders_are_told() {
        use std::os::unix::fs::symlink;
        let dir = data(&TRAIN);
        symlink("train", dir.path().join("test")).unwrap();
        assert!(overlap(&dir).unwrap().starts_with("all 4 images"));
        let dir = data(&[TRAIN.as_slice(), &[("test/b/9.jpg", 3)]].concat());
        symlink("../train/a", dir.path().join("test/a")).unwrap();
        assert!(overlap(&dir).unwrap().starts_with("2 of 3 images are training images as well; "));
    }

    #[test]
    fn lists_that_share_images_are_told() {
        let dir = data(&[("i/1.jpg", 3), ("i/2.jpg", 3), ("i/3.jpg", 3)]);
        fs::write(dir.path().join("train.txt"), "i/1.jpg 0\ni/2.jpg 1\n").unwrap();
        fs::write(dir.path().join("test.txt"), "./i/2.jpg 1\ni/3.jpg 0\n").unwrap();
        assert!(overlap(&dir).unwrap().starts_with("1 of 2 images"));
    }

    #[test]
    fn a_copy_is_told_and_chance_is_not() {
        let copy = TRAIN.map(|(file, bytes)| (file.replace("train", "test"), bytes));
        let with = |test: &[(String, usize)]| {
            let test: Vec<_> = test.iter().map(|(file, bytes)| (file.as_str(), *bytes)).collect();
            overlap(&data(&[TRAIN.as_slice(), &test].concat()))
        };
        let told = with(&copy).unwrap();
        assert!(told.starts_with("all 4 images are training images as well (same class, name"), "{told}");
        let mut other = copy.clone();
        other[3].1 = 9;
        assert_eq!(with(&other), None);
        // Two images are the same by name and size too easily.
        assert_eq!(with(&[copy[0].clone(), copy[2].clone()]), None);
    }
}
