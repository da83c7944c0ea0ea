//! Which layers of a vantage each of its viewers is sent.
//!
//! Everyone gets the base and, where there is one, what is behind it. Sharp faces go to those who look there, as far as
//! their path bears them and their headset has decoders left.

use std::collections::BTreeMap;

use glam::Vec3;
use tongyou_protocol::VantageId;
use tongyou_protocol::frame::Layer;

use crate::faces::{self, Faces};
use crate::fanout::{Fanout, Key};

/// Decoders that a headset has: one for each layer that it is sent.
const DECODERS: usize = 4;

/// A vantage, and who looks through it.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked<S, L> {
    /// Numbers of vantages are only unique within it.
    pub session: S,
    /// Which vantage.
    pub vantage: VantageId,
    /// There is something to be seen behind near things.
    pub behind: bool,
    /// Sharp faces are to be had.
    pub faces: bool,
    /// Who looks, and where: a unit vector, as far as it is known.
    pub viewers: Vec<(L, Option<Vec3>)>,
}

/// The faces of all viewers.
#[derive(Debug, Default)]
pub struct Layers<S, L> {
    config: faces::Config,
    faces: BTreeMap<(S, VantageId, L), Faces>,
}

impl<S: Copy + Ord, L: Copy + Ord> Layers<S, L> {
    /// Nobody yet.
    #[must_use]
    pub const fn new(config: faces::Config) -> Self {
        Self {
            config,
            faces: BTreeMap::new(),
        }
    }

    /// What [`Fanout::sync`] is to be told, in the order of the keys: every base, also one that nobody looks at, and the
    /// other layers that somebody is sent.
    pub fn wanted(&mut self, fanout: &Fanout<S, L>, looked: &[Looked<S, L>]) -> Vec<(Key<S>, Vec<L>)> {
        let mut decoders: BTreeMap<L, usize> = BTreeMap::new();
        for vantage in looked {
            for (link, _) in &vantage.viewers {
                *decoders.entry(*link).or_default() += 1 + usize::from(vantage.behind);
            }
        }
        let mut wanted: BTreeMap<Key<S>, Vec<L>> = BTreeMap::new();
        let mut watched = BTreeMap::new();
        for vantage in looked {
            let key = |layer| Key {
                session: vantage.session,
                vantage: vantage.vantage,
                layer,
            };
            let everyone = || vantage.viewers.iter().map(|(link, _)| *link);
            wanted.insert(key(Layer::Base), everyone().collect());
            if vantage.behind && !vantage.viewers.is_empty() {
                wanted.insert(key(Layer::Behind), everyone().collect());
            }
            if !vantage.faces {
                continue;
            }
            for (link, gaze) in &vantage.viewers {
                let at = (vantage.session, vantage.vantage, *link);
                let mut faces = self.faces.get(&at).copied().unwrap_or_default();
                let busy = decoders.get(link).copied().unwrap_or_default();
                let path_bps = fanout.estimate(&key(Layer::Base), *link).map_or(0, |e| e.bitrate_bps);
                faces.update(&self.config, *gaze, path_bps, DECODERS.saturating_sub(busy));
                for face in faces.watched() {
                    wanted.entry(key(Layer::Face(face))).or_default().push(*link);
                }
                watched.insert(at, faces);
            }
        }
        self.faces = watched;
        wanted.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send;
    use tongyou_protocol::ServerTime;

    const NORTH: Option<Vec3> = Some(Vec3::NEG_Z);
    const SOUTH: Option<Vec3> = Some(Vec3::Z);

    struct Server {
        fanout: Fanout<u8, u32>,
        layers: Layers<u8, u32>,
    }

    impl Server {
        fn new() -> Self {
            Self {
                fanout: Fanout::new(send::Config::default()),
                layers: Layers::new(faces::Config::default()),
            }
        }

        /// Vantage, layer and links.
        fn wanted(&mut self, looked: &[Looked<u8, u32>]) -> Vec<(u16, Layer, Vec<u32>)> {
            let wanted = self.layers.wanted(&self.fanout, looked);
            self.fanout.sync(
                ServerTime(0),
                wanted.iter().map(|(key, links)| (*key, links.as_slice())),
            );
            wanted.into_iter().map(|(k, l)| (k.vantage.0, k.layer, l)).collect()
        }
    }

    fn panorama(vantage: u16, viewers: &[(u32, Option<Vec3>)]) -> Looked<u8, u32> {
        Looked {
            session: 1,
            vantage: VantageId(vantage),
            behind: true,
            faces: true,
            viewers: viewers.into(),
        }
    }

    #[test]
    fn everyone_gets_base_and_behind_and_faces_go_to_those_who_look() {
        let mut server = Server::new();
        let here = [panorama(3, &[(1, NORTH), (2, SOUTH), (3, NORTH), (4, None)])];
        let all = vec![1, 2, 3, 4];
        let bases = [(3, Layer::Base, all.clone()), (3, Layer::Behind, all.clone())];
        assert_eq!(
            server.wanted(&here),
            bases,
            "of a path nothing is known before the first frame"
        );
        let [base, behind] = bases;
        let faces = [(3, Layer::Face(4), vec![2]), (3, Layer::Face(5), vec![1, 3])];
        let [south, north] = faces;
        assert_eq!(server.wanted(&here), [base, behind, south, north]);
        let without = [Looked {
            behind: false,
            faces: false,
            ..here[0].clone()
        }];
        assert_eq!(server.wanted(&without), [(3, Layer::Base, all)]);
        assert_eq!(server.wanted(&[panorama(3, &[])]), [(3, Layer::Base, vec![])]);
        assert_eq!(server.wanted(&[]), []);
        assert!(server.layers.faces.is_empty(), "who has gone is forgotten");
    }

    #[test]
    fn faces_give_way_to_a_cell_that_is_fetched_ahead() {
        let mut server = Server::new();
        let diagonal = Some(Vec3::new(1.0, 0.0, -1.0).normalize());
        let here = panorama(3, &[(1, diagonal), (2, diagonal)]);
        server.wanted(std::slice::from_ref(&here));
        let faces = |wanted: &[(u16, Layer, Vec<u32>)]| -> Vec<(Layer, Vec<u32>)> {
            let faces = wanted.iter().filter(|(_, l, _)| matches!(l, Layer::Face(_)));
            faces.map(|(_, layer, links)| (*layer, links.clone())).collect()
        };
        let both = [(Layer::Face(0), vec![1, 2]), (Layer::Face(5), vec![1, 2])];
        assert_eq!(faces(&server.wanted(std::slice::from_ref(&here))), both);
        let ahead = panorama(9, &[(2, None)]);
        let wanted = server.wanted(&[here.clone(), ahead]);
        assert_eq!(faces(&wanted), [(Layer::Face(0), vec![1]), (Layer::Face(5), vec![1])]);
        // One flat picture beside leaves room for one face.
        let preview = Looked {
            behind: false,
            faces: false,
            ..panorama(10, &[(2, None)])
        };
        let wanted = server.wanted(&[here, preview]);
        let of_2: Vec<Layer> = faces(&wanted)
            .into_iter()
            .filter(|f| f.1.contains(&2))
            .map(|f| f.0)
            .collect();
        assert_eq!(of_2.len(), 1);
    }
}
