//! Encoded and decoded again: quality, signalling, keyframes, rates and refusals.
#![allow(clippy::unwrap_used, reason = "tests")]

mod picture;

use picture::{grainy, moving, psnr_luma, still};
use tongyou_media::decode::{self, Decoder};
use tongyou_media::encode::{self, Backend, Config, Entropy, Error};
use tongyou_media::{Colour, Size, Sps, nal_units};

fn config(width: u32, height: u32) -> Config {
    Config {
        bitrate_bps: 3_000_000,
        fps: 30.0,
        ..Config::new(Size::new(width, height).unwrap())
    }
}

fn kinds(data: &[u8]) -> Vec<u8> {
    nal_units(data).map(|unit| unit[0] & 0x1f).collect()
}

#[test]
fn a_moving_picture_survives() {
    for entropy in [Entropy::Cavlc, Entropy::Cabac] {
        for threads in [1, 2] {
            let config = Config {
                entropy,
                threads,
                ..config(480, 320)
            };
            let mut encoder = encode::OpenH264::new(config).unwrap();
            let mut decoder = decode::OpenH264::new().unwrap();
            for set in 0..30 {
                let source = moving(config.size, set);
                let encoded = encoder.encode(&source, set).unwrap();
                assert_eq!(encoded.set, set);
                let decoded = decoder.decode(&encoded.data).unwrap();
                assert_eq!(decoded.size, config.size);
                let psnr = psnr_luma(&source, &decoded.nv12, config.size);
                let floor = if set < 5 { 30.0 } else { 34.0 };
                assert!(psnr > floor, "{entropy:?}, {threads} threads, set {set}: {psnr:.1} dB");
            }
        }
    }
}

#[test]
fn chroma_comes_back_where_it_was() {
    let config = config(320, 240);
    let mut source = still(config.size);
    let (width, luma) = (config.size.width(), config.size.luma_len());
    for (at, pair) in source[luma..].chunks_exact_mut(2).enumerate() {
        pair.copy_from_slice(if at % (width / 2) < width / 4 {
            &[60, 190]
        } else {
            &[200, 80]
        });
    }
    let encoded = encode::OpenH264::new(config).unwrap().encode(&source, 1).unwrap();
    let decoded = decode::OpenH264::new().unwrap().decode(&encoded.data).unwrap();
    let off = source[luma..]
        .iter()
        .zip(&decoded.nv12[luma..])
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum::<u64>();
    let mean = off / (luma as u64 / 2);
    assert!(mean <= 3, "chroma is off by {mean} on average");
}

#[test]
fn the_parameter_set_says_size_profile_and_colour() {
    for (entropy, profile, width, height) in [
        (Entropy::Cavlc, 66, 1536, 1024),
        (Entropy::Cabac, 77, 1536, 1024),
        (Entropy::Cavlc, 66, 322, 182),
    ] {
        let config = Config {
            entropy,
            ..config(width, height)
        };
        let mut encoder = encode::OpenH264::new(config).unwrap();
        let encoded = encoder.encode(&still(config.size), 0).unwrap();
        let sps = Sps::from_annex_b(&encoded.data).unwrap();
        assert_eq!((sps.width, sps.height, sps.profile), (width, height, profile));
        assert_eq!(sps.colour, Some(Colour::TONGYOU));
        assert_eq!(sps.codec_string(), encoder.codec_string());
        assert_eq!(sps.references, 1, "more references make decoders wait");
        let decoded = decode::OpenH264::new().unwrap().decode(&encoded.data).unwrap();
        assert_eq!(decoded.size, config.size);
    }
    let encoder = encode::OpenH264::new(config(1536, 1024)).unwrap();
    assert_eq!(encoder.codec_string(), "avc1.42C02A");
}

#[test]
fn keyframes_come_first_and_when_forced_only() {
    let config = config(320, 240);
    let mut encoder = encode::OpenH264::new(config).unwrap();
    for set in 0..70 {
        if set == 40 {
            encoder.force_keyframe().unwrap();
        }
        // A cut every 25 pictures: an encoder with scene detection would put keyframes there.
        let source = moving(config.size, set + set / 25 * 1000);
        let encoded = encoder.encode(&source, set).unwrap();
        assert_eq!(encoded.keyframe, set == 0 || set == 40, "set {set}");
        let kinds = kinds(&encoded.data);
        if encoded.keyframe {
            assert_eq!(kinds, [7, 8, 5], "a keyframe carries its parameter sets");
        } else {
            assert_eq!(kinds, [1]);
        }
    }
}

#[test]
fn a_decoder_can_start_at_any_keyframe() {
    let config = config(320, 240);
    let mut encoder = encode::OpenH264::new(config).unwrap();
    let mut decoder = decode::OpenH264::new().unwrap();
    for set in 0..12 {
        if set == 6 {
            encoder.force_keyframe().unwrap();
        }
        let source = moving(config.size, set);
        let encoded = encoder.encode(&source, set).unwrap();
        match set {
            0..3 => {}
            3..6 => assert!(
                decoder.decode(&encoded.data).is_err(),
                "set {set} has no keyframe before it"
            ),
            _ => assert!(psnr_luma(&source, &decoder.decode(&encoded.data).unwrap().nv12, config.size) > 30.0),
        }
    }
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let config = config(320, 240);
    let mut encoder = encode::OpenH264::new(config).unwrap();
    let source = still(config.size);
    for len in [0, 1, source.len() - 1] {
        let error = encoder.encode(&source[..len], 9).unwrap_err();
        assert!(
            matches!(error, Error::Input { set: 9, len: l, expected: 115_200, .. } if l == len),
            "{error}"
        );
    }
    assert!(
        encoder.encode(&source, 10).unwrap().keyframe,
        "a refused picture costs nothing"
    );
}

#[test]
fn rates_change_while_running() {
    let config = config(480, 320);
    let mut encoder = encode::OpenH264::new(config).unwrap();
    let bytes_of_30 = |encoder: &mut encode::OpenH264, first: u32| -> usize {
        (first..first + 30)
            .map(|set| encoder.encode(&grainy(config.size, set), set).unwrap().data.len())
            .sum()
    };
    bytes_of_30(&mut encoder, 0);
    let normal = bytes_of_30(&mut encoder, 30);
    encoder.set_bitrate(600_000).unwrap();
    bytes_of_30(&mut encoder, 60);
    let low = bytes_of_30(&mut encoder, 90);
    assert!(low * 2 < normal, "{low} B at 0.6 Mbit/s, {normal} B at 3");
    assert!((30_000..120_000).contains(&low), "{low} B in a second at 0.6 Mbit/s");
    // The same bit rate over a third of the pictures is three times the bytes for each.
    encoder.set_fps(10.0).unwrap();
    bytes_of_30(&mut encoder, 120);
    let sparse = bytes_of_30(&mut encoder, 150);
    assert!(sparse > low * 2, "{sparse} B for 30 pictures at 10/s, {low} B at 30/s");
    assert!(encoder.set_bitrate(0).is_err());
    assert!(encoder.set_fps(f32::INFINITY).is_err());
    assert_eq!(encoder.config().bitrate_bps, 600_000, "a refused rate changes nothing");
}

#[test]
fn a_still_picture_becomes_sharp() {
    // The software profile: 4 sets a second.
    let config = Config {
        bitrate_bps: 3_000_000,
        fps: 4.0,
        ..config(768, 512)
    };
    let mut encoder = encode::OpenH264::new(config).unwrap();
    let mut decoder = decode::OpenH264::new().unwrap();
    let source = still(config.size);
    let mut last = 0.0;
    for set in 0..12 {
        let encoded = encoder.encode(&source, set).unwrap();
        last = psnr_luma(&source, &decoder.decode(&encoded.data).unwrap().nv12, config.size);
    }
    assert!(last > 42.0, "after three seconds {last:.1} dB");
}

#[test]
fn garbage_is_an_error_for_the_decoder() {
    let mut decoder = decode::OpenH264::new().unwrap();
    let mut seed = 1u32;
    for len in [0, 1, 4, 5, 100, 5000] {
        let data: Vec<u8> = (0..len)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            })
            .collect();
        assert!(decoder.decode(&data).is_err(), "{len} bytes");
    }
    let config = config(320, 240);
    let encoded = encode::OpenH264::new(config)
        .unwrap()
        .encode(&still(config.size), 0)
        .unwrap();
    assert!(
        decoder.decode(&encoded.data).is_ok(),
        "and a keyframe helps it up again"
    );
}
