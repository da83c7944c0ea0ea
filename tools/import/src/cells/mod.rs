//! Walkable cells from geometry alone, in the tour's own terms.
//!
//! The scene becomes a heightfield of spans ([`voxels`]), of which the largest connected piece that a person can walk
//! on is the ground ([`floor`]). Cells stand where a group on real ground sees the landmark ([`place`]); the ground
//! around and between them becomes level pieces and reliefs that stay within 3 cm of it ([`patches`]).

mod floor;
mod patches;
mod place;
#[cfg(test)]
mod tests;
mod voxels;

use glam::{Vec2, Vec3};
use serde::{Deserialize, Serialize};
use tongyou_scene::{Area, Cell, EYE_HEIGHT_M, Formation};

pub(crate) use self::voxels::{Columns, Plan};
use crate::collide::Shell;

/// Side of a column of the heightfield: half a person's width.
const STEP_M: f32 = 0.25;
/// Columns at most; larger scenes get coarser ones.
const MOST_COLUMNS: usize = 4_000_000;
/// Ground with less than this is no place for a group: the scene is taken for an object.
const LEAST_M2: f32 = 30.0;
/// What is smaller than this is an object to look at, not a place to walk in.
const OBJECT_M: f32 = 4.0;

/// A stop as far as geometry tells: what people face, where they stand and walk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The point that everybody faces, stop-local metres.
    pub look_at: [f32; 3],
    /// Whether the ground is the scan's own. Where a scan has none, people stand on a plane at its foot.
    pub own_ground: bool,
    /// The first is where a group arrives.
    pub cells: Vec<Cell>,
    /// Pieces of ground.
    pub walkable: Vec<Area>,
}

/// Cells of a scene, facing `look_at` or what rises most; a scene without ground of its own gets a plane around it.
#[must_use]
pub(crate) fn draft(shell: &Shell, look_at: Option<Vec3>) -> Option<Draft> {
    let (low, high) = shell.bounds()?;
    let size = high - low;
    if size.x.max(size.z) >= OBJECT_M
        && let Some(draft) = on_ground(shell, look_at, low, high)
    {
        return Some(draft);
    }
    let mut made = around(low, high);
    if let Some(look_at) = look_at {
        made.look_at = look_at.to_array();
    }
    Some(made)
}

fn on_ground(shell: &Shell, look_at: Option<Vec3>, low: Vec3, high: Vec3) -> Option<Draft> {
    let flat = |v: Vec3| Vec2::new(v.x, v.z);
    let mut step = STEP_M;
    let columns = loop {
        let plan = Plan::over(flat(low), flat(high), step, MOST_COLUMNS);
        match Columns::new(plan, &shell.triangles) {
            Some(columns) => break columns,
            None if step < 4.0 => step = plan.step * 2.0,
            None => return None,
        }
    };
    let floor = floor::Floor::new(&columns, 1);
    let area = floor.columns.len() as f32 * columns.plan.step * columns.plan.step;
    if area < LEAST_M2 {
        return None;
    }
    let look_at = look_at
        .or_else(|| place::landmark(&columns, &floor))
        .unwrap_or_else(|| {
            let middle = (low + high) / 2.0;
            Vec3::new(middle.x, low.y + EYE_HEIGHT_M, middle.z)
        });
    let cells = place::cells(&columns, &floor, look_at);
    if cells.is_empty() {
        return None;
    }
    let needed = place::needed(&columns, &floor, &cells);
    let walkable = patches::patches(&columns, &floor, &needed);
    let stands = |cell: &Cell| {
        let [x, y, z] = cell.eye;
        let height = walkable.iter().find_map(|a| a.height_m(x, z));
        height.is_some_and(|h| (h + EYE_HEIGHT_M - y).abs() < 0.1)
    };
    let cells: Vec<Cell> = cells.into_iter().filter(stands).collect();
    (!cells.is_empty()).then(|| Draft {
        look_at: look_at.to_array(),
        own_ground: true,
        cells,
        walkable,
    })
}

/// Cells around an object on a plane at its foot.
fn around(low: Vec3, high: Vec3) -> Draft {
    let (middle, size) = ((low + high) / 2.0, high - low);
    let keep_off = Vec2::new(size.x, size.z).length() / 2.0 + 0.25;
    let far = (keep_off + 1.2).max(size.y * 0.8);
    let ring = |radius: f32, corners: u8| -> Vec<[f32; 2]> {
        let each = (0..corners).map(|i| std::f32::consts::TAU * f32::from(i) / f32::from(corners));
        each.map(|a| [middle.x + radius * a.sin(), middle.z + radius * a.cos()])
            .collect()
    };
    let cells = (1..).zip(ring(far, 6)).map(|(number, [x, z])| Cell {
        id: format!("cell-{number}"),
        eye: [x, low.y + EYE_HEIGHT_M, z],
        radius_m: (far / 2.0).clamp(0.5, 3.0),
        formation: Formation::default(),
    });
    Draft {
        look_at: middle.to_array(),
        own_ground: false,
        cells: cells.collect(),
        walkable: vec![Area {
            ground_m: low.y,
            outline: ring(far + 7.0, 24),
            holes: vec![ring(keep_off, 16)],
            relief: None,
        }],
    }
}
