//! Picture truth of the native client: its pictures against direct renders of the same eyes, both eyes of seeded heads.

use serde_json::{Map, Value, json};
use tongyou_tests::truth::{Depth, Gallery, Headset, Looks, Report, Studio};

/// All places together, and one line of JSON.
pub(crate) fn measure(
    mut studio: Studio,
    heads: usize,
    depth: Depth,
    client: &mut impl Looks,
    gallery: &mut Gallery,
) -> (Report, Value) {
    let mut all = Report::default();
    let mut places = Map::new();
    for place in studio.places() {
        let mut report = Report::default();
        let mut eyes = 0;
        studio.measure(&place, heads, depth, client, |bin, seen, errors| {
            report.add(bin, errors, seen.shown[0].1);
            all.add(bin, errors, seen.shown[0].1);
            gallery.offer(&format!("{} head {}", place.name, eyes / 2), seen, &errors[0]);
            eyes += 1;
        });
        places.insert(place.name.clone(), report.json());
    }
    let figures = json!({ "picture_truth": { "heads": heads, "all": all.json(), "places": places } });
    (all, figures)
}

fn pictures_are_true(heads: usize) {
    let mut gallery = Gallery::default();
    let (all, mut figures) = measure(
        Studio::new().with_square(),
        heads,
        Depth::True,
        &mut Headset::new(),
        &mut gallery,
    );
    figures["picture_truth"]["worst"] = json!(gallery.write("truth"));
    println!("{figures}");
    assert_eq!(all.faults(), Vec::<String>::new());
}

#[test]
fn pictures_are_as_true_as_they_must_be() {
    pictures_are_true(1);
}

#[test]
#[ignore = "minutes, 256 pictures: cargo test -p tongyou-tests --test suite -- --ignored --nocapture many_pictures"]
fn many_pictures_are_as_true_as_they_must_be() {
    pictures_are_true(8);
}

/// The control: if the client were told that everything is equally far, the test would notice.
#[test]
fn constant_depth_is_found_out() {
    let depth = Depth::Constant(8.0);
    let (all, figures) = measure(Studio::new(), 1, depth, &mut Headset::new(), &mut Gallery::default());
    let faults = all.faults();
    let found = faults.iter().any(|fault| fault.contains("by rotation only"));
    assert!(found, "{depth:?}: {faults:?}, {figures}");
}

/// An experiment, kept with its figures in the report of the session: nothing is asserted but that there was something
/// to fill.
#[test]
#[ignore = "an experiment: cargo test -p tongyou-tests --test suite -- --ignored --nocapture what_else"]
fn what_else_to_send() {
    let mut studio = Studio::new().with_square();
    let mut headset = Headset::new();
    for place in studio.places() {
        let figures = studio.compare_fillings(&place, 2, &mut headset);
        println!("{figures}");
        assert!(figures["hidden_share"].as_f64().unwrap() > 0.0);
    }
}

/// What the other layers make better, at the post and on the square. Half a metre away what lies behind must help, and
/// right at the rendered point sharp faces.
#[test]
#[ignore = "minutes: cargo test -p tongyou-tests --test suite -- --ignored --nocapture other_layers"]
fn other_layers_make_pictures_truer() {
    let mut studio = Studio::new().with_square();
    let mut headset = Headset::new();
    let mut sums = [[0.0; 4]; 4];
    for place in studio.places() {
        let figures = studio.compare_layers(&place, 2, &mut headset);
        println!("{figures}");
        for (bin, sums) in sums.iter_mut().enumerate() {
            for (sum, way) in sums.iter_mut().zip(["base", "with_behind", "with_faces", "stereo"]) {
                *sum += figures["flip"][bin][way].as_f64().unwrap();
            }
        }
    }
    let [_, _, _, [base, with_behind, _, stereo]] = sums;
    assert!(with_behind < base && stereo < base, "half a metre away: {sums:?}");
    assert!(sums[0][2] < sums[0][0], "at the rendered point: {sums:?}");
}
