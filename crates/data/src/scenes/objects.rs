//! What is in a picture, from back to front, and which pixel belongs to which object.
//!
//! Invariant: enough of every object is visible, and no object has a hole, because polygons cannot say that.

use std::ops::RangeInclusive;

use mutualnet_core::RngStream;
use rand::Rng;

use mutualnet_image::Image;

use super::outline::trace;
use super::{Instance, ScenesSpec};
use crate::shapes::geometry::{Outline, Point};
use crate::shapes::render::{fill_at, render_with, topmost};
use crate::shapes::scene::{
    BACKGROUND, Clutter, Color, Fill, NOISE, Texture, draw_color, draw_decoy, draw_fill, draw_line,
    draw_tilt, mix,
};

/// Number of objects that are tried.
const OBJECTS: RangeInclusive<usize> = 2..=6;
/// Decoys and lines behind the objects.
const CLUTTER: RangeInclusive<usize> = 2..=7;
/// Largest radius of an object, as a share of the side.
const MAX_RADIUS: f32 = 0.28;
/// Share of its circle of radius 1 that an outline has in diameter.
const DIAMETER: f32 = 1.6;
/// Smallest share of an object that others leave visible.
const VISIBLE: f64 = 0.4;
/// Places that are tried for an object before there is none.
const TRIES: usize = 12;

/// One object on the unit square.
struct Object {
    outline: Outline,
    center: Point,
    direction: Point,
    radius: f32,
    fill: Fill,
}

impl Object {
    fn draw(spec: &ScenesSpec, rng: &mut RngStream) -> Self {
        let outline = Outline::ALL[rng.random_range(0..Outline::ALL.len())];
        let texture = Texture::ALL[rng.random_range(0..Texture::ALL.len())];
        let smallest = spec.min_object as f32 / (DIAMETER * spec.side as f32);
        let radius = rng.random_range(smallest.min(MAX_RADIUS)..=MAX_RADIUS);
        let mut place = || rng.random_range(0.8 * radius..=1.0 - 0.8 * radius);
        let center = Point::new(place(), place());
        Self { outline, center, direction: draw_tilt(rng), radius, fill: draw_fill(texture, rng) }
    }

    fn contains(&self, p: Point) -> bool {
        self.outline.contains(p.minus(self.center).in_axes(self.direction).times(1.0 / self.radius))
    }

    fn class(&self) -> u8 {
        let number = Outline::ALL.iter().position(|outline| *outline == self.outline);
        1 + number.expect("every outline is one of all") as u8
    }
}

/// A whole picture.
pub(super) struct Picture {
    objects: Vec<Object>,
    /// For every pixel, the topmost object at its center.
    pub(super) owners: Vec<Option<u8>>,
    side: u32,
    background: [Color; 2],
    background_direction: Point,
    behind: Vec<Clutter>,
    noise: f32,
}

impl Picture {
    pub(super) fn draw(spec: &ScenesSpec, rng: &mut RngStream) -> Self {
        let background = [draw_color(BACKGROUND, rng), draw_color(BACKGROUND, rng)];
        let clutter =
            (0..rng.random_range(CLUTTER)).map(|n| if n % 2 == 0 { draw_decoy(rng) } else { draw_line(rng) });
        let mut picture = Self {
            behind: clutter.collect(),
            objects: Vec::new(),
            owners: vec![None; (spec.side * spec.side) as usize],
            side: spec.side,
            background,
            background_direction: Point::draw_direction(rng),
            noise: rng.random_range(NOISE),
        };
        // Pixels of each object when nothing covers it.
        let mut whole = Vec::new();
        for _ in 0..rng.random_range(OBJECTS) {
            for _ in 0..TRIES {
                if picture.add(Object::draw(spec, rng), &mut whole) {
                    break;
                }
            }
        }
        picture
    }

    /// Puts an object in front of the others, if enough of all of them stays visible and in one piece without holes.
    fn add(&mut self, object: Object, whole: &mut Vec<usize>) -> bool {
        let number = self.objects.len() as u8;
        let mut owners = self.owners.clone();
        let mut pixels = 0;
        for (idx, owner) in owners.iter_mut().enumerate() {
            let [y, x] =
                [idx as u32 / self.side, idx as u32 % self.side].map(|n| (n as f32 + 0.5) / self.side as f32);
            if object.contains(Point::new(x, y)) {
                (*owner, pixels) = (Some(number), pixels + 1);
            }
        }
        let fits = whole.iter().chain([&pixels]).zip(0..).all(|(&whole, owner)| {
            let visible = owners.iter().filter(|found| **found == Some(owner)).count();
            visible as f64 >= VISIBLE * whole as f64 && !trace(&owners, self.side, owner).has_hole
        });
        if fits {
            whole.push(pixels);
            self.owners = owners;
            self.objects.push(object);
        }
        fits
    }

    /// The visible parts of all objects, from back to front.
    pub(super) fn instances(&self) -> Vec<Instance> {
        let of = |(object, owner): (&Object, u8)| {
            let mine = self.owners.iter().enumerate().filter(|(_, found)| **found == Some(owner));
            let [mut left, mut top, mut right, mut bottom] = [u32::MAX, u32::MAX, 0, 0];
            let mut area = 0;
            for (idx, _) in mine {
                let [y, x] = [idx as u32 / self.side, idx as u32 % self.side];
                (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1));
                area += 1;
            }
            let bounds = [left, top, right - left, bottom - top];
            let polygons = trace(&self.owners, self.side, owner).polygons;
            Instance { class: object.class(), area, bounds, polygons }
        };
        self.objects.iter().zip(0..).map(of).collect()
    }

    pub(super) fn render(&self, side: u32, rng: &mut RngStream) -> Image {
        render_with(side, self.noise, rng, |point| {
            if let Some(object) = self.objects.iter().rev().find(|object| object.contains(point)) {
                return fill_at(&object.fill, point);
            }
            topmost(&self.behind, point).unwrap_or_else(|| {
                let along = point.minus(Point::new(0.5, 0.5)).dot(self.background_direction) / 1.42 + 0.5;
                mix(self.background[0], self.background[1], along)
            })
        })
    }
}
