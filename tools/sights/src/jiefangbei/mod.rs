//! The square of 解放碑 in Yuzhong, Chongqing.
//!
//! The monument follows published dimensions (`monument.rs`); the square around it, its shops and towers are a free
//! composition in the manner of the place. Local frame: origin at the base of the monument, front side north; the
//! scene turns it to where the monument looks.

mod city;
mod furniture;
mod ground;
mod monument;
mod palette;
mod shopping;
mod train;

use glam::{Mat4, Quat, Vec3};
use tongyou_scene::{Error, Scene};

use crate::builder::Builder;
use palette::Palette;

/// The monument's front faces north by east: compass degrees of its axis.
pub(crate) const AXIS_DEG: f32 = 11.25;

/// Local time of day in seconds that the clocks show at scene time 0. `clock_start` of the tour agrees with it.
pub const CLOCK_START_S: u32 = 16 * 3600 + 10 * 60;

/// Half the width of the north and south streets, and of the east and west ones, in metres.
pub(crate) const STREET_NS: f32 = 20.0;
pub(crate) const STREET_EW: f32 = 15.0;

/// Builds the scene.
pub(crate) fn scene() -> Result<Scene, Error> {
    let mut b = Builder::new("jiefangbei");
    let palette = Palette::new(&mut b)?;
    let turn = turn();
    let group = |b: &mut Builder, name: &str, fill: &dyn Fn(&mut Builder)| {
        b.within(Mat4::from_quat(turn), fill);
        b.node(name, Vec3::ZERO, Quat::IDENTITY);
    };
    group(&mut b, "ground", &|b| ground::build(b, &palette));
    group(&mut b, "monument", &|b| monument::build(b, &palette));
    monument::clocks(&mut b, &palette, turn);
    shopping::build(&mut b, &palette, turn);
    furniture::build(&mut b, &palette, turn);
    city::build(&mut b, &palette, turn);
    train::build(&mut b, &palette, turn);
    Ok(b.finish())
}

/// From the square's frame to stop-local space.
fn turn() -> Quat {
    Quat::from_rotation_y(-AXIS_DEG.to_radians())
}

#[cfg(test)]
mod tests;
