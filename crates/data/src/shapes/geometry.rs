//! Outlines as signed distances, and the plane geometry under them.
//!
//! Constants instead of sines: results must not depend on a platform's mathematical library.

use mutualnet_core::RngStream;
use rand::Rng;

/// A point or a direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

impl Point {
    pub(crate) const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    pub(crate) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(crate) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }

    pub(crate) fn times(self, factor: f32) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }

    /// The coordinates of this point in axes turned so that `direction` (of length 1) is the first.
    pub(crate) fn in_axes(self, direction: Self) -> Self {
        Self::new(self.dot(direction), self.dot(Self::new(-direction.y, direction.x)))
    }

    /// A direction, all equally likely.
    pub(crate) fn draw_direction(rng: &mut RngStream) -> Self {
        loop {
            let point = Self::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
            let length = point.length();
            if (0.1..1.0).contains(&length) {
                return point.times(1.0 / length);
            }
        }
    }
}

/// The outline of the object that the label is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outline {
    Circle,
    Square,
    Triangle,
    Star,
}

impl Outline {
    pub(crate) const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Star];

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Star => "star",
        }
    }

    /// Whether a point is inside the outline around the origin that has about the area of a circle of radius 0.8.
    pub(crate) fn contains(self, p: Point) -> bool {
        match self {
            Self::Circle => p.dot(p) < 0.8 * 0.8,
            Self::Square => p.x.abs().max(p.y.abs()) < 0.71,
            Self::Triangle => polygon_contains(&TRIANGLE, p.times(1.0 / 1.16)),
            Self::Star => polygon_contains(&STAR, p.times(1.0 / 1.16)),
        }
    }
}

/// Corners on the unit circle.
const TRIANGLE: [Point; 3] =
    [Point::new(0.0, 1.0), Point::new(-0.866_025_4, -0.5), Point::new(0.866_025_4, -0.5)];

/// Five points on the unit circle, and five between them at a radius of 0.48.
const STAR: [Point; 10] = [
    Point::new(0.0, 1.0),
    Point::new(-0.282_137, 0.388_328),
    Point::new(-0.951_057, 0.309_017),
    Point::new(-0.456_507, -0.148_328),
    Point::new(-0.587_785, -0.809_017),
    Point::new(0.0, -0.48),
    Point::new(0.587_785, -0.809_017),
    Point::new(0.456_507, -0.148_328),
    Point::new(0.951_057, 0.309_017),
    Point::new(0.282_137, 0.388_328),
];

/// Counts the edges that a ray to the right crosses.
fn polygon_contains(corners: &[Point], p: Point) -> bool {
    let next = corners.iter().cycle().skip(1);
    let crossings = corners
        .iter()
        .zip(next)
        .filter(|(a, b)| (a.y > p.y) != (b.y > p.y) && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y));
    crossings.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_have_about_the_same_area() {
        for outline in Outline::ALL {
            let grid = || (0..200).map(|i| (i as f32 + 0.5) / 80.0 - 1.25);
            let inside = grid().flat_map(|y| grid().map(move |x| Point::new(x, y)));
            let area = inside.filter(|&p| outline.contains(p)).count() as f32 / 6400.0;
            assert!((1.55..2.05).contains(&area), "{outline:?} {area}");
        }
    }
}
