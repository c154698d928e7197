//! Which images or videos the arguments of `predict` name: files, folders, and patterns that a shell did not expand.
//!
//! Invariant: nothing that was named is dropped without a word; what cannot be used stays in the list, with the reason.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Error;
use mutualnet_core::network::Rank;
use mutualnet_image::{FolderImages, find_files, find_images, is_image_name};
use mutualnet_predict::is_video_name;

use crate::failure::with_hint;
use crate::text;

/// An image or video, or something else that was named.
pub(super) struct Named {
    pub(super) path: PathBuf,
    /// Why it is neither.
    pub(super) problem: Option<Error>,
}

impl Named {
    fn file(path: PathBuf) -> Self {
        Self { path, problem: None }
    }
}

/// What the arguments name, in their order: files as they are, the images or videos of folders, and what matches a pattern.
pub(super) fn named(args: &[PathBuf], rank: Rank) -> Vec<Named> {
    let mut found = Vec::new();
    for arg in args {
        let is_pattern = arg.as_os_str().as_encoded_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'));
        if arg.exists() || !is_pattern {
            add(arg.clone(), rank, &mut found);
            continue;
        }
        let matching = expand(arg);
        if matching.is_empty() {
            let problem = with_hint(
                format!("no file matches the pattern {}", arg.display()),
                "check the directory, or give a folder to read all files in it".to_owned(),
            );
            found.push(Named { path: arg.clone(), problem: Some(problem) });
        }
        matching.into_iter().for_each(|path| add(path, rank, &mut found));
    }
    found
}

fn add(path: PathBuf, rank: Rank, found: &mut Vec<Named>) {
    if !path.is_dir() {
        return found.push(Named::file(path));
    }
    let inside = match rank {
        Rank::Image => find_images(&path),
        Rank::Clip => find_files(&path, is_video_name),
    };
    match inside {
        Ok(FolderImages { images, others, unreadable }) => {
            let are_none = rank == Rank::Clip && images.is_empty();
            let clips = if are_none { folders_of_frames(&path) } else { Vec::new() };
            let n_other = others.n();
            if n_other > 0 && clips.is_empty() {
                let files = match (rank, n_other) {
                    (Rank::Image, 1) => "file is not JPEG, PNG or WebP and was",
                    (Rank::Image, _) => "files are not JPEG, PNG or WebP and were",
                    (Rank::Clip, 1) => "file is not a video and was",
                    (Rank::Clip, _) => "files are not videos and were",
                };
                text::note(&format!("note: {n_other} {files} skipped in {}", path.display()));
            }
            if are_none && clips.is_empty() && unreadable.is_empty() {
                let problem = Some(anyhow::anyhow!("no videos or folders of frames in {}", path.display()));
                return found.push(Named { path, problem });
            }
            found.extend(images.into_iter().chain(clips).map(Named::file));
            found.extend(unreadable.into_iter().map(|path| {
                let problem = Some(anyhow::anyhow!("cannot list the folder {}", path.display()));
                Named { path, problem }
            }));
        }
        Err(error) => found.push(Named { path, problem: Some(error.into()) }),
    }
}

/// A folder and those below it that have images in them, which are the frames of a clip; in order.
fn folders_of_frames(folder: &Path) -> Vec<PathBuf> {
    let images = find_files(folder, is_image_name).map_or_else(|_| Vec::new(), |found| found.images);
    let mut folders: Vec<_> = images.iter().filter_map(|image| image.parent().map(Path::to_owned)).collect();
    // One folder may lie between the images of another.
    folders.sort();
    folders.dedup();
    folders
}

/// The files that match a pattern of `*` and `?`, in order; hidden ones only where the pattern begins with a dot.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy();
        if part.contains(['*', '?']) {
            found = found.iter().flat_map(|dir| entries(dir, &part)).collect();
        } else {
            found.iter_mut().for_each(|path| path.push(component));
        }
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

fn entries(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    let names = listed.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()));
    names.filter(|name| matches_name(pattern, name)).map(|name| dir.join(name)).collect()
}

fn matches_name(pattern: &str, name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    (!name.starts_with('.') || pattern.starts_with('.')) && matches(pattern, &name)
}

/// Whether a name matches: `*` stands for any characters, `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star is, and the first character after what it stands for.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    (p, n) = (at + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &Path, rank: Rank) -> Vec<String> {
        let relative = |named: Named| named.path.strip_prefix(dir).unwrap().display().to_string();
        named(&[dir.to_owned()], rank).into_iter().map(relative).collect()
    }

    #[test]
    fn a_folder_has_videos_or_folders_of_frames() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        assert!(named(&[dir.path().to_owned()], Rank::Clip)[0].problem.is_some());
        ["a/1/1.jpg", "a/1/2.jpg", "a/2/1.png", "a/1/more/1.jpg"].into_iter().for_each(write);
        assert_eq!(paths(dir.path(), Rank::Clip), ["a/1", "a/1/more", "a/2"]);
        ["clip.avi", "thumb.jpg"].into_iter().for_each(write);
        assert_eq!(paths(dir.path(), Rank::Clip), ["clip.avi"], "pictures beside videos are no clip");
        assert_eq!(paths(dir.path(), Rank::Image).len(), 5);
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, is_match) in [
            ("*.jpg", "a.jpg", true),
            ("*.jpg", "a.jpg.png", false),
            ("*.jpg", ".jpg", false),
            (".*", ".jpg", true),
            ("a*b*c", "aXbbYc", true),
            ("a*b*c", "aXbbYcd", false),
            ("??.png", "äb.png", true),
            ("??.png", "a.png", false),
            ("***", "a", true),
            ("*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches_name(pattern, OsStr::new(name)), is_match, "{pattern} {name}");
        }
    }
}
