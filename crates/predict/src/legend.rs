//! A legend below a picture: a colored square and a name for every class in it.
//!
//! Letters come from an 8 × 8 bitmap font, so that no font has to be found on the machine.

use font8x8::UnicodeFonts;
use mutualnet_image::Image;

/// Height of a line, in pixels; letters are 8 × 8.
const LINE: u32 = 16;
/// Distance between square, name and border.
const GAP: u32 = 6;
const LETTER: u32 = 8;
const PAPER: [u8; 3] = [255; 3];
const INK: [u8; 3] = [34; 3];

/// The picture with one line for every name below it.
pub(crate) fn with_legend(picture: &Image, names: &[(&str, [u8; 3])]) -> Image {
    if names.is_empty() {
        return picture.clone();
    }
    let longest = names.iter().map(|(name, _)| name.chars().count() as u32).max().unwrap_or(0);
    let text_left = 2 * GAP + LETTER;
    let width = picture.width().max(text_left + LETTER * longest + GAP);
    let height = picture.height() + LINE * names.len() as u32 + GAP;
    let mut canvas = Canvas { width, pixels: PAPER.repeat(width as usize * height as usize) };
    for (y, line) in (0..).zip(picture.pixels().chunks_exact(3 * picture.width() as usize)) {
        canvas.pixels[3 * y * width as usize..][..line.len()].copy_from_slice(line);
    }
    for (row, (name, color)) in (0..).zip(names) {
        let top = picture.height() + GAP / 2 + LINE * row + (LINE - LETTER) / 2;
        for at in 0..LETTER * LETTER {
            canvas.set([GAP + at % LETTER, top + at / LETTER], *color);
        }
        for (place, letter) in (0..).zip(name.chars()) {
            canvas.letter([text_left + LETTER * place, top], letter);
        }
    }
    Image::new(width, height, canvas.pixels)
}

struct Canvas {
    width: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    fn set(&mut self, [x, y]: [u32; 2], color: [u8; 3]) {
        let at = 3 * (y as usize * self.width as usize + x as usize);
        self.pixels[at..at + 3].copy_from_slice(&color);
    }

    /// Draws a letter; those that the font does not have are question marks.
    fn letter(&mut self, [left, top]: [u32; 2], letter: char) {
        let fonts = [font8x8::BASIC_FONTS.get(letter), font8x8::LATIN_FONTS.get(letter)];
        let glyph = fonts.into_iter().flatten().next().or_else(|| font8x8::BASIC_FONTS.get('?'));
        for (y, bits) in (0..).zip(glyph.unwrap_or_default()) {
            for x in (0..LETTER).filter(|x| bits >> x & 1 == 1) {
                self.set([left + x, top + y], INK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_line_with_its_color() {
        let picture = Image::new(4, 4, vec![9; 48]);
        let both = with_legend(&picture, &[("A", [1, 2, 3]), ("été ✓", [4, 5, 6])]);
        assert_eq!([both.width(), both.height()], [20 + 8 * 5 + 6, 4 + 2 * 16 + 6]);
        assert_eq!(both.pixel(3, 3), [9; 3]);
        assert_eq!((both.pixel(4, 0), both.pixel(GAP, 4 + 3 + 4)), (PAPER, [1, 2, 3]));
        assert_eq!(both.pixel(GAP, 4 + 3 + 16 + 4), [4, 5, 6]);
        assert!(both.pixels().chunks_exact(3).any(|pixel| pixel == INK));
        assert_eq!(with_legend(&picture, &[]), picture);
    }
}
