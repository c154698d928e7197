//! The state of one caller that runs a model and may switch rows at any time.
//!
//! Invariant: from the start there is enough memory for the feature maps of the largest row, so that neither switching
//! nor running allocates. The exceptions are a call with more images than any call before, whose outputs need more
//! memory, and images of a size that no row has.

use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_core::network::List;
use mutualnet_core::{Budget, Precision, Subnet, picked_frame, shrunk};

use crate::kernels::{Numbers, Team, rounded, widened};
use crate::program::{Feature, Program};
use crate::resize::{self, Resize};
use crate::{Error, Model, Result};

/// The least number of bytes that a session has for feature maps, of which only the used part is ever committed. Rows that
/// need less run several images in one pass.
const ARENA_BYTES: usize = 1 << 24;

/// How many sizes of images a session remembers the layout for.
const MAX_SIZES: usize = 16;

/// Runs a [`Model`] on a fixed number of threads, which does not affect the results.
pub struct Session {
    model: Arc<Model>,
    team: Team,
    threads: usize,
    row: usize,
    /// Index of the precision.
    precision: usize,
    /// The outputs of the latest run, each `[n, frames, h, w, channels]`.
    outputs: Vec<Vec<f32>>,
    /// The program of that run, and how many images it had.
    latest: (Arc<Program>, usize),
    /// Programs for images or frames that are no squares of their row's resolution, the latest one first.
    sizes: Vec<SizedProgram>,
}

/// The program of a row for images or frames of one size.
struct SizedProgram {
    row: usize,
    program: Arc<Program>,
}

/// An output of the latest run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Output<'a> {
    /// Its name in the network.
    pub name: &'a str,
    /// Height and width; 1 and 1 of logits.
    pub size: [usize; 2],
    /// Channels of each pixel.
    pub channels: usize,
    /// `[n, h, w, channels]`, or of a map of clips `[n, frames, h, w, channels]`.
    pub data: &'a [f32],
}

impl Session {
    /// Starts a session with `threads` threads, including the caller's. It begins with the widest row, at its largest
    /// resolution.
    ///
    /// # Errors
    /// Fails if there is not enough memory or if a thread cannot be started.
    pub fn new(model: Arc<Model>, threads: NonZeroUsize) -> Result<Self> {
        let arena_bytes = model.prepared.arena_bytes().max(ARENA_BYTES);
        let team = Team::new(model.prepared.clone(), threads.get(), arena_bytes)?;
        let row = model.widest();
        let program = model.program(row, 0).clone();
        let outputs = program.outputs.iter().map(|output| vec![0.0; output.pixels() * output.channels]);
        let (outputs, latest) = (outputs.collect(), (program.clone(), 0));
        let threads = threads.get();
        Ok(Self { model, team, threads, row, precision: 0, outputs, latest, sizes: Vec::new() })
    }

    /// The model that this session runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The number of threads, including the caller's.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The row that [`Self::run`] runs.
    pub fn subnet(&self) -> Subnet {
        self.program().subnet
    }

    /// Switches to another row, which takes practically no time.
    ///
    /// # Errors
    /// Fails if the sub-network is not a row of the table.
    pub fn switch(&mut self, subnet: Subnet) -> Result<()> {
        self.row = self.model.row(subnet)?;
        Ok(())
    }

    /// The precision in which rows run.
    pub fn precision(&self) -> Precision {
        self.program().precision
    }

    /// Switches to another precision, which takes practically no time.
    ///
    /// # Errors
    /// Fails if the model is not prepared for it.
    pub fn switch_precision(&mut self, precision: Precision) -> Result<()> {
        self.precision = self.model.precision(precision)?;
        Ok(())
    }

    /// Switches to the most accurate row within a budget, in the precision of that row, and returns its sub-network.
    ///
    /// A latency budget refers to the session's number of threads if that was measured, and otherwise to the largest
    /// number that was.
    ///
    /// # Errors
    /// Fails in the same cases as [`Model::choose`].
    pub fn switch_to_budget(&mut self, budget: Budget) -> Result<Subnet> {
        let measured = self.model.table().threads().any(|threads| threads == self.threads);
        let row = self.model.choose(budget, measured.then_some(self.threads))?;
        let (subnet, precision) = (row.subnet, row.precision);
        self.switch_precision(precision)?;
        self.switch(subnet)?;
        Ok(subnet)
    }

    /// How many numbers one image has at the resolution of the current row, or one clip of the row's frames.
    pub fn input_len(&self) -> usize {
        let input = self.program().input();
        input.pixels() * input.channels
    }

    /// As [`Self::input_len`], for every input of the list [`List::MAIN`].
    pub fn input_lens(&self) -> impl Iterator<Item = usize> {
        self.program().inputs.iter().map(|input| input.pixels() * input.channels)
    }

    /// As [`Self::input_lens`], for one of the things that a list runs on.
    ///
    /// # Errors
    /// Fails if the network has no such list.
    pub fn list_input_lens(&self, list: &str) -> Result<Vec<usize>> {
        let program = self.model.list_program(list, self.row, self.precision)?;
        Ok(program.inputs.iter().map(|input| input.pixels() * input.channels).collect())
    }

    pub(crate) fn program(&self) -> &Arc<Program> {
        self.model.program(self.row, self.precision)
    }

    /// The program of the current row for images or frames of this size, made if it is not among the latest ones.
    fn program_at(&mut self, size: [usize; 2]) -> Result<Arc<Program>> {
        if self.program().input().size == size {
            return Ok(self.program().clone());
        }
        let (row, precision) = (self.row, self.precision());
        let is_it = |known: &SizedProgram| {
            known.row == row && known.program.precision == precision && known.program.input().size == size
        };
        let program = match self.sizes.iter().position(is_it) {
            Some(idx) => self.sizes.remove(idx).program,
            None => self.model.resized(self.program(), size)?,
        };
        self.sizes.insert(0, SizedProgram { row, program: program.clone() });
        self.sizes.truncate(MAX_SIZES);
        Ok(program)
    }

    /// Computes the outputs of `n` images or clips, and returns the first one: the logits of a classifier.
    ///
    /// # Shapes
    /// - `input`: `[n, r, r, channels]` f32, normalized; `r` is the resolution of the current row, or the model's largest
    ///   one, from which the images are then resized bilinearly with aligned corners.
    ///   Of clips it is `[n, frames, r, r, channels]`, with the frames of the current row.
    /// - returns `[n, h, w, channels]`, which is `[n, classes]` for logits.
    ///
    /// # Errors
    /// Fails if the length of the input is neither of the two.
    pub fn run(&mut self, input: &[f32], n: usize) -> Result<&[f32]> {
        self.model.check_reads_one_image()?;
        let image_len = self.image_len(input.len(), n)?;
        let (program, model) = (self.program().clone(), self.model.clone());
        let is_largest = image_len != self.input_len();
        let resize = model.resize(self.row).filter(|_| is_largest);
        self.execute(&program, n, |_, feature| Source { resize, ..Source::of(feature, input) });
        Ok(self.output(0).data)
    }

    /// As [`Self::run`], for images or clips that are not cropped.
    ///
    /// # Shapes
    /// - `input`: `[n, (frames,) height, width, channels]` f32, normalized; the shorter side has the model's largest resolution.
    ///   For a row of a smaller resolution the images are resized bilinearly with aligned corners, to the size that
    ///   [`shrunk`] gives.
    /// - returns `[n, h, w, channels]`; [`Self::output`] tells the size.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::run_at`].
    pub fn run_whole(&mut self, input: &[f32], n: usize, size: [usize; 2]) -> Result<&[f32]> {
        self.model.check_reads_one_image()?;
        let to = self.size_of(size);
        let program = self.program_at(to)?;
        let frames = program.input().frames;
        self.check_input(input, (n, [frames, size[0], size[1]]), &program)?;
        self.make_room(&program)?;
        let resize = (to != size).then(|| Resize::new(size, to));
        self.execute(&program, n, |_, feature| Source {
            resize: resize.as_ref(),
            ..Source::of(feature, input)
        });
        Ok(self.output(0).data)
    }

    /// As [`Self::run_whole`], for whole clips, of which every row sees the frames that
    /// [`Frames::picked_from`](mutualnet_core::Frames::picked_from) says. A network with a
    /// [`whole_clip`](mutualnet_core::Network::whole_clip) reads all of them as well.
    ///
    /// # Shapes
    /// - `clips`: `[n, frames, height, width, channels]` f32, normalized; the shorter side has the model's largest resolution
    /// - returns `[n, (frames,) h, w, channels]`
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::run_at`], and if the clips are not of the size that the network reads whole.
    pub fn run_clips(
        &mut self,
        clips: &[f32],
        (n, [frames, height, width]): (usize, [usize; 3]),
    ) -> Result<&[f32]> {
        let size = [height, width];
        let to = self.size_of(size);
        let program = self.program_at(to)?;
        self.check_input(clips, (n, [frames, height, width]), &program)?;
        for (index, whole) in program.inputs.iter().enumerate().skip(1) {
            if (whole.frames, whole.size) != (frames, size) {
                let expected = n.saturating_mul(whole.pixels() * whole.channels);
                return Err(Error::ListInput {
                    list: List::MAIN.to_owned(),
                    index,
                    expected,
                    got: clips.len(),
                });
            }
        }
        self.make_room(&program)?;
        let resize = (to != size).then(|| Resize::new(size, to));
        self.execute(&program, n, |index, feature| match index {
            0 => Source { numbers: clips, frames, resize: resize.as_ref() },
            _ => Source::of(feature, clips),
        });
        Ok(self.output(0).data)
    }

    /// The size at which the current row sees an image that has this size at the model's largest resolution.
    pub fn size_of(&self, size: [usize; 2]) -> [usize; 2] {
        shrunk(size, self.model.preprocess().crop, self.subnet().input.resolution)
    }

    /// As [`Self::run`], for images of any height and width, which are not resized, or for clips of such frames.
    ///
    /// The first call for a size lays the feature maps out, which takes about as long as preparing a row; the latest few
    /// sizes are kept. Images that need more memory than any before make the session allocate it.
    ///
    /// # Errors
    /// Fails if the length of the input is not `n × height × width × channels`, for clips times the frames of the row, if the
    /// network refuses the size, or if there is not enough memory.
    pub fn run_at(&mut self, input: &[f32], n: usize, size: [usize; 2]) -> Result<&[f32]> {
        self.model.check_reads_one_image()?;
        let program = self.program_at(size)?;
        let frames = program.input().frames;
        self.check_input(input, (n, [frames, size[0], size[1]]), &program)?;
        self.make_room(&program)?;
        self.execute(&program, n, |_, feature| Source::of(feature, input));
        Ok(self.output(0).data)
    }

    /// Runs one of the network's lists at the current row on `n` images or on `n` of whatever it reads, such as regions that
    /// were cut out of the outputs of `main`. Returns the first output of the list; [`Self::output`] has all of them.
    ///
    /// # Shapes
    /// - `inputs`: one for each input of the list, `[n, (frames,) h, w, channels]` f32; its size is the one that the list
    ///   states, or else the row's
    /// - returns `[n, h, w, channels]`
    ///
    /// # Errors
    /// Fails if the network has no such list, or if the number of inputs or the length of one is not the list's.
    pub fn run_list(&mut self, list: &str, inputs: &[&[f32]], n: usize) -> Result<&[f32]> {
        let program = self.model.list_program(list, self.row, self.precision)?.clone();
        check_inputs(&program, list, (inputs, n))?;
        self.execute(&program, n, |index, feature| Source::of(feature, inputs[index]));
        Ok(self.output(0).data)
    }

    /// Whether the input holds `n` images or clips of this size.
    fn check_input(&self, input: &[f32], (n, extent): (usize, [usize; 3]), program: &Program) -> Result<()> {
        let image_len = extent.into_iter().fold(program.input().channels, usize::saturating_mul);
        if image_len > 0 && n.checked_mul(image_len) == Some(input.len()) {
            return Ok(());
        }
        let expected = n.saturating_mul(image_len);
        let (subnet, got) = (self.subnet(), input.len());
        Err(Error::InputLength { n, subnet, expected, largest: expected, got })
    }

    /// Allocates memory for a program that needs more than any row.
    fn make_room(&mut self, program: &Program) -> Result<()> {
        if !self.team.holds(program) {
            self.team = Team::new(self.model.prepared.clone(), self.threads, program.arena_bytes)?;
        }
        Ok(())
    }

    /// Runs a program on `n` images or clips, whose inputs come from where `source` says by index and feature map.
    fn execute<'a>(
        &mut self,
        program: &Arc<Program>,
        n: usize,
        source: impl Fn(usize, Feature) -> Source<'a>,
    ) {
        self.execute_observed(program, n, source, |_| ());
    }

    fn execute_observed<'a>(
        &mut self,
        program: &Arc<Program>,
        n: usize,
        source: impl Fn(usize, Feature) -> Source<'a>,
        mut after: impl FnMut(Option<usize>),
    ) {
        self.outputs.resize_with(self.outputs.len().max(program.outputs.len()), Vec::new);
        for (numbers, output) in self.outputs.iter_mut().zip(&program.outputs) {
            let len = n * output.pixels() * output.channels;
            numbers.resize(len.max(numbers.len()), 0.0);
        }
        let capacity = self.team.capacity(program);
        let mut done = 0;
        while done < n {
            let pass = capacity.min(n - done);
            for (index, &feature) in program.inputs.iter().enumerate() {
                let source = source(index, feature);
                let image_len = source.numbers.len() / n;
                let numbers = &source.numbers[done * image_len..][..pass * image_len];
                self.load(feature, Source { numbers, ..source }, pass);
            }
            after(None);
            self.team.run(program, pass, |call| after(Some(call)));
            self.unload(program, done, pass);
            done += pass;
        }
        self.latest = (program.clone(), n);
    }

    /// Runs the list [`List::MAIN`] as [`Self::run_list`] does. In every pass it calls `after` with `None` when the inputs are in
    /// place, and then with the index of each kernel call when that is done.
    ///
    /// # Errors
    /// Fails in the same cases as [`Self::run_list`].
    pub(crate) fn run_observed(
        &mut self,
        inputs: &[&[f32]],
        n: usize,
        after: impl FnMut(Option<usize>),
    ) -> Result<()> {
        let program = self.program().clone();
        check_inputs(&program, List::MAIN, (inputs, n))?;
        self.execute_observed(&program, n, |index, feature| Source::of(feature, inputs[index]), after);
        Ok(())
    }

    /// An output of the latest run, by its index in
    /// [`Network::outputs_of`](mutualnet_core::Network::outputs_of) the list that was run, which is `main` except by
    /// [`Self::run_list`].
    ///
    /// # Panics
    /// Panics if the list has no such output.
    pub fn output(&self, idx: usize) -> Output<'_> {
        let (program, n) = &self.latest;
        let feature @ Feature { size, channels, .. } = program.outputs[idx];
        let len = n * feature.pixels() * channels;
        let network = self.model.network();
        let mut outputs = network.outputs_of(&network.lists()[program.list]);
        let name = &outputs.nth(idx).expect("the program has it").name;
        Output { name, size, channels, data: &self.outputs[idx][..len] }
    }

    /// How many numbers one image or clip has in an input of `n` of them and length `got`.
    fn image_len(&self, got: usize, n: usize) -> Result<usize> {
        let own = self.input_len();
        let largest = self.model.largest_len(self.program().input());
        let fits = |len: usize| n.checked_mul(len) == Some(got);
        match [own, largest].into_iter().find(|&len| fits(len)) {
            Some(len) => Ok(len),
            None => Err(Error::InputLength {
                n,
                subnet: self.subnet(),
                expected: n.saturating_mul(own),
                largest: n.saturating_mul(largest),
                got,
            }),
        }
    }

    /// Copies images or clips into the arena, resized if necessary.
    fn load(&mut self, feature: Feature, source: Source<'_>, n: usize) {
        match self.team.feature_mut(feature, n) {
            Numbers::Single(numbers) => load(feature, source, numbers, |number| number),
            Numbers::Half(numbers) => load(feature, source, numbers, rounded),
        }
    }

    /// Copies the outputs of a pass out of the arena.
    fn unload(&mut self, program: &Program, done: usize, n: usize) {
        for (numbers, &feature) in self.outputs.iter_mut().zip(&program.outputs) {
            let start = done * feature.pixels() * feature.channels;
            let pixels = numbers[start..].chunks_exact_mut(feature.channels);
            match self.team.feature_mut(feature, n) {
                Numbers::Single(padded) => {
                    for (pixel, padded) in pixels.zip(padded.chunks_exact(feature.stride_c)) {
                        pixel.copy_from_slice(&padded[..feature.channels]);
                    }
                }
                Numbers::Half(padded) => {
                    for (pixel, padded) in pixels.zip(padded.chunks_exact(feature.stride_c)) {
                        let numbers = padded[..feature.channels].iter().map(|&half| widened(half));
                        pixel.iter_mut().zip(numbers).for_each(|(pixel, number)| *pixel = number);
                    }
                }
            }
        }
    }
}

/// Where the numbers of an input come from.
#[derive(Clone, Copy)]
struct Source<'a> {
    /// `[n, frames, h, w, channels]`.
    numbers: &'a [f32],
    /// Frames of each clip, of which the input may have fewer; 1 of images.
    frames: usize,
    /// To the size of the input.
    resize: Option<&'a Resize>,
}

impl<'a> Source<'a> {
    /// Numbers that are copied as they are.
    fn of(feature: Feature, numbers: &'a [f32]) -> Self {
        Self { numbers, frames: feature.frames, resize: None }
    }
}

/// Whether the inputs hold `n` of whatever a list reads.
fn check_inputs(program: &Program, list: &str, (inputs, n): (&[&[f32]], usize)) -> Result<()> {
    let (expected, got) = (program.inputs.len(), inputs.len());
    if expected != got {
        return Err(Error::Inputs { list: list.to_owned(), expected, got });
    }
    for (index, (feature, input)) in program.inputs.iter().zip(inputs).enumerate() {
        let (expected, got) = (n.saturating_mul(feature.pixels() * feature.channels), input.len());
        if expected != got {
            return Err(Error::ListInput { list: list.to_owned(), index, expected, got });
        }
    }
    Ok(())
}

/// Copies images or clips into a feature map, frame by frame, resized if necessary, with numbers that `of` converts.
fn load<T: Copy>(feature: Feature, source: Source<'_>, numbers: &mut [T], of: impl Fn(f32) -> T) {
    let frames = numbers.chunks_exact_mut(feature.frame_len());
    let n = frames.len() / feature.frames;
    let frame_len = source.numbers.len() / (n * source.frames);
    for (at, output) in frames.enumerate() {
        let (clip, frame) = (at / feature.frames, at % feature.frames);
        let frame = clip * source.frames + picked_frame(frame, [feature.frames, source.frames]);
        let input = &source.numbers[frame * frame_len..][..frame_len];
        match source.resize {
            Some(resize) => resize.apply(input, output, feature, &of),
            None => resize::copy(input, output, feature, &of),
        }
    }
}

#[cfg(test)]
mod tests;
