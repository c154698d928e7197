//! Makes names from untrusted files safe to print on a terminal.
//!
//! Invariant: errors hold names as the file has them, and every message shows them through [`printable`].

/// Most characters of a name that are shown.
const SHOWN: usize = 100;

/// The name without control characters, changes of direction and the like, which become `?`; a long name ends in `…`.
pub fn printable(name: &str) -> String {
    let mut chars = name.chars();
    let mut shown: String = chars.by_ref().take(SHOWN).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Whether the character is safe to print as it is: Rust escapes control characters, line breaks, formatting, combining and unassigned
/// characters, and beside them quotes and backslashes, which do no harm.
fn is_plain(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_for_itself_is_shown() {
        for (name, shown) in [
            ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
            ("it's \"größer\" \\ 層", "it's \"größer\" \\ 層"),
            ("a\x1b[2Jb\r\n\tc\0\x7f", "a?[2Jb???c??"),
            ("\u{9b}31m", "?31m"),
            ("\u{202e}abc\u{2066}\u{200b}\u{2028}", "?abc???"),
            ("a\u{301}\u{301}", "a??"),
        ] {
            assert_eq!(printable(name), shown);
        }
        let long = "é".repeat(SHOWN);
        assert_eq!(printable(&long), long);
        assert_eq!(printable(&format!("{long}é")), format!("{long}…"));
    }
}
