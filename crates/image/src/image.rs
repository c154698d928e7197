//! The decoded image: 8-bit RGB, rows from the top, no padding.
//!
//! Separate because everything between decoding and normalization shares this one layout.
//! Invariant: `pixels.len() == 3 * width * height`, both at least 1.

/// A color image in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Image {
    /// Takes pixels in rows from the top, three bytes each.
    ///
    /// # Panics
    /// The number of bytes does not match the size, or there are no pixels.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Self {
        check_size(width, height, &pixels);
        Self { width, height, pixels }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All bytes: red, green, blue of the top left pixel first.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All bytes, mutable.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Returns the bytes.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Redraws the image from itself into `spare`, which receives the old pixels afterward.
    ///
    /// # Panics
    /// The drawn pixels have another size.
    pub fn redraw(&mut self, spare: &mut Vec<u8>, draw: impl FnOnce(&Self, &mut Vec<u8>)) {
        spare.clear();
        draw(self, spare);
        check_size(self.width, self.height, spare);
        std::mem::swap(&mut self.pixels, spare);
    }

    /// The same image, borrowed.
    pub fn view(&self) -> ImageRef<'_> {
        ImageRef { width: self.width, height: self.height, pixels: &self.pixels }
    }

    /// The color of one pixel.
    ///
    /// # Panics
    /// The position is outside the image.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "({x}, {y}) of {}x{}", self.width, self.height);
        let at = 3 * (y as usize * self.width as usize + x as usize);
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Mirrors left and right in place.
    pub fn flip_horizontal(&mut self) {
        for row in self.pixels.chunks_exact_mut(3 * self.width as usize) {
            let (pixels, _) = row.as_chunks_mut::<3>();
            pixels.reverse();
        }
    }
}

/// A color image that borrows its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageRef<'a> {
    width: u32,
    height: u32,
    pixels: &'a [u8],
}

impl<'a> ImageRef<'a> {
    /// Borrows pixels in rows from the top, three bytes each.
    ///
    /// # Panics
    /// As [`Image::new`].
    pub fn new(width: u32, height: u32, pixels: &'a [u8]) -> Self {
        check_size(width, height, pixels);
        Self { width, height, pixels }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All bytes: red, green, blue of the top left pixel first.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }

    /// A copy that owns its pixels.
    pub fn to_image(self) -> Image {
        Image { width: self.width, height: self.height, pixels: self.pixels.to_vec() }
    }
}

fn check_size(width: u32, height: u32, pixels: &[u8]) {
    assert!(
        width > 0 && height > 0 && pixels.len() == 3 * width as usize * height as usize,
        "{} bytes are not {width}x{height} RGB pixels",
        pixels.len()
    );
}

/// Shows the size and the first pixel only: whole images would flood the output of a failing test.
impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{}, {:?} …)", self.width, self.height, &self.pixels[..3])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_flips_are_none(width in 1u32..9, height in 1u32..9, first in 0u8..200) {
            let pixels = (0..3 * width * height).map(|i| first.wrapping_add(i as u8)).collect();
            let image = Image::new(width, height, pixels);
            let mut flipped = image.clone();
            flipped.flip_horizontal();
            prop_assert_eq!(flipped.pixel(0, height - 1), image.pixel(width - 1, height - 1));
            flipped.flip_horizontal();
            prop_assert_eq!(flipped, image);
        }
    }
}
