//! Chinese lettering, drawn once from Noto CJK and kept as a picture, so that a build needs no fonts.

use glam::Vec2;
use image::ImageFormat;
use tongyou_scene::{Error, Image};

/// White letters on black; made by `assets/lettering/make.py`.
const SHEET: &[u8] = include_bytes!("../../../assets/lettering/jiefangbei.png");
const SIDE: f32 = 1024.0;

/// A rectangle of the sheet: its corner and size in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

/// 人民解放紀念碑, seven characters from top to bottom.
pub(crate) const INSCRIPTION: Patch = Patch {
    x: 0.0,
    y: 0.0,
    width: 128.0,
    height: 896.0,
};
/// The line on the screen.
pub(crate) const WELCOME: Patch = Patch {
    x: 128.0,
    y: 832.0,
    width: 896.0,
    height: 112.0,
};
/// How many shop signs there are.
pub(crate) const SIGNS: usize = 16;

/// A shop sign.
pub(crate) fn sign(index: usize) -> Patch {
    let index = index % SIGNS;
    Patch {
        x: 128.0 + 448.0 * (index % 2) as f32,
        y: 102.0 * (index / 2) as f32,
        width: 448.0,
        height: 102.0,
    }
}

impl Patch {
    /// Texture coordinates of the corners: bottom left, bottom right, top right, top left.
    pub(crate) fn uvs(self) -> [Vec2; 4] {
        let (x0, y0, x1, y1) = (self.x, self.y, self.x + self.width, self.y + self.height);
        [(x0, y1), (x1, y1), (x1, y0), (x0, y0)].map(|(x, y)| Vec2::new(x, y) / SIDE)
    }

    /// Width over height.
    pub(crate) fn aspect(self) -> f32 {
        self.width / self.height
    }

    /// How much ink there is at a place of the patch, both in 0..1 from the top left.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the sheet"
    )]
    pub(crate) fn ink(self, sheet: &Image, u: f32, v: f32) -> f32 {
        let x = (self.x + u.clamp(0.0, 0.999) * self.width) as usize;
        let y = (self.y + v.clamp(0.0, 0.999) * self.height) as usize;
        f32::from(sheet.pixels[(y * sheet.width as usize + x) * 4]) / 255.0
    }
}

/// The whole sheet as an image.
pub(crate) fn sheet() -> Result<Image, Error> {
    let decoded = image::load_from_memory_with_format(SHEET, ImageFormat::Png)
        .map_err(|e| Error::Write {
            place: "lettering".into(),
            fault: e.to_string(),
        })?
        .into_rgba8();
    Ok(Image {
        name: "lettering".into(),
        width: decoded.width(),
        height: decoded.height(),
        pixels: decoded.into_raw(),
    })
}
