//! Picture truth of the page: what a real browser shows of recorded vantages against direct renders of the same eyes.

use serde_json::json;
use tongyou_tests::truth::{Browser, Depth, Gallery, Studio};

use crate::truth::measure;

fn pictures_are_true(heads: usize) {
    let mut gallery = Gallery::default();
    let mut browser = Browser::open();
    let (all, mut figures) = measure(
        Studio::new().with_square(),
        heads,
        Depth::True,
        &mut browser,
        &mut gallery,
    );
    figures["picture_truth"]["client"] = json!("page");
    figures["picture_truth"]["worst"] = json!(gallery.write("truth-page"));
    let ms = &mut browser.looked_ms;
    ms.sort_by(f64::total_cmp);
    figures["picture_truth"]["picture_ms_p50"] = json!(ms[ms.len() / 2].round());
    println!("{figures}");
    assert_eq!(all.faults(), Vec::<String>::new());

    // The control: if the page were told that everything is equally far, the test would notice.
    let depth = Depth::Constant(8.0);
    let (all, figures) = measure(Studio::new(), 1, depth, &mut browser, &mut Gallery::default());
    let faults = all.faults();
    let found = faults.iter().any(|fault| fault.contains("by rotation only"));
    assert!(found, "{depth:?}: {faults:?}, {figures}");
}

#[test]
fn the_page_shows_what_is_there() {
    pictures_are_true(1);
}

#[test]
#[ignore = "minutes: cargo test -p tongyou-tests --test suite -- --ignored --nocapture page_shows_many"]
fn the_page_shows_many_pictures_as_they_are() {
    pictures_are_true(8);
}
