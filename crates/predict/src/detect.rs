//! Detection: boxes with a class and a score.

use std::cmp::Reverse;
use std::sync::Arc;

use mutualnet_core::network::Output as Name;
use mutualnet_detect::anchors::DefaultBoxes;
use mutualnet_detect::boxes::left_top_sides;
use mutualnet_detect::decode::{Answers, DetectionRules, Found};
use mutualnet_detect::{Corners, Extent, Rle};
use mutualnet_image::Image;
use mutualnet_runtime::Output;
use serde_json::{Map, Value, json};

use crate::decoder::maps;
use crate::legend::with_legend;
use crate::{Decoder, Error, Prediction, Result};

/// Numbers of a box's codes.
pub(crate) const CODES: usize = 4;

pub(crate) struct Detect {
    /// The background first.
    pub(crate) classes: Arc<[String]>,
    /// The least score of an object that is told and drawn.
    pub(crate) least_score: f32,
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundObject {
    /// Index of its class; 0, the background, is none of an object.
    pub class: usize,
    /// From 0 to 1.
    pub score: f32,
    /// Its box, in pixels of the image.
    pub corners: Corners,
    /// Its mask, of the image's size, if the network draws masks.
    pub mask: Option<Rle>,
}

/// The objects of an image, surest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxes {
    classes: Arc<[String]>,
    /// The least score of those that are told and drawn.
    least_score: f32,
    found: Vec<FoundObject>,
}

impl Decoder for Detect {
    fn draws(&self) -> bool {
        true
    }

    fn has_masks(&self) -> bool {
        false
    }

    fn finds_objects(&self) -> bool {
        true
    }

    fn decode(&self, outputs: &[Output<'_>], [height, width]: [u32; 2]) -> Result<Box<dyn Prediction>> {
        let [scores, boxes] = [Name::SCORES, Name::BOXES].map(|kind| maps(outputs, kind));
        let extent = Extent { height, width };
        let map = |output: &Output<'_>| output.size.map(|side| side as u32);
        let extents: Vec<_> =
            scores.iter().map(map).map(|[height, width]| Extent { height, width }).collect();
        let default_boxes = DefaultBoxes::ssdlite();
        if extents.len() != default_boxes.levels().len() {
            return Err(Error::NoDetector);
        }
        let anchors = default_boxes.grid(extent, &extents);
        let all = |outputs: &[Output<'_>]| outputs.iter().flat_map(|output| output.data).copied().collect();
        let (logits, codes): (Vec<f32>, Vec<f32>) = (all(&scores), all(&boxes));
        let (codes, rest) = codes.as_chunks::<CODES>();
        if codes.len() != anchors.len()
            || !rest.is_empty()
            || logits.len() != anchors.len() * self.classes.len()
        {
            return Err(Error::NoDetector);
        }
        let answers = Answers { anchors: &anchors, logits: &logits, codes };
        let found = DetectionRules::SSDLITE.one_stage(answers, DetectionRules::SSDLITE_CANDIDATES, extent);
        let found = found.into_iter().map(|Found { class, score, corners }| FoundObject {
            class,
            score,
            corners,
            mask: None,
        });
        Ok(Box::new(Boxes::new(Arc::clone(&self.classes), self.least_score, found.collect())))
    }
}

impl Boxes {
    /// Objects in pixels of the image, surest first.
    pub(crate) fn new(classes: Arc<[String]>, least_score: f32, found: Vec<FoundObject>) -> Self {
        Self { classes, least_score, found }
    }

    /// All objects, surest first, also those with a low score.
    pub fn found(&self) -> &[FoundObject] {
        &self.found
    }

    /// Those that are sure enough to be shown.
    fn shown(&self) -> impl Iterator<Item = &FoundObject> {
        self.found.iter().take_while(|found| found.score >= self.least_score)
    }
}

impl Prediction for Boxes {
    fn text(&self) -> String {
        let each = self.shown().map(|FoundObject { class, score, corners, .. }| {
            let [left, top, right, bottom] = corners.map(f32::round);
            format!("{} {:.1} % at {left},{top}–{right},{bottom}", self.classes[*class], score * 100.0)
        });
        let each: Vec<_> = each.collect();
        match self.found.first() {
            None => "no objects".to_owned(),
            Some(surest) if each.is_empty() => format!(
                "no objects with a score of {} % or more; the surest: {} {:.1} %",
                (self.least_score * 1000.0).round() / 10.0,
                self.classes[surest.class],
                surest.score * 100.0
            ),
            Some(_) => each.join(", "),
        }
    }

    fn json(&self) -> Map<String, Value> {
        let objects = self.found.iter().map(|FoundObject { class, score, corners, mask }| {
            let mut object =
                json!({ "class": self.classes[*class], "score": score, "bbox": left_top_sides(*corners) });
            if let Some(mask) = mask {
                object["segmentation"] = json!(mask);
            }
            object
        });
        Map::from_iter([("objects".to_owned(), objects.collect())])
    }

    fn picture(&self, image: &Image) -> Option<Image> {
        let (width, height) = (image.width(), image.height());
        let mut pixels = image.pixels().to_vec();
        let thickness = (width.min(height) / 200).max(1);
        let mut names: Vec<(usize, [u8; 3])> = Vec::new();
        // Small masks lie over large ones, and boxes over all of them.
        let with_mask = self.shown().filter_map(|found| Some((found.class, found.mask.as_ref()?)));
        let mut masks: Vec<_> =
            with_mask.filter(|(_, mask)| mask.extent() == Extent { height, width }).collect();
        masks.sort_by_key(|(_, mask)| Reverse(mask.area()));
        masks.into_iter().for_each(|(class, mask)| tint(&mut pixels, mask, color(class)));
        for FoundObject { class, corners, .. } in self.shown() {
            let color = color(*class);
            draw(&mut pixels, [width, height], *corners, (thickness, color));
            names.push((*class, color));
        }
        names.sort_unstable();
        names.dedup();
        let names: Vec<_> = names.iter().map(|(class, color)| (&self.classes[*class][..], *color)).collect();
        Some(with_legend(&Image::new(width, height, pixels), &names))
    }

    fn objects(&self) -> Option<&[FoundObject]> {
        Some(&self.found)
    }

    fn mask(&self, _: [u32; 2]) -> Option<(Vec<u8>, Vec<[u8; 3]>)> {
        None
    }
}

/// Colors the pixels of a mask, half and half.
fn tint(pixels: &mut [u8], mask: &Rle, color: [u8; 3]) {
    let inside = mask.decode();
    for (pixel, _) in pixels.chunks_exact_mut(3).zip(&inside).filter(|(_, inside)| **inside != 0) {
        for (number, color) in pixel.iter_mut().zip(color) {
            *number = u8::midpoint(*number, color);
        }
    }
}

/// Draws the sides of a box, inside of it.
fn draw(pixels: &mut [u8], [columns, rows]: [u32; 2], corners: Corners, (thickness, color): (u32, [u8; 3])) {
    let at = |number: f32, most: u32| (number.round().max(0.0) as u32).min(most);
    let [left, right] = [corners[0], corners[2]].map(|x| at(x, columns));
    let [top, bottom] = [corners[1], corners[3]].map(|y| at(y, rows));
    let is_edge = |place: u32, [first, end]: [u32; 2]| place - first < thickness || end - place <= thickness;
    for y in top..bottom {
        for x in (left..right).filter(|&x| is_edge(x, [left, right]) || is_edge(y, [top, bottom])) {
            let place = 3 * (y as usize * columns as usize + x as usize);
            pixels[place..place + 3].copy_from_slice(&color);
        }
    }
}

/// Colors that can be told apart, again and again.
fn color(class: usize) -> [u8; 3] {
    const COLORS: [[u8; 3]; 8] = [
        [230, 25, 75],
        [60, 180, 75],
        [0, 130, 200],
        [245, 130, 48],
        [145, 30, 180],
        [70, 240, 240],
        [240, 50, 230],
        [210, 245, 60],
    ];
    COLORS[class.saturating_sub(1) % COLORS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(found: &[(usize, f32, Corners)]) -> Boxes {
        let classes = ["background", "cat", "dog"].map(str::to_owned);
        let found =
            found.iter().map(|&(class, score, corners)| FoundObject { class, score, corners, mask: None });
        Boxes { classes: classes.into(), least_score: 0.5, found: found.collect() }
    }

    #[test]
    fn sure_objects_are_told_and_json_has_all() {
        let boxes = boxes(&[(2, 0.9, [1.2, 2.0, 11.0, 8.0]), (1, 0.3, [0.0, 0.0, 4.0, 4.0])]);
        assert_eq!(boxes.text(), "dog 90.0 % at 1,2–11,8");
        let json = boxes.json();
        assert_eq!(json["objects"][1]["class"], "cat");
        assert_eq!(json["objects"][1]["bbox"], json!([0.0, 0.0, 4.0, 4.0]));
        let least =
            |least_score| super::Boxes { least_score, found: boxes.found[1..].to_vec(), ..boxes.clone() };
        assert_eq!(least(0.5).text(), "no objects with a score of 50 % or more; the surest: cat 30.0 %");
        assert_eq!(least(0.305).text(), "no objects with a score of 30.5 % or more; the surest: cat 30.0 %");
        assert_eq!(least(0.3).text(), "cat 30.0 % at 0,0–4,4");
        assert_eq!(super::Boxes { found: vec![], ..boxes }.text(), "no objects");
    }

    #[test]
    fn pictures_have_the_sides_of_sure_boxes_and_a_legend() {
        let boxes = boxes(&[(1, 0.9, [2.0, 1.0, 8.0, 6.0]), (2, 0.1, [0.0, 0.0, 20.0, 10.0])]);
        let picture = boxes.picture(&Image::new(20, 10, vec![7; 600])).unwrap();
        let red = color(1);
        assert_eq!([(2, 1), (7, 1), (2, 5), (7, 5), (4, 1)].map(|(x, y)| picture.pixel(x, y)), [red; 5]);
        assert_eq!([(4, 3), (8, 1), (2, 6), (0, 0)].map(|(x, y)| picture.pixel(x, y)), [[7; 3]; 4]);
        assert!(picture.height() > 10 && boxes.mask([10, 20]).is_none());
    }

    #[test]
    fn masks_are_in_json_and_colored() {
        let mut boxes = boxes(&[(1, 0.9, [2.0, 1.0, 8.0, 6.0])]);
        let extent = Extent { height: 10, width: 20 };
        boxes.found[0].mask = Some(Rle::from_box(extent, [2.0, 1.0, 6.0, 5.0]).unwrap());
        let json = boxes.json();
        assert_eq!(json["objects"][0]["segmentation"]["size"], json!([10, 20]));
        let picture = boxes.picture(&Image::new(20, 10, vec![7; 600])).unwrap();
        let tinted = color(1).map(|color| u8::midpoint(7, color));
        assert_eq!(
            [picture.pixel(4, 3), picture.pixel(2, 1), picture.pixel(8, 3)],
            [tinted, color(1), [7; 3]]
        );
        assert_eq!(boxes.objects().unwrap().len(), 1);
    }

    #[test]
    fn outputs_of_another_network_are_refused() {
        let output = Output { name: "logits", size: [1, 1], channels: 3, data: &[0.0; 3] };
        let decoder = Detect { classes: boxes(&[]).classes, least_score: 0.5 };
        assert!(matches!(decoder.decode(&[output], [4, 4]), Err(Error::NoDetector)));
    }
}
