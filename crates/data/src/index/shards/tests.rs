//! Tar and zip shards: the same as folders, labelled in both ways, damaged, in every place.

use std::fs;

use mutualnet_core::network::Rank;

use crate::index::fixture::{CLASSES, batches, folder, images, quarantined, samples};
use crate::shard::tar_tests::tar;
use crate::shard::zip_tests::{Method, zip};
use crate::{Dataset, Error, Notice, Split};

/// Files in a data set's directory.
pub(crate) fn data(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// What is said about files that are not images.
fn ignored(dataset: &Dataset) -> Vec<String> {
    let is_ignored = |notice: &&Notice| matches!(notice, Notice::Ignored { .. });
    dataset.notices().iter().filter(is_ignored).map(ToString::to_string).collect()
}

fn train(dir: &tempfile::TempDir) -> crate::Result<Dataset> {
    Dataset::open_split(dir.path(), Split::Train)
}

/// A tar file of files that own their names.
fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    tar(&files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect::<Vec<_>>())
}

#[test]
fn folders_in_a_shard_are_an_image_folder() {
    let (_dir, expected) = folder();
    let files: Vec<_> = images().into_iter().rev().map(|(name, _, bytes)| (name, bytes)).collect();
    let below: Vec<_> =
        files.iter().map(|(name, bytes)| (format!("./train/{name}"), bytes.clone())).collect();
    let refs: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    for dir in [
        data(&[("train.zip", zip(&refs, Method::Stored))]),
        data(&[("train/0.ZIP", zip(&refs[6..], Method::Deflated)), ("train/1.tar", tar(&refs[..6]))]),
        data(&[("train.tar", tar_of(&files))]),
        data(&[("train.tar", tar_of(&below))]),
        data(&[("train/shard-000000.tar", tar_of(&files))]),
        data(&[("train-a.tar", tar_of(&files)), ("train-b.tar", tar_of(&[]))]),
    ] {
        let dataset = train(&dir).unwrap();
        assert_eq!(dataset.classes(), expected.classes());
        assert!(batches(&dataset) == batches(&expected));
        assert!(dataset.notices().is_empty());
        assert_eq!(quarantined(dir.path()), [""; 0]);
    }
}

#[test]
fn labels_beside_images_are_numbers_or_names() {
    let (_dir, expected) = folder();
    let sample = |i: usize, class: usize, bytes: &[u8], label: &str| {
        // Sorted like the folder's; what no one knows is ignored.
        let key = format!("{class}{i:03}");
        let image = if i.is_multiple_of(2) { "jpg" } else { "png" };
        vec![
            (format!("{key}.cls"), label.as_bytes().to_vec()),
            (format!("{key}.json"), b"{}".to_vec()),
            (format!("{key}.mask.png"), b"mask".to_vec()),
            (format!("{key}.{image}"), bytes.to_vec()),
        ]
    };
    let shards = |label: &dyn Fn(usize) -> String| {
        let shard = |odd: usize| {
            let images = images().into_iter().enumerate().filter(|(i, _)| usize::from(*i > 6) == odd);
            tar_of(
                &images
                    .flat_map(|(i, (_, class, bytes))| sample(i, class, &bytes, &label(class)))
                    .collect::<Vec<_>>(),
            )
        };
        // The second half of the images in the first shard would be another order within the class.
        data(&[("train/0.tar", shard(0)), ("train/1.tar", shard(1))])
    };
    let names = shards(&|class| format!("{}\n", CLASSES[class]));
    let numbers = shards(&|class| class.to_string());
    assert_eq!(train(&numbers).unwrap().classes(), ["0", "1", "2"]);
    assert_ne!(train(&names).unwrap().hash(), train(&numbers).unwrap().hash());
    fs::write(numbers.path().join("classes.txt"), CLASSES.join("\n")).unwrap();
    for dir in [names, numbers] {
        let dataset = train(&dir).unwrap();
        assert_eq!(dataset.classes(), CLASSES);
        assert!(batches(&dataset) == batches(&expected));
        assert_eq!(
            ignored(&dataset),
            ["ignored files that are not JPEG, PNG or WebP: 13 .json and 13 .mask.png"]
        );
        assert_eq!(dataset.share(0.5).unwrap().samples().len(), 7);
    }
}

#[test]
fn a_compressed_tar_file_is_named_with_what_to_do() {
    for name in ["train.tar.gz", "train-0.tgz", "train/0.TAR.Zst"] {
        let dir = data(&[(name, b"anything".to_vec())]);
        let error = train(&dir).unwrap_err();
        let Error::Decode { source, .. } = error else { panic!("{name}: {error}") };
        assert!(source.to_string().contains("decompress it to a .tar file"), "{name}: {source}");
        assert!(quarantined(dir.path())[0].starts_with(&format!("{name}/@0: archive: a compressed")));
    }
}

#[test]
fn names_and_hash_are_stable() {
    let shard = tar(&[("cat/2.png", b"two"), ("cat/1.png", b"one"), ("ant/1.png", b"ant")]);
    let dir = data(&[("test-0.tar", shard.clone()), ("val/0.tar", shard.clone())]);
    assert_eq!(Split::held_out(dir.path()).unwrap(), Split::Test);
    let test = Dataset::open_split(dir.path(), Split::Test).unwrap();
    assert_eq!(
        samples(&test),
        [("test-0.tar/ant/1.png", 0), ("test-0.tar/cat/1.png", 1), ("test-0.tar/cat/2.png", 1)]
            .map(|(name, class)| (name.to_owned(), class))
    );
    let val = Dataset::open_split(dir.path(), Split::Val).unwrap();
    assert_eq!((val.dir(), samples(&val)[0].0.as_str()), (&*dir.path().join("val"), "0.tar/ant/1.png"));
    assert_ne!(val.hash(), test.hash());
    let same = data(&[("test-0.tar", shard)]);
    assert_eq!(Dataset::open_split(same.path(), Split::Test).unwrap().hash(), test.hash());
}

#[test]
fn damage_is_named_and_what_is_whole_is_usable() {
    let png = &images()[1].2;
    let whole = tar(&[("cat/1.png", png), ("dog/1.png", png), ("dog/2.png", png)]);
    let cut = whole[..whole.len() - 1500].to_vec();
    let dir = data(&[("train/0.tar", whole), ("train/1.tar", cut), ("train/2.tar", vec![])]);
    let error = train(&dir).unwrap_err();
    assert!(error.to_string().ends_with("train/1.tar/dog/2.png"), "{error}");
    assert!(error.hint().unwrap().contains("data check"));
    let broken = quarantined(dir.path());
    assert!(broken[0].starts_with("train/1.tar/dog/2.png: archive: ends after "), "{broken:?}");
    assert_eq!(broken[1..], ["train/2.tar/@0: an empty file, not a tar archive"]);
    let dataset = train(&dir).unwrap();
    assert_eq!(
        (dataset.samples().len(), dataset.notices()),
        (5, [Notice::Quarantined { rank: Rank::Image, files: 2 }].as_slice())
    );
    // A shard that shrinks later is a broken image, not a crash.
    fs::write(dir.path().join("train/0.tar"), b"").unwrap();
    let error = dataset.image(0).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("bytes, found 0"), "{error}");
}

#[test]
fn samples_that_contradict_themselves_are_broken() {
    let png = &images()[1].2;
    let shard = tar(&[
        ("a.png", png),
        ("a.jpg", png),
        ("a.cls", b"0"),
        ("b.png", png),
        ("b.cls", b"9"),
        ("c.png", png),
        ("c.cls", b""),
        ("d.png", png),
        ("d.cls", b"0"),
        ("d.cls", b"1"),
        ("e.png", png),
        ("f.cls", b"1"),
        ("cat/../g.png", png),
        ("cat/../g.png", png),
        ("h.cls", &[b'1'; 2000]),
        ("h.png", png),
        ("i.cls", b"-1"),
        ("i.png", png),
        ("._a.png", b"macOS"),
    ]);
    let dir = data(&[("train.tar", shard), ("classes.txt", b"cat\ndog\n".to_vec())]);
    assert!(train(&dir).is_err());
    let broken = quarantined(dir.path());
    let reasons: Vec<_> = broken.iter().map(|line| line.strip_prefix("train.tar/").unwrap()).collect();
    assert_eq!(
        reasons[1..],
        [
            "a.jpg: archive: a second image of sample `a`",
            "b.png: label 9 is not a class: they are numbered from 0 to 1",
            "c.png: no label: the .cls file is empty",
            "d.png: no label: two .cls files",
            "e.png: no label: neither a .cls file nor a folder",
            "h.png: no label: the .cls file is too long: 2000 bytes",
            "i.png: label -1 is not a class: they are numbered from 0 to 1",
        ]
    );
    assert!(
        reasons[0].starts_with('@') && reasons[0].ends_with(": archive: a second `cat/../g.png`"),
        "{broken:?}"
    );
    let dataset = train(&dir).unwrap();
    let expected = [("train.tar/a.png", 0), ("train.tar/cat/../g.png", 0)];
    assert_eq!(samples(&dataset), expected.map(|(name, class)| (name.to_owned(), class)));
    assert_eq!(ignored(&dataset), ["ignored files that are not JPEG, PNG or WebP: 1 .cls"]);
}

#[test]
fn a_split_is_in_one_place() {
    let shard = tar(&[("cat/1.png", b"")]);
    let message = |files: &[&str]| {
        let dir = data(&files.iter().map(|&file| (file, shard.clone())).collect::<Vec<_>>());
        match train(&dir) {
            Err(error @ Error::TwoLayouts { .. }) => {
                error.to_string().replace(&format!("{}/", dir.path().display()), "")
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(message(&["train/cat/1.png", "train.tar"]), "the split exists twice: train and train.tar");
    assert_eq!(message(&["train/cat/1.png", "train/1.tar"]), "the split exists twice: train and train/1.tar");
    assert_eq!(message(&["train.tar", "train-1.tar"]), "the split exists twice: train.tar and train-1.tar");
    assert_eq!(message(&["train.zip", "train.tar"]), "the split exists twice: train.tar and train.zip");
    assert_eq!(message(&["train.txt", "train-1.tar"]), "the split exists twice: train-1.tar and train.txt");
}

#[test]
fn nothing_in_shards_is_no_data_set_and_one_class_is_noticed() {
    let dir = data(&[("train.tar", tar(&[])), ("test.tar", tar(&[("cat/1.png", b"")]))]);
    let error = train(&dir).unwrap_err();
    assert!(error.to_string().starts_with("no JPEG, PNG or WebP files in "), "{error}");
    let test = Dataset::open_split(dir.path(), Split::Test).unwrap();
    assert_eq!(test.notices(), [Notice::OneClass { class: "cat".into() }]);
    assert_eq!(quarantined(dir.path()), ["test.tar/cat/1.png: the file is empty"]);
}

#[test]
fn junk_in_shards_is_neither_a_class_nor_an_image() {
    let image = images().remove(0).2;
    let names = [
        "cat/1.jpg",
        "__MACOSX/cat/._1.jpg",
        "@eaDir/x.jpg",
        "train/__MACOSX/dog/1.jpg",
        "cat/lost+found/2.jpg",
    ];
    let files: Vec<_> = names.map(|name| (name, image.as_slice())).to_vec();
    for dir in [
        data(&[("train.tar", tar(&files)), ("__MACOSX/._train.tar", b"junk".to_vec())]),
        data(&[("train.zip", zip(&files, Method::Deflated)), ("._train.zip", b"junk".to_vec())]),
    ] {
        let dataset = train(&dir).unwrap();
        assert_eq!((dataset.classes().join(" ").as_str(), dataset.samples().len()), ("cat", 1));
        assert!(ignored(&dataset).is_empty());
        let report = crate::check::check(dir.path()).unwrap();
        assert_eq!((report.n_images, report.broken.len(), report.others.n()), (1, 0, 0));
    }
}

#[test]
fn missing_parts_are_told_by_opening_and_by_a_check() {
    let image = images().remove(0).2;
    let shard = tar(&[("cat/1.jpg", image.as_slice()), ("dog/1.jpg", image.as_slice())]);
    for (name, missing) in [
        ("train-00000-of-00002.tar", "train-00001-of-00002.tar"),
        ("data/train-1-of-2.tar", "data/train-0-of-2.tar"),
        ("train/photos-000-of-002.tar", "train/photos-001-of-002.tar"),
    ] {
        let dir = data(&[(name, shard.clone())]);
        let error = train(&dir).unwrap_err();
        let missing_in = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
        assert_eq!(missing_in(error.to_string()), format!("1 of 2 parts is missing: {missing}"));
        assert!(error.hint().unwrap().starts_with("fetch the missing files"));
        let faults = crate::check::check(dir.path()).unwrap().faults;
        assert_eq!(faults[0].to_string(), format!("1 of 2 parts is missing: {missing}"));
        fs::write(dir.path().join(missing), &shard).unwrap();
        assert_eq!(train(&dir).unwrap().samples().len(), 4);
        assert!(crate::check::check(dir.path()).unwrap().faults.is_empty());
    }
}
