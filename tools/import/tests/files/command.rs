//! The program itself: exit codes, folders, validation, the same bytes twice.

use std::path::Path;
use std::process::{Command, Output};

use tongyou_import::write::Manifest;

use crate::formats::file;
use crate::samples::{self, Coding};

fn run(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongyou-import"));
    command.args(arguments.iter().map(|a| a.as_ref())).output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<String> = all
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}

/// A hilly mesh of 20,000 triangles.
fn hills() -> Vec<u8> {
    let mut out = String::new();
    for x in 0..=100_u32 {
        for y in 0..=100_u32 {
            let (x, y) = (f64::from(x) / 5.0, f64::from(y) / 5.0);
            out += &format!("v {x} {:.4} {y}\n", (x * 0.7).sin() + (y * 0.9).cos());
        }
    }
    for x in 0..100 {
        for y in 1..=100 {
            let at = x * 101 + y;
            out += &format!("f {} {} {} {}\n", at, at + 1, at + 102, at + 101);
        }
    }
    out.into_bytes()
}

#[test]
fn a_folder_with_levels_is_valid_and_the_same_twice() {
    let (folder, scan) = file("hills.obj", &hills());
    let out = folder.path().join("hills");
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 7] = [
        &scan,
        &"--out",
        &out,
        &"--licence",
        &"CC0-1.0",
        &"--attribution",
        &"nobody",
    ];
    let first = run(&arguments);
    assert!(first.status.success(), "{first:?}");
    assert_eq!(
        names(&out),
        [
            "collision.glb",
            "level1.glb",
            "level2.glb",
            "report.json",
            "scene.glb",
            "scene.toml",
            "thumbnail.png"
        ]
    );
    let manifest = Manifest::load(&out).unwrap();
    assert_eq!(
        (manifest.level[0].triangles, manifest.rights.licence.as_str()),
        (20_000, "CC0-1.0")
    );
    assert!(manifest.level[1].triangles <= 5_100 && manifest.level[1].geometric_error_m < 0.2);
    let checked = run(&[&"validate", &out]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    let all = |folder: &Path| -> Vec<Vec<u8>> {
        names(folder)
            .iter()
            .map(|n| std::fs::read(folder.join(n)).unwrap())
            .collect()
    };
    let before = all(&out);
    assert!(run(&arguments).status.success());
    assert!(before == all(&out), "two imports differ");
    assert_eq!(names(folder.path()), ["hills", "hills.obj"], "nothing is left over");

    // One changed byte is found.
    let path = out.join("level1.glb");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let checked = run(&[&"validate", &out]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("level1.glb is not the file that was written"));
}

#[test]
fn placement_is_kept_and_a_strange_folder_is_not_replaced() {
    let (folder, scan) = file("points.xyz", &samples::xyz());
    let out = folder.path().join("points");
    assert!(
        run(&[
            &scan,
            &"--out",
            &out,
            &"--at",
            &"29.5601,106.5734",
            &"--heading",
            &"-30"
        ])
        .status
        .success()
    );
    let manifest = Manifest::load(&out).unwrap();
    assert_eq!(
        (manifest.placement.at, manifest.placement.heading_deg),
        (Some((29.5601, 106.5734)), -30.0)
    );
    assert!(run(&[&scan, &"--out", &out]).status.success());
    assert_eq!(Manifest::load(&out).unwrap(), manifest);

    let precious = folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("thesis.txt"), "years of work").unwrap();
    let refused = run(&[&scan, &"--out", &precious]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(names(&precious), ["thesis.txt"]);
}

#[test]
fn one_file_plain_and_packed() {
    let (folder, scan) = file("mesh", &samples::ply_mesh(Coding::Little));
    let (plain, packed) = (folder.path().join("plain.glb"), folder.path().join("packed.glb"));
    assert!(run(&[&scan, &"--out", &plain, &"--plain"]).status.success());
    assert!(run(&[&scan, &"--out", &packed]).status.success());
    let size = |p: &Path| std::fs::metadata(p).unwrap().len();
    assert!(
        size(&packed) * 4 < size(&plain) * 3,
        "{} of {}",
        size(&packed),
        size(&plain)
    );
    assert!(run(&[&"validate", &plain]).status.success());
    assert!(run(&[&"validate", &packed]).status.success());
}

#[test]
fn what_is_missing_is_said() {
    let nothing = run(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    let absent = run(&[&"inspect", &"no/such/file"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("no/such/file"));
    let bad = run(&[&"x.laz", &"--out", &"y", &"--crop", &"1,2,3"]);
    assert_eq!(bad.status.code(), Some(2));
}
