//! The program itself, against a server over real QUIC: what `--poses` writes, and the window.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    dead_code,
    reason = "a test fails by panicking; pixels are few; the support is shared"
)]

#[path = "support/server.rs"]
mod server;
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use glam::{Quat, Vec3};
use server::{CODE, Server};
use support::{POINT, difference, truth};
use tongyou_client::present::{Eye, Image};

#[test]
fn poses_become_pictures_of_both_eyes() {
    if support::offscreen().is_none() {
        return;
    }
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("poses.jsonl");
    let turned = Quat::from_rotation_y(-0.9);
    let [x, y, z, w] = turned.to_array();
    std::fs::write(
        &list,
        format!(
            "{{\"t_s\": 0, \"width\": 320, \"height\": 240}}\n{{\"t_s\": 0.1, \"position\": [0.2, 0, -0.1], \
             \"rotation\": [{x}, {y}, {z}, {w}], \"width\": 320, \"height\": 240, \"fov_y_deg\": 60}}"
        ),
    )
    .unwrap();
    let out = folder.path().join("out");
    let output = finish(
        server
            .client(CODE)
            .arg("--headless")
            .arg("--poses")
            .arg(&list)
            .arg("--out")
            .arg(&out),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("pictures.json")).unwrap()).unwrap();
    assert_eq!(records.as_array().unwrap().len(), 2);
    for (index, (offset, rotation, fov)) in [
        (Vec3::ZERO, Quat::IDENTITY, 90.0_f32),
        (Vec3::new(0.2, 0.0, -0.1), turned, 60.0),
    ]
    .into_iter()
    .enumerate()
    {
        let record = &records[index];
        assert_eq!(record["set"], 7);
        assert_eq!(record["holes"], serde_json::json!([0, 0]));
        assert!((record["point"][0].as_f64().unwrap() - f64::from(POINT.x)).abs() < 1e-3);
        for (side, name) in [(-0.032, "left"), (0.032, "right")] {
            let image = read_png(&out.join(record[name].as_str().unwrap()));
            let eye = Eye {
                position: POINT + offset + rotation * Vec3::X * side,
                rotation,
                fov_y: fov.to_radians(),
                aspect: 320.0 / 240.0,
            };
            let (mean, p95) = difference(&image, &truth(eye, 320, 240));
            assert!(mean < 2.5 && p95 < 8, "{index} {name}: mean {mean}, p95 {p95}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_and_the_program_fails() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("poses.json");
    std::fs::write(&list, "[{\"t_s\": 0, \"fov_y_deg\": 200}]").unwrap();
    let capture = |code: &str, list: &Path| {
        let output = finish(
            server
                .client(code)
                .arg("--headless")
                .arg("--poses")
                .arg(list)
                .arg("--out")
                .arg(folder.path().join("out")),
        );
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = capture(CODE, &list);
    assert!(said.contains("pose 0: fov_y_deg 200"), "{said}");
    let said = capture(CODE, &folder.path().join("nowhere.json"));
    assert!(said.contains("nowhere.json"), "{said}");
    if support::offscreen().is_some() {
        std::fs::write(&list, "[{\"t_s\": 0}]").unwrap();
        let said = capture("ZZZZ-ZZZZ", &list);
        assert!(said.contains("there is no such session"), "{said}");
    }
}

#[test]
fn the_window_shows_the_room_and_closes() {
    const SIZE: (u32, u32) = (640, 480);
    if support::offscreen().is_none() {
        return;
    }
    let Some(screen) = Screen::start(SIZE) else { return };
    let server = Server::start();
    let mut window = server
        .client(CODE)
        .args(["--width", "640", "--height", "480", "--frames", "60"])
        .env("DISPLAY", &screen.display)
        .env_remove("WAYLAND_DISPLAY")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let eye = Eye {
        position: POINT,
        rotation: Quat::IDENTITY,
        fov_y: 70.0_f32.to_radians(),
        aspect: 640.0 / 480.0,
    };
    let truth = truth(eye, SIZE.0, SIZE.1);
    let mut best = f32::MAX;
    // The window lives for 60 frames that show the room: its screen is looked at all the while.
    let until = Instant::now() + Duration::from_secs(60);
    while window.try_wait().unwrap().is_none() && Instant::now() < until {
        let seen = screen.shot();
        let (mean, _) = difference(&seen, &truth);
        if mean < best {
            best = mean;
            support::save("window", &seen);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = window.kill();
    let output = window.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("frames: 60"), "{said}");
    assert!(best < 3.0, "the screen is off by {best} at best: {said}");
}

/// Runs a program to its end, at most a minute.
fn finish(command: &mut Command) -> Output {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(
            Instant::now() < until || child.kill().is_err(),
            "{command:?} does not end"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn read_png(path: &Path) -> Image {
    let mut reader = png::Decoder::new(BufReader::new(std::fs::File::open(path).unwrap()))
        .read_info()
        .unwrap();
    let mut rgba = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgba).unwrap();
    Image {
        width: info.width,
        height: info.height,
        rgba,
    }
}

/// A display without a screen, and what would be on it.
struct Screen {
    xvfb: Child,
    display: String,
    folder: tempfile::TempDir,
}

impl Screen {
    /// `None`, and says so, where there is no Xvfb.
    fn start((width, height): (u32, u32)) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let started = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .arg("-fbdir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut xvfb = match started {
            Ok(xvfb) => xvfb,
            Err(error) => {
                let required = std::env::var_os("TONGYOU_REQUIRE_GPU").is_some_and(|v| v == "1");
                assert!(!required, "Xvfb: {error}");
                eprintln!("SKIPPED: Xvfb: {error}");
                return None;
            }
        };
        let mut number = String::new();
        BufReader::new(xvfb.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        assert!(!number.trim().is_empty(), "Xvfb does not start");
        Some(Self {
            xvfb,
            display: format!(":{}", number.trim()),
            folder,
        })
    }

    /// The frame buffer, an XWD file: a header of big-endian words, colours of 12 bytes, rows of BGRX.
    fn shot(&self) -> Image {
        let bytes = std::fs::read(self.folder.path().join("Xvfb_screen0")).unwrap();
        let word = |i: usize| u32::from_be_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap());
        let (width, height, row) = (word(4), word(5), word(12) as usize);
        let pixels = &bytes[word(0) as usize + 12 * word(19) as usize..];
        let rgba = (0..height as usize)
            .flat_map(|y| pixels[y * row..y * row + 4 * width as usize].chunks_exact(4))
            .flat_map(|p| [p[2], p[1], p[0], 255])
            .collect();
        Image { width, height, rgba }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.xvfb.kill();
        let _ = self.xvfb.wait();
    }
}
