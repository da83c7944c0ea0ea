//! Where people are put: on ground that carries them, in sight of what they came for.

use glam::{Vec2, Vec3};
use tongyou_scene::{EYE_HEIGHT_M, seats};

use super::place::neighbours;
use super::*;

/// A builder of boxes and slopes.
#[derive(Default)]
struct Site(Vec<[Vec3; 3]>);

impl Site {
    fn quad(&mut self, corners: [[f32; 3]; 4]) -> &mut Self {
        let [a, b, c, d] = corners.map(Vec3::from);
        self.0.extend([[a, b, c], [a, c, d]]);
        self
    }

    /// Level ground from (west, north) to (east, south).
    fn floor(&mut self, y: f32, [w, n, e, s]: [f32; 4]) -> &mut Self {
        self.quad([[w, y, n], [w, y, s], [e, y, s], [e, y, n]])
    }

    fn block(&mut self, low: [f32; 3], high: [f32; 3]) -> &mut Self {
        let ([w, b, n], [e, t, s]) = (low, high);
        self.floor(b, [w, n, e, s]).floor(t, [w, n, e, s]);
        for (x0, z0, x1, z1) in [(w, n, e, n), (e, n, e, s), (e, s, w, s), (w, s, w, n)] {
            self.quad([[x0, b, z0], [x1, b, z1], [x1, t, z1], [x0, t, z0]]);
        }
        self
    }

    fn draft(&self) -> Draft {
        draft(&Shell::of(self.0.clone()), None).unwrap()
    }
}

fn ground(draft: &Draft, x: f32, z: f32) -> Option<f32> {
    draft.walkable.iter().find_map(|a| a.height_m(x, z))
}

#[test]
fn people_stand_around_a_tower_and_face_it() {
    let mut site = Site::default();
    site.floor(2.0, [-30.0, -30.0, 30.0, 30.0])
        .block([-2.0, 2.0, -2.0], [2.0, 14.0, 2.0]);
    let draft = site.draft();
    assert!(draft.own_ground && draft.cells.len() >= 6, "{}", draft.cells.len());
    let sight = Vec3::from(draft.look_at);
    assert!(
        sight.x.abs() < 3.0 && sight.z.abs() < 3.0 && (6.0..14.0).contains(&sight.y),
        "{sight}"
    );
    for cell in &draft.cells {
        let [x, y, z] = cell.eye;
        assert!((y - 2.0 - EYE_HEIGHT_M).abs() < 0.01, "{y}");
        assert!(x.abs().max(z.abs()) > 2.25, "not in the tower: {x}, {z}");
        let free = seats(cell, sight, 20)
            .into_iter()
            .filter(|s| ground(&draft, s.position.x, s.position.z).is_some());
        assert!(free.count() >= 10);
    }
    for area in &draft.walkable {
        assert!((area.ground_m - 2.0).abs() < 1e-3);
    }
    assert!(ground(&draft, 0.0, 0.0).is_none(), "nobody stands in the tower");
}

/// Columns and ground of a site.
fn floor_of(site: &Site) -> (Columns, floor::Floor) {
    let shell = Shell::of(site.0.clone());
    let (low, high) = shell.bounds().unwrap();
    let plan = Plan::over(Vec2::new(low.x, low.z), Vec2::new(high.x, high.z), STEP_M, MOST_COLUMNS);
    let columns = Columns::new(plan, &shell.triangles).unwrap();
    let floor = floor::Floor::new(&columns, 1);
    (columns, floor)
}

fn walks(site: &Site, x: f32, z: f32) -> bool {
    let (columns, floor) = floor_of(site);
    columns
        .plan
        .column(Vec2::new(x, z))
        .is_some_and(|c| floor.height(c).is_some())
}

#[test]
fn slopes_steps_and_head_room_have_their_limits() {
    // A square with a ramp to the east that climbs 4 m in so many metres.
    let ramp = |run: f32| {
        let mut site = Site::default();
        site.floor(0.0, [0.0, 0.0, 20.0, 20.0]);
        site.quad([
            [20.0, 0.0, 0.0],
            [20.0, 0.0, 20.0],
            [20.0 + run, 4.0, 20.0],
            [20.0 + run, 4.0, 0.0],
        ]);
        walks(&site, 20.0 + run / 2.0, 10.0)
    };
    assert!(ramp(4.0 / 33.0_f32.to_radians().tan()), "33° is walked on");
    assert!(!ramp(4.0 / 38.0_f32.to_radians().tan()), "38° is not");

    let step = |height: f32| {
        let mut site = Site::default();
        site.floor(0.0, [0.0, 0.0, 20.0, 20.0])
            .block([20.0, -1.0, 0.0], [30.0, height, 20.0]);
        walks(&site, 27.0, 10.0)
    };
    assert!(step(0.28) && !step(0.34));

    let roof = |height: f32| {
        let mut site = Site::default();
        site.floor(0.0, [0.0, 0.0, 20.0, 20.0])
            .block([12.0, height, 12.0], [18.0, height + 1.0, 18.0]);
        walks(&site, 15.0, 15.0)
    };
    assert!(roof(2.1) && !roof(1.9));
}

#[test]
fn an_island_that_nobody_reaches_is_no_ground() {
    let mut site = Site::default();
    site.floor(0.0, [0.0, 0.0, 20.0, 20.0])
        .floor(0.0, [24.0, 0.0, 34.0, 20.0]);
    assert!(walks(&site, 10.0, 10.0) && !walks(&site, 29.0, 10.0));
}

#[test]
fn nobody_is_put_behind_a_wall() {
    let mut site = Site::default();
    site.floor(0.0, [-30.0, -30.0, 30.0, 30.0])
        .block([-1.0, 0.0, -25.0], [1.0, 9.0, -23.0]);
    // A wall across the square, open at its east end; what stands behind it is not seen from the south.
    site.block([-30.0, 0.0, -0.5], [24.0, 8.0, 0.5]);
    let draft = site.draft();
    assert!(
        draft.look_at[2] < -20.0 || draft.look_at[2].abs() < 2.0,
        "{:?}",
        draft.look_at
    );
    let (columns, _) = floor_of(&site);
    for cell in &draft.cells {
        assert!(
            !columns.hides(Vec3::from(cell.eye), Vec3::from(draft.look_at), 0.5, 2.5),
            "{}",
            cell.id
        );
    }
}

#[test]
fn an_object_gets_a_plane_around_it() {
    let mut site = Site::default();
    site.block([-0.1, 0.0, -0.1], [0.1, 0.3, 0.1]);
    let draft = site.draft();
    assert!(!draft.own_ground && draft.cells.len() == 6);
    for cell in &draft.cells {
        let [x, y, z] = cell.eye;
        assert_eq!(ground(&draft, x, z), Some(0.0));
        assert!((y - EYE_HEIGHT_M).abs() < 1e-5);
    }
    assert_eq!(ground(&draft, 0.0, 0.0), None);
}

fn scan() -> Shell {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/scans/autzen_trim.laz");
    Shell::new(
        &crate::import(&path, "autzen-scan", &crate::Options::default())
            .unwrap()
            .0,
    )
}

/// Walks over cells of the real scan: at each seat and on the ways between neighbouring cells the ground is where the
/// surface is. Returns how many places were stood on, and the worst of them.
fn walk_over(surface: &Surface, sight: Vec3, cells: &[Cell], height: impl Fn(f32, f32) -> Option<f32>) -> (usize, f32) {
    let (mut worst, mut places) = (0.0_f32, 0);
    let mut check = |x: f32, z: f32, must: bool| {
        let Some(height) = height(x, z) else {
            assert!(!must, "no ground at {x}, {z}");
            return;
        };
        let off = surface.off(Vec3::new(x, height, z));
        assert!(off <= 0.05, "feet {off} m off the surface at {x}, {z}");
        (worst, places) = (worst.max(off), places + 1);
    };
    for cell in cells {
        check(cell.eye[0], cell.eye[2], true);
        for seat in seats(cell, sight, 24) {
            check(seat.position.x, seat.position.z, false);
        }
    }
    let plan = surface.columns.plan;
    let floor = floor::Floor::new(&surface.columns, 1);
    let at: Vec<Vec2> = cells.iter().map(|c| Vec2::new(c.eye[0], c.eye[2])).collect();
    for (a, b) in neighbours(&at) {
        let ends = (plan.column(at[a]).unwrap(), plan.column(at[b]).unwrap());
        for column in floor.way(&surface.columns, ends.0, ends.1).unwrap() {
            let place = plan.middle(column);
            check(place.x, place.y, true);
        }
    }
    (places, worst)
}

#[test]
fn on_the_real_scan_feet_stay_on_the_surface() {
    let shell = scan();
    let draft = draft(&shell, None).unwrap();
    assert!(
        draft.own_ground && draft.cells.len() >= 8,
        "{} cells",
        draft.cells.len()
    );
    let text = toml::to_string(&draft).unwrap();
    assert!(text.len() < 400_000, "{} bytes", text.len());
    let surface = Surface::new(&shell);
    let sight = Vec3::from(draft.look_at);
    let (places, worst) = walk_over(&surface, sight, &draft.cells, |x, z| ground(&draft, x, z));
    assert!(places > 500, "{places}");
    eprintln!(
        "{} cells, {} bytes, {places} places, worst {worst:.3} m",
        draft.cells.len(),
        text.len()
    );
}

/// The scene's own triangles, found by place.
struct Surface {
    columns: Columns,
    by_column: std::collections::BTreeMap<usize, Vec<[Vec3; 3]>>,
}

impl Surface {
    fn new(shell: &Shell) -> Self {
        let (low, high) = shell.bounds().unwrap();
        let plan = Plan::over(Vec2::new(low.x, low.z), Vec2::new(high.x, high.z), STEP_M, MOST_COLUMNS);
        let mut by_column: std::collections::BTreeMap<usize, Vec<[Vec3; 3]>> = std::collections::BTreeMap::new();
        for triangle in &shell.triangles {
            let (from, to) = triangle
                .iter()
                .fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(a, b), p| (a.min(*p), b.max(*p)));
            let mut z = from.z;
            loop {
                let mut x = from.x;
                loop {
                    if let Some(column) = plan.column(Vec2::new(x, z)) {
                        by_column.entry(column).or_default().push(*triangle);
                    }
                    if x >= to.x {
                        break;
                    }
                    x = (x + plan.step).min(to.x);
                }
                if z >= to.z {
                    break;
                }
                z = (z + plan.step).min(to.z);
            }
        }
        Self {
            columns: Columns::new(plan, &shell.triangles).unwrap(),
            by_column,
        }
    }

    /// The distance straight up or down to the nearest surface.
    fn off(&self, at: Vec3) -> f32 {
        let flat = Vec2::new(at.x, at.z);
        let here = self.columns.plan.column(flat).and_then(|c| self.by_column.get(&c));
        let heights = here.into_iter().flatten().filter_map(|t| voxels::height_at(t, flat));
        heights.map(|h| (h - at.y).abs()).fold(f32::INFINITY, f32::min)
    }
}
