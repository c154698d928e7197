//! What is in a picture: one textured object that the label is about, and clutter that it is not about.
//!
//! Separate from rendering, so that everything that makes the pictures difficult is here, as named ranges.

use std::ops::RangeInclusive;

use mutualnet_core::RngStream;
use rand::Rng;

use super::geometry::{Outline, Point};

/// Half of the object's size, as a share of the side.
const RADIUS: RangeInclusive<f32> = 0.28..=0.44;
/// Length of a texture's period, as a share of the side: 3.0 to 4.5 pixels of 32.
const PERIOD: RangeInclusive<f32> = 0.095..=0.14;
/// Number of decoys: untextured blobs and rings.
const DECOYS: RangeInclusive<usize> = 0..=3;
/// Number of lines behind the object.
const LINES_BEHIND: RangeInclusive<usize> = 0..=2;
/// Luma of the background, in levels.
pub(crate) const BACKGROUND: RangeInclusive<f32> = 15.0..=85.0;
/// Luma of the darker color of a texture, in levels.
const DARKER: RangeInclusive<f32> = 110.0..=150.0;
/// Luma of the brighter color of a texture, in levels.
const BRIGHTER: RangeInclusive<f32> = 200.0..=245.0;
/// Luma of clutter, in levels.
const CLUTTER: RangeInclusive<f32> = 30.0..=150.0;
/// Most rotation from upright to each side, as the sideways part of a direction: 44 degrees.
const TILT: f32 = 0.7;
/// Amplitude of the pixel noise, in levels.
pub(crate) const NOISE: RangeInclusive<f32> = 0.0..=20.0;
/// Share of pictures with a line across the object.
const OCCLUDED: f64 = 0.4;

/// Red, green, blue from 0 to 255.
pub(crate) type Color = [f32; 3];

/// What fills the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texture {
    /// One color.
    Plain,
    /// Two colors in bands.
    Striped,
    /// Two colors in squares.
    Checkered,
}

impl Texture {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Striped, Self::Checkered];

    pub(crate) fn adjective(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Striped => "striped",
            Self::Checkered => "checkered",
        }
    }
}

/// A texture somewhere on the plane.
#[derive(Debug, Clone)]
pub(crate) struct Fill {
    pub(crate) texture: Texture,
    pub(crate) colors: [Color; 2],
    pub(crate) direction: Point,
    pub(crate) period: f32,
    /// Shift of the pattern, in periods.
    pub(crate) phase: Point,
}

/// One thing that is not the object.
#[derive(Debug, Clone)]
pub(crate) enum Clutter {
    Line { from: Point, direction: Point, half_length: f32, half_width: f32, color: Color },
    Blob { center: Point, direction: Point, radii: Point, color: Color },
    Ring { center: Point, radius: f32, half_width: f32, color: Color },
}

/// A whole picture, on the unit square.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) outline: Outline,
    pub(crate) center: Point,
    pub(crate) direction: Point,
    pub(crate) radius: f32,
    pub(crate) fill: Fill,
    /// Color at the origin and at distance 1 along the direction.
    pub(crate) background: [Color; 2],
    pub(crate) background_direction: Point,
    pub(crate) behind: Vec<Clutter>,
    pub(crate) in_front: Vec<Clutter>,
    /// Amplitude of the pixel noise, in levels.
    pub(crate) noise: f32,
}

impl Scene {
    pub(crate) fn draw(outline: Outline, texture: Texture, rng: &mut RngStream) -> Self {
        let radius = rng.random_range(RADIUS);
        // The middle stays far enough inside for most of the outline to be seen.
        let center = Point::new(rng.random_range(0.9 * radius..=1.0 - 0.9 * radius), 0.0);
        let center = Point::new(center.x, rng.random_range(0.9 * radius..=1.0 - 0.9 * radius));
        let fill = draw_fill(texture, rng);
        let background = [draw_color(BACKGROUND, rng), draw_color(BACKGROUND, rng)];
        let n_decoys = rng.random_range(DECOYS);
        let n_lines = rng.random_range(LINES_BEHIND);
        let mut behind: Vec<Clutter> = (0..n_decoys).map(|_| draw_decoy(rng)).collect();
        behind.extend((0..n_lines).map(|_| draw_line(rng)));
        let in_front = if rng.random_bool(OCCLUDED) { vec![draw_line(rng)] } else { Vec::new() };
        Self {
            outline,
            center,
            direction: draw_tilt(rng),
            radius,
            fill,
            background,
            background_direction: Point::draw_direction(rng),
            behind,
            in_front,
            noise: rng.random_range(NOISE),
        }
    }
}

/// A color of random hue whose luma is in a range.
pub(crate) fn draw_color(luma_range: RangeInclusive<f32>, rng: &mut RngStream) -> Color {
    loop {
        let color = [(); 3].map(|()| rng.random_range(5.0..=250.0_f32));
        if luma_range.contains(&(0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2])) {
            return color;
        }
    }
}

pub(crate) fn draw_fill(texture: Texture, rng: &mut RngStream) -> Fill {
    let colors = [draw_color(DARKER, rng), draw_color(BRIGHTER, rng)];
    // A plain object has the mean of two such colors, so that its mean color does not tell the texture.
    let mean = mix(colors[0], colors[1], 0.5);
    let colors = if texture == Texture::Plain { [mean; 2] } else { colors };
    let direction = Point::draw_direction(rng);
    let period = rng.random_range(PERIOD);
    Fill { texture, colors, direction, period, phase: Point::new(rng.random(), rng.random()) }
}

/// The first axis of an object that is turned a little.
pub(crate) fn draw_tilt(rng: &mut RngStream) -> Point {
    let sideways = rng.random_range(-TILT..=TILT);
    Point::new((1.0 - sideways * sideways).sqrt(), sideways)
}

fn draw_place(rng: &mut RngStream) -> Point {
    Point::new(rng.random_range(0.0..=1.0), rng.random_range(0.0..=1.0))
}

pub(crate) fn draw_line(rng: &mut RngStream) -> Clutter {
    Clutter::Line {
        from: draw_place(rng),
        direction: Point::draw_direction(rng),
        half_length: rng.random_range(0.15..=0.6),
        half_width: rng.random_range(0.012..=0.03),
        color: draw_color(CLUTTER, rng),
    }
}

pub(crate) fn draw_decoy(rng: &mut RngStream) -> Clutter {
    if rng.random_bool(0.5) {
        let radii = Point::new(rng.random_range(0.05..=0.14), rng.random_range(0.05..=0.14));
        let direction = Point::draw_direction(rng);
        return Clutter::Blob { center: draw_place(rng), direction, radii, color: draw_color(CLUTTER, rng) };
    }
    let (radius, half_width) = (rng.random_range(0.06..=0.16), rng.random_range(0.012..=0.03));
    Clutter::Ring { center: draw_place(rng), radius, half_width, color: draw_color(CLUTTER, rng) }
}

/// `share` of the way from one color to another.
pub(crate) fn mix(from: Color, to: Color, share: f32) -> Color {
    [0, 1, 2].map(|c| from[c] + share * (to[c] - from[c]))
}
