//! Text inside SVG and HTML.

use mutualnet_core::text::printable;

/// The text with markup and control characters escaped; the latter are not allowed in SVG at all.
pub(crate) fn escape(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
