//! What tests share.

use std::sync::Arc;

use glam::Vec3;
use tongyou_protocol::{ServerTime, SessionCode, TourTime, VantageId};
use tongyou_scene::Tour;
use tongyou_session::{ActiveVantage, SessionKey, Tick, VantageKind};

const TOUR: &str = r#"
id = "test"
title = { zh = "试", en = "Test" }
summary = { zh = "试", en = "Test" }
credit = { zh = "试", en = "Test" }
clock_start = "12:00:00"
anchor = { lat = 29.5, lon = 106.5, height_m = 200.0 }
[[stops]]
id = "one"
title = { zh = "一", en = "One" }
text = { zh = "一", en = "One" }
scene = "wall"
look_at = [0.0, 2.0, -8.0]
lighting = { preset = "day", sun_azimuth_deg = 180.0, sun_elevation_deg = 45.0 }
cells = [{ id = "a", eye = [0.0, 1.6, 0.0], radius_m = 2.0 }]
walkable = [{ ground_m = 0.0, outline = [[-9.0, -9.0], [9.0, -9.0], [9.0, 9.0], [-9.0, 9.0]] }]
[[stops]]
id = "later"
title = { zh = "二", en = "Two" }
text = { zh = "二", en = "Two" }
scene = "wall"
time_shift_s = 500.0
look_at = [0.0, 2.0, -8.0]
lighting = { preset = "day", sun_azimuth_deg = 180.0, sun_elevation_deg = 45.0 }
cells = [{ id = "a", eye = [0.0, 1.6, 0.0], radius_m = 2.0 }]
walkable = [{ ground_m = 0.0, outline = [[-9.0, -9.0], [9.0, -9.0], [9.0, 9.0], [-9.0, 9.0]] }]
"#;

/// Two stops at the same place, of which the second shows it 500 s later.
pub(crate) fn tour() -> Arc<Tour> {
    Arc::new(Tour::parse(TOUR, "test.toml").unwrap())
}

/// A session with vantages: their numbers and stops.
pub(crate) fn session(number: u32, tour_zero: ServerTime, vantages: &[(u16, usize)]) -> Tick {
    let active = |(vantage, stop): &(u16, usize)| ActiveVantage {
        vantage: VantageId(*vantage),
        epoch: 1,
        stop: *stop,
        cell: 0,
        point: Vec3::new(0.0, 1.6, 0.0),
        kind: VantageKind::Panorama,
        viewers: Vec::new(),
        preparing: false,
    };
    Tick {
        session: SessionKey(number),
        code: "BCDF-GHJK".parse::<SessionCode>().unwrap(),
        tour: tour(),
        tour_time: TourTime(0),
        tour_zero,
        vantages: vantages.iter().map(active).collect(),
    }
}
