//! A real browser joins over WebTransport: flat, as an emulated Quest 3, and as the guide.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use glam::{Mat4, Quat, Vec3};
use serde_json::{Value, json};
use tongyou_protocol::control::{self, client_message};
use tongyou_protocol::datagram::{Datagram, Ping};
use tongyou_tests::browser::Page;
use tongyou_tests::pictures::{Direct, Eye, Picture};
use tongyou_tests::square::small_world;
use tongyou_tests::{Running, root};
use tongyou_transport::Event;

use crate::peers::{Raw, hello, still_here};

/// The largest mean FLIP between what a headset shows and a direct render from the same eye. What remains is the
/// coding, 5.7 px a degree stretched to the page's 11, and the grid of the warp.
const SAME: f32 = 0.16;
/// How much more the other stop must differ.
const OTHER: f32 = 1.5;

/// A guide without a face: holds the lease and sends the tour where a test wants it.
struct Guide {
    raw: Raw,
    lease: u32,
}

impl Guide {
    async fn join(server: &Running) -> Self {
        let mut raw = Raw::connect(server).await;
        let client_message::Body::Hello(mut words) = hello(server.code(0), "Guide") else {
            unreachable!()
        };
        words.guide_grant = server.grant(0).to_owned();
        raw.say(client_message::Body::Hello(words));
        let lease = raw.hear_until(|body| match body {
            control::server_message::Body::Welcome(w) => Some(w.roster.unwrap().lease),
            other => panic!("not welcome: {other:?}"),
        });
        let lease = lease.await;
        // Who is silent for four seconds is gone.
        let link = raw.link.clone();
        tokio::spawn(async move {
            let ping = Datagram::Ping(Ping {
                seq: 0,
                sent: tongyou_protocol::ClientTime(0),
            })
            .to_bytes();
            while link.send_datagram(ping.clone()).is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        Self { raw, lease }
    }

    fn go_to(&self, stop: u32) {
        let body = Some(control::guide_command::Body::GoToStop(stop));
        self.raw.say(client_message::Body::Guide(control::GuideCommand {
            lease: self.lease,
            body,
        }));
    }
}

/// Where pictures of the tests are left for people to look at.
fn gallery(name: &str) -> PathBuf {
    let folder = root().join("target/gallery");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

pub(crate) fn page_url(server: &Running) -> String {
    format!("https://127.0.0.1:{}/", server.addr().port())
}

#[expect(clippy::cast_possible_truncation, reason = "page numbers")]
fn numbers(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap() as f32)
        .collect()
}

/// One of the cameras that a page says it drew with.
struct Camera {
    position: Vec3,
    rotation: Quat,
    projection: Mat4,
}

impl Camera {
    fn of(dump: &Value, index: usize) -> Self {
        let camera = &dump["camera"][index];
        let projection = numbers(&camera["projection"]);
        Self {
            position: Vec3::from_slice(&numbers(&camera["position"])),
            rotation: Quat::from_slice(&numbers(&camera["quaternion"])),
            projection: Mat4::from_cols_slice(&projection),
        }
    }

    fn eye(&self) -> Eye {
        let vertical_fov_rad = 2.0 * (1.0 / self.projection.y_axis.y).atan();
        Eye {
            position: self.position,
            rotation: self.rotation,
            vertical_fov_rad,
        }
    }

    /// Pixel of a world point.
    fn project(&self, point: Vec3, width: u32, height: u32) -> (f32, f32) {
        let view = Mat4::from_rotation_translation(self.rotation, self.position).inverse();
        let at = self.projection.project_point3(view.transform_point3(point));
        ((at.x * 0.5 + 0.5) * to_f32(width), (0.5 - at.y * 0.5) * to_f32(height))
    }

    /// Direction through a pixel's middle.
    fn ray(&self, x: u32, y: u32, width: u32, height: u32) -> Vec3 {
        let ndc = Vec3::new(
            (to_f32(x) + 0.5) / to_f32(width) * 2.0 - 1.0,
            1.0 - (to_f32(y) + 0.5) / to_f32(height) * 2.0,
            0.5,
        );
        self.rotation * self.projection.inverse().project_point3(ndc).normalize()
    }
}

#[expect(clippy::cast_precision_loss, reason = "pixels")]
fn to_f32(n: u32) -> f32 {
    n as f32
}

/// Freezes the page on its newest set and takes its picture and what it knows.
fn freeze(page: &mut Page, file: &str) -> (Value, Picture) {
    page.step(&json!({ "withhold": true }));
    page.step(&json!({ "wait": 500 }));
    let path = gallery(file);
    page.step(&json!({ "screenshot": path, "bare": true }));
    let dump = page.dump();
    page.step(&json!({ "withhold": false }));
    (dump, Picture::read(&path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_shows_each_stop_as_the_server_renders_it() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "4"]);
    let guide = Guide::join(&server).await;
    let arguments = json!({ "url": page_url(&server), "code": server.code(0), "width": 960, "height": 540 });
    let mut page = tokio::task::spawn_blocking(move || Page::open("flat", arguments))
        .await
        .unwrap();
    let mut direct = Direct::new("jiefangbei");
    for (index, (stop, other)) in [("afternoon", "dusk"), ("dusk", "afternoon")].into_iter().enumerate() {
        guide.go_to(u32::try_from(index).unwrap());
        page.step(&json!({ "waitFor": format!(
            "window.tongyou.stopId === '{stop}' && window.tongyou.lastSet?.epoch === window.tongyou.epoch"
        ), "timeoutMs": 60_000 }));
        // Let the encoder sharpen the picture and the title card go.
        page.step(&json!({ "wait": 4000 }));
        for (name, yaw, offset) in [("ahead", 0.0, [0.0, 0.0, 0.0]), ("leaning", 0.5, [0.25, 0.1, 0.0])] {
            page.step(&json!({ "view": { "yaw": yaw, "pitch": 0.15, "offset": offset } }));
            let (dump, shown) = freeze(&mut page, &format!("flat-{stop}-{name}.png"));
            let eye = Camera::of(&dump, 0).eye();
            let time = dump["lastSet"]["tourTimeUs"].as_i64().unwrap();
            let right = direct.render(stop, time, eye, shown.width, shown.height);
            right.write(&gallery(&format!("direct-{stop}-{name}.png")));
            let wrong = direct.render(other, time, eye, shown.width, shown.height);
            let (same, differs) = (shown.difference(&right), shown.difference(&wrong));
            println!(
                "{{\"stop\":\"{stop}\",\"view\":\"{name}\",\"flip_mean\":{:.3},\"flip_p95\":{:.3},\"other_stop_flip_mean\":{:.3}}}",
                same.mean, same.p95, differs.mean
            );
            assert!(same.mean <= SAME, "{stop} {name}: FLIP {same:?}");
            assert!(
                differs.mean > SAME && differs.mean > same.mean * OTHER,
                "{stop} {name}: {same:?} {differs:?}"
            );
        }
    }
    the_rate_does_not_depend_on_sets(&mut page);
}

/// A page draws as often while sets are withheld as while they arrive, also while the head turns.
fn the_rate_does_not_depend_on_sets(page: &mut Page) {
    let mut rate = |withheld: bool| {
        page.step(&json!({ "withhold": withheld }));
        page.step(&json!({ "wait": 1000 }));
        let before = page.dump();
        for i in 0..20 {
            page.step(&json!({ "view": { "yaw": f64::from(i) * 0.15, "pitch": 0.1 } }));
        }
        let after = page.dump();
        let frames = |d: &Value| d["presentedFrames"].as_f64().unwrap();
        let sets = |d: &Value| d["setsComplete"].as_f64().unwrap();
        let mut intervals: Vec<f64> = after["frameTimesMs"]["interval"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .take(40)
            .map(|n| n.as_f64().unwrap())
            .collect();
        intervals.sort_by(f64::total_cmp);
        let median = intervals[intervals.len() / 2];
        (median, frames(&after) - frames(&before), sets(&after) - sets(&before))
    };
    let (mut arriving, mut withheld) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        arriving.push(rate(false));
        withheld.push(rate(true));
    }
    let median = |rates: &[(f64, f64, f64)]| {
        let mut all: Vec<f64> = rates.iter().map(|r| r.0).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (with, without) = (median(&arriving), median(&withheld));
    println!("{{\"frame_interval_ms\":{{\"sets_arrive\":{with:.1},\"sets_withheld\":{without:.1}}}}}");
    assert!(
        arriving.iter().map(|r| r.2).sum::<f64>() > 0.0,
        "no sets arrived while measuring"
    );
    // Display intervals are whole multiples of 16.7 ms: one step either way is the measure's grain.
    assert!(
        (with - without).abs() <= without * 0.25 + 17.0,
        "{with:.1} ms against {without:.1} ms"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emulated_headset_sees_with_two_eyes_and_others_see_its_hands() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "2"]);
    let url = page_url(&server);
    let headset = json!({ "url": url, "code": server.code(0), "name": "Headset", "width": 1200, "height": 600 });
    let laptop = json!({ "url": url, "code": server.code(0), "name": "Laptop", "width": 480, "height": 270 });
    let mut headset = Page::open("xr", headset);
    headset.step(&json!({ "wait": 4000 }));
    headset.step(&json!({ "screenshot": gallery("xr-panel.png") }));
    // Only the place counts: the panel is turned to its end, the hands are behind the back.
    for _ in 0..3 {
        headset.step(&json!({ "press": "a-button", "value": 1 }));
        headset.step(&json!({ "press": "a-button", "value": 0 }));
    }
    for hand in ["left", "right"] {
        headset.step(&json!({ "hand": hand, "position": [0.0, 1.0, 0.6] }));
    }
    let (dump, both) = freeze(&mut headset, "xr-both-eyes.png");
    let (left, right) = (Camera::of(&dump, 0), Camera::of(&dump, 1));
    let ipd = (left.position - right.position).length();
    assert!((0.05..0.08).contains(&ipd), "eyes {ipd} m apart");
    let half = both.width / 2;
    let (left_picture, right_picture) = (both.columns(0, half), both.columns(half, half));
    let size = (half, both.height);
    // Near: the paving two to five metres ahead. Far: the monument, 36 m away.
    let floor = left.position.y - 1.6;
    let on_ground = |x, y| {
        let ray = left.ray(x, y, size.0, size.1);
        (ray.y < -0.05).then(|| left.position + ray * ((floor - left.position.y) / ray.y))
    };
    let on_monument = |x, y| {
        let ray = left.ray(x, y, size.0, size.1);
        let point = left.position + ray * (left.position.z.abs() / ray.z.abs());
        (point.x.abs() < 3.0 && (8.0..25.0).contains(&point.y)).then_some(point)
    };
    let near = |x, y| on_ground(x, y).filter(|p| (2.0..5.0).contains(&(*p - left.position).length()));
    for (name, place) in [
        ("near", &near as &dyn Fn(u32, u32) -> Option<Vec3>),
        ("far", &on_monument),
    ] {
        let (x, y, point) = sharpest(&left_picture, place);
        let (lx, ly) = left.project(point, size.0, size.1);
        let (rx, _) = right.project(point, size.0, size.1);
        let expected = lx - rx;
        let found = disparity(&left_picture, &right_picture, x, y, expected);
        println!(
            "{{\"object\":\"{name}\",\"distance_m\":{:.1},\"disparity_px\":{{\"expected\":{expected:.2},\"seen\":{found:.2}}}}}",
            (point - left.position).length()
        );
        assert!(
            (ly - to_f32(y)).abs() < 2.0,
            "the projection does not lead back to the pixel"
        );
        assert!(
            (found - expected).abs() <= 1.0,
            "{name}: {found} px, expected {expected} px"
        );
    }

    let mut laptop = Page::open("flat", laptop);
    let me = headset.dump()["headset"].clone();
    let mut hand_seen = |position: [f32; 3]| {
        headset.step(&json!({ "hand": "right", "position": position }));
        // Two seconds: the pose's way and the jitter buffer, on a machine that also renders.
        laptop.step(&json!({ "wait": 2500 }));
        let dump = laptop.dump();
        let person = dump["avatars"]
            .as_array()
            .unwrap()
            .iter()
            .find(|a| a["headset"] == me)
            .cloned();
        let person = person.unwrap_or_else(|| panic!("the headset is not seen: {dump}"));
        Vec3::from_slice(&numbers(person["right"].get("position").unwrap_or(&person["right"])))
    };
    let (low, high) = (hand_seen([0.25, 1.0, -0.4]), hand_seen([0.25, 1.5, -0.4]));
    let moved = high - low;
    println!("{{\"hand_moved_m\":[{:.3},{:.3},{:.3}]}}", moved.x, moved.y, moved.z);
    assert!((moved - Vec3::Y * 0.5).length() < 0.02, "the hand moved by {moved}");
}

/// The pixel with the strongest corner among those that `place` accepts, and its world point.
fn sharpest(picture: &Picture, place: &dyn Fn(u32, u32) -> Option<Vec3>) -> (u32, u32, Vec3) {
    let mut best = (0.0, None);
    for y in 20..picture.height - 20 {
        for x in 60..picture.width - 60 {
            let Some(point) = place(x, y) else { continue };
            let (mut across, mut down) = (0.0, 0.0);
            for d in 0..13 {
                let (dx, dy) = (x + d - 6, y + d - 6);
                across += (luma(picture, dx + 1, y) - luma(picture, dx - 1, y)).abs();
                down += (luma(picture, x, dy + 1) - luma(picture, x, dy - 1)).abs();
            }
            // Only what changes from left to right tells a disparity.
            let strength = across + 0.2 * down;
            if strength > best.0 {
                best = (strength, Some((x, y, point)));
            }
        }
    }
    best.1.expect("nothing of that kind is in sight")
}

/// How far the patch around a pixel of the left picture lies further left in the right one, by least squares.
fn disparity(left: &Picture, right: &Picture, x: u32, y: u32, about: f32) -> f32 {
    let cost = |shift: i32| {
        let mut sum = 0.0;
        for dy in -6..=6 {
            for dx in -10..=10 {
                let at = |base: u32, d: i32| base.saturating_add_signed(d);
                let a = luma(left, at(x, dx), at(y, dy));
                let b = luma(right, at(x, dx - shift), at(y, dy));
                sum += (a - b) * (a - b);
            }
        }
        sum
    };
    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    let middle = about.round() as i32;
    let best = (middle - 25..=middle + 25)
        .min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
        .unwrap();
    // A parabola through the neighbours gives the fraction.
    let (before, at, after) = (cost(best - 1), cost(best), cost(best + 1));
    let curve = before - 2.0 * at + after;
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    let whole = best as f32;
    whole
        + if curve > 0.0 {
            0.5 * (before - after) / curve
        } else {
            0.0
        }
}

fn luma(picture: &Picture, x: u32, y: u32) -> f32 {
    let (x, y) = (x.min(picture.width - 1), y.min(picture.height - 1));
    let at = ((y * picture.width + x) * 3) as usize;
    let [r, g, b] = [0, 1, 2].map(|c| f32::from(picture.rgb[at + c]));
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_human_guide_takes_over_moves_on_and_points() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "2"]);
    let simulated = Guide::join(&server).await;
    let laptop =
        json!({ "url": page_url(&server), "code": server.code(0), "name": "Laptop", "width": 480, "height": 270 });
    let mut laptop = Page::open("flat", laptop);
    let arguments = json!({ "login": server.ready["guide_link"], "lead": server.code(0), "name": "导游", "width": 960, "height": 540 });
    let mut guide = Page::open("guide", arguments);
    assert_eq!(guide.dump()["leads"], true);
    guide.step(&json!({ "screenshot": gallery("guide.png") }));
    // The one who led before may not move the tour any more.
    simulated.go_to(1);
    guide.step(&json!({ "wait": 500 }));
    assert_eq!(guide.dump()["stopId"], "afternoon");
    guide.step(&json!({ "next": true }));
    laptop.step(&json!({ "waitFor": "window.tongyou.stopId === 'dusk' && window.tongyou.lastSet?.epoch === window.tongyou.epoch", "timeoutMs": 60_000 }));
    guide.step(&json!({ "waitFor": "window.tongyou.lastSet?.epoch === window.tongyou.epoch", "timeoutMs": 60_000 }));
    guide.step(&json!({ "point": [0.0, 0.25] }));
    laptop.step(&json!({ "wait": 3000 }));
    let me = guide.dump()["headset"].clone();
    let seen = laptop.dump();
    let person = seen["avatars"]
        .as_array()
        .unwrap()
        .iter()
        .find(|a| a["headset"] == me)
        .cloned()
        .unwrap();
    let pointer = Vec3::from_slice(&numbers(&person["pointer"]));
    println!("{{\"pointer_m\":[{:.2},{:.2},{:.2}]}}", pointer.x, pointer.y, pointer.z);
    // The middle of the guide's picture, a little above it: the monument or what stands before it.
    let camera = Camera::of(&guide.dump(), 0);
    let ray = camera.ray(480, 202, 960, 540);
    let along = (pointer - camera.position).dot(ray);
    let off = (pointer - camera.position - ray * along).length();
    assert!(
        along > 3.0 && off < 0.1 + along * 0.01,
        "the pointer lies {off} m off the ray, {along} m along it"
    );
    guide.step(&json!({ "end": true }));
    laptop.step(&json!({ "waitFor": "window.tongyou.state === 'ended'", "timeoutMs": 10_000 }));
}

/// A server in whose world a browser does not have to share the machine with a software renderer.
fn quick_server(world: &tempfile::TempDir) -> Running {
    let (tours, scenes) = (world.path().join("tours"), world.path().join("scenes"));
    Running::start_with(&tours, &scenes, &["jiefangbei"], &["--sets-per-s", "2"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headsets_teleport_turn_and_point() {
    let world = small_world();
    let server = quick_server(&world);
    let (witness, welcome) = Raw::join(&server, server.code(0), "Witness").await;
    let origin: Vec3 = welcome.tour.unwrap().stops[0].pose_origin.unwrap().into();
    let pointers = Arc::new(Mutex::new(Vec::new()));
    let watching = tokio::spawn(watch_pointers(witness, origin, pointers.clone()));
    let tourist =
        json!({ "url": page_url(&server), "code": server.code(0), "name": "Tourist", "width": 800, "height": 400 });
    let guide = json!({
        "login": server.ready["guide_link"], "lead": server.code(0), "name": "Guide", "width": 800, "height": 400,
    });
    let (values, pointing) = tokio::task::spawn_blocking(move || {
        let mut headset = Page::open("xr", tourist);
        assert_eq!(headset.dump()["leads"], false);
        let values = [
            json!({ "teleport": 2, "with": "stick" }),
            json!({ "teleport": 0, "with": "trigger" }),
            json!({ "teleport": null }),
            json!({ "snapTurn": 1 }),
            json!({ "snapTurn": -1 }),
        ]
        .map(|step| headset.step(&step));
        drop(headset);
        // The trigger of the one who leads points.
        let mut headset = Page::open("xr", guide);
        assert_eq!(headset.dump()["leads"], true);
        headset.step(&json!({ "aimAt": [0.0, -0.5, 0.0] }));
        (values, headset.step(&json!({ "pointing": "right" })))
    })
    .await
    .unwrap();
    watching.abort();
    let [walked, back, nowhere, right, left] = values;
    println!("{{\"teleport\":{walked},\"trigger\":{back},\"snap\":[{right},{left}],\"pointing\":{pointing}}}");
    assert_eq!((&walked["cell"], &back["cell"]), (&json!(2), &json!(0)));
    assert!(walked["movedM"].as_f64().unwrap() > 10.0, "{walked}");
    assert_eq!(
        (&nowhere["aimed"], &nowhere["cell"]),
        (&Value::Null, &json!(0)),
        "{nowhere}"
    );
    assert!(nowhere["movedM"].as_f64().unwrap() < 0.1, "{nowhere}");
    let turned = |turn: &Value, degrees: f64| {
        let by = turn["degrees"].as_f64().unwrap();
        assert!((by.abs() - degrees).abs() < 1.0, "{turn}");
        assert!(
            turn["held"].as_f64().unwrap().abs() < 1.0,
            "one flick is one turn: {turn}"
        );
        assert!(turn["movedM"].as_f64().unwrap() < 0.05, "{turn}");
        by
    };
    assert!(
        turned(&right, 30.0) * turned(&left, 30.0) < 0.0,
        "two ways: {right} {left}"
    );
    assert!(pointing["offRayM"].as_f64().unwrap() < 0.1, "{pointing}");
    assert_eq!(pointing["released"], true, "{pointing}");
    let at = Vec3::from_slice(&numbers(&pointing["pointer"]));
    let seen = pointers.lock().unwrap();
    let nearest = seen.iter().map(|p: &Vec3| p.distance(at)).fold(f32::INFINITY, f32::min);
    println!("{{\"pointer_as_another_sees_it_off_m\":{nearest:.3}}}");
    assert!(nearest < 0.05, "{at} is {nearest} m from all that was seen: {seen:?}");
}

/// Where anybody points, as another headset is told.
async fn watch_pointers(mut raw: Raw, origin: Vec3, pointers: Arc<Mutex<Vec<Vec3>>>) {
    let mut ping = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = ping.tick() => raw.datagram(still_here().to_vec()),
            event = raw.events.recv() => match event {
                Some(Event::Datagram(bytes)) => {
                    if let Ok(Datagram::Avatars(avatars)) = Datagram::from_bytes(&bytes) {
                        let all = avatars.people.iter().filter_map(|(_, body)| body.pointer);
                        pointers.lock().unwrap().extend(all.map(|p| p + origin));
                    }
                }
                Some(_) => {}
                None => return,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyboard_and_screen_reader_find_everything() {
    let world = small_world();
    let server = quick_server(&world);
    let arguments = json!({
        "url": page_url(&server), "code": server.code(0), "login": server.ready["guide_link"],
        "locales": ["zh-CN"], "sizes": [[1366, 768], [390, 844]],
    });
    let answer = tokio::task::spawn_blocking(move || Page::run("a11y", arguments))
        .await
        .unwrap();
    assert_eq!(answer["ok"], true, "{}", answer["error"]);
    let states = answer["states"].as_array().unwrap();
    assert_eq!(states.len(), 14, "seven states in two sizes");
    for state in states {
        assert!(state["rules"].as_u64().unwrap() > 10, "nothing was checked: {state}");
        // A running big screen has one control.
        let least = if state["state"].as_str().unwrap().starts_with("big screen zh") {
            1
        } else {
            2
        };
        assert!(state["keyboard"]["reached"].as_u64().unwrap() >= least, "{state}");
    }
    println!("{{\"accessible_states\":{}}}", states.len());
}
