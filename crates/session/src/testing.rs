//! A tour for tests.

use std::sync::Arc;

use tongyou_scene::{Stop, Tour};

const TOUR: &str = r##"
id = "demo"
title = { zh = "演示", en = "Demo" }
summary = { zh = "一", en = "One" }
credit = { zh = "甲", en = "A" }
clock_start = "16:00:00"
anchor = { lat = 29.56, lon = 106.57, height_m = 249.0 }
"##;

fn stop_text(id: &str) -> String {
    format!(
        r##"
[[stops]]
id = "{id}"
title = {{ zh = "日", en = "Day" }}
text = {{ zh = "话", en = "Words" }}
scene = "square"
look_at = [0.0, 12.0, 0.0]
lighting = {{ preset = "day" }}
[[stops.cells]]
id = "south"
eye = [0.0, 1.6, 20.0]
radius_m = 2.0
[[stops.cells]]
id = "east"
eye = [20.0, 1.6, 0.0]
radius_m = 2.0
[[stops.cells]]
id = "west"
eye = [-20.0, 1.6, 0.0]
radius_m = 2.0
[[stops.walkable]]
ground_m = 0.0
outline = [[-30, -30], [30, -30], [30, 30], [-30, 30]]
holes = [[[-5, -5], [5, -5], [5, 5], [-5, 5]]]
"##
    )
}

/// Three stops of three cells.
pub(crate) fn tour() -> Arc<Tour> {
    let text = ["day", "dusk", "night"].map(stop_text).concat();
    Arc::new(Tour::parse(&format!("{TOUR}{text}"), "test").unwrap())
}

pub(crate) fn stop(id: &str) -> Stop {
    tour().stop(id).unwrap().clone()
}
