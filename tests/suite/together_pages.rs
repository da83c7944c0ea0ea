//! Pages and native headsets change the stop together: callbacks of the page's own timers, measured from outside.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::watch;
use tongyou_bot::ServerTrust;
use tongyou_client::net::{self, Machine};
use tongyou_tests::Running;
use tongyou_tests::browser::Page;
use tongyou_tests::square::small_world;
use tongyou_transport::impair::Proxy;

use crate::browser::page_url;
use crate::togetherness::{bad_network, middle_us, percentile, shared_changes};
use crate::travellers::{Diary, Traveller};

/// Stop changes to be measured.
const CHANGES: usize = 10;
const PAGES: usize = 1;
const NATIVE: usize = 3;
const TOGETHER_MS: f64 = 20.0;

/// What a page lived through, machine's wall clock in milliseconds.
struct PageChange {
    epoch: u32,
    applied_ms: f64,
    /// When the next frame began.
    next_frame_ms: Option<f64>,
    presented_ms: Option<f64>,
    /// The how-manieth frame had the picture: 1 is the first one that could.
    frames: u64,
    /// Carried out by a frame, not by a timer.
    in_frame: bool,
}

impl PageChange {
    /// How far it was from an instant. A timer changes the stop at once. A frame changes it so that its picture is right
    /// when it is displayed, which is some time between its callback and the next frame's.
    fn off_ms(&self, instant_ms: f64) -> f64 {
        match self.next_frame_ms.filter(|_| self.in_frame) {
            Some(next) => (self.applied_ms - instant_ms).max(instant_ms - next).max(0.0),
            None => (self.applied_ms - instant_ms).abs(),
        }
    }
}

fn changes_of(watched: &Value) -> Vec<PageChange> {
    let change = |c: &Value| PageChange {
        epoch: u32::try_from(c["epoch"].as_u64().unwrap()).unwrap(),
        applied_ms: c["appliedMs"].as_f64().unwrap(),
        presented_ms: c["presentedMs"].as_f64(),
        frames: c["frames"].as_u64().unwrap(),
        next_frame_ms: c["nextFrameMs"].as_f64(),
        in_frame: c["how"] == "frame",
    };
    watched["changes"].as_array().unwrap().iter().map(change).collect()
}

fn wall_ms() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        * 1e3
}

/// The machine's monotonic clock minus its wall clock, milliseconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds since the machine's start")]
fn monotonic_minus_wall_ms() -> f64 {
    let clock = Machine::default();
    let (before, now, after) = (wall_ms(), clock.now().machine_us, wall_ms());
    now as f64 / 1e3 - f64::midpoint(before, after)
}

/// A page's clock without its deliberate error is the machine's: what the bounds of a question leave open.
fn check_clock(page: &mut Page, index: usize) {
    let (mut least, mut most) = (f64::NEG_INFINITY, f64::INFINITY);
    for _ in 0..20 {
        let before = wall_ms();
        let stamp = page.step(&json!({ "page": index, "stamp": true })).as_f64().unwrap();
        least = least.max(stamp - wall_ms());
        most = most.min(stamp - before);
    }
    println!("{{\"page\":{index},\"page_minus_machine_clock_ms\":[{least:.2},{most:.2}]}}");
    assert!(least <= 2.0 && most >= -2.0, "page {index}: {least} to {most} ms off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_headsets_change_the_stop_together_on_bad_networks() {
    let world = small_world();
    let (tours, scenes) = (world.path().join("tours"), world.path().join("scenes"));
    let server = Running::start_with(&tours, &scenes, &["jiefangbei"], &["--sets-per-s", "2"]);
    let path = bad_network(0.0);
    let mut proxies = Vec::new();
    for seed in 0..PAGES + NATIVE {
        proxies.push(Proxy::start(server.addr(), path, path, seed as u64).await.unwrap());
    }
    let page = |i: usize| {
        let clock = if i == 0 { [3000.0, 50.0] } else { [-3000.0, -50.0] };
        json!({ "name": format!("Page {i}"), "clock": clock, "port": proxies[i].addr().port() })
    };
    let arguments = json!({
        "url": page_url(&server), "code": server.code(0), "width": 320, "height": 180,
        "pages": (0..PAGES).map(page).collect::<Vec<_>>(),
    });
    let mut pages = tokio::task::spawn_blocking(move || {
        let mut pages = Page::open("together", arguments);
        for i in 0..PAGES {
            check_clock(&mut pages, i);
        }
        pages
    })
    .await
    .unwrap();

    let trust = ServerTrust::CertificateHash(server.certificate_sha256());
    let (stop, cancel) = watch::channel(false);
    let (mut diaries, mut tasks) = (Vec::new(), tokio::task::JoinSet::new());
    for i in 0..NATIVE {
        let traveller = Traveller {
            name: format!("Native {i}"),
            code: server.code(0).to_owned(),
            lead: (i == 0).then(|| (server.grant(0).to_owned(), Duration::from_millis(1500))),
            connect: net::quic(proxies[PAGES + i].addr(), "localhost", trust.clone()),
            clock: Machine::new(i64::try_from(i).unwrap() * 3_000_000, 50.0),
            display_hz: 72.0,
        };
        let diary = Arc::new(Mutex::new(Diary::default()));
        diaries.push(diary.clone());
        tasks.spawn(traveller.travel(diary, cancel.clone()));
    }
    let through = || {
        diaries
            .iter()
            .map(|d| d.lock().unwrap().changes.len())
            .min()
            .unwrap_or(0)
    };
    let all = async {
        // One more than is judged: the last one may not have been drawn yet.
        while through() <= CHANGES {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let enough = tokio::time::timeout(Duration::from_secs(150), all).await;
    let to_monotonic_ms = monotonic_minus_wall_ms();
    let watched = tokio::task::spawn_blocking(move || {
        let all: Vec<Value> = (0..PAGES)
            .map(|i| pages.step(&json!({ "page": i, "watched": true })))
            .collect();
        for i in 0..PAGES {
            let now = pages.step(&json!({ "page": i, "dump": "now" }));
            println!(
                "{{\"page\":{i},\"sets_complete\":{},\"sets_missed\":{},\"clock\":{},\"stats\":{},\"troubles\":{}}}",
                now["setsComplete"], now["setsMissed"], now["clock"], now["stats"], now["troubles"]
            );
        }
        all
    })
    .await
    .unwrap();
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    assert!(enough.is_ok(), "only {} changes in time:\n{}", through(), server.log());

    for line in server.log().lines().filter(|l| l.contains("change agreed")) {
        println!("{line}");
    }
    let native: Vec<Diary> = diaries.iter().map(|d| d.lock().unwrap().clone()).collect();
    judge(&native, &watched, to_monotonic_ms);
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since the machine's start")]
fn judge(native: &[Diary], watched: &[Value], to_monotonic_ms: f64) {
    let shared = shared_changes(native);
    let pages: Vec<Vec<PageChange>> = watched.iter().map(changes_of).collect();
    let mut intervals: Vec<f64> = watched
        .iter()
        .flat_map(|w| w["intervalsMs"].as_array().unwrap())
        .map(|n| n.as_f64().unwrap())
        .collect();
    let (interval_p50, interval_p99) = (percentile(&mut intervals, 0.5), percentile(&mut intervals, 0.99));
    let (mut skews, mut page_skews, mut pictures) = (Vec::new(), Vec::new(), Vec::new());
    let (mut judged, mut in_frames, mut undrawn, mut first) = (0, 0, 0, 0_usize);
    for (epoch, changes) in &shared {
        let of_pages: Vec<&PageChange> = pages.iter().flatten().filter(|c| c.epoch == *epoch).collect();
        if of_pages.len() < PAGES {
            continue;
        }
        judged += 1;
        let middle_ms = middle_us(changes.iter().map(|c| c.applied_us).collect()) as f64 / 1e3;
        skews.extend(changes.iter().map(|c| (c.applied_us as f64 / 1e3 - middle_ms).abs()));
        let wall_ms = middle_ms - to_monotonic_ms;
        for change in of_pages {
            page_skews.push(change.off_ms(wall_ms));
            in_frames += u32::from(change.in_frame);
            match change.presented_ms {
                Some(presented) => {
                    pictures.push(presented - wall_ms);
                    first += usize::from(change.frames <= 1);
                }
                None => undrawn += 1,
            }
        }
    }
    skews.extend(&page_skews);
    let sampled = skews.len();
    let (p50, p99) = (percentile(&mut skews, 0.5), percentile(&mut skews, 0.99));
    let (picture_p50, picture_p99) = (percentile(&mut pictures, 0.5), percentile(&mut pictures, 0.99));
    let (page_p50, page_worst) = (percentile(&mut page_skews, 0.5), percentile(&mut page_skews, 1.0));
    println!(
        "{{\"pages\":{PAGES},\"native\":{NATIVE},\"changes\":{judged},\"samples\":{sampled},\"skew_p50_ms\":{p50:.2},\"skew_p99_ms\":{p99:.2},\"page_skew_p50_ms\":{page_p50:.2},\"page_skew_worst_ms\":{page_worst:.2},\"frame_interval_ms\":{{\"p50\":{interval_p50:.1},\"p99\":{interval_p99:.1}}},\"picture_after_ms\":{{\"p50\":{picture_p50:.1},\"p99\":{picture_p99:.1}}},\"carried_out_in_frames\":{in_frames},\"first_frame_had_the_picture\":{first}}}"
    );
    assert!(judged >= CHANGES - 1, "only {judged} changes reached everyone");
    // A timer can not fire while a frame is being drawn, which takes a software renderer long: that is the page's grain.
    assert!(
        page_p50 <= TOGETHER_MS,
        "half of the page's changes are {page_p50:.2} ms off"
    );
    assert!(
        page_worst <= TOGETHER_MS + interval_p99,
        "a page's change is {page_worst:.2} ms off, a frame takes up to {interval_p99:.1} ms"
    );
    assert!(undrawn <= 1, "{undrawn} changes were never drawn");
    assert!(
        pictures[0] >= -TOGETHER_MS - interval_p99,
        "a picture {:.1} ms before its time",
        -pictures[0]
    );
    assert!(
        first * 10 >= pictures.len() * 9,
        "only {first} of {} changes had their picture in the first frame after them",
        pictures.len()
    );
    assert!(
        picture_p50 <= TOGETHER_MS + interval_p50,
        "first picture {picture_p50:.1} ms after the change, a frame takes {interval_p50:.1} ms"
    );
}
