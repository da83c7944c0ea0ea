use super::*;
use proptest::prelude::*;

fn header(lane: Lane, layer: Layer, shape: Shape) -> Header {
    Header {
        lane,
        layer,
        shape,
        keyframe: true,
        codec: Codec::H264,
        width: 64,
        height: 64,
        group: 1,
        index: 0,
        depends_on: SetId(1),
        rendered_at: ServerTime(0),
        tag: Tag {
            set: SetId(1),
            vantage: VantageId(7),
            epoch: 3,
            point: Vec3::ONE,
            near: 0.2,
            half_tangent: 1.0,
            tour_time: TourTime(10_000_000),
            exposure: 1.0,
            ambient: [[0.0; 3]; 9],
            still_ms: [0, 1000, 0, 0, 0, u32::MAX],
            eyes: Eyes::default(),
        },
    }
}

fn bytes(header: &Header) -> Vec<u8> {
    let payload = b"pixels";
    let mut bytes = header.to_bytes(payload).to_vec();
    bytes.extend(payload);
    bytes
}

fn read(bytes: Vec<u8>) -> Result<Frame, String> {
    Frame::from_bytes(&bytes.into()).map_err(|e| e.to_string())
}

#[test]
fn layers_have_numbers_in_both_directions() {
    let all: Vec<Layer> = Layer::all().collect();
    assert_eq!(all.len(), LAYERS);
    for (i, layer) in all.into_iter().enumerate() {
        assert_eq!(usize::from(layer.number()), i);
        assert_eq!(Layer::from_number(layer.number()), Some(layer));
    }
}

#[test]
fn every_layer_and_shape_is_read_back_or_refused() {
    let shapes = [Shape::Panorama, Shape::Stereo, Shape::Flat];
    for (layer, shape) in Layer::all().flat_map(|l| shapes.map(|s| (l, s))) {
        for lane in [Lane::Color, Lane::Depth] {
            let header = header(lane, layer, shape);
            let read = read(bytes(&header));
            if layer != Layer::Base && shape != Shape::Panorama {
                assert!(read.unwrap_err().contains("shape"));
            } else if lane == Lane::Depth && !header.has_depth() {
                assert!(read.unwrap_err().contains("lane"));
            } else {
                assert_eq!(read.unwrap().header, header);
            }
        }
    }
}

#[test]
fn what_a_headset_does_not_know_is_named() {
    let good = bytes(&header(Lane::Color, Layer::Base, Shape::Panorama));
    for (at, value, field) in [(34, 8, "layer is 8"), (35, 3, "shape is 3")] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(read(bad).unwrap_err().contains(field), "{field}");
    }
    let mut later = good;
    later[36] = 1;
    assert!(read(later).is_ok(), "spare bytes are for later versions");
}

#[test]
fn eyes_that_can_not_be_are_refused() {
    let with = |change: &dyn Fn(&mut Eyes)| {
        let mut header = header(Lane::Color, Layer::Base, Shape::Stereo);
        change(&mut header.tag.eyes);
        read(bytes(&header))
    };
    assert!(with(&|e| e.half_ipd = 0.035).is_ok());
    for bad in [-0.01, 1.0, f32::NAN, f32::INFINITY] {
        assert!(with(&|e| e.half_ipd = bad).is_err(), "half_ipd {bad}");
    }
    for bad in [-0.1, 8.1, f32::NAN] {
        assert!(with(&|e| e.foveation = bad).is_err(), "foveation {bad}");
    }
    for bad in [[0.0; 4], [2.0, 0.0, 0.0, 0.0], [f32::NAN, 0.0, 0.0, 1.0]] {
        assert!(with(&|e| e.rotation = Quat::from_array(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn a_face_is_sharp_for_as_long_as_nothing_has_changed_in_it() {
    let base = header(Lane::Color, Layer::Base, Shape::Panorama).tag;
    let at = |us| Tag {
        tour_time: TourTime(us),
        ..base
    };
    // Face 0 changed with this set: only a picture of the same instant, or a later one, shows it.
    assert!(at(10_000_000).is_sharp_of(0, &base) && !at(9_999_999).is_sharp_of(0, &base));
    // Face 1 has been as it is for a second, face 5 for as long as can be said.
    assert!(at(9_000_000).is_sharp_of(1, &base) && !at(8_999_999).is_sharp_of(1, &base));
    assert!(at(i64::MIN).is_sharp_of(5, &at(i64::MIN)));
    assert!(at(0).is_sharp_of(5, &base));
    assert!(!at(10_000_000).is_sharp_of(6, &base), "there is no such face");
    for other in [
        Tag {
            vantage: VantageId(8),
            ..base
        },
        Tag { epoch: 4, ..base },
        Tag {
            point: Vec3::ZERO,
            ..base
        },
    ] {
        assert!(!other.is_sharp_of(1, &base));
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_or_read(at in 0..HEADER_BYTES, value in any::<u8>(), noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bad = bytes(&header(Lane::Color, Layer::Face(2), Shape::Panorama));
        bad[at] = value;
        if let Ok(frame) = read(bad.clone()) {
            // What is read means the same when it is written again, but for the spare bytes.
            let mut again = bytes(&frame.header);
            again[36..38].copy_from_slice(&bad[36..38]);
            prop_assert_eq!(again, bad);
        }
        let _ = read(noise);
    }
}
