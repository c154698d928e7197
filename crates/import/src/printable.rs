//! Makes names from untrusted files safe and short enough to print on a terminal.
//!
//! Invariant: errors hold names as the file has them, and every message shows them through [`printable`].

use mutualnet_core::text;

/// Most characters of a name that are shown.
const SHOWN: usize = 100;

/// The name with everything escaped that would act on a terminal; a long name ends in `…`.
pub fn printable(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        None => text::printable(name).into_owned(),
        Some((end, _)) => format!("{}…", text::printable(&name[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_escaped() {
        assert_eq!(printable("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        let long = "é".repeat(SHOWN);
        assert_eq!(printable(&long), long);
        assert_eq!(printable(&format!("{long}é")), format!("{long}…"));
    }
}
