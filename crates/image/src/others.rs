//! Files whose names are not those of images, counted by extension.
//!
//! Separate because errors, notices and reports all say what there is in place of images.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::folder::is_image_name;

/// Files that are not images, by extension in lower case; those without one are under the empty string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others(BTreeMap<String, usize>);

/// Most extensions that are named.
const NAMED: usize = 4;
/// Longest ending that counts as an extension.
const MAX_EXTENSION: usize = 16;
/// Stands for links and devices, which have no content of their own; no extension has a slash in it.
const SPECIAL: &str = "/";
/// Extensions of images in formats that are not supported.
const OTHER_IMAGES: &[&str] = &[
    "bmp", "gif", "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl", "ppm", "pgm", "pnm", "tga", "psd",
    "dng", "cr2", "nef", "arw", "dcm", "ico", "svg", "exr", "hdr",
];
/// Extensions that some programs give to JPEG files.
const OTHER_JPEG: &[&str] = &["jpe", "jfif", "pjpeg", "pjp"];
/// Extensions of archives.
const ARCHIVES: &[&str] = &["zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar"];

impl Others {
    /// Counts a file.
    pub fn add(&mut self, path: &Path) {
        self.add_extension(&path.extension().unwrap_or_default().to_string_lossy());
    }

    /// Counts a file by its extension, which may be of several parts, such as `mask.png`.
    pub fn add_extension(&mut self, extension: &str) {
        let is_usual = |c: char| c.is_ascii_alphanumeric() || c == '.';
        let is_one = extension.len() <= MAX_EXTENSION && extension.chars().all(is_usual);
        let extension = if is_one { extension.to_ascii_lowercase() } else { String::new() };
        *self.0.entry(extension).or_default() += 1;
    }

    /// Counts links and devices.
    pub fn add_special(&mut self, n: usize) {
        if n > 0 {
            *self.0.entry(SPECIAL.to_owned()).or_default() += n;
        }
    }

    /// Adds the counts of another place.
    pub fn extend(&mut self, others: Self) {
        for (extension, n) in others.0 {
            *self.0.entry(extension).or_default() += n;
        }
    }

    /// Takes back the count of a file.
    pub fn forget(&mut self, path: &Path) {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if let Some(counted) = self.0.get_mut(&*extension) {
            *counted = counted.saturating_sub(1);
        }
        self.0.retain(|_, n| *n > 0);
    }

    /// How many files there are.
    pub fn n(&self) -> usize {
        self.0.values().sum()
    }

    /// How many of them have the name of an image that can be read; for callers that count all files.
    pub fn n_images(&self) -> usize {
        let is_image = |extension: &str| is_image_name(&Path::new("x").with_extension(extension));
        self.0.iter().filter(|(extension, _)| is_image(extension)).map(|(_, n)| n).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The end of a message that says what is missing: `, but 24 .bmp`, if there is anything.
    pub fn but(&self) -> String {
        if self.is_empty() { String::new() } else { format!(", but {self}") }
    }

    /// How to turn most of these files into images that can be read.
    pub fn remedy(&self) -> Option<&'static str> {
        let (extension, _) = self.most_first().into_iter().next()?;
        [
            (OTHER_IMAGES, "convert them to JPEG, PNG or WebP"),
            (OTHER_JPEG, "rename them to .jpg"),
            (ARCHIVES, "unpack the archives"),
            (&[""], "images are found by their extension: rename them to .jpg, .png or .webp"),
        ]
        .into_iter()
        .find_map(|(known, remedy)| known.contains(&extension).then_some(remedy))
    }

    fn most_first(&self) -> Vec<(&str, usize)> {
        let mut counts: Vec<_> = self.0.iter().map(|(extension, &n)| (extension.as_str(), n)).collect();
        counts.sort_by_key(|&(extension, n)| (std::cmp::Reverse(n), extension.is_empty()));
        counts
    }
}

/// `24 .bmp, 3 .txt and 2 without an extension`.
impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.most_first();
        let (named, rest) = counts.split_at(counts.len().min(NAMED));
        let mut parts: Vec<String> = named
            .iter()
            .map(|(extension, n)| match *extension {
                "" => format!("{n} without a usual extension"),
                SPECIAL => format!("{n} links or devices"),
                _ => format!("{n} .{extension}"),
            })
            .collect();
        if !rest.is_empty() {
            parts.push(format!("{} others", rest.iter().map(|(_, n)| n).sum::<usize>()));
        }
        match parts.split_last() {
            Some((last, [])) => f.write_str(last),
            Some((last, before)) => write!(f, "{} and {last}", before.join(", ")),
            None => f.write_str("no other files"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(names: &[&str]) -> Others {
        let mut others = Others::default();
        names.iter().for_each(|name| others.add(Path::new(name)));
        others
    }

    #[test]
    fn files_are_counted_by_extension_most_first() {
        for (names, text, remedy) in [
            (&["a.BMP", "b.bmp", "c.txt"][..], "2 .bmp and 1 .txt", Some("convert them")),
            (
                &["a", "b.", "c.this_is_not_an_extension", "d.1\u{1b}[2J"],
                "4 without a usual extension",
                Some("extension"),
            ),
            (&["a.jfif"], "1 .jfif", Some("rename them to .jpg")),
            (&["a.txt", "b"], "1 .txt and 1 without a usual extension", None),
            (&["a.a", "a.b", "a.c", "a.d", "a.e", "a.f"], "1 .a, 1 .b, 1 .c, 1 .d and 2 others", None),
            (&[], "no other files", None),
        ] {
            let others = others(names);
            assert_eq!((others.to_string().as_str(), others.n()), (text, names.len()));
            match (others.remedy(), remedy) {
                (Some(found), Some(part)) => assert!(found.contains(part), "{found}"),
                (found, wanted) => assert_eq!(found, wanted),
            }
        }
    }

    #[test]
    fn counts_add_up() {
        let mut sum = others(&["a.bmp", "b.bin"]);
        sum.extend(others(&["c.bmp"]));
        sum.forget(Path::new("b.bin"));
        sum.forget(Path::new("d.bin"));
        assert_eq!(sum, others(&["a.bmp", "c.bmp"]));
    }
}
