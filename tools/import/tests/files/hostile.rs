//! Files that are broken or lie: each ends in a scene or in a message with exit code 2, within bounded memory and
//! time. The program itself is run, so that an abort, a panic or a killed process is seen for what it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::formats::file;
use crate::samples;

/// Address space that the program may use, in KiB: 768 MiB, of which its stacks and code take some.
const MEMORY_KIB: u32 = 768 << 10;
/// Seconds of processor time.
const SECONDS: u32 = 20;

/// Numbers that depend on nothing but the seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

/// Runs `inspect` or an import over a file; whether it was refused. Anything but a scene or a refusal fails.
fn refused(path: &Path, arguments: &[&str], what: &str) -> bool {
    let limits = format!("ulimit -v {MEMORY_KIB}; ulimit -t {SECONDS}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limits, "sh", env!("CARGO_BIN_EXE_tongyou-import")]);
    let output = command.args(arguments).arg(path).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => false,
        Some(2) => {
            let named = message.starts_with("error: ") && message.contains(&path.display().to_string());
            assert!(named && message.lines().count() == 1, "{what}: {message}");
            true
        }
        _ => panic!("{what}: {:?}: {message}", output.status),
    }
}

fn import_refused(path: &Path, what: &str) -> bool {
    let out = path.with_extension("out.glb");
    let refused = refused(path, &[&format!("--out={}", out.display())], what);
    assert_eq!(
        out.exists(),
        !refused,
        "{what}: a scene is there exactly when nothing was wrong"
    );
    let _ = std::fs::remove_file(&out);
    refused
}

/// Broken versions of a sound file: cut off, changed, with numbers that are too large.
fn broken(name: &str, sound: &[u8], chance: &mut Chance) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut cuts: Vec<usize> = vec![
        4,
        8,
        12,
        16,
        20,
        28,
        32,
        40,
        48,
        80,
        84,
        100,
        227,
        sound.len() / 2,
        sound.len() - 1,
    ];
    cuts.retain(|&c| c < sound.len());
    for cut in cuts {
        out.push((format!("{name} cut at {cut}"), sound[..cut].to_vec()));
    }
    for _ in 0..14 {
        let mut bytes = sound.to_vec();
        let at = chance.below(bytes.len().min(400));
        // Four bytes at once: a count, an offset, a size.
        let value = [[0xFF; 4], [0xFF, 0xFF, 0xFF, 0x7F], [0, 0, 0, 0x10], [0; 4]][chance.below(4)];
        let end = (at + 4).min(bytes.len());
        bytes[at..end].copy_from_slice(&value[..end - at]);
        out.push((format!("{name} with {value:x?} at {at}"), bytes));
    }
    for _ in 0..8 {
        let mut bytes = sound.to_vec();
        for _ in 0..=chance.below(6) {
            let at = chance.below(bytes.len());
            bytes[at] = chance.next().to_le_bytes()[0];
        }
        out.push((format!("{name} with changed bytes"), bytes));
    }
    out
}

#[test]
fn files_that_broke_other_importers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let temporary = tempfile::tempdir().unwrap();
    for name in [
        "badUint.gltf",
        "corrupt_crc.e57",
        "crash.ply",
        "malformed.obj",
        "no_ext_namespace.e57",
        "read_error.e57",
    ] {
        let path = temporary.path().join(name);
        std::fs::copy(folder.join(name), &path).unwrap();
        assert!(import_refused(&path, name), "{name} is imported");
    }
}

#[test]
fn hundreds_of_broken_files() {
    // More rounds look at other files: TONGYOU_FUZZ_ROUNDS=50.
    let rounds = std::env::var("TONGYOU_FUZZ_ROUNDS").ok().and_then(|r| r.parse().ok());
    let (mut all, mut bad) = (0, 0);
    for round in 0..rounds.unwrap_or(1_u64) {
        let (more, worse) = broken_files(&mut Chance(0x2026_1123 + round * 7919));
        all += more;
        bad += worse;
    }
    eprintln!("{all} files, {bad} refused");
    assert!(all >= 600 && bad >= 350, "{all} files, {bad} refused");
}

/// How many files there were, and how many of them were refused.
fn broken_files(chance: &mut Chance) -> (usize, usize) {
    let (mut all, mut bad) = (0, 0);
    let mut cases = Vec::new();
    for (name, sound) in samples::all() {
        cases.extend(broken(name, &sound, chance));
        if name == "e57" {
            // Below the checksums of its pages.
            let repaired = broken("e57 repaired", &sound, chance);
            cases.extend(repaired.into_iter().map(|(name, bytes)| (name, with_checksums(bytes))));
        }
    }
    for version in [2, 3] {
        // Below the gzip.
        let inner = broken("spz inside", &samples::spz_unpacked(version), chance);
        cases.extend(inner.into_iter().map(|(name, bytes)| (name, samples::gzip(&bytes))));
    }
    for (name, bytes) in cases {
        let (_folder, path) = file("broken", &bytes);
        all += 1;
        bad += usize::from(import_refused(&path, &name));
    }
    (all, bad)
}

/// Counts that would need terabytes if they were believed.
#[test]
fn forged_counts() {
    let replaced = |bytes: &[u8], from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
    };
    let patched = |bytes: &[u8], at: usize, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let most = u32::MAX.to_le_bytes();
    let ply = samples::ply_mesh(samples::Coding::Little);
    let las = samples::las(false, [0.0; 3], None);
    let laz = samples::las(true, [0.0; 3], None);
    let spz = samples::spz_unpacked(2);
    let spz4 = samples::spz4();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "ply vertices",
            replaced(&ply, "element vertex 169", "element vertex 99999999999"),
        ),
        (
            "ply vertices, all of u64",
            replaced(&ply, "element vertex 169", "element vertex 18446744073709551615"),
        ),
        (
            "ply faces",
            replaced(&ply, "element face 288", "element face 4000000000"),
        ),
        (
            "ply rows without bytes",
            replaced(
                &ply,
                "element face 288\nproperty list uchar int vertex_indices",
                "element face 4000000000",
            ),
        ),
        ("las", patched(&las, 107, &most)),
        ("las, twice as many", patched(&las, 107, &338_u32.to_le_bytes())),
        ("laz", patched(&laz, 107, &most)),
        ("laz, 49 million", patched(&laz, 107, &49_000_000_u32.to_le_bytes())),
        ("spz", samples::gzip(&patched(&spz, 8, &most))),
        (
            "spz, a thousand more",
            samples::gzip(&patched(&spz, 8, &1169_u32.to_le_bytes())),
        ),
        ("spz4", patched(&spz4, 8, &most)),
        ("spz4 stream size", patched(&spz4, 40, &u64::MAX.to_le_bytes())),
        ("spz4 packed size", patched(&spz4, 32, &u64::MAX.to_le_bytes())),
        ("spz4 table", patched(&spz4, 16, &most)),
        (
            "e57",
            with_checksums(replaced(&samples::e57(), "recordCount=\"169\"", "recordCount=\"999\"")),
        ),
        ("pts", replaced(&samples::pts(), "169\n", "4000000000\n")),
        ("pts, one more", replaced(&samples::pts(), "169\n", "170\n")),
        (
            "obj index",
            replaced(&samples::obj(), "f 1/1 14/14", "f 1/1 4000000000/1"),
        ),
        (
            "obj index below",
            replaced(&samples::obj(), "f 1/1 14/14", "f 1/1 -9223372036854775808/1"),
        ),
    ];
    for (name, bytes) in cases {
        let (_folder, path) = file("forged", &bytes);
        assert!(import_refused(&path, name), "{name} is imported");
        // Inspecting may go well; it must not fall over.
        refused(&path, &["inspect"], name);
    }
}

/// A gigabyte of zeros in a megabyte: unpacked piece by piece and refused, or not unpacked at all.
#[test]
fn a_bomb_is_not_unpacked_whole() {
    let mut inner = samples::spz_unpacked(2)[..16].to_vec();
    inner[8..12].copy_from_slice(&40_000_000_u32.to_le_bytes());
    inner.resize(200 << 20, 0);
    let (_folder, path) = file("bomb.spz", &samples::gzip(&inner));
    assert!(import_refused(&path, "bomb"));
}

/// Repairs the checksum of each page of an E57, so that a reader looks at what is inside.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    for page in bytes.chunks_exact_mut(1024) {
        let (data, sum) = page.split_at_mut(1020);
        sum.copy_from_slice(&crc32c(data).to_be_bytes());
    }
    bytes
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}
