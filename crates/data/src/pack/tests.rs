//! Packed against unpacked, and hostile files.

use std::fs;
use std::path::Path;

use mutualnet_image::{Image, encode_jpeg, encode_png};

use super::*;
use crate::check::{check, write_quarantine};
use crate::{Dataset, Place, Progress, Split};
use mutualnet_image::decode::decode;

fn picture(width: u32, height: u32, first: u8) -> Image {
    let pixels = (0..3 * width * height).map(|i| first.wrapping_add((i / 5) as u8)).collect();
    Image::new(width, height, pixels)
}

/// Two classes in two splits, JPEG and PNG, one file broken.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("train/cat/1.jpg", &encode_jpeg(&picture(60, 40, 1), 90));
    write("train/cat/2.png", &encode_png(&picture(33, 70, 2)));
    write("train/dog/1.jpg", &encode_jpeg(&picture(20, 20, 3), 90));
    write("train/dog/2.jpg", b"broken");
    write("test/cat/9.png", &encode_png(&picture(5, 7, 4)));
    write("test/dog/9.jpg", &encode_jpeg(&picture(90, 30, 5), 90));
    dir
}

fn packed(dir: &Path, options: &PackOptions) -> (PathBuf, PackReport) {
    let out = dir.join("out.mnpack");
    let progress = Progress::default();
    let report = pack(dir, &out, options, &progress).unwrap();
    assert_eq!((progress.done(), progress.total()), (6, 6));
    (out, report)
}

const JPEG: PackOptions =
    PackOptions { splits: Vec::new(), rank: Rank::Image, limit: None, store: Store::Jpeg, quality: 90 };

#[test]
fn what_is_packed_is_what_comes_out() {
    let dir = folder();
    for store in [Store::Jpeg, Store::Raw] {
        let (out, report) = packed(dir.path(), &PackOptions { store, ..JPEG });
        assert_eq!((report.n_samples, report.bytes), (5, fs::metadata(&out).unwrap().len()));
        assert_eq!(report.broken[0].path, Path::new("train/dog/2.jpg"));
        assert_eq!(Split::held_out(&out).unwrap(), Split::Test);
        for split in [Split::Train, Split::Test] {
            let (of_pack, of_folder) =
                (Dataset::open_split(&out, split).unwrap(), Dataset::open_split(dir.path(), split).unwrap());
            assert_eq!(of_pack.classes(), of_folder.classes());
            let usable = of_folder.samples().iter().filter(|s| s.place.name() != Path::new("dog/2.jpg"));
            for (i, sample) in usable.enumerate() {
                let name = Path::new(split.folder()).join(sample.place.name());
                assert_eq!(
                    (of_pack.samples()[i].place.name(), of_pack.samples()[i].class()),
                    (name, sample.class())
                );
                assert_eq!(of_pack.image(i).unwrap(), sample.place.read(of_folder.dir()).unwrap());
            }
        }
        assert!(!dir.path().join("out.mnpack.partial").exists());
    }
    let missing = Dataset::open_split(&dir.path().join("out.mnpack"), Split::Val).unwrap_err();
    assert!(
        missing.to_string().starts_with("no split `val` in ")
            && missing.to_string().ends_with("which has train, test"),
        "{missing}"
    );
}

#[test]
fn what_is_left_out_is_counted() {
    let dir = folder();
    for name in
        ["train/cat/3.bmp", "train/dog/3.BMP", "test/cat/notes.txt", "valid/cat/1.jpg", "train/cat/._1.jpg"]
    {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), "x").unwrap();
    }
    fs::write(dir.path().join("quarantine.tsv"), "test/dog/9.jpg\n").unwrap();
    let report = pack(dir.path(), &dir.path().join("a.mnpack"), &JPEG, &Progress::default()).unwrap();
    assert_eq!((report.n_samples, report.broken.len(), report.quarantined), (4, 1, 1));
    assert_eq!(report.others.to_string(), "2 .bmp and 1 .txt");
    assert_eq!(report.other_splits, ["valid"]);
}

#[test]
fn large_images_become_smaller_files() {
    let dir = folder();
    let (out, _) = packed(dir.path(), &PackOptions { limit: Some(SideLimit::Longer(45)), ..JPEG });
    let train = Dataset::open_split(&out, Split::Train).unwrap();
    let sizes: Vec<_> = (0..3).map(|i| train.image(i).unwrap()).map(|i| (i.width(), i.height())).collect();
    assert_eq!(sizes, [(45, 30), (21, 45), (20, 20)]);
    let mut first = Vec::new();
    let Place::Packed(packed) = &train.samples()[0].place else { panic!("not packed") };
    packed.open(&out, &mut first, &mut Vec::new()).unwrap();
    assert!(first.starts_with(&[0xff, 0xd8]) && decode(&first).is_ok());
}

#[test]
fn a_changed_byte_is_noticed() {
    let dir = folder();
    let (out, _) = packed(dir.path(), &JPEG);
    let whole = fs::read(&out).unwrap();
    let hash = Dataset::open_split(&out, Split::Train).unwrap().hash();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&out, &damaged).unwrap();
        let intact = [Split::Train, Split::Test].into_iter().all(|split| {
            Dataset::open_split(&out, split)
                .is_ok_and(|set| (0..set.samples().len()).all(|i| set.image(i).is_ok()))
        });
        // Four bytes of the header mean nothing.
        assert!(!intact || (28..32).contains(&at), "{at}");
    }
    for cut in (0..whole.len()).step_by(11) {
        fs::write(&out, &whole[..cut]).unwrap();
        let error = Dataset::open_split(&out, Split::Train).unwrap_err();
        assert!(error.to_string().starts_with("not a complete packed data set: "), "{error}");
        assert!(error.hint().unwrap().contains("data pack"));
    }
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    fs::write(&out, &damaged).unwrap();
    let report = check(&out).unwrap();
    let broken: Vec<String> = report.broken.iter().map(ToString::to_string).collect();
    assert_eq!(
        broken,
        ["train/cat/1.jpg: the checksum does not match: the image has changed since it was packed"]
    );
    write_quarantine(&out, &report).unwrap();
    assert_eq!(Dataset::open_split(&out, Split::Train).unwrap().samples().len(), 2);
    write_quarantine(&out, &crate::check::CheckReport { broken: Vec::new(), ..report }).unwrap();
    fs::write(&out, &whole).unwrap();
    assert_eq!(Dataset::open_split(&out, Split::Train).unwrap().hash(), hash);
}

#[test]
fn the_shorter_side_can_be_limited() {
    let dir = folder();
    let (out, _) = packed(dir.path(), &PackOptions { limit: Some(SideLimit::Shorter(20)), ..JPEG });
    let train = Dataset::open_split(&out, Split::Train).unwrap();
    let sizes: Vec<_> = (0..3).map(|i| train.image(i).unwrap()).map(|i| (i.width(), i.height())).collect();
    assert_eq!(sizes, [(30, 20), (20, 42), (20, 20)]);
}

/// The only file of a packed data set in version 1, as it was written then.
fn version_1(rank: &str) -> Vec<u8> {
    let png = encode_png(&picture(3, 2, 7));
    let summary = format!(r#"{{{rank}"classes":["cat"],"splits":["train"],"store":"jpeg","max_side":null}}"#);
    let mut index = (summary.len() as u32).to_le_bytes().to_vec();
    index.extend(summary.as_bytes());
    index.extend(1_u64.to_le_bytes());
    index.extend(32_u64.to_le_bytes());
    let name = "train/cat/1.png";
    for value in [png.len() as u32, crc32fast::hash(&png), 0, 0, 0, 0, name.len() as u32] {
        index.extend(value.to_le_bytes());
    }
    index.extend(name.as_bytes());
    let mut file = b"mnpack\0\x01".to_vec();
    file.extend((32 + png.len() as u64).to_le_bytes());
    file.extend((index.len() as u64).to_le_bytes());
    file.extend(crc32fast::hash(&index).to_le_bytes());
    file.extend([0; 4]);
    [file, png, index].concat()
}

#[test]
fn version_1_is_read_and_unknown_versions_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.mnpack");
    fs::write(&path, version_1("")).unwrap();
    let train = Dataset::open_split(&path, Split::Train).unwrap();
    assert_eq!(train.image(0).unwrap(), picture(3, 2, 7));
    fs::write(&path, version_1(r#""rank":"clip","#)).unwrap();
    let error = Dataset::open_for(mutualnet_core::Task::Classify, Rank::Clip, &path, "train").unwrap_err();
    assert!(error.to_string().starts_with("not a complete packed data set"), "{error}");
    let mut newer = version_1("");
    newer[7] = VERSION + 1;
    fs::write(&path, newer).unwrap();
    let error = Dataset::open_split(&path, Split::Train).unwrap_err();
    assert!(error.to_string().contains("another version of the format"), "{error}");
}

#[test]
fn an_index_that_lies_is_refused() {
    let record = |offset, bytes, width, height| Record { offset, bytes, crc32: 0, width, height };
    for (record, fits) in [
        (record(32, 10, 0, 0), true),
        (record(90, 10, 0, 0), true),
        (record(91, 10, 0, 0), false),
        (record(31, 10, 0, 0), false),
        (record(u64::MAX, 10, 0, 0), false),
        (record(32, 12, 2, 2), true),
        (record(32, 13, 2, 2), false),
        (record(32, 0, 0, 7), false),
        (record(32, 12, u32::MAX, u32::MAX), false),
    ] {
        assert_eq!(record.fits(100), fits, "{record:?}");
    }
}

#[test]
fn splits_of_the_usual_names_are_packed_or_those_that_are_named() {
    let dir = folder();
    let pack_as = |name: &str, splits: &[&str]| {
        let splits = splits.iter().map(|&split| split.to_owned()).collect();
        pack(dir.path(), &dir.path().join(name), &PackOptions { splits, ..JPEG }, &Progress::default())
    };
    fs::rename(dir.path().join("test"), dir.path().join("validation")).unwrap();
    let split = |name: &str, n: usize| (name.to_owned(), n);
    assert_eq!(pack_as("a.mnpack", &[]).unwrap().splits, [split("train", 3), split("validation", 2)]);
    assert_eq!(pack_as("b.mnpack", &["validation"]).unwrap().splits, [split("validation", 2)]);
    let validation = Dataset::open_named(&dir.path().join("b.mnpack"), "validation").unwrap();
    assert_eq!(validation.samples().len(), 2);
    assert!(matches!(pack_as("c.mnpack", &["test"]), Err(Error::NoSplit { .. })));
    assert!(matches!(pack_as("c.bin", &[]), Err(Error::PackName { .. })));
    assert!(!dir.path().join("c.bin.partial").exists());
}

#[test]
fn masks_are_not_lost_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("scenes");
    let spec = crate::scenes::ScenesSpec { seed: 1, train: 1, test: 1, side: 64, min_object: 16 };
    crate::scenes::generate(&root, &spec).unwrap();
    let out = dir.path().join("scenes.mnpack");
    let error = pack(&root, &out, &JPEG, &Progress::default()).unwrap_err();
    assert!(matches!(error, Error::PackMasks { .. }), "{error}");
    assert!(!out.exists());
}

mod clips;
