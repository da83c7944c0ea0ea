//! The shapes of which people and rings are made, as lists of triangles.

use super::super::layout::Vertex;
use glam::{Vec3, Vec4};
use std::f32::consts::{PI, TAU};

const AROUND: u8 = 24;
const DOWN: u8 = 16;
/// Painted in the person's own colour.
const OWN: Vec4 = Vec4::new(0.0, 0.0, 0.0, 1.0);

/// Triangles.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) vertices: Vec<Vertex>,
}

impl Model {
    /// Looks along −Z; its middle is the eyes'.
    pub(super) fn head() -> Self {
        let mut model = Self::default();
        let paint = |r, g, b| Vec4::new(r, g, b, 0.0);
        model.ball(Vec3::ZERO, Vec3::new(0.106, 0.124, 0.115), OWN);
        model.ball(
            Vec3::new(0.0, 0.022, -0.068),
            Vec3::new(0.092, 0.05, 0.06),
            paint(0.05, 0.06, 0.09),
        );
        model.ball(
            Vec3::new(0.035, 0.04, -0.122),
            Vec3::new(0.018, 0.009, 0.007),
            paint(0.8, 0.9, 1.0),
        );
        model
    }

    /// Below the head, upright.
    pub(super) fn body() -> Self {
        const PROFILE: [(f32, f32); 10] = [
            (0.0, -0.1),
            (0.055, -0.115),
            (0.115, -0.155),
            (0.15, -0.23),
            (0.165, -0.36),
            (0.186, -0.55),
            (0.208, -0.74),
            (0.205, -0.79),
            (0.17, -0.825),
            (0.0, -0.84),
        ];
        let mut model = Self::default();
        for pair in PROFILE.windows(2) {
            let ((r0, y0), (r1, y1)) = (pair[0], pair[1]);
            let slope = Vec3::new(y0 - y1, r1 - r0, 0.0);
            model.band(|turn| {
                let around = |r: f32, y: f32| Vec3::new(r * turn.cos(), y, 0.72 * r * turn.sin());
                let normal = Vec3::new(slope.x * turn.cos(), slope.y, slope.x * turn.sin() / 0.72);
                [around(r0, y0), around(r1, y1)].map(|p| (p, normal.normalize_or_zero(), 1.0))
            });
        }
        model
    }

    /// A mitten that points along −Z.
    pub(super) fn hand() -> Self {
        let mut model = Self::default();
        model.ball(Vec3::ZERO, Vec3::new(0.036, 0.021, 0.046), OWN);
        model.ball(Vec3::new(0.0, 0.002, -0.055), Vec3::new(0.028, 0.014, 0.046), OWN);
        model
    }

    /// Over the head.
    pub(super) fn flag() -> Self {
        let mut model = Self::default();
        let pole = Vec4::new(0.9, 0.81, 0.63, 0.0);
        model.ball(Vec3::new(0.0, 0.28, 0.02), Vec3::new(0.009, 0.17, 0.009), pole);
        let cloth = [(0.0, 0.45), (0.0, 0.31), (0.21, 0.38)].map(|(x, y)| Vec3::new(x, y, 0.02));
        let red = Vec4::new(0.645, 0.042, 0.032, 0.0);
        model.vertices.extend(cloth.map(|p| vertex(p, Vec3::Z, red, 1.0)));
        model
    }

    /// Of radius 1.
    pub(super) fn dot() -> Self {
        let mut model = Self::default();
        model.ball(Vec3::ZERO, Vec3::ONE, OWN);
        model
    }

    /// From the origin to −Z, radius and length 1.
    pub(super) fn beam() -> Self {
        let mut model = Self::default();
        model.band(|turn| {
            let side = Vec3::new(turn.cos(), turn.sin(), 0.0);
            [(0.0, 0.35), (-1.0, 1.0)].map(|(z, alpha)| (side + Vec3::Z * z, side, alpha))
        });
        model
    }

    /// A ring on the floor, and light that rises from it, so that it is seen from afar.
    pub(super) fn ring() -> Self {
        const RADIUS: f32 = 0.42;
        let mut model = Self::default();
        let at = |turn: f32, radius: f32, y: f32| Vec3::new(radius * turn.cos(), y, radius * turn.sin());
        model.band(|turn| [0.8, 1.0].map(|part| (at(turn, RADIUS * part, 0.0), Vec3::Y, 1.0)));
        model.band(|turn| [(0.7, 0.0), (0.0, 0.6)].map(|(y, alpha)| (at(turn, RADIUS * 0.97, y), Vec3::Y, alpha)));
        model
    }

    fn ball(&mut self, middle: Vec3, radii: Vec3, paint: Vec4) {
        let point = |i: u8, down: u8| {
            let (turn, fall) = (
                f32::from(i) / f32::from(AROUND) * TAU,
                f32::from(down) / f32::from(DOWN) * PI,
            );
            let on_unit = Vec3::new(fall.sin() * turn.cos(), fall.cos(), fall.sin() * turn.sin());
            vertex(middle + on_unit * radii, (on_unit / radii).normalize(), paint, 1.0)
        };
        for down in 0..DOWN {
            for i in 0..AROUND {
                let [a, b, c, d] = [
                    point(i, down),
                    point(i + 1, down),
                    point(i, down + 1),
                    point(i + 1, down + 1),
                ];
                self.vertices.extend([a, b, c, b, d, c]);
            }
        }
    }

    /// Around the axis: two points with normal and opacity for each turn.
    fn band(&mut self, rim: impl Fn(f32) -> [(Vec3, Vec3, f32); 2]) {
        let step = |i: u8| rim(f32::from(i) / f32::from(AROUND) * TAU).map(|(p, n, alpha)| vertex(p, n, OWN, alpha));
        for i in 0..AROUND {
            let ([a, c], [b, d]) = (step(i), step(i + 1));
            self.vertices.extend([a, b, c, b, d, c]);
        }
    }
}

const fn vertex(position: Vec3, normal: Vec3, paint: Vec4, alpha: f32) -> Vertex {
    Vertex {
        position: position.to_array(),
        normal: normal.to_array(),
        paint: paint.to_array(),
        alpha,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronts_look_outwards() {
        for (name, model) in [
            ("head", Model::head()),
            ("body", Model::body()),
            ("hand", Model::hand()),
        ] {
            let wrong = model.vertices.chunks_exact(3).filter(|t| {
                let [a, b, c] = [0, 1, 2].map(|i| Vec3::from(t[i].position));
                let face = (b - a).cross(c - a);
                let normal: Vec3 = t.iter().map(|v| Vec3::from(v.normal)).sum();
                face.length() > 1e-9 && face.dot(normal) < 0.0
            });
            assert_eq!(wrong.count(), 0, "{name}");
        }
    }
}
