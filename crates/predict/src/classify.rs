//! Classification: the most probable classes of an image.

use mutualnet_image::Image;
use mutualnet_runtime::Output;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Decoder, Error, Prediction, Result};

pub(crate) struct Classify {
    pub(crate) classes: Vec<String>,
    /// Number of classes in an answer.
    pub(crate) top: usize,
}

/// One class of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassProbability {
    /// Its name.
    pub class: String,
    /// Softmax of the logits.
    pub probability: f32,
}

/// The most probable classes of an image, most probable first.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes(pub Vec<ClassProbability>);

impl Decoder for Classify {
    fn draws(&self) -> bool {
        false
    }

    fn has_masks(&self) -> bool {
        false
    }

    fn decode(&self, outputs: &[Output<'_>], _: [u32; 2]) -> Result<Box<dyn Prediction>> {
        let Output { name, size: [height, width], channels, data } = outputs[0];
        if height * width != 1 {
            return Err(Error::NoClassifier { output: name.to_owned(), height, width });
        }
        let probabilities = mean(data.chunks_exact(channels).map(softmax));
        let mut order: Vec<_> = (0..probabilities.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        order.truncate(self.top);
        let of = |class: usize| ClassProbability {
            class: self.classes[class].clone(),
            probability: probabilities[class],
        };
        Ok(Box::new(Classes(order.into_iter().map(of).collect())))
    }
}

impl Prediction for Classes {
    fn text(&self) -> String {
        let Self(classes) = self;
        let each = classes.iter().map(|class| format!("{} {:.1} %", class.class, class.probability * 100.0));
        each.collect::<Vec<_>>().join(", ")
    }

    fn json(&self) -> Map<String, Value> {
        Map::from_iter([("top".to_owned(), json!(self.0))])
    }

    fn picture(&self, _: &Image) -> Option<Image> {
        None
    }

    fn mask(&self, _: [u32; 2]) -> Option<(Vec<u8>, Vec<[u8; 3]>)> {
        None
    }
}

/// The mean over the views of a video; of an image there is one.
fn mean(mut views: impl ExactSizeIterator<Item = Vec<f32>>) -> Vec<f32> {
    let n = views.len() as f32;
    let mut sum = views.next().unwrap_or_default();
    views.for_each(|view| sum.iter_mut().zip(view).for_each(|(sum, probability)| *sum += probability));
    sum.iter_mut().for_each(|sum| *sum /= n);
    sum
}

/// Turns logits into probabilities.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_does_not_overflow() {
        assert_eq!(softmax(&[1000.0, 1000.0, 0.0]), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn several_views_are_averaged() {
        let decoder = Classify { classes: ["a", "b"].map(str::to_owned).to_vec(), top: 2 };
        let data = [0.0, 0.0, 0.0, (3.0_f32).ln()];
        let output = Output { name: "logits", size: [1, 1], channels: 2, data: &data };
        assert_eq!(decoder.decode(&[output], [1; 2]).unwrap().text(), "b 62.5 %, a 37.5 %");
    }

    #[test]
    fn the_most_probable_classes_come_first() {
        let decoder = Classify { classes: ["a", "b", "c"].map(str::to_owned).to_vec(), top: 2 };
        let data = [0.0, (3.0_f32).ln(), (2.0_f32).ln()];
        let output = |size| Output { name: "logits", size, channels: 3, data: &data };
        let answer = decoder.decode(&[output([1, 1])], [1; 2]).unwrap();
        assert_eq!(answer.text(), "b 50.0 %, c 33.3 %");
        assert_eq!(answer.json()["top"][1]["class"], "c");
        let error = decoder.decode(&[output([2, 1])], [1; 2]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "output `logits` has 2x1 positions; only one position can be classified"
        );
    }
}
