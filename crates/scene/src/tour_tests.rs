//! Tours that must load, and tours that must not, with the line and the key in the message.

use super::*;

const GOOD: &str = r##"
id = "demo"
title = { zh = "演示", en = "Demo" }
summary = { zh = "一", en = "One" }
credit = { zh = "甲", en = "A" }
clock_start = "16:00:00"
anchor = { lat = 29.56, lon = 106.57, height_m = 249.0 }

[[stops]]
id = "day"
title = { zh = "日", en = "Day" }
text = { zh = "话", en = "Words" }
scene = "square"
look_at = [0.0, 12.0, 0.0]
lighting = { preset = "day", sun = { color = "#fff0e0", strength = 2.0 } }
[[stops.cells]]
id = "south"
eye = [0.0, 1.6, 20.0]
radius_m = 2.0
[[stops.walkable]]
ground_m = 0.0
outline = [[-30, -30], [30, -30], [30, 30], [-30, 30]]
holes = [[[-5, -5], [5, -5], [5, 5], [-5, 5]]]
"##;

#[test]
fn a_good_tour_loads_and_survives_a_round_trip() {
    let tour = Tour::parse(GOOD, "demo.toml").unwrap();
    assert_eq!(tour.clock_start.seconds, 16 * 3600);
    let stop = tour.stop("day").unwrap();
    assert_eq!(stop.ground_m(0.0, 20.0), Some(0.0));
    assert_eq!(stop.ground_m(0.0, 0.0), None, "a hole");
    assert_eq!(stop.ground_m(0.0, 31.0), None, "outside");
    assert_eq!(stop.light().unwrap().sun.x, 2.0);
    let again = Tour::parse(&toml::to_string(&tour).unwrap(), "again").unwrap();
    assert_eq!(tour, again);
}

#[track_caller]
fn refused(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "the test changes nothing: {from}");
    let message = Tour::parse(&GOOD.replacen(from, to, 1), "demo.toml")
        .unwrap_err()
        .to_string();
    for part in expected {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn faults_are_told_with_file_line_and_key() {
    refused(
        "radius_m = 2.0",
        "radius_m = -2.0",
        &["demo.toml:19: stops[0].cells[0].radius_m: -2"],
    );
    refused(
        "eye = [0.0, 1.6, 20.0]",
        "eye = [0.0, 1.6, 2.0]",
        &["demo.toml:18:", "outside the walkable area"],
    );
    refused(
        "eye = [0.0, 1.6, 20.0]",
        "eye = [0.0, 3.6, 20.0]",
        &["3.60 m above the ground"],
    );
    refused(
        "eye = [0.0, 1.6, 20.0]",
        "eye = [nan, 1.6, 20.0]",
        &["demo.toml:18:", "not finite"],
    );
    refused(
        "scene = \"square\"",
        "scene = \"../../etc/passwd\"",
        &["stops[0].scene", "a-z, 0-9"],
    );
    refused("scene = \"square\"", "scene = \"Square\"", &["stops[0].scene"]);
    refused("id = \"south\"", "id = \"\"", &["stops[0].cells[0].id"]);
    refused("lat = 29.56", "lat = 129.56", &["demo.toml:7: anchor"]);
    refused("zh = \"话\"", "zh = \" \"", &["stops[0].text: zh is empty"]);
    refused("#fff0e0", "fff0e0", &["stops[0].lighting.sun", "not a colour"]);
    refused(
        "look_at = [0.0, 12.0, 0.0]",
        "look_at = [0.0, inf, 0.0]",
        &["demo.toml:14: stops[0].look_at"],
    );
    refused(
        "outline = [[-30, -30], [30, -30], [30, 30], [-30, 30]]",
        "outline = [[0, 0]]",
        &["1 corners"],
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_told_with_their_line() {
    refused("radius_m = 2.0", "radius = 2.0", &["demo.toml", "line 19", "radius"]);
    refused("16:00:00", "4 pm", &["line 6", "4 pm"]);
    refused("16:00:00", "24:00:00", &["24:00:00"]);
    refused("preset = \"day\"", "preset = \"noon\"", &["noon", "dusk"]);
    refused("id = \"demo\"", "id = ", &["line 2"]);
}

#[test]
fn a_second_stop_with_the_same_id_is_refused() {
    let twice = format!("{GOOD}{}", &GOOD[GOOD.find("[[stops]]").unwrap()..]);
    let message = Tour::parse(&twice, "demo.toml").unwrap_err().to_string();
    assert!(message.contains("stops[1].id: \"day\" is used twice"), "{message}");
}

#[test]
fn ground_may_have_a_relief() {
    let relief = "outline = [[-30, -30], [30, -30], [30, 30], [-30, 30]]\nrelief = { corner = [-1.0, 19.0], step_m = 1.0, rows_cm = [\"0 10 .\", \"0 10 20\", \"0 10 20\", \"2. 0\"] }";
    let text = GOOD.replace("outline = [[-30, -30], [30, -30], [30, 30], [-30, 30]]", relief);
    let tour = Tour::parse(&text, "demo.toml").unwrap();
    let stop = &tour.stops[0];
    let height = |x, z| stop.ground_m(x, z);
    assert!((height(-0.5, 19.25).unwrap() - 0.05).abs() < 1e-6);
    assert!((height(-0.9, 20.9).unwrap() - 0.01).abs() < 1e-6);
    assert_eq!(height(0.5, 19.5), None, "one of its corners has no ground");
    assert_eq!(height(5.0, 5.0), None, "beside the relief");
    let (vertices, triangles) = stop.walkable[0].relief_mesh().unwrap();
    assert_eq!((vertices.len(), triangles.len()), (12, 6));
    for triangle in &triangles {
        let [a, b, c] = triangle.map(|i| vertices[i as usize]);
        assert!((b - a).cross(c - a).y > 0.0, "it faces up");
        let middle = (a + b + c) / 3.0;
        assert!(
            (height(middle.x, middle.z).unwrap() - middle.y).abs() < 1e-5,
            "{middle}"
        );
    }
    assert_eq!(tour, Tour::parse(&toml::to_string(&tour).unwrap(), "again").unwrap());
    let bad = |from: &str, to: &str, want: &str| {
        let fault = Tour::parse(&text.replacen(from, to, 1), "demo.toml")
            .unwrap_err()
            .to_string();
        assert!(fault.contains(want), "{fault}");
    };
    bad("0 10 .", "0 10", "row 2 has 3 heights, not 2");
    bad("0 10 .", "0 10 x", "\"x\" is neither a height");
    bad("0 10 .", "0 10 9999999", "\"9999999\" is neither");
    bad("0 10 .", "0 0.", "\"0.\" is neither");
    bad("0 10 .", "0 9999999.", "\"9999999.\" is neither");
    bad("step_m = 1.0", "step_m = 0.0", "step_m");
    bad("corner = [-1.0", "corner = [nan", "corner");
}
