//! Picture truth of the native client: its pictures against direct renders of the same eyes.

use serde_json::{Map, Value, json};
use tongyou_tests::truth::{Depth, Gallery, Headset, Report, Studio};

fn measure(mut studio: Studio, heads: usize, depth: Depth, gallery: &mut Gallery) -> (Report, Value) {
    let mut headset = Headset::new();
    let mut all = Report::default();
    let mut each = Map::new();
    for place in studio.places() {
        let mut report = Report::default();
        let began = std::time::Instant::now();
        let mut eye = 0;
        studio.measure(&place, heads, depth, &mut headset, |bin, seen, errors| {
            report.add(bin, errors, seen.shown[0].1);
            all.add(bin, errors, seen.shown[0].1);
            gallery.offer(&format!("{} pose {}", place.name, eye / 2), seen, &errors[0]);
            eye += 1;
        });
        eprintln!("{} {:?}", place.name, began.elapsed());
        each.insert(place.name.clone(), report.json());
    }
    let json = json!({ "picture_truth": { "all": all.json(), "places": each, "worst": gallery.write() } });
    (all, json)
}

#[test]
fn pictures_are_true() {
    let mut gallery = Gallery::default();
    let heads = std::env::var("TRUTH_HEADS").map_or(2, |v| v.parse().unwrap());
    let (_report, json) = measure(Studio::new().with_square(), heads, Depth::True, &mut gallery);
    println!("{json}");
}
