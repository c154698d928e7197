//! One caller's way from files to answers.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mutualnet_bundle::Bundle;
use mutualnet_core::network::List;
use mutualnet_core::{Macs, Precision, Preprocess, Subnet, Views};
use mutualnet_image::{DecodeError, Error as ImageError, Preprocessed, preprocess_file};
use mutualnet_runtime::{Convolution, Model, ModelConfig, Output, Session};

use crate::{Clips, Decoder, Prediction, Result, Step, decoder};

/// What answers should have in them, and how they are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// Number of classes in the answer of a classifier.
    pub top: usize,
    /// The least score of an object, from 0 to 1, that the text and the picture of an answer have.
    pub least_score: f32,
    /// The parts of a video that are averaged; `None` means those with which the table was measured.
    pub views: Option<Views>,
    /// How convolutions are computed.
    pub convolution: Convolution,
    /// The precision of weights and feature maps; `None` prepares those of the table's rows, to switch between.
    pub precision: Option<Precision>,
}

impl Default for Config {
    fn default() -> Self {
        Self { top: 3, least_score: 0.5, views: None, convolution: Convolution::default(), precision: None }
    }
}

/// What came of one image or video.
pub struct Answer {
    /// The answer itself.
    pub prediction: Box<dyn Prediction>,
    /// Time in the network, without reading and decoding.
    pub time: Duration,
    /// Height and width at which the network saw the image, or the frames of the clip.
    pub size: [usize; 2],
    /// What this image cost, or all clips of this video together; for one that is not cropped this depends on its aspect ratio.
    pub macs: Macs,
}

/// Runs a bundle on images or videos.
pub struct Predictor {
    session: Session,
    decoder: Box<dyn Decoder>,
    preprocess: Preprocess,
}

impl Predictor {
    /// Prepares a bundle for a number of threads; it starts at the widest row.
    ///
    /// # Errors
    /// The network cannot be executed, or there is not enough memory.
    pub fn new(bundle: &Bundle, threads: NonZeroUsize, config: Config) -> Result<Self> {
        let Config { convolution, precision, views, .. } = config;
        let precisions = precision.map_or_else(|| bundle.table().precisions(), |precision| vec![precision]);
        let how = ModelConfig { convolution, precisions, ..ModelConfig::choose()? };
        let session = Session::new(Arc::new(Model::with_config(bundle, how)?), threads)?;
        let decoder = decoder(bundle.task(), bundle.network(), bundle.classes(), config);
        let mut preprocess = *bundle.preprocess();
        preprocess.views = views.unwrap_or(preprocess.views);
        Ok(Self { session, decoder, preprocess })
    }

    /// Whether answers have pictures.
    pub fn draws(&self) -> bool {
        self.decoder.draws()
    }

    /// Whether answers have masks.
    pub fn has_masks(&self) -> bool {
        self.decoder.has_masks()
    }

    /// Whether answers have objects.
    pub fn finds_objects(&self) -> bool {
        self.decoder.finds_objects()
    }

    /// The session, to see which row runs.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to switch rows.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Whether the network reads clips, so that files are videos.
    pub fn reads_clips(&self) -> bool {
        self.preprocess.clip.is_some()
    }

    /// Reads an image file, or a video if the network reads clips, and answers.
    ///
    /// # Errors
    /// The file cannot be decoded; one that makes a library panic is a broken file like others.
    pub fn predict(&mut self, path: &Path) -> Result<Answer> {
        if let Some(sampling) = self.preprocess.clip {
            return self.answer_clips(&Clips::read(
                path,
                &self.preprocess,
                (sampling, self.preprocess.views),
            )?);
        }
        let read = catch_unwind(|| preprocess_file(path, &self.preprocess));
        let broken = || ImageError::Decode { path: path.to_owned(), source: DecodeError::Panic };
        let input = read.unwrap_or_else(|_| Err(broken()))?;
        self.answer(&input)
    }

    /// Answers for an image that is preprocessed.
    ///
    /// # Errors
    /// The outputs are not those of the task, or there is not enough memory for an image of this size.
    pub fn answer(&mut self, input: &Preprocessed) -> Result<Answer> {
        let begun = Instant::now();
        self.session.run_whole(&input.pixels, 1, input.size)?;
        self.answer_after(begun.elapsed(), (1, input.size), input.own_size)
    }

    /// Answers for the clips of a video that are preprocessed.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn answer_clips(&mut self, clips: &Clips) -> Result<Answer> {
        let [height, width] = clips.size;
        let extent = [clips.frames(), height, width];
        let begun = Instant::now();
        self.session.run_clips(&clips.pixels, (clips.n, extent))?;
        let own_size = clips.size.map(|side| side as u32);
        self.answer_after(begun.elapsed(), (clips.n, clips.size), own_size)
    }

    /// The answer to the latest run, on `n` images or clips of the same thing.
    fn answer_after(
        &mut self,
        time: Duration,
        (n, size): (usize, [usize; 2]),
        own_size: [u32; 2],
    ) -> Result<Answer> {
        let size = self.session.size_of(size);
        let outputs = latest(&self.session, List::MAIN)?;
        let begun = Instant::now();
        let Some(mut regions) = self.decoder.regions(&outputs, size)? else {
            let prediction = self.decoder.decode(&outputs, own_size)?;
            return Ok(Answer { prediction, time, size, macs: self.macs(n, &[], size)? });
        };
        let mut ran = Vec::new();
        loop {
            let (list, n_regions) = (regions.list(), regions.n());
            let mut outputs = Vec::new();
            if n_regions > 0 {
                self.session.run_list(list, &[regions.input()], n_regions)?;
                outputs = latest(&self.session, list)?;
            }
            ran.push((list, n_regions));
            let time = time + begun.elapsed();
            match self.decoder.decode_regions(regions, &outputs, own_size)? {
                Step::Regions(next) => regions = next,
                Step::Answer(prediction) => {
                    return Ok(Answer { prediction, time, size, macs: self.macs(n, &ran, size)? });
                }
            }
        }
    }

    /// What `n` images or clips cost that are seen at this size, with the regions that other lists ran on.
    fn macs(&self, n: usize, others: &[(&str, usize)], size: [usize; 2]) -> Result<Macs> {
        let network = self.session.model().network();
        let [height, image_width] =
            size.map(|side| u32::try_from(side).expect("images have fewer than 2^32 pixels to a side"));
        let Subnet { width, input } = self.session.subnet();
        let costs = network.costs_of_clip(width, [input.frames.get(), height, image_width])?;
        let of = |nodes: Range<usize>| costs[nodes].iter().map(|cost| cost.macs.0).sum::<u64>();
        let mut macs = of(network.main().nodes()) * n as u64;
        for &(list, n_regions) in others {
            macs += of(network.list(list)?.nodes()) * n_regions as u64;
        }
        Ok(Macs(macs))
    }
}

/// The outputs of the list that a session ran last.
fn latest<'a>(session: &'a Session, list: &str) -> Result<Vec<Output<'a>>> {
    let network = session.model().network();
    let n_outputs = network.outputs_of(network.list(list)?).count();
    Ok((0..n_outputs).map(|idx| session.output(idx)).collect())
}
