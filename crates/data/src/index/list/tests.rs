//! Lists as people write them, and what is said about those that cannot be read.

use std::fs;

use mutualnet_core::network::Rank;
use mutualnet_image::{Image, encode_png};

use super::*;
use crate::check::{check, write_quarantine};
use crate::{Dataset, Notice, Split};

/// Four images and lists of three of them.
fn data(train: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("photos/old photos")).unwrap();
    for (path, grey) in [("a.png", 1), ("old photos/b 1.png", 2), ("c.png", 3)] {
        let png = encode_png(&Image::new(4, 3, vec![grey; 36]));
        fs::write(dir.path().join("photos").join(path), png).unwrap();
    }
    fs::write(dir.path().join("train.txt"), train).unwrap();
    dir
}

const TRAIN: &str = "# path label\n\nphotos/c.png\t1\n./photos/a.png 1\nphotos/old photos/b 1.png   0\n";

fn images(dataset: &Dataset) -> Vec<(String, u32, u8)> {
    let image = |i: usize| {
        let sample = &dataset.samples()[i];
        let grey = dataset.image(i).unwrap().pixel(0, 0)[0];
        (sample.place.name().display().to_string(), sample.class(), grey)
    };
    (0..dataset.samples().len()).map(image).collect()
}

#[test]
fn a_list_gives_paths_and_labels_in_the_order_of_classes() {
    let dir = data(TRAIN);
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    let expected = [("photos/old photos/b 1.png", 0, 2), ("photos/a.png", 1, 1), ("photos/c.png", 1, 3)];
    assert_eq!(images(&dataset), expected.map(|(name, class, grey)| (name.to_owned(), class, grey)));
    assert_eq!(dataset.classes(), ["0", "1"]);
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    let named = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(
        (named.classes(), images(&named)),
        (["cat".into(), "dog".into()].as_slice(), images(&dataset))
    );

    fs::write(dir.path().join("val.txt"), "photos/a.png cow\nphotos/c.png dog").unwrap();
    assert_eq!(Split::held_out(dir.path()).unwrap(), Split::Val);
    let error = Dataset::open_split(dir.path(), Split::Val).unwrap_err();
    assert!(error.hint().unwrap().contains("data check"), "{error}");
}

#[test]
fn the_hash_is_of_labels_too() {
    let hash = |train: &str| {
        let dir = data(train);
        fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
        Dataset::open_split(dir.path(), Split::Train).unwrap().hash()
    };
    assert_eq!(hash("photos/a.png 1\nphotos/c.png 0"), hash("photos/c.png cat\n\nphotos/a.png dog"));
    assert_ne!(hash("photos/a.png 1\nphotos/c.png 1"), hash("photos/c.png cat\n\nphotos/a.png cat"));
}

#[test]
fn a_malformed_line_is_named() {
    let message = |text: &str| match parse(text.as_bytes(), Path::new("train.txt"), written_label) {
        Err(error) => error.to_string(),
        Ok(images) => panic!("{images:?}"),
    };
    assert_eq!(message("a.png 1\n\n b.png \n"), "train.txt, line 3: `b.png` is not a path and a label");
    assert_eq!(message("a.png 1\n./a.png 2"), "train.txt, line 2: `a.png` has a different label in line 1");
    assert!(parse(b"# nothing\n", Path::new(""), written_label).unwrap().is_empty());
    assert_eq!(parse(b"a.png 1\na.png 1", Path::new(""), written_label).unwrap().len(), 2);
    let dir = data("# nothing\n");
    let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err();
    assert!(error.to_string().ends_with("train.txt names no file"), "{error}");
}

#[test]
fn what_a_list_names_in_vain_is_found_by_a_check() {
    let dir = data("photos/a.png 0\nphotos/gone.png 0\nphotos/c.png 7\n");
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    let report = check(dir.path()).unwrap();
    let broken: Vec<_> = report.broken.iter().map(ToString::to_string).collect();
    assert_eq!((report.n_images, broken.len()), (4, 2), "{broken:?}");
    assert_eq!(broken[0], "photos/c.png: label 7 is not a class: they are numbered from 0 to 1");
    assert!(broken[1].starts_with("photos/gone.png: No such file"), "{broken:?}");
    write_quarantine(dir.path(), &report).unwrap();
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(images(&dataset), [("photos/a.png".to_owned(), 0, 1)]);
    assert!(dataset.notices().contains(&Notice::Quarantined { rank: Rank::Image, files: 2 }));
}

#[test]
fn class_folders_and_a_list_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("train/cat")).unwrap();
    fs::write(dir.path().join("train.txt"), "train/cat/a.png 0").unwrap();
    let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err().to_string();
    assert!(error.ends_with(&format!("/train and {}/train.txt", dir.path().display())), "{error}");
}

/// What opening a list says, or its classes.
fn opened(train: &str) -> Result<Vec<String>, String> {
    let dir = data(train);
    match Dataset::open_split(dir.path(), Split::Train) {
        Ok(dataset) => Ok(dataset.classes().to_vec()),
        Err(error) => Err(error.to_string().replace(&format!("{}/", dir.path().display()), "")),
    }
}

#[test]
fn marks_tabs_quotes_and_backslashes_are_read() {
    let numbers = ["0", "1"].map(str::to_owned).to_vec();
    for text in [
        "\u{feff}photos/a.png 0\nphotos/c.png 1\n",
        "photos/a.png 0\r\nphotos/c.png 1\r\n",
        "photos\\a.png 0\nphotos\\old photos\\b 1.png 1",
        "\"photos/old photos/b 1.png\" 0\n'photos/c.png' 1",
        "# path label\nphotos/a.png 0\nphotos/c.png 1\n",
    ] {
        assert_eq!(opened(text), Ok(numbers.clone()), "{text:?}");
    }
    let names = opened("photos/a.png\tbig 0\nphotos/old photos/b 1.png\tbig 1\n").unwrap();
    assert_eq!(names, ["big 0", "big 1"]);
}

#[test]
fn a_header_is_told_as_one() {
    for header in ["path label", "file_name class", "Image\tTarget", "24 2", "image path\tclass id"] {
        let told = opened(&format!("\n{header}\nphotos/a.png 0\nphotos/c.png 1\n")).unwrap_err();
        let header = header.replace('\t', " ");
        assert_eq!(told, format!("train.txt, line 2: `{header}` is a header, not a path and its label"));
    }
    let told = opened("filename label\nphotos/a.png cat\nphotos/c.png dog\n").unwrap_err();
    assert!(told.ends_with("`filename label` is a header, not a path and its label"), "{told}");
    // A first file that is gone is a broken image like any other.
    assert_eq!(opened("photos/gone.png 0\nphotos/c.png 1").unwrap().len(), 2);
    assert_eq!(opened("photos/gone.png cat\nphotos/c.png dog").unwrap().len(), 2);
}

#[test]
fn commas_and_lists_of_nothing_are_told() {
    let told = opened("photos/old photos/b 1.png,0\n").unwrap_err();
    assert!(told.ends_with("has its columns separated by commas, not by a tab or a space"), "{told}");
    let told = opened("a.png 0\nc.png 1\n").unwrap_err();
    assert_eq!(told, "none of the 2 files listed in train.txt exists, such as a.png");
}

#[test]
fn junk_in_a_list_is_passed_over_and_told() {
    let dir = data("photos/a.png 0\n./__MACOSX/photos/._a.png 0\nphotos/Thumbs.db 1\nphotos/c.png 1\n");
    let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
    assert_eq!(
        (dataset.samples().len(), dataset.notices()),
        (2, [Notice::JunkListed { lines: 2 }].as_slice())
    );
}
