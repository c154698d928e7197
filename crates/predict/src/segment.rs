//! Semantic segmentation: a class for every pixel.

use std::sync::Arc;

use mutualnet_image::Image;
use mutualnet_image::resize::Rect;
use mutualnet_runtime::Output;
use serde_json::{Map, Value, json};

use crate::legend::with_legend;
use crate::{Decoder, Prediction, Result};

/// What a mask has where the network did not see the image.
const UNSEEN: u8 = 255;
/// An image is seen up to this many times its shorter side; see `mutualnet_image::resize`.
const LONGEST: u32 = 8;

pub(crate) struct Segment {
    pub(crate) classes: Arc<[String]>,
}

/// The scores of every class at every pixel that the network saw.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassMap {
    classes: Arc<[String]>,
    /// Height and width.
    size: [usize; 2],
    /// `[height, width, classes]`.
    scores: Vec<f32>,
}

impl Decoder for Segment {
    fn draws(&self) -> bool {
        true
    }

    fn has_masks(&self) -> bool {
        true
    }

    fn decode(&self, outputs: &[Output<'_>], _: [u32; 2]) -> Result<Box<dyn Prediction>> {
        let Output { size, data, .. } = outputs[0];
        Ok(Box::new(ClassMap { classes: self.classes.clone(), size, scores: data.to_vec() }))
    }
}

impl ClassMap {
    /// The share of the pixels that each class has, largest first; classes without a pixel are left out.
    pub fn shares(&self) -> Vec<(&str, f64)> {
        let mut counts = vec![0_u32; self.classes.len()];
        for scores in self.scores.chunks_exact(self.classes.len()) {
            counts[best(scores.iter().copied())] += 1;
        }
        let n = (self.size[0] * self.size[1]) as f64;
        let named = self.classes.iter().zip(counts).filter(|&(_, count)| count > 0);
        let mut shares: Vec<_> = named.map(|(class, n_class)| (&class[..], f64::from(n_class) / n)).collect();
        shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        shares
    }

    /// The most probable class of every pixel of an image of another size, `[height, width]`; scores are resized
    /// bilinearly (without aligned corners) first, as in training.
    fn classes_at(&self, [height, width]: [u32; 2]) -> Vec<u8> {
        let n = self.classes.len();
        let [rows, columns] =
            [(height, self.size[0]), (width, self.size[1])].map(|(to, from)| taps(to, from));
        let line = self.size[1] * n;
        let mut numbers = Vec::with_capacity(height as usize * width as usize);
        let mut mixed = vec![0.0; line];
        for (upper, lower, down) in rows {
            let (upper, lower) = (&self.scores[upper * line..][..line], &self.scores[lower * line..][..line]);
            for (mixed, (a, b)) in mixed.iter_mut().zip(upper.iter().zip(lower)) {
                *mixed = a + down * (b - a);
            }
            for &(left, right, share) in &columns {
                let (left, right) = (&mixed[left * n..][..n], &mixed[right * n..][..n]);
                let scores = left.iter().zip(right).map(|(a, b)| a + share * (b - a));
                // More than 255 classes have no place in a mask; those above it are not told apart.
                numbers.push(best(scores).min(254) as u8);
            }
        }
        numbers
    }
}

/// For every position of a line of `to`, its neighbors in a line of `from` and the share of the second.
fn taps(to: u32, from: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    let tap = |i: u32| {
        let position = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let first = (position as usize).min(from - 1);
        (first, (first + 1).min(from - 1), position - first as f32)
    };
    (0..to).map(tap).collect()
}

/// Index of the largest score, the first one of equals.
fn best(scores: impl Iterator<Item = f32>) -> usize {
    let largest = scores.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    largest.map_or(0, |(class, _)| class)
}

/// The color of a class: the palette of PASCAL VOC, in which class 0 is black.
///
/// # Source
/// `VOCcode/VOClabelcolormap.m` of the VOC development kit: the bits of the number are dealt to the channels in turn.
fn color(class: usize) -> [u8; 3] {
    let mut color = [0; 3];
    for bit in 0..8 {
        for (channel, value) in color.iter_mut().enumerate() {
            *value |= ((class >> (3 * bit + channel) & 1) as u8) << (7 - bit);
        }
    }
    color
}

impl Prediction for ClassMap {
    fn text(&self) -> String {
        let each = self.shares().into_iter().map(|(class, share)| format!("{class} {:.1} %", share * 100.0));
        each.collect::<Vec<_>>().join(", ")
    }

    fn json(&self) -> Map<String, Value> {
        let shares =
            self.shares().into_iter().map(|(class, share)| json!({ "class": class, "share": share }));
        Map::from_iter([("pixels".to_owned(), shares.collect())])
    }

    fn picture(&self, image: &Image) -> Option<Image> {
        let (mask, colors) = self.mask([image.height(), image.width()])?;
        let mut pixels = image.pixels().to_vec();
        for (pixel, &class) in pixels.chunks_exact_mut(3).zip(&mask).filter(|(_, class)| **class != UNSEEN) {
            for (value, color) in pixel.iter_mut().zip(colors[usize::from(class)]) {
                *value = u8::midpoint(*value, color);
            }
        }
        let found: std::collections::BTreeSet<_> =
            mask.into_iter().filter(|&class| class != UNSEEN).collect();
        let found = found.into_iter().map(usize::from);
        let names: Vec<_> = found.map(|class| (&self.classes[class][..], colors[class])).collect();
        Some(with_legend(&Image::new(image.width(), image.height(), pixels), &names))
    }

    fn mask(&self, [height, width]: [u32; 2]) -> Option<(Vec<u8>, Vec<[u8; 3]>)> {
        let longest = height.min(width).saturating_mul(LONGEST);
        let seen = Rect::center([width, height], longest, longest);
        let classes = self.classes_at([seen.height, seen.width]);
        let mut mask = vec![UNSEEN; height as usize * width as usize];
        let lines = mask.chunks_exact_mut(width as usize).skip(seen.top as usize);
        for (line, classes) in lines.zip(classes.chunks_exact(seen.width as usize)) {
            line[seen.left as usize..][..classes.len()].copy_from_slice(classes);
        }
        Some((mask, (0..self.classes.len().min(255)).map(color).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(size: [usize; 2], scores: &[f32]) -> ClassMap {
        let classes = ["sky", "tree"].map(str::to_owned);
        ClassMap { classes: classes.into(), size, scores: scores.to_vec() }
    }

    #[test]
    fn shares_are_of_the_best_classes() {
        let map = map([1, 4], &[0.0, 1.0, 0.0, 2.0, 5.0, 1.0, 0.0, 0.1]);
        assert_eq!(map.text(), "tree 75.0 %, sky 25.0 %");
        assert_eq!(map.json()["pixels"][0]["share"], 0.75);
    }

    #[test]
    fn masks_have_the_size_of_the_image() {
        // Left sky, right tree.
        let map = map([1, 2], &[1.0, 0.0, 0.0, 1.0]);
        let (mask, colors) = map.mask([2, 4]).unwrap();
        assert_eq!(mask, [0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(colors, [[0, 0, 0], [128, 0, 0]]);
        // Of a very long image only the middle was seen.
        let (mask, _) = map.mask([1, 12]).unwrap();
        assert_eq!(mask, [255, 255, 0, 0, 0, 0, 1, 1, 1, 1, 255, 255]);
    }

    #[test]
    fn colors_are_those_of_voc() {
        let expected = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]];
        assert_eq!([0, 1, 2, 3, 4].map(color), expected);
        assert_eq!((color(8), color(20)), ([64, 0, 0], [0, 64, 128]));
    }

    #[test]
    fn pictures_are_blended_and_have_a_legend() {
        let map = map([1, 2], &[1.0, 0.0, 0.0, 1.0]);
        let picture = map.picture(&Image::new(40, 20, vec![200; 2400])).unwrap();
        assert!(picture.width() >= 40 && picture.height() > 20);
        assert_eq!((picture.pixel(0, 0), picture.pixel(39, 19)), ([100; 3], [164, 100, 100]));
    }
}
