//! Folders of files: sorted, named, quarantined, hashed.

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
    let paths: Vec<_> = dataset.samples().iter().map(|s| (s.place.name(), s.class)).collect();
    let expected = [("cat/a/z.jpeg", 1), ("cat/b.png", 1), ("dog/10.jpg", 2), ("dog/2.JPG", 2)];
    assert_eq!(paths, expected.map(|(name, class)| (PathBuf::from(name), class)));
    assert_eq!(dataset.class_range(0), 0..0);
    assert_eq!(dataset.class_range(2), 2..4);
    assert_eq!(dataset.notices(), [Notice::EmptyClass { class: "ant".into() }]);
}

#[test]
fn what_is_missing_is_named() {
    let dir = tree(&["none/readme.txt", "text/cat/readme.txt"]);
    let message = |name: &str| Dataset::open(&dir.path().join(name)).unwrap_err().to_string();
    assert!(message("nowhere").starts_with("no such directory: "));
    assert!(message("none").starts_with("no class folders in "));
    assert!(message("text").starts_with("no images of the 1 classes in "));
    assert!(Split::held_out(dir.path()).unwrap_err().hint().unwrap().contains("test/CLASS"));
}

#[test]
fn oddities_are_noticed() {
    let dir = tree(&["cat/a.jpg", "cat/notes.txt", "cat/.hidden", ".git/x"]);
    let dataset = Dataset::open(dir.path()).unwrap();
    assert_eq!(dataset.notices(), [Notice::OneClass { class: "cat".into() }, Notice::Ignored { files: 1 }]);
}

#[test]
fn quarantined_files_are_left_out_and_change_the_hash() {
    let dir = tree(&["train/cat/a.jpg", "train/cat/b.jpg", "train/dog/a.jpg"]);
    let before = Dataset::open_split(dir.path(), Split::Train).unwrap();
    fs::write(dir.path().join(quarantine_list::FILE), "train/cat/a.jpg\tthe file is empty\n").unwrap();
    let after = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(after.samples().len(), 2);
    assert_eq!(after.notices(), [Notice::Quarantined { files: 1 }]);
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
    assert!(error.to_string().ends_with("number 0 is `a` or `b`"), "{error}");
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
