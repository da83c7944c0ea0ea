//! People off-screen: they are seen before the layer and hidden behind it, and sink into it softly.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    dead_code,
    reason = "a test fails by panicking; pixels are few; the support is shared"
)]

mod support;

use std::f32::consts::FRAC_PI_2;

use glam::{Quat, Vec3};
use support::{POINT, layer, offscreen, save};
use tongyou_client::present::{Eye, Figure, Image, Ring, Things};
use tongyou_protocol::cube::FACE_SIZE;

fn figure(at: Vec3) -> Figure {
    Figure {
        headset: 1,
        is_guide: true,
        head: (POINT + at, Quat::IDENTITY),
        left: None,
        right: Some((POINT + at + Vec3::new(0.25, -0.4, -0.2), Quat::IDENTITY)),
        pointer: None,
    }
}

fn eye() -> Eye {
    Eye {
        position: POINT,
        rotation: Quat::IDENTITY,
        fov_y: FRAC_PI_2,
        aspect: 1.0,
    }
}

/// Pixels that are yellow or red; the room is gray.
fn coloured(image: &Image) -> usize {
    let is_coloured = |p: &&[u8]| p[0] > p[2].saturating_add(25);
    image.rgba.chunks_exact(4).filter(is_coloured).count()
}

#[test]
fn people_are_seen_before_the_layer_and_hidden_behind_it() {
    let Some(mut offscreen) = offscreen() else { return };
    let (tag, nv12, depth) = layer();
    offscreen.show(tag, FACE_SIZE, &nv12, &depth).unwrap();
    let mut seen = |name: &str, figures: &[Figure], rings: &[Ring]| {
        let image = offscreen
            .look_with(
                eye(),
                400,
                400,
                Things {
                    figures,
                    rings,
                    pointer: None,
                },
            )
            .unwrap();
        save(&format!("figures-{name}"), &image);
        assert_eq!(image.holes(), 0);
        coloured(&image)
    };
    assert_eq!(seen("none", &[], &[]), 0);
    let before = seen("before", &[figure(Vec3::new(-1.0, 0.0, -3.0))], &[]);
    // A body 0.4 m wide and 0.84 m high at 3 m, 200 px a metre at 1 m.
    assert!((800..3500).contains(&before), "{before}");
    assert_eq!(
        seen("outside", &[figure(Vec3::new(-1.0, 0.0, -12.0))], &[]),
        0,
        "behind the wall"
    );
    assert_eq!(
        seen("close", &[figure(Vec3::new(0.0, 0.0, -0.3))], &[]),
        0,
        "it would fill the eye"
    );
    // The post hides 0.56 to 0.84 m at this distance; a body is 0.4 m wide.
    let hidden = seen("post", &[figure(Vec3::new(0.7, 0.0, -2.8))], &[]);
    let half = seen("half", &[figure(Vec3::new(0.85, 0.0, -2.8))], &[]);
    assert!(hidden > 50 && 4 * hidden < before, "{hidden} of {before}");
    assert!(2 * hidden < half && half < before, "{hidden} {half} {before}");
    let ring = Ring {
        at: POINT + Vec3::new(-1.0, -1.6, -3.0),
        is_hot: false,
    };
    assert!(seen("ring", &[], &[ring]) > 200);
}

#[test]
fn what_sinks_into_the_wall_fades_instead_of_ending() {
    let Some(mut offscreen) = offscreen() else { return };
    let (tag, nv12, depth) = layer();
    offscreen.show(tag, FACE_SIZE, &nv12, &depth).unwrap();
    // Depth at 10 m has steps of 1.5 cm: the edge is 5 cm here. A head's surface is 11 cm before its middle.
    let mut at = |z: f32| {
        let figures = [figure(Vec3::new(-3.0, 0.0, z))];
        let image = offscreen
            .look_with(
                eye(),
                800,
                800,
                Things {
                    figures: &figures,
                    ..Things::default()
                },
            )
            .unwrap();
        coloured(&image)
    };
    let (before, touching, within) = (at(-9.5), at(-10.14), at(-10.6));
    assert!(touching > 0 && touching < before, "{before} {touching}");
    assert_eq!(within, 0);
}
