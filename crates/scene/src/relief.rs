//! Ground that is not level: heights over a grid, written as a map that a person can read.

use glam::{Vec2, Vec3};
use serde::{Deserialize, Serialize};

/// Heights are at most so far from the area's ground.
const HIGHEST_CM: i32 = 100_000;
/// Most heights of one relief.
const MOST: usize = 250_000;

/// Heights over a grid. Between four heights the ground is two triangles; where one of the four is missing there is no
/// ground.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map", into = "Map")]
pub struct Relief {
    /// Where the first height is: x, z.
    corner: [f32; 2],
    /// Metres between neighbours.
    step_m: f32,
    /// Heights in a row, west to east.
    wide: usize,
    /// Row by row, north to south: centimetres above the area's ground.
    heights_cm: Vec<Option<i32>>,
}

/// A relief as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Map {
    corner: [f32; 2],
    step_m: f32,
    /// Heights in centimetres with spaces between them, `.` where nobody walks, `12.` for twelve of these.
    rows_cm: Vec<String>,
}

impl Relief {
    /// Heights in centimetres above the area's ground, row by row from the north-western corner.
    ///
    /// # Errors
    /// What makes no sense about them.
    pub fn new(corner: [f32; 2], step_m: f32, wide: usize, heights_cm: Vec<Option<i32>>) -> Result<Self, String> {
        if !corner.iter().all(|v| v.is_finite() && v.abs() <= 100_000.0) {
            return Err(format!("relief: corner {corner:?} is not finite or too far away"));
        }
        if !(0.05..=50.0).contains(&step_m) {
            return Err(format!("relief: step_m = {step_m} is not between 0.05 and 50"));
        }
        if wide < 2 || heights_cm.len() < 2 * wide || !heights_cm.len().is_multiple_of(wide) {
            return Err("relief: needs two rows of two heights".to_owned());
        }
        if heights_cm.len() > MOST {
            return Err(format!("relief: has {} heights, at most {MOST}", heights_cm.len()));
        }
        if heights_cm.iter().flatten().any(|h| h.abs() > HIGHEST_CM) {
            return Err(format!("relief: a height is more than {HIGHEST_CM} cm from the ground"));
        }
        Ok(Self {
            corner,
            step_m,
            wide,
            heights_cm,
        })
    }

    /// Height above the area's ground, metres.
    pub(crate) fn rise_m(&self, at: Vec2) -> Option<f32> {
        let cell = (at - Vec2::from(self.corner)) / self.step_m;
        let within = cell.floor();
        if within.min_element() < 0.0 || within.x >= (self.wide - 1) as f32 || within.y >= (self.deep() - 1) as f32 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be on the grid"
        )]
        let [nw, ne, sw, se] = self.square(within.x as usize, within.y as usize)?;
        let Vec2 { x, y: z } = cell - within;
        // The diagonal runs from the north-west to the south-east.
        Some(if x > z {
            nw + (ne - nw) * x + (se - ne) * z
        } else {
            nw + (se - sw) * x + (sw - nw) * z
        })
    }

    /// Vertices for all heights, triangles where there is ground.
    pub(crate) fn mesh(&self, ground_m: f32) -> (Vec<Vec3>, Vec<[u32; 3]>) {
        let corner = Vec2::from(self.corner);
        let vertices = self.heights_cm.iter().enumerate().map(|(index, height)| {
            let at = corner + Vec2::new((index % self.wide) as f32, (index / self.wide) as f32) * self.step_m;
            Vec3::new(at.x, ground_m + height.unwrap_or(0) as f32 / 100.0, at.y)
        });
        let mut triangles = Vec::new();
        for z in 0..self.deep() - 1 {
            for x in 0..self.wide - 1 {
                if self.square(x, z).is_some() {
                    // There are fewer than 2³² heights.
                    let nw = u32::try_from(z * self.wide + x).unwrap_or(0);
                    let sw = nw + u32::try_from(self.wide).unwrap_or(0);
                    triangles.extend([[nw, sw, sw + 1], [nw, sw + 1, nw + 1]]);
                }
            }
        }
        (vertices.collect(), triangles)
    }

    fn deep(&self) -> usize {
        self.heights_cm.len() / self.wide
    }

    /// The heights at the corners of a square of the grid: north-west, north-east, south-west, south-east.
    fn square(&self, x: usize, z: usize) -> Option<[f32; 4]> {
        let at = |x: usize, z: usize| self.heights_cm[z * self.wide + x].map(|cm| cm as f32 / 100.0);
        Some([at(x, z)?, at(x + 1, z)?, at(x, z + 1)?, at(x + 1, z + 1)?])
    }
}

impl TryFrom<Map> for Relief {
    type Error = String;

    fn try_from(map: Map) -> Result<Self, String> {
        let mut heights = Vec::new();
        let mut wide = 0;
        for (number, row) in (1..).zip(&map.rows_cm) {
            let before = heights.len();
            for word in row.split_ascii_whitespace() {
                let fault = || format!("relief: row {number}: {word:?} is neither a height in centimetres nor \".\"");
                if let Some(times) = word.strip_suffix('.') {
                    let times = if times.is_empty() { Some(1) } else { times.parse().ok() };
                    let times = times.filter(|t| (1..=MOST).contains(t)).ok_or_else(fault)?;
                    heights.resize(heights.len() + times, None);
                } else {
                    let height = word.parse().ok().filter(|h: &i32| h.abs() <= HIGHEST_CM);
                    heights.push(Some(height.ok_or_else(fault)?));
                }
                if heights.len() > MOST {
                    return Err(format!("relief: has more than {MOST} heights"));
                }
            }
            let here = heights.len() - before;
            if number == 1 {
                wide = here;
            }
            if here != wide {
                return Err(format!("relief: row {number} has {here} heights, not {wide}"));
            }
        }
        Self::new(map.corner, map.step_m, wide, heights)
    }
}

impl From<Relief> for Map {
    fn from(relief: Relief) -> Self {
        let row = |row: &[Option<i32>]| {
            let same = row.chunk_by(|a, b| a.is_none() && b.is_none());
            let words = same.map(|run| match run {
                [Some(height)] => height.to_string(),
                [_] => ".".to_owned(),
                many => format!("{}.", many.len()),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        let rows = relief.heights_cm.chunks(relief.wide);
        Self {
            corner: relief.corner,
            step_m: relief.step_m,
            rows_cm: rows.map(row).collect(),
        }
    }
}
