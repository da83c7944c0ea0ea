//! What a vantage has beside its base, in a real browser: what lies behind, sharp faces, a view of one's own off the
//! rings and back, the big screen, the guide's preview.

use serde_json::json;
use tongyou_tests::Running;
use tongyou_tests::browser::Page;
use tongyou_tests::square::small_world;

use crate::browser::page_url;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_all_layers_and_kinds_of_pictures() {
    let world = small_world();
    let (tours, scenes) = (world.path().join("tours"), world.path().join("scenes"));
    let server = Running::start_with(&tours, &scenes, &["jiefangbei"], &["--sets-per-s", "2"]);
    let arguments = json!({
        "url": page_url(&server), "code": server.code(0), "login": server.ready["guide_link"],
        "width": 480, "height": 270,
    });
    let answer = tokio::task::spawn_blocking(move || Page::run("layers", arguments))
        .await
        .unwrap();
    assert_eq!(answer["ok"], true, "{}", answer["error"]);
    assert_eq!(answer["troubles"], json!([]), "{answer}");
    let stages = ["behindMs", "sharpMs", "roamMs", "backMs", "screenMs", "previewMs"];
    for stage in stages {
        assert!(answer[stage].is_number(), "{stage}: {answer}");
    }
    let figures: serde_json::Map<_, _> = stages.iter().map(|s| ((*s).to_owned(), answer[*s].clone())).collect();
    println!(
        "{}",
        json!({ "page_layers": figures, "sharp_after_ms": answer["sharpAfterMs"] })
    );
}
