//! Folders of files: sorted, named, quarantined, hashed.

use mutualnet_core::network::Rank;
use std::fs;

use super::*;

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        if file.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
    }
    dir
}

#[test]
fn classes_and_samples_are_sorted() {
    let dir =
        tree(&["train/dog/2.JPG", "train/cat/b.png", "train/cat/a/z.jpeg", "train/dog/10.jpg", "train/ant/"]);
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(dataset.classes(), ["ant", "cat", "dog"]);
    let paths: Vec<_> = dataset.samples().iter().map(|s| (s.place.name(), s.class())).collect();
    let expected = [("cat/a/z.jpeg", 1), ("cat/b.png", 1), ("dog/10.jpg", 2), ("dog/2.JPG", 2)];
    assert_eq!(paths, expected.map(|(name, class)| (PathBuf::from(name), class)));
    assert_eq!(dataset.class_range(0), 0..0);
    assert_eq!(dataset.class_range(2), 2..4);
    assert_eq!(
        dataset.notices(),
        [Notice::EmptyClasses { rank: Rank::Image, n: 1, first: "ant".into(), quarantined: 0 }]
    );
}

#[test]
fn what_is_missing_is_named() {
    let dir = tree(&["none/readme.txt", "text/cat/readme.txt"]);
    let message = |name: &str| Dataset::open(&dir.path().join(name)).unwrap_err().to_string();
    assert!(message("nowhere").starts_with("no such directory: "));
    assert!(message("none").starts_with("no class folders in "));
    assert!(message("text").starts_with("no JPEG, PNG or WebP files of the only class in "));
    assert!(message("text").ends_with("/text, but 1 .txt"));
    assert!(Split::held_out(dir.path()).unwrap_err().hint().unwrap().contains("test/CLASS"));
}

#[test]
fn oddities_are_noticed() {
    let dir = tree(&["cat/a.jpg", "cat/notes.txt", "cat/.hidden", ".git/x"]);
    let dataset = Dataset::open(dir.path()).unwrap();
    let mut others = Others::default();
    others.add(std::path::Path::new("notes.txt"));
    assert_eq!(
        dataset.notices(),
        [Notice::OneClass { class: "cat".into() }, Notice::Ignored { rank: Rank::Image, others }]
    );
}

#[test]
fn quarantined_files_are_left_out_and_change_the_hash() {
    let dir = tree(&["train/cat/a.jpg", "train/cat/b.jpg", "train/dog/a.jpg"]);
    let before = Dataset::open_split(dir.path(), Split::Train).unwrap();
    fs::write(dir.path().join(quarantine_list::FILE), "train/cat/a.jpg\tthe file is empty\n").unwrap();
    let after = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(after.samples().len(), 2);
    assert_eq!(after.notices(), [Notice::Quarantined { rank: Rank::Image, files: 1 }]);
    assert_ne!(before.hash(), after.hash());
}

#[test]
fn the_hash_depends_on_content_and_not_on_place() {
    let (a, b, c) =
        (tree(&["x/1.png", "y/2.png"]), tree(&["y/2.png", "x/1.png"]), tree(&["x/1.png", "y/3.png"]));
    let hash = |dir: &tempfile::TempDir| Dataset::open(dir.path()).unwrap().hash();
    assert_eq!(hash(&a), hash(&b));
    assert_ne!(hash(&a), hash(&c));
    assert_eq!(hash(&a).len(), 64);
    fs::write(a.path().join("x/1.png"), "longer than before").unwrap();
    assert_ne!(hash(&a), hash(&b));
}

#[test]
fn splits_must_agree_on_classes() {
    let dir = tree(&["train/a/1.png", "train/b/1.png", "test/a/1.png", "val/a/1.png", "val/b/"]);
    let open = |split| Dataset::open_split(dir.path(), split).unwrap();
    let error = open(Split::Train).check_same_classes(&open(Split::Test)).unwrap_err();
    assert!(error.to_string().contains("`b`"), "{error}");
    open(Split::Train).check_same_classes(&open(Split::Val)).unwrap();
    assert_eq!(Split::held_out(dir.path()).unwrap(), Split::Test);
}

#[test]
fn splits_must_agree_on_the_order_of_classes() {
    let dir = tree(&["train/a/1.png", "train/b/1.png"]);
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    let mut other = dataset.clone();
    other.classes.reverse();
    let error = dataset.check_same_classes(&other).unwrap_err();
    assert!(error.to_string().ends_with("number 0 is `a` in one and `b` in the other"), "{error}");
}

#[cfg(unix)]
#[test]
fn folders_may_be_deep_and_links_may_lead_back() {
    let deep = format!("train/a/{}1.png", "b/".repeat(40));
    let dir = tree(&[&deep, "train/a/2.png", "elsewhere/3.png", "elsewhere/c/4.png"]);
    let link = |to: &str, from: &str| {
        std::os::unix::fs::symlink(dir.path().join(to), dir.path().join(from)).unwrap();
    };
    link("train", "train/a/b/back");
    link("elsewhere", "train/a/linked");
    link("elsewhere", "elsewhere/c/itself");
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    let names: Vec<_> = dataset.samples().iter().map(|sample| sample.place.name()).collect();
    let expected = ["a/2.png", &deep["train/".len()..], "a/linked/3.png", "a/linked/c/4.png"];
    assert_eq!(names, expected.map(std::path::PathBuf::from));
}

/// A training split with the wrong files in it: what `open` says.
fn refusal(files: &[&str]) -> (String, String) {
    let dir = tree(files);
    let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err();
    let relative = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
    (relative(error.to_string()), relative(error.hint().unwrap()))
}

#[test]
fn what_is_there_instead_of_images_is_named() {
    let (error, hint) = refusal(&["train/a/1.bmp", "train/b/1.BMP", "train/b/2.txt", "train/b/desktop.ini"]);
    assert_eq!(error, "no JPEG, PNG or WebP files of the 2 classes in train, but 2 .bmp and 1 .txt");
    assert_eq!(hint, "convert them to JPEG, PNG or WebP");
    let (error, hint) = refusal(&["train/1.jpg", "train/2.jpg"]);
    assert_eq!(error, "no class folders in train, but 2 .jpg");
    assert!(hint.ends_with("or list paths and labels in train.txt"), "{hint}");
}

#[test]
fn a_quarantine_list_that_leaves_out_everything_is_named() {
    let dir = tree(&["train/a/1.jpg", "train/b/1.jpg"]);
    fs::write(dir.path().join(quarantine_list::FILE), "train/a/1.jpg\ntrain/b/1.jpg\n").unwrap();
    let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("a quarantine list leaves out all 2 images in "), "{text}");
    assert!(text.ends_with(quarantine_list::FILE), "{text}");
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("`mutualnet data check {}` again", dir.path().display())), "{hint}");
    fs::write(dir.path().join(quarantine_list::FILE), "train/b/1.jpg\n").unwrap();
    let notices = Dataset::open_split(dir.path(), Split::Train).unwrap().notices().to_vec();
    assert_eq!(
        notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "class `b` has no images, because a quarantine list leaves out all 1",
            "a quarantine list leaves out 1 image"
        ]
    );
}

#[test]
fn junk_is_neither_a_class_nor_an_image_at_any_depth() {
    let dir = tree(&[
        "__MACOSX/train/cat/1.jpg",
        "System Volume Information/x",
        "train/__MACOSX/cat/._1.jpg",
        "train/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        "train/$RECYCLE.BIN/desktop.ini",
        "train/lost+found/",
        "train/.ipynb_checkpoints/1.jpg",
        "train/cat/1.jpg",
        "train/cat/._1.jpg",
        "train/cat/Thumbs.db",
        "train/cat/@eaDir/1.jpg",
        "train/dog/deep/#recycle/2.jpg",
        "train/dog/2.jpg",
    ]);
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(dataset.classes(), ["cat", "dog"]);
    assert_eq!((dataset.samples().len(), dataset.notices()), (2, [].as_slice()));
    let report = crate::check::check(dir.path()).unwrap();
    assert_eq!((report.n_images, report.others.n()), (2, 0));
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_read_and_shown_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tree(&["train/dog/1.png", "test/dog/1.png"]);
    let png = mutualnet_image::encode_png(&Image::new(2, 2, vec![7; 12]));
    let class = OsStr::from_bytes(b"caf\xe9");
    let mut images = vec![];
    for split in ["train", "test"] {
        fs::create_dir_all(dir.path().join(split).join(class)).unwrap();
        let image = Path::new(split).join(class).join(OsStr::from_bytes(b"\xff.png"));
        fs::write(dir.path().join(&image), &png).unwrap();
        fs::write(dir.path().join(split).join("dog/1.png"), &png).unwrap();
        images.push(image);
    }
    let open = || Dataset::open_split(dir.path(), Split::Train).unwrap();
    let dataset = open();
    assert_eq!(dataset.classes(), [r"caf\xe9", "dog"]);
    assert_eq!(dataset.image(0).unwrap().width(), 2);
    dataset.check_same_classes(&Dataset::open_split(dir.path(), Split::Test).unwrap()).unwrap();
    fs::write(dir.path().join(&images[0]), "broken").unwrap();
    let report = crate::check::check(dir.path()).unwrap();
    assert_eq!((report.n_images, report.broken.len()), (4, 1));
    assert!(report.broken[0].to_string().starts_with(r"train/caf\xe9/\xff.png: "), "{:?}", report.broken);
    crate::check::write_quarantine(dir.path(), &report).unwrap();
    assert_eq!(open().samples().len(), 1);
}
