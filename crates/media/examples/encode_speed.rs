//! Times the encoder and prints JSON: per setting, milliseconds a picture, bytes and PSNR; moving with a keyframe every
//! second, as the server asks for them, and still.
#![allow(clippy::unwrap_used, reason = "a measurement stops at the first failure")]

#[path = "../tests/picture/mod.rs"]
mod picture;

use std::io::Write;
use std::time::Instant;
use tongyou_media::Size;
use tongyou_media::decode::{self, Decoder};
use tongyou_media::encode::{self, Backend, Config, Entropy};

fn main() {
    let size = Size::new(1536, 1024).unwrap();
    let pictures: Vec<Vec<u8>> = (0..72).map(|set| picture::moving(size, set)).collect();
    let mut out = std::io::stdout().lock();
    for (entropy, threads, fps, bitrate_bps) in [
        (Entropy::Cavlc, 1, 36.0, 8_000_000),
        (Entropy::Cavlc, 2, 36.0, 8_000_000),
        (Entropy::Cabac, 1, 36.0, 8_000_000),
        (Entropy::Cavlc, 1, 4.0, 8_000_000),
        (Entropy::Cavlc, 1, 12.0, 3_000_000),
    ] {
        let config = Config {
            bitrate_bps,
            fps,
            threads,
            entropy,
            ..Config::new(size)
        };
        for moves in [true, false] {
            let mut encoder = encode::OpenH264::new(config).unwrap();
            let mut decoder = decode::OpenH264::new().unwrap();
            let (mut encode_ms, mut decode_ms, mut bytes, mut psnr) = (vec![], vec![], vec![], vec![]);
            for (set, picture) in (0..).zip(&pictures) {
                let picture = if moves { picture } else { &pictures[0] };
                if moves && f64::from(set) % f64::from(fps) == 0.0 {
                    encoder.force_keyframe().unwrap();
                }
                let start = Instant::now();
                let encoded = encoder.encode(picture, set).unwrap();
                encode_ms.push(start.elapsed().as_secs_f64() * 1e3);
                bytes.push(encoded.data.len());
                let start = Instant::now();
                let decoded = decoder.decode(&encoded.data).unwrap();
                decode_ms.push(start.elapsed().as_secs_f64() * 1e3);
                psnr.push((picture::psnr_luma(picture, &decoded.nv12, size) * 10.0).round() / 10.0);
            }
            assert!(
                psnr[71] > 25.0,
                "the pictures must be right before their times mean anything"
            );
            writeln!(
                out,
                r#"{{"entropy":"{entropy:?}","threads":{threads},"fps":{fps},"bitrate_bps":{bitrate_bps},"moves":{moves},"encode_ms":{:.2},"decode_ms":{:.2},"bytes":{bytes:?},"psnr":{psnr:?}}}"#,
                median(encode_ms),
                median(decode_ms),
            )
            .unwrap();
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
