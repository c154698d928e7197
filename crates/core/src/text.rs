//! Text of unknown origin, such as class names, paths and strings out of files, made safe to print.
//!
//! Separate because every program that prints needs it, and one rule should hold for all.
//! Invariant: what comes out holds nothing that moves the cursor, colors the terminal or turns the direction of text.

use std::borrow::Cow;
use std::path::Path;

/// The text in one line: characters that would act on a terminal are escaped, as in `\u{1b}` and `\n`.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_printable)
}

/// As [`printable`], but line breaks stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || is_printable(c))
}

/// Whether a character only shows itself: it is no control character, no line break and does not turn the direction of
/// text.
pub fn is_printable(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    // Tags are invisible copies of ASCII.
    let hides = matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    !(c.is_control() || turns || breaks || hides)
}

/// A number of things, as in `1 image` and `2 images`. `thing` is a word whose plural ends in a plain `s`.
pub fn counted(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// The bytes of a text file as UTF-8 without a byte-order mark, which editors and shells add; UTF-16 with one is converted.
pub fn decoded(bytes: Vec<u8>) -> Vec<u8> {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = bytes[2..].as_chunks();
        let units: Vec<u16> = pairs.iter().map(|&pair| unit(pair)).collect();
        String::from_utf16_lossy(&units).into_bytes()
    };
    match bytes.as_slice() {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        [0xff, 0xfe, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(u16::from_be_bytes),
        _ => bytes,
    }
}

/// UTF-8 text as it is, and `\xNN` for every other byte.
pub fn escape_invalid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// A path as messages show it: one line, in which control characters and bytes that are not UTF-8 are `\xNN`.
pub fn shown(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_encoded_bytes())
}

/// A path as an argument of a command that a message suggests, in quotes where a POSIX shell needs them.
pub fn quoted(path: &Path) -> String {
    let shown = shown(path);
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !shown.is_empty() && shown.chars().all(is_plain) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

/// As [`shown`], of a directory that may be the current one.
pub fn shown_dir(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".to_owned() } else { shown(path) }
}

/// As [`shown`], of any bytes.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for c in escape_invalid(bytes).chars() {
        match u32::from(c) {
            code if c.is_control() => text.push_str(&format!("\\x{code:02x}")),
            _ => text.push(c),
        }
    }
    text
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if keep(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_arguments_can_be_copied() {
        for (path, quoted_path) in [
            ("runs/a-1", "runs/a-1"),
            ("rün 2", "'rün 2'"),
            ("it's", r"'it'\''s'"),
            ("a;b", "'a;b'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), quoted_path);
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for (text, shown) in [
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\n\tb\0\x7f", "a\\r\\n\\tb\\u{0}\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gpj.exe\u{2066}\u{2028}", "\\u{202e}gpj.exe\\u{2066}\\u{2028}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\nb\x1b"), "a\nb\\u{1b}");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "image")), ["0 images", "1 image", "2 images"]);
    }

    #[test]
    fn names_in_any_script_stay_as_they_are() {
        for text in [
            "größer \"層\" \\ it's",
            "e\u{301}te\u{301}",
            "ภาพถ่าย",
            "नमस्ते",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀",
            "",
        ] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
