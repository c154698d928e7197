//! Turns a scene into pixels: the color at a point, averaged over a grid of points in every pixel, plus noise.

use mutualnet_core::RngStream;
use rand::Rng;

use mutualnet_image::Image;

use super::geometry::Point;
use super::scene::{Clutter, Color, Fill, Scene, Texture, mix};

/// Points per pixel and axis.
const SUPERSAMPLING: u32 = 4;

/// Renders a scene.
pub(crate) fn render(scene: &Scene, side: u32, rng: &mut RngStream) -> Image {
    render_with(side, scene.noise, rng, |point| color_at(scene, point))
}

/// Renders the colors of the unit square, with pixel noise of an amplitude in levels.
pub(crate) fn render_with(
    side: u32,
    noise: f32,
    rng: &mut RngStream,
    color_at: impl Fn(Point) -> Color,
) -> Image {
    let step = 1.0 / (side * SUPERSAMPLING) as f32;
    let mut pixels = Vec::with_capacity(3 * (side * side) as usize);
    for y in 0..side {
        for x in 0..side {
            let mut sum = [0.0; 3];
            for i in 0..SUPERSAMPLING * SUPERSAMPLING {
                let (sx, sy) = (x * SUPERSAMPLING + i % SUPERSAMPLING, y * SUPERSAMPLING + i / SUPERSAMPLING);
                let point = Point::new((sx as f32 + 0.5) * step, (sy as f32 + 0.5) * step);
                let color = color_at(point);
                sum = [0, 1, 2].map(|c| sum[c] + color[c]);
            }
            let mean = sum.map(|v| v / (SUPERSAMPLING * SUPERSAMPLING) as f32);
            // The half makes it round to the nearest, and `as` saturates.
            pixels.extend(mean.map(|v| (v + noise * bell(rng) + 0.5) as u8));
        }
    }
    Image::new(side, side, pixels)
}

/// Nearly normal, standard deviation 1: the sum of four uniform draws.
fn bell(rng: &mut RngStream) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.random_range(-0.5..0.5_f32)).sum();
    sum * 1.732_050_8
}

fn color_at(scene: &Scene, p: Point) -> Color {
    if let Some(color) = topmost(&scene.in_front, p) {
        return color;
    }
    let local = p.minus(scene.center).in_axes(scene.direction).times(1.0 / scene.radius);
    if scene.outline.contains(local) {
        return fill_at(&scene.fill, p);
    }
    topmost(&scene.behind, p).unwrap_or_else(|| {
        let along = p.minus(Point::new(0.5, 0.5)).dot(scene.background_direction) / 1.42 + 0.5;
        mix(scene.background[0], scene.background[1], along)
    })
}

pub(crate) fn topmost(clutter: &[Clutter], p: Point) -> Option<Color> {
    clutter.iter().rev().find_map(|thing| clutter_at(thing, p))
}

fn clutter_at(thing: &Clutter, p: Point) -> Option<Color> {
    let (hit, color) = match *thing {
        Clutter::Line { from, direction, half_length, half_width, color } => {
            let local = p.minus(from).in_axes(direction);
            (local.x.abs() < half_length && local.y.abs() < half_width, color)
        }
        Clutter::Blob { center, direction, radii, color } => {
            let local = p.minus(center).in_axes(direction);
            let (x, y) = (local.x / radii.x, local.y / radii.y);
            (x * x + y * y < 1.0, color)
        }
        Clutter::Ring { center, radius, half_width, color } => {
            ((p.minus(center).length() - radius).abs() < half_width, color)
        }
    };
    hit.then_some(color)
}

pub(crate) fn fill_at(fill: &Fill, p: Point) -> Color {
    let local = p.in_axes(fill.direction).times(1.0 / fill.period);
    let odd = |v: f32| (v - v.floor()) >= 0.5;
    let second = match fill.texture {
        Texture::Plain => false,
        Texture::Striped => odd(local.x + fill.phase.x),
        Texture::Checkered => odd(local.x + fill.phase.x) != odd(local.y + fill.phase.y),
    };
    fill.colors[usize::from(second)]
}
