//! Lists: a text file that names the images of a split and their labels.
//!
//! Invariant: a line that cannot be understood stops, with its number; an image that is not there is a broken image.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Contents;
use super::labels::{self, Label};
use crate::{Error, Place, Result};

/// Where the list of a split is, if there is one.
pub(crate) fn path(root: &Path, split: &str) -> PathBuf {
    root.join(format!("{split}.txt"))
}

/// The images that a list names; their paths are relative to `root`.
pub(crate) fn contents(root: &Path, list: &Path) -> Result<Contents> {
    let fail = |source| Error::Io { action: "read", path: list.to_owned(), source };
    let text = fs::read_to_string(list).map_err(fail)?;
    let images = parse(&text, list)?.into_iter().map(|(path, label)| {
        // A file that is not there stays, and the loader reports it as broken.
        let bytes = fs::metadata(root.join(&path)).map_or(0, |metadata| metadata.len());
        (Place::File { path, bytes }, Ok(label))
    });
    Ok(labels::classify(images.collect(), labels::read_names(root)?, 0))
}

fn parse(text: &str, list: &Path) -> Result<Vec<(PathBuf, Label)>> {
    let mut images = Vec::new();
    let mut lines: HashMap<PathBuf, (usize, Label)> = HashMap::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |reason| Err(Error::Line { path: list.to_owned(), line: number, reason });
        let Some((path, label)) = line.rsplit_once(char::is_whitespace) else {
            return fail(format!("`{line}` is not a path and a label"));
        };
        let path = path.trim_end();
        let path = PathBuf::from(path.strip_prefix("./").unwrap_or(path));
        let label = Label::parse(label);
        match lines.get(&path) {
            Some((before, other)) if *other != label => {
                return fail(format!("`{}` has another label in line {before}", path.display()));
            }
            Some(_) => {}
            None => _ = lines.insert(path.clone(), (number, label.clone())),
        }
        images.push((path, label));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{check, write_quarantine};
    use crate::{Dataset, Image, Notice, Split, encode_png};

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
            (sample.place.name().display().to_string(), sample.class, grey)
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
        let message = |text: &str| match parse(text, Path::new("train.txt")) {
            Err(error) => error.to_string(),
            Ok(images) => panic!("{images:?}"),
        };
        assert_eq!(message("a.png 1\n\n b.png \n"), "train.txt, line 3: `b.png` is not a path and a label");
        assert_eq!(message("a.png 1\n./a.png 2"), "train.txt, line 2: `a.png` has another label in line 1");
        assert!(parse("# nothing\n", Path::new("")).unwrap().is_empty());
        assert_eq!(parse("a.png 1\na.png 1", Path::new("")).unwrap().len(), 2);
        let dir = data("# nothing\n");
        let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err();
        assert!(error.to_string().starts_with("no images of the 0 classes in "), "{error}");
    }

    #[test]
    fn what_a_list_names_in_vain_is_found_by_a_check() {
        let dir = data("photos/a.png 0\nphotos/gone.png 0\nphotos/c.png 7\n");
        fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
        let report = check(dir.path()).unwrap();
        let broken: Vec<_> = report.broken.iter().map(ToString::to_string).collect();
        assert_eq!((report.n_images, broken.len()), (4, 2), "{broken:?}");
        assert_eq!(broken[0], "photos/c.png: label 7 is not one of the 2 classes");
        assert!(broken[1].starts_with("photos/gone.png: cannot be read: "), "{broken:?}");
        write_quarantine(dir.path(), &report).unwrap();
        let dataset = Dataset::open_split(dir.path(), Split::Train).unwrap();
        assert_eq!(images(&dataset), [("photos/a.png".to_owned(), 0, 1)]);
        assert!(dataset.notices().contains(&Notice::Quarantined { files: 2 }));
    }

    #[test]
    fn class_folders_and_a_list_are_one_too_many() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("train/cat")).unwrap();
        fs::write(dir.path().join("train.txt"), "train/cat/a.png 0").unwrap();
        let error = Dataset::open_split(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(error.ends_with(&format!("/train and {}/train.txt", dir.path().display())), "{error}");
    }
}
