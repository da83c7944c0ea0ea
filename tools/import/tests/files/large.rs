//! Points that are too many for memory: tiles, the limit, interrupted imports, dirt of known truth.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// Numbers that look random and are the same each time.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const WHITE: [u8; 3] = [255; 3];
const RED: [u8; 3] = [255, 0, 0];

#[expect(clippy::cast_possible_truncation, reason = "some kilometres")]
fn millimetres(v: f64) -> i64 {
    (v * 1000.0).round() as i64
}

/// Writes a LAS 1.2 file of points in millimetres.
pub(crate) fn write_las(path: &Path, points: impl Iterator<Item = ([f64; 3], [u8; 3])>, most: f64) -> u64 {
    let mut out = BufWriter::new(std::fs::File::create(path).unwrap());
    let mut header = vec![0_u8; 227];
    header[..4].copy_from_slice(b"LASF");
    header[24..26].copy_from_slice(&[1, 2]);
    header[94..96].copy_from_slice(&227_u16.to_le_bytes());
    header[96..100].copy_from_slice(&227_u32.to_le_bytes());
    header[104] = 2;
    header[105..107].copy_from_slice(&26_u16.to_le_bytes());
    for axis in 0..3 {
        header[131 + axis * 8..139 + axis * 8].copy_from_slice(&0.001_f64.to_le_bytes());
        // Bounds: what lies outside would be taken for damage.
        header[179 + axis * 16..187 + axis * 16].copy_from_slice(&most.to_le_bytes());
        header[187 + axis * 16..195 + axis * 16].copy_from_slice(&(-most).to_le_bytes());
    }
    out.write_all(&header).unwrap();
    let mut count = 0_u32;
    for (position, rgb) in points {
        let mut record = [0_u8; 26];
        for axis in 0..3 {
            let units = i32::try_from(millimetres(position[axis])).unwrap();
            record[axis * 4..axis * 4 + 4].copy_from_slice(&units.to_le_bytes());
            record[20 + axis * 2..22 + axis * 2].copy_from_slice(&(u16::from(rgb[axis]) * 257).to_le_bytes());
        }
        out.write_all(&record).unwrap();
        count += 1;
    }
    let mut file = out.into_inner().unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(107)).unwrap();
    file.write_all(&count.to_le_bytes()).unwrap();
    count.into()
}

/// A hilly country of so many points, `side` metres wide.
pub(crate) fn country(count: u32, side: f64, seed: u64) -> impl Iterator<Item = ([f64; 3], [u8; 3])> {
    let mut chance = Chance::new(seed);
    (0..count).map(move |_| {
        let (x, y) = ((chance.unit() - 0.5) * side, (chance.unit() - 0.5) * side);
        let z = 6.0 * (x * 0.05).sin() * (y * 0.04).cos() + 0.5 * (x * 0.9).sin() + 0.02 * chance.unit();
        ([x, y, z], WHITE)
    })
}

fn start(scans: &[&Path], out: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tongyou-import"))
        .args(scans)
        .arg("--out")
        .arg(out)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn import(scans: &[&Path], out: &Path, more: &[&str]) -> String {
    let output = start(scans, out, more).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Every file below a folder with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                out.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                );
            }
        }
    }
    out
}

fn float(v: u32) -> f64 {
    f64::from((v << 8).cast_signed() >> 8) * f64::from(v.cast_signed() >> 24).exp2()
}

/// Points of a tile: east, north, up and linear colours.
fn decode(glb: &[u8]) -> Vec<([f64; 3], [u8; 3])> {
    let length = |at: usize| u32::from_le_bytes(glb[at..at + 4].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&glb[20..20 + length(12)]).unwrap();
    let blob = &glb[28 + length(12)..];
    let count = usize::try_from(json["accessors"][0]["count"].as_u64().unwrap()).unwrap();
    let bytes = |view: usize| {
        let view = &json["bufferViews"][view]["extensions"]["EXT_meshopt_compression"];
        let number = |name: &str| usize::try_from(view[name].as_u64().unwrap_or(0)).unwrap();
        &blob[number("byteOffset")..number("byteOffset") + number("byteLength")]
    };
    let rows: Vec<[u32; 3]> = meshopt::decode_vertex_buffer(bytes(0), count).unwrap();
    let colors: Vec<[u8; 4]> = meshopt::decode_vertex_buffer(bytes(1), count).unwrap();
    let at: [f64; 3] = serde_json::from_value(json["nodes"][0]["translation"].clone()).unwrap();
    let place = |row: &[u32; 3]| {
        let [x, y, z] = [0, 1, 2].map(|i| float(row[i]) + at[i]);
        [x, -z, y]
    };
    rows.iter()
        .zip(&colors)
        .map(|(row, c)| (place(row), [c[0], c[1], c[2]]))
        .collect()
}

/// Walks over a tileset: all points; boxes hold what is below them, errors shrink downwards.
fn walk(folder: &Path) -> Vec<([f64; 3], [u8; 3])> {
    let tileset: Value = serde_json::from_slice(&std::fs::read(folder.join("tileset.json")).unwrap()).unwrap();
    assert_eq!(
        (&tileset["asset"]["version"], &tileset["root"]["refine"]),
        (&"1.1".into(), &"ADD".into())
    );
    let mut out = Vec::new();
    let mut open = vec![(
        &tileset["root"],
        tileset["geometricError"].as_f64().unwrap(),
        None::<Vec<f64>>,
    )];
    while let Some((tile, above, outer)) = open.pop() {
        let error = tile["geometricError"].as_f64().unwrap();
        assert!(
            error <= above && (error > 0.0) == tile.get("children").is_some(),
            "{error} below {above}"
        );
        let bounds: Vec<f64> = serde_json::from_value(tile["boundingVolume"]["box"].clone()).unwrap();
        let holds = |p: [f64; 3], b: &[f64]| (0..3).all(|i| (p[i] - b[i]).abs() <= b[3 + i * 4] + 1e-6);
        if let Some(uri) = tile["content"]["uri"].as_str() {
            let points = decode(&std::fs::read(folder.join(uri)).unwrap());
            assert_eq!(tile["content"]["extras"]["points"], points.len());
            assert!(
                points
                    .iter()
                    .all(|(p, _)| holds(*p, &bounds) && outer.as_ref().is_none_or(|o| holds(*p, o)))
            );
            out.extend(points);
        }
        for child in tile["children"].as_array().into_iter().flatten() {
            open.push((child, error, Some(bounds.clone())));
        }
    }
    out
}

#[test]
fn tiles_hold_every_point_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.las");
    let truth: Vec<[f64; 3]> = country(900_000, 300.0, 7).map(|(p, _)| p).collect();
    write_las(&scan, truth.iter().map(|&p| (p, WHITE)), 500.0);
    let out = folder.path().join("a");
    let text = import(&[&scan], &out, &["--progress", "none"]);
    let mut points: Vec<[f64; 3]> = walk(&out).into_iter().map(|(p, _)| p).collect();
    assert!(points.len() > 899_000, "{text}");
    // Two at one millimetre are one; apart from these each axis has the same values, up to where the origin lies.
    let mut truth: Vec<[i64; 3]> = truth.iter().map(|p| p.map(millimetres)).collect();
    truth.sort_unstable();
    truth.dedup();
    assert_eq!(points.len(), truth.len(), "{text}");
    for axis in 0..3 {
        points.sort_unstable_by(|a, b| a[axis].total_cmp(&b[axis]));
        truth.sort_unstable_by_key(|p| p[axis]);
        let shift = points[0][axis] - truth[0][axis] as f64 / 1000.0;
        let off = points
            .iter()
            .zip(&truth)
            .map(|(p, t)| (p[axis] - shift - t[axis] as f64 / 1000.0).abs());
        let worst = off.fold(0.0, f64::max);
        assert!(worst < 0.0006, "axis {axis}: {worst}");
    }
    let checked = Command::new(env!("CARGO_BIN_EXE_tongyou-import"))
        .arg("validate")
        .arg(&out)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn threads_and_interruptions_do_not_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.las"), folder.path().join("b.las"));
    write_las(&a, country(350_000, 200.0, 3), 500.0);
    write_las(
        &b,
        country(250_000, 200.0, 5).map(|([x, y, z], c)| ([x + 150.0, y, z], c)),
        500.0,
    );
    let scans = [a.as_path(), b.as_path()];
    let (whole, one, out) = (
        folder.path().join("scene"),
        folder.path().join("one/scene"),
        folder.path().join("x/scene"),
    );
    let begun = Instant::now();
    import(
        &scans,
        &whole,
        &["--threads", "2", "--vertices", "3000", "--max-memory", "300MiB"],
    );
    let took = begun.elapsed();
    let want = tree(&whole);
    assert!(want.len() > 8, "tiles");
    import(
        &scans,
        &one,
        &["--threads", "1", "--vertices", "3000", "--max-memory", "300MiB"],
    );
    assert!(tree(&one) == want, "one thread gives other bytes");

    let mut chance = Chance::new(20_261);
    let (mut killed, mut resumed) = (0, 0);
    while killed < 10 {
        let mut child = start(
            &scans,
            &out,
            &["--threads", "2", "--vertices", "3000", "--max-memory", "300MiB"],
        );
        // Real time is what is tested here: a moment anywhere in a run.
        std::thread::sleep(took.mul_f64(chance.unit()));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            assert!(tree(&out) == want);
            std::fs::remove_dir_all(&out).unwrap();
            continue;
        }
        killed += 1;
        assert!(!out.exists(), "nothing is there before it is whole");
        let text = import(
            &scans,
            &out,
            &[
                "--threads",
                "2",
                "--vertices",
                "3000",
                "--max-memory",
                "300MiB",
                "--resume",
            ],
        );
        resumed += usize::from(text.contains("resumed"));
        assert!(tree(&out) == want, "kill {killed} left other bytes");
        std::fs::remove_dir_all(&out).unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path().join("x")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(resumed >= 5, "{resumed} of 10 went on");

    // Another input is not taken for the interrupted one.
    let mut child = start(&scans, &out, &["--progress", "json"]);
    let mut stages = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(stages.any(|line| line.unwrap().contains("\"tiles\"")));
    child.kill().unwrap();
    child.wait().unwrap();
    let other = start(&[&a], &out, &["--resume"]).wait_with_output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("had other inputs"),
        "{other:?}"
    );
}

#[test]
fn an_interrupt_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.las");
    write_las(&scan, country(600_000, 200.0, 3), 500.0);
    let out = folder.path().join("scene");
    import(&[&scan], &out, &["--no-tiles", "--vertices", "2000"]);
    let before = tree(&out);
    let mut child = start(&[&scan], &out, &["--progress", "json"]);
    let mut stages = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first tile is being made: something is finished.
    assert!(stages.any(|line| line.unwrap().contains("\"tiles\"")));
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(tree(&out) == before);
    let said: Vec<String> = stages.map(|l| l.unwrap()).collect();
    assert!(said.iter().any(|l| l.contains("--resume goes on")), "{said:?}");
    let text = import(&[&scan], &out, &["--resume"]);
    assert!(text.contains("resumed") && out.join("tileset.json").exists(), "{text}");
}

/// Known dirt: points far from any other, points that are there twice.
#[test]
fn dirt_of_known_truth_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.las"), folder.path().join("b.las"));
    let mut chance = Chance::new(99);
    let stray = (0..400).map(|_| {
        let [x, y] = [0, 1].map(|_| (chance.unit() - 0.5) * 190.0);
        // Birds above, echoes below.
        let up = if chance.unit() < 0.5 { 12.0 } else { -45.0 };
        ([x, y, up + chance.unit() * 30.0], RED)
    });
    let stray: Vec<_> = stray.collect();
    write_las(&a, country(300_000, 200.0, 11).chain(stray), 500.0);
    // A second scan that overlaps the first in a strip, point by point.
    let shared: Vec<_> = country(300_000, 200.0, 11).filter(|(p, _)| p[0] > 90.0).collect();
    let twice = shared.len();
    let more = country(100_000, 200.0, 12).map(|([x, y, z], c)| ([x + 190.0, y, z], c));
    write_las(&b, shared.into_iter().chain(more), 500.0);
    let out = folder.path().join("scene");
    import(&[&a, &b], &out, &[]);
    let points = walk(&out);
    let red = points.iter().filter(|(_, c)| *c == RED).count();
    let white = points.iter().filter(|(_, c)| *c == WHITE).count();
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let (found, lost) = (400 - red, 400_000_usize.saturating_sub(white));
    let recall = found as f64 / 400.0;
    let precision = found as f64 / (found + lost) as f64;
    eprintln!(
        "outliers: recall {recall:.3}, precision {precision:.3}; {} duplicates of {twice}",
        report["tiles"]["duplicates"]
    );
    assert!(
        recall > 0.9 && precision > 0.9,
        "{red} strays stay, {lost} good points are lost: {report}"
    );
    let duplicates = usize::try_from(report["tiles"]["duplicates"].as_u64().unwrap()).unwrap();
    assert!(duplicates.abs_diff(twice) <= 20, "{duplicates} of {twice}");
    let manifest = std::fs::read_to_string(out.join("scene.toml")).unwrap();
    assert_eq!(manifest.matches("[[source]]").count(), 2, "{manifest}");
}

/// Runs an import and returns its largest resident size in KiB as /proc has it, the seconds, and what it said.
fn measured(scan: &Path, out: &Path, limit: &str) -> (u64, f64, String) {
    let begun = Instant::now();
    let mut child = start(&[scan], out, &["--max-memory", limit, "--progress", "json"]);
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // Each report of progress is a moment to look; the last ones come when all is written.
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        assert!(line.is_ok());
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find(|l| l.starts_with("VmHWM:"));
        let high = high.and_then(|l| l.split_whitespace().nth(1)?.parse().ok());
        peak = peak.max(high.unwrap_or(0));
    }
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    (peak, begun.elapsed().as_secs_f64(), said)
}

fn limit_holds(count: u32, side: f64, limit: &str, limit_kib: u64) {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.las");
    write_las(&scan, country(count, side, 1), 5000.0);
    let out = folder.path().join("scene");
    let (peak, seconds, said) = measured(&scan, &out, limit);
    eprintln!(
        "{count} points, --max-memory {limit}: peak {} MiB, {seconds:.1} s\n{said}",
        peak >> 10
    );
    // The program's own figure at its end is the last word.
    let own = said.lines().find_map(|l| l.strip_prefix("memory    peak ")).unwrap();
    let own: u64 = own.split_whitespace().next().unwrap().parse().unwrap();
    assert!(
        peak > 0 && peak <= limit_kib && own << 10 <= limit_kib,
        "{peak} KiB, {own} MiB of {limit}"
    );
    let tileset: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let points = tileset["tiles"]["points"].as_u64().unwrap() + tileset["tiles"]["duplicates"].as_u64().unwrap();
    assert!(points >= u64::from(count) * 999 / 1000, "{points}");
}

#[test]
fn two_million_points_keep_to_their_memory() {
    limit_holds(2_000_000, 600.0, "200MiB", 200 << 10);
}

#[test]
#[ignore = "takes minutes and 7 GB of disk: cargo xtask test --long"]
fn fifty_million_points_in_a_gibibyte() {
    limit_holds(50_000_000, 3000.0, "1GiB", 1 << 20);
}

#[test]
fn too_little_memory_is_said_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("a.las");
    write_las(&scan, country(300_000, 100.0, 1), 500.0);
    let out = folder.path().join("scene");
    let output = start(&[&scan], &out, &["--max-memory", "32MiB"])
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in ["a.las", "would need about", "MiB", "--max-memory"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!out.exists() && std::fs::read_dir(folder.path()).unwrap().count() == 1);
}
