//! An image that is not decoded yet but whose size is known, so that a crop can be drawn before decoding.
//!
//! Separate from the formats because code that crops does not need to know which of them can be decoded in parts.

use std::mem;
use std::time::{Duration, Instant};

use super::{decode_in, jpeg};
use crate::image::ImageRef;
use crate::resize::Rect;
use crate::{DecodeError, Image};

/// The bytes of an image, ready to be decoded as a whole or in part.
#[derive(Debug)]
pub struct Undecoded<'a> {
    width: u32,
    height: u32,
    content: Content<'a>,
    /// How long decoding took, if it was needed to find the size.
    decoding: Duration,
}

#[derive(Debug)]
enum Content<'a> {
    Jpeg(&'a mut [u8], jpeg::Header),
    /// Stored as pixels.
    Pixels(ImageRef<'a>),
    /// Of a format that cannot be decoded in parts.
    Decoded(Image),
}

impl<'a> Undecoded<'a> {
    /// Finds the size of an image file. A format that cannot be decoded in parts is decoded now, in the memory of
    /// `decoded`.
    ///
    /// # Errors
    /// The reason why the bytes are not a usable image, as far as it is known by then.
    pub fn new(bytes: &'a mut [u8], decoded: &mut Vec<u8>) -> Result<Self, DecodeError> {
        let header = if bytes.starts_with(&jpeg::MAGIC) { jpeg::header(bytes) } else { None };
        match header {
            Some(header) => {
                let [width, height] = header.size();
                Ok(Self { width, height, content: Content::Jpeg(bytes, header), decoding: Duration::ZERO })
            }
            None => {
                let begun = Instant::now();
                let image = decode_in(bytes, mem::take(decoded))?;
                Ok(Self { decoding: begun.elapsed(), ..Self::decoded(image) })
            }
        }
    }

    /// An image that is stored as pixels.
    ///
    /// # Panics
    /// As [`Image::new`].
    pub fn pixels(width: u32, height: u32, pixels: &'a [u8]) -> Self {
        let image = ImageRef::new(width, height, pixels);
        Self { width, height, content: Content::Pixels(image), decoding: Duration::ZERO }
    }

    /// An image that was decoded to find its size.
    pub fn decoded(image: Image) -> Self {
        let (width, height) = (image.width(), image.height());
        Self { width, height, content: Content::Decoded(image), decoding: Duration::ZERO }
    }

    /// Whether it is stored as pixels and not as an image file.
    pub fn is_raw(&self) -> bool {
        matches!(self.content, Content::Pixels(_))
    }

    /// How long decoding has taken so far.
    pub fn decoding(&self) -> Duration {
        self.decoding
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Decodes all of it.
    pub fn whole(self) -> Result<Image, DecodeError> {
        match self.content {
            Content::Jpeg(bytes, _) => decode_in(bytes, Vec::new()),
            Content::Pixels(image) => Ok(image.to_image()),
            Content::Decoded(image) => Ok(image),
        }
    }

    /// Decodes all of it to find damage, a JPEG file at an eighth of its size, and returns its width and height.
    ///
    /// # Errors
    /// The reason why the bytes are not a usable image.
    pub fn verify(self) -> Result<[u32; 2], DecodeError> {
        let size = [self.width, self.height];
        self.region(Rect::whole(size), [1; 2], &mut Vec::new())?;
        Ok(size)
    }

    /// Decodes at least a rectangle, which is to become `at_least` pixels wide and high or less.
    ///
    /// Returns pixels and where the rectangle is in them. They may be scaled down, but not below twice `at_least`.
    ///
    /// # Errors
    /// The reason why the bytes are not a usable image. Damage outside the rectangle may go unnoticed.
    pub fn region<'b>(
        self,
        crop: Rect,
        at_least: [u32; 2],
        buffer: &'b mut Vec<u8>,
    ) -> Result<(ImageRef<'b>, Rect), DecodeError>
    where
        'a: 'b,
    {
        match self.content {
            Content::Jpeg(bytes, header) => jpeg::region(bytes, &header, crop, at_least, buffer),
            Content::Pixels(image) => Ok((image, crop)),
            Content::Decoded(image) => {
                *buffer = image.into_pixels();
                Ok((ImageRef::new(self.width, self.height, buffer), crop))
            }
        }
    }
}
