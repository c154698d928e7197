//! How a shape moves, and what a frame shows of it.
//!
//! Separate because everything that makes the clips difficult is here, as named ranges.

use std::ops::RangeInclusive;

use mutualnet_core::RngStream;
use rand::Rng;

use crate::shapes::geometry::{Outline, Point};
use crate::shapes::render::{fill_at, topmost};
use crate::shapes::scene::{
    BACKGROUND, Clutter, Color, Fill, NOISE, Texture, draw_color, draw_decoy, draw_fill, draw_line,
};

/// Half of the shape's size, as a share of the side.
const RADIUS: RangeInclusive<f32> = 0.2..=0.34;
/// The same of a shape that grows or shrinks, which goes from one end to the other and starts again.
const GROWING: RangeInclusive<f32> = 0.14..=0.42;
/// Way from one frame to the next, as a share of the side.
const SPEED: RangeInclusive<f32> = 0.03..=0.08;
/// Turn from one frame to the next, as the tangent of half of the angle: 7 to 16 degrees.
const TURN: RangeInclusive<f32> = 0.06..=0.14;
/// Share of the way from the smallest to the largest size from one frame to the next.
const GROWTH: RangeInclusive<f32> = 0.05..=0.12;
/// Way from one frame to the next of a shape whose class is not a direction, as a share of the side.
const DRIFT: f32 = 0.008;
/// Number of lines and decoys that do not move.
const STILL: RangeInclusive<usize> = 1..=4;

/// The classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    Left,
    Right,
    Up,
    Down,
    Clockwise,
    Counterclockwise,
    Growing,
    Shrinking,
}

impl Motion {
    pub(super) const ALL: [Self; 8] = [
        Self::Left,
        Self::Right,
        Self::Up,
        Self::Down,
        Self::Clockwise,
        Self::Counterclockwise,
        Self::Growing,
        Self::Shrinking,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
            Self::Down => "down",
            Self::Clockwise => "clockwise",
            Self::Counterclockwise => "counterclockwise",
            Self::Growing => "growing",
            Self::Shrinking => "shrinking",
        }
    }
}

/// A shape on the unit square, with what changes from one frame to the next.
#[derive(Debug, Clone)]
pub(super) struct MovingShape {
    /// Amplitude of the pixel noise, in levels.
    pub(super) noise: f32,
    outline: Outline,
    fill: Fill,
    center: Point,
    velocity: Point,
    /// First axis of the shape.
    direction: Point,
    /// The first axis is turned by this, as a complex number of length 1.
    turn: Point,
    size: Size,
    background: Color,
    still: Vec<Clutter>,
}

/// How large a shape is.
#[derive(Debug, Clone, Copy)]
enum Size {
    Constant(f32),
    /// Place between the smallest and the largest size from 0 to 1, and its change.
    Changing {
        place: f32,
        change: f32,
    },
}

impl MovingShape {
    pub(super) fn draw(motion: Motion, rng: &mut RngStream) -> Self {
        // A plain circle would not be seen to turn.
        let outline = [Outline::Square, Outline::Triangle, Outline::Star][rng.random_range(0..3)];
        let texture = Texture::ALL[rng.random_range(0..Texture::ALL.len())];
        let drift = Point::new(rng.random_range(-DRIFT..=DRIFT), rng.random_range(-DRIFT..=DRIFT));
        let (speed, half_turn, growth) =
            (rng.random_range(SPEED), rng.random_range(TURN), rng.random_range(GROWTH));
        let velocity = match motion {
            Motion::Left => Point::new(-speed, drift.y),
            Motion::Right => Point::new(speed, drift.y),
            Motion::Up => Point::new(drift.x, -speed),
            Motion::Down => Point::new(drift.x, speed),
            _ => drift,
        };
        let turn = match motion {
            // Rows go down, so a positive angle is clockwise.
            Motion::Clockwise => rotation(half_turn),
            Motion::Counterclockwise => rotation(-half_turn),
            _ => Point::new(1.0, 0.0),
        };
        let (radius, place) = (rng.random_range(RADIUS), rng.random_range(0.0..1.0));
        let size = match motion {
            Motion::Growing => Size::Changing { place, change: growth },
            Motion::Shrinking => Size::Changing { place, change: -growth },
            _ => Size::Constant(radius),
        };
        let n_still = rng.random_range(STILL);
        Self {
            outline,
            fill: draw_fill(texture, rng),
            center: Point::new(rng.random(), rng.random()),
            velocity,
            direction: Point::draw_direction(rng),
            turn,
            size,
            background: draw_color(BACKGROUND, rng),
            still: (0..n_still)
                .map(|_| if rng.random_bool(0.5) { draw_line(rng) } else { draw_decoy(rng) })
                .collect(),
            noise: rng.random_range(NOISE),
        }
    }

    /// Goes on to the next frame.
    pub(super) fn advance(&mut self) {
        let around = |at: f32| at - at.floor();
        self.center =
            Point::new(around(self.center.x + self.velocity.x), around(self.center.y + self.velocity.y));
        let Point { x, y } = self.direction;
        self.direction = Point::new(x * self.turn.x - y * self.turn.y, x * self.turn.y + y * self.turn.x);
        if let Size::Changing { place, change } = &mut self.size {
            *place = around(*place + *change);
        }
    }

    /// The color of a point; what leaves the square on one side comes back on the other.
    pub(super) fn color_at(&self, point: Point) -> Color {
        let nearest = |distance: f32| distance - (distance + 0.5).floor();
        let way = point.minus(self.center);
        let local = Point::new(nearest(way.x), nearest(way.y)).in_axes(self.direction);
        let radius = self.radius();
        if self.outline.contains(local.times(1.0 / radius)) {
            // The texture grows with the shape.
            return fill_at(&self.fill, local.times(*RADIUS.end() / radius));
        }
        topmost(&self.still, point).unwrap_or(self.background)
    }

    fn radius(&self) -> f32 {
        match self.size {
            Size::Constant(radius) => radius,
            Size::Changing { place, .. } => GROWING.start() + place * (GROWING.end() - GROWING.start()),
        }
    }
}

/// The turn whose half has this tangent, without sines.
fn rotation(tangent: f32) -> Point {
    let square = tangent * tangent;
    Point::new((1.0 - square) / (1.0 + square), 2.0 * tangent / (1.0 + square))
}

#[cfg(test)]
mod tests {
    use mutualnet_core::rng::{Key, Purpose};

    use super::*;

    fn shape(motion: Motion, sample: u64) -> MovingShape {
        MovingShape::draw(motion, &mut Key::new(1, Purpose::Generate).sample(sample).stream())
    }

    /// The first frame of a motion is drawn as that of any other: it must not tell the class.
    #[test]
    fn places_and_sizes_say_nothing() {
        let mean = |of: &dyn Fn(&MovingShape) -> f32, motion| {
            (0..400).map(|sample| of(&shape(motion, sample))).sum::<f32>() / 400.0
        };
        for motion in Motion::ALL {
            assert!((0.45..0.55).contains(&mean(&|shape| shape.center.x, motion)), "{motion:?}");
            assert!((0.45..0.55).contains(&mean(&|shape| shape.center.y, motion)), "{motion:?}");
            assert!((0.25..0.3).contains(&mean(&|shape| shape.radius(), motion)), "{motion:?}");
        }
    }

    #[test]
    fn a_turn_keeps_its_length() {
        let mut shape = shape(Motion::Clockwise, 1);
        for _ in 0..1000 {
            shape.advance();
        }
        assert!((shape.direction.length() - 1.0).abs() < 1e-3, "{:?}", shape.direction);
    }
}
