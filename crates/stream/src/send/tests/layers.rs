//! Several layers on one path.

use super::*;

fn in_layer(layer: Layer, lane: Lane, keyframe: bool) -> Arc<EncodedFrame> {
    let mut header = frame(lane, 1, 1, u16::from(!keyframe), 1, 10).header;
    header.layer = layer;
    Arc::new(EncodedFrame::new(header, vec![0; 10].into()))
}

/// The priority with which such a frame leaves.
fn priority(layer: Layer, lane: Lane, keyframe: bool) -> i32 {
    let mut sender = Sender::new(Config::default());
    sender.subscribe(at(0), &GroupCache::default());
    let (color, depth) = (in_layer(layer, Color, true), in_layer(layer, Depth, true));
    if color.header.has_depth() {
        sender.offer(at(0), depth);
    }
    sender.offer(at(0), color);
    if !keyframe {
        sender.offer(at(0), in_layer(layer, lane, false));
    }
    let of = |send: &Send| Frame::from_bytes(&send.chunks.concat().into()).unwrap().header;
    let sends = drain(&mut sender, at(0));
    let found = sends.iter().find(|s| (of(s).lane, of(s).keyframe) == (lane, keyframe));
    found.unwrap().priority
}

#[test]
fn the_base_goes_first_then_what_is_behind_then_faces() {
    let order = [
        priority(Layer::Base, Depth, true),
        priority(Layer::Base, Depth, false),
        priority(Layer::Base, Color, true),
        priority(Layer::Behind, Depth, true),
        priority(Layer::Behind, Depth, false),
        priority(Layer::Behind, Color, true),
        priority(Layer::Face(0), Color, true),
    ];
    assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    let face = priority(Layer::Face(5), Color, true);
    assert_eq!(face >> 24, order[6] >> 24, "faces are alike");
}

#[test]
fn a_face_gets_what_the_base_leaves_of_the_path() {
    let mut sender = Sender::new(Config::default());
    sender.subscribe(at(0), &GroupCache::default());
    sender.offer(at(0), in_layer(Layer::Face(1), Color, true));
    // 6 Mbit/s for 120 ms are 90 kB.
    assert_eq!(sender.poll_beside(at(1), 91_000), None);
    let send = sender.poll_beside(at(2), 89_000).unwrap();
    assert_eq!(sender.in_flight_bytes(), send.chunks.concat().len());
    sender.on_sent(send.id, at(10));
    assert_eq!(sender.in_flight_bytes(), 0);
}

#[test]
fn a_layer_without_depth_is_complete_by_its_colour() {
    let mut cache = GroupCache::default();
    assert!(!cache.is_complete());
    cache.push(in_layer(Layer::Face(4), Color, true));
    assert!(cache.is_complete());
    assert_eq!(cache.still().unwrap().layer, Layer::Face(4));
    let mut behind = GroupCache::default();
    behind.push(in_layer(Layer::Behind, Color, true));
    assert!(!behind.is_complete());
    behind.push(in_layer(Layer::Behind, Depth, true));
    assert!(behind.is_complete());
}
