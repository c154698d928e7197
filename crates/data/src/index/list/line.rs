//! One line of a list: where the path ends and the label begins.
//!
//! Separate because people write these lines in many ways: most can be understood, and the others need a clear message.
//! Invariant: a line gives a path and its label, or is refused; no column is guessed.

use std::path::PathBuf;

use mutualnet_core::text::shown_bytes;

use super::{is_image_name, is_video_name};
use crate::text_file::os_string;

/// Splits a trimmed line into the path and the label, or says what is wrong with the line.
///
/// A tab takes precedence over a space, so that labels after a tab may hold spaces; paths may always hold spaces.
pub(super) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (path, label) = columns(line)?;
    let (path, label) = (unquoted(path), unquoted(label));
    if is_sample(label) && !is_sample(path) {
        return Err(format!("`{}` is the name of a file, not a label", shown_bytes(label)));
    }
    Ok((path, label))
}

/// As [`split`], for a file of comma-separated values, which often has spaces instead.
pub(super) fn split_csv(line: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let mut columns = line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    match (columns.next(), columns.next(), columns.next()) {
        (Some(path), Some(label), None) if !path.is_empty() && !label.is_empty() => {
            Ok((unquoted(path), unquoted(label)))
        }
        (_, None, _) => split(line),
        _ => {
            let columns = line.split(|&byte| byte == b',').count();
            Err(format!("`{}` has {columns} columns, not a path and a label", shown_bytes(line)))
        }
    }
}

fn columns(line: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let text = || shown_bytes(line);
    if let Some(columns) = quoted_path(line) {
        return Ok(columns);
    }
    if line.contains(&b'\t') {
        let columns: Vec<_> =
            line.split(|&byte| byte == b'\t').map(<[u8]>::trim_ascii).filter(|c| !c.is_empty()).collect();
        return match columns.as_slice() {
            [path, label] => Ok((path, label)),
            columns => Err(format!("`{}` has {} columns, not a path and a label", text(), columns.len())),
        };
    }
    let columns = line.iter().rposition(u8::is_ascii_whitespace).map(|at| line.split_at(at));
    let columns = columns.map(|(path, label)| (path.trim_ascii_end(), label.trim_ascii_start()));
    if let Some(separator) = other_separator(line, columns.map(|(path, _)| path)) {
        return Err(format!(
            "`{}` has its columns separated by {separator}, not by a tab or a space",
            text()
        ));
    }
    columns.ok_or_else(|| format!("`{}` is not a path and a label", text()))
}

/// What separates the columns of a line that has neither a tab nor a path before its last space.
fn other_separator(line: &[u8], path: Option<&[u8]>) -> Option<&'static str> {
    if path.is_some_and(|path| is_sample(unquoted(path))) {
        return None;
    }
    let separators = [(b',', "commas"), (b';', "semicolons"), (b'|', "bars")];
    separators.into_iter().find_map(|(separator, name)| {
        let mut columns = line.split(|&byte| byte == separator).map(|column| unquoted(column.trim_ascii()));
        let is_separated = line.contains(&separator) && (path.is_none() || columns.any(is_sample));
        is_separated.then_some(name)
    })
}

/// A path in quotes, and what follows it.
fn quoted_path(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let quote = *line.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let end = 1 + line[1..].iter().position(|&byte| byte == quote)?;
    let label = &line[end + 1..];
    let is_apart = label.first().is_some_and(u8::is_ascii_whitespace);
    (end > 1 && is_apart).then(|| (&line[..=end], label.trim_ascii()))
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        _ => text,
    }
}

/// Whether it has the name of an image or a video.
fn is_sample(name: &[u8]) -> bool {
    let path = PathBuf::from(os_string(name.to_vec()));
    is_image_name(&path) || is_video_name(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_labels_come_apart() {
        for (line, path, label) in [
            ("a.png 1", "a.png", "1"),
            ("old ones/b 1.png   0", "old ones/b 1.png", "0"),
            ("old ones/b 1.png\tbig dog", "old ones/b 1.png", "big dog"),
            ("a.png \t\t 1", "a.png", "1"),
            ("a,b.png 1", "a,b.png", "1"),
            ("a,b.png\t1,5", "a,b.png", "1,5"),
            ("\"b 1.png\" 0", "b 1.png", "0"),
            ("'b 1.png' \"big dog\"", "b 1.png", "big dog"),
            ("\"b 1.png\"\t'0'", "b 1.png", "0"),
            ("it's.png 1", "it's.png", "1"),
            ("noending 1", "noending", "1"),
            ("#recycle/a.png 1", "#recycle/a.png", "1"),
        ] {
            assert_eq!(split(line.as_bytes()), Ok((path.as_bytes(), label.as_bytes())), "{line}");
        }
        assert_eq!(split(b"caf\xe9.png caf\xe9"), Ok((&b"caf\xe9.png"[..], &b"caf\xe9"[..])));
    }

    #[test]
    fn csv_has_commas_or_spaces() {
        let of = |line: &'static str| split_csv(line.as_bytes());
        assert_eq!(of("a b.mp4,big dog"), Ok((&b"a b.mp4"[..], &b"big dog"[..])));
        assert_eq!(of("\"a.mp4\", 3"), Ok((&b"a.mp4"[..], &b"3"[..])));
        assert_eq!(of("clips/a.mp4 3"), Ok((&b"clips/a.mp4"[..], &b"3"[..])));
        assert_eq!(of("a,b,c"), Err("`a,b,c` has 3 columns, not a path and a label".to_owned()));
        assert_eq!(of("a.mp4,"), Err("`a.mp4,` has 2 columns, not a path and a label".to_owned()));
    }

    #[test]
    fn other_lines_say_what_is_wrong_with_them() {
        for (line, reason) in [
            ("b.png", "`b.png` is not a path and a label"),
            ("train 0.jpg", "`0.jpg` is the name of a file, not a label"),
            ("0 a.jpg", "`a.jpg` is the name of a file, not a label"),
            ("0 a.mp4", "`a.mp4` is the name of a file, not a label"),
            ("cat\ta.jpg", "`a.jpg` is the name of a file, not a label"),
            ("a.jpg\tcat\t0", "`a.jpg\\x09cat\\x090` has 3 columns, not a path and a label"),
            ("a.jpg,0", "`a.jpg,0` has its columns separated by commas, not by a tab or a space"),
            ("a.jpg, 0", "`a.jpg, 0` has its columns separated by commas, not by a tab or a space"),
            (
                "train 0.jpg;0",
                "`train 0.jpg;0` has its columns separated by semicolons, not by a tab or a space",
            ),
            (
                "\"a.jpg\",\"0\"",
                "`\"a.jpg\",\"0\"` has its columns separated by commas, not by a tab or a space",
            ),
            ("path,label", "`path,label` has its columns separated by commas, not by a tab or a space"),
        ] {
            assert_eq!(split(line.as_bytes()), Err(reason.to_owned()));
        }
    }
}
