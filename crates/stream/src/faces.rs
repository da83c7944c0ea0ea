//! Which sharp faces a headset is sent: those that its wearer looks at, as far as the path bears them.

use glam::Vec3;
use tongyou_protocol::cube::FACES;

/// When a face is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// A face whose axis is within this angle of the gaze is wanted, degrees.
    pub enter_deg: f32,
    /// One that is sent is wanted up to this angle, degrees.
    pub leave_deg: f32,
    /// Most faces at once, and what the path must bear, in all, for the first, the second and so on, bits a second.
    pub path_bps: [u32; 2],
    /// What it must still bear for those that are sent, as a share of that.
    pub keep_share: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enter_deg: 60.0,
            leave_deg: 70.0,
            path_bps: [3_000_000, 6_000_000],
            keep_share: 0.7,
        }
    }
}

/// The faces of one headset at one vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faces {
    watched: [bool; 6],
}

impl Faces {
    /// Chooses anew, at most so many, for a unit vector of gaze and what the path is believed to bear. A gaze that is
    /// not known leaves the faces as they are.
    pub fn update(&mut self, config: &Config, gaze: Option<Vec3>, path_bps: u32, most: usize) {
        let mut wanted: Vec<(f32, usize)> = match gaze.filter(|g| g.is_finite()) {
            None => self.watched().map(|face| (0.0, usize::from(face))).collect(),
            Some(gaze) => FACES
                .iter()
                .enumerate()
                .filter_map(|(face, axes)| {
                    let angle_deg = gaze.angle_between(axes.forward).to_degrees();
                    let (most_deg, bonus_deg) = if self.watched[face] {
                        (config.leave_deg, config.leave_deg - config.enter_deg)
                    } else {
                        (config.enter_deg, 0.0)
                    };
                    (angle_deg <= most_deg).then_some((angle_deg - bonus_deg, face))
                })
                .collect(),
        };
        wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let sent = self.watched().count();
        let bears = |nth: usize, needed_bps: u32| {
            let share = if nth < sent { config.keep_share } else { 1.0 };
            path_bps as f32 >= needed_bps as f32 * share
        };
        let room = config
            .path_bps
            .iter()
            .enumerate()
            .take_while(|(i, bps)| bears(*i, **bps));
        wanted.truncate(room.count().min(most));
        self.watched = [false; 6];
        for (_, face) in wanted {
            self.watched[face] = true;
        }
    }

    /// Those that are sent, by number.
    pub fn watched(&self) -> impl Iterator<Item = u8> {
        (0..6).filter(|face| self.watched[usize::from(*face)])
    }

    /// Whether a face is sent.
    #[must_use]
    pub fn has(&self, face: u8) -> bool {
        self.watched.get(usize::from(face)).is_some_and(|w| *w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLENTY: u32 = 25_000_000;

    /// Looking north-east and so on: degrees clockwise from −Z, and up.
    fn gaze(azimuth_deg: f32, up_deg: f32) -> Option<Vec3> {
        let (sin, cos) = azimuth_deg.to_radians().sin_cos();
        let (y, level) = up_deg.to_radians().sin_cos();
        Some(Vec3::new(sin * level, y, -cos * level))
    }

    fn after(faces: &mut Faces, gaze: Option<Vec3>, path_bps: u32) -> Vec<u8> {
        faces.update(&Config::default(), gaze, path_bps, 2);
        faces.watched().collect()
    }

    #[test]
    fn faces_come_at_sixty_degrees_and_go_at_seventy() {
        let mut faces = Faces::default();
        assert_eq!(after(&mut faces, gaze(0.0, 0.0), PLENTY), [5], "north");
        assert_eq!(after(&mut faces, gaze(29.0, 0.0), PLENTY), [5]);
        assert_eq!(after(&mut faces, gaze(31.0, 0.0), PLENTY), [0, 5], "east from 60°");
        assert_eq!(after(&mut faces, gaze(21.0, 0.0), PLENTY), [0, 5]);
        assert_eq!(after(&mut faces, gaze(19.0, 0.0), PLENTY), [5], "up to 70°");
    }

    #[test]
    fn two_at_most_and_a_clearly_nearer_one_takes_the_place() {
        let mut faces = Faces::default();
        // All three axes at 54.7°.
        let corner = Vec3::new(1.0, 1.0, -1.0).normalize();
        assert_eq!(after(&mut faces, Some(corner), PLENTY).len(), 2);
        let mut faces = Faces::default();
        assert_eq!(after(&mut faces, gaze(45.0, 0.0), PLENTY), [0, 5]);
        assert_eq!(
            after(&mut faces, gaze(45.0, 33.0), PLENTY),
            [0, 5],
            "+Y is at 57°, they at 54°"
        );
        assert_eq!(
            after(&mut faces, gaze(45.0, 38.0), PLENTY),
            [0, 5],
            "+Y is nearer by 4° only"
        );
        let up = after(&mut faces, gaze(45.0, 50.0), PLENTY);
        assert!(up.len() == 2 && up.contains(&2), "{up:?}");
    }

    #[test]
    fn a_weak_path_gets_fewer_and_does_not_flicker() {
        let mut faces = Faces::default();
        assert_eq!(after(&mut faces, gaze(40.0, 0.0), 2_900_000), [0; 0]);
        assert_eq!(after(&mut faces, gaze(40.0, 0.0), 3_100_000), [5], "the nearer one");
        assert_eq!(
            after(&mut faces, gaze(40.0, 0.0), 6_000_000),
            [0, 5],
            "where paths begin"
        );
        assert_eq!(after(&mut faces, gaze(40.0, 0.0), 4_300_000), [0, 5]);
        assert_eq!(after(&mut faces, gaze(40.0, 0.0), 4_100_000).len(), 1);
        assert_eq!(after(&mut faces, gaze(40.0, 0.0), 2_200_000).len(), 1);
        assert_eq!(after(&mut faces, gaze(40.0, 0.0), 2_000_000), [0; 0]);
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        let mut faces = Faces::default();
        assert_eq!(after(&mut faces, None, PLENTY), [0; 0]);
        after(&mut faces, gaze(45.0, 0.0), PLENTY);
        assert_eq!(after(&mut faces, None, PLENTY), [0, 5]);
        assert_eq!(after(&mut faces, Some(Vec3::NAN), PLENTY), [0, 5]);
        assert_eq!(after(&mut faces, None, 0), [0; 0], "but the path counts");
        assert!(!faces.has(6));
    }

    proptest! {
        #[test]
        fn where_somebody_looks_a_face_is_sharp(path in prop::collection::vec((-180.0_f32..180.0, -90.0_f32..90.0), 1..50)) {
            let mut faces = Faces::default();
            for (azimuth, up) in path {
                let looks = gaze(azimuth, up);
                let sent = after(&mut faces, looks, PLENTY);
                prop_assert!((1..=2).contains(&sent.len()));
                // The face under the gaze itself, or one that the gaze has not left by ten degrees more.
                let angle = |f: usize| looks.unwrap().angle_between(FACES[f].forward).to_degrees();
                let nearest = (0..6).map(angle).fold(f32::MAX, f32::min);
                let best = sent.iter().map(|f| angle(usize::from(*f))).fold(f32::MAX, f32::min);
                prop_assert!(best <= nearest + 10.0 && best <= 70.0, "{} {}", best, nearest);
            }
        }
    }
}
