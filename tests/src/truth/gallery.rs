//! The worst pictures, for people.

use nv_flip::FlipImageFloat;

use super::{SIDE, Seen};
use crate::pictures::Picture;
use crate::root;

/// How many are kept.
const KEPT: usize = 3;

/// The worst pictures so far.
#[derive(Default)]
pub struct Gallery {
    /// Worst first.
    worst: Vec<Entry>,
}

struct Entry {
    error: f32,
    name: String,
    picture: Picture,
}

impl Gallery {
    /// Offers an eye's picture; of one pose (equal `name`) the worse eye is kept.
    pub fn offer(&mut self, name: &str, seen: &Seen, error: &FlipImageFloat) {
        let values = error.to_vec();
        #[expect(clippy::cast_precision_loss, reason = "some hundred thousand pixels")]
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        if let Some(same) = self.worst.iter().position(|e| e.name == name) {
            if self.worst[same].error >= mean {
                return;
            }
            self.worst.remove(same);
        }
        if self.worst.len() == KEPT && self.worst[KEPT - 1].error >= mean {
            return;
        }
        let heat = error.apply_color_lut(&nv_flip::magma_lut());
        self.worst.push(Entry {
            error: mean,
            name: name.to_owned(),
            picture: beside([&seen.shown[0].0.rgb, &seen.direct.rgb, &heat.to_vec()]),
        });
        self.worst.sort_by(|a, b| b.error.total_cmp(&a.error));
        self.worst.truncate(KEPT);
    }

    /// Writes `<name>-1.png` to `<name>-3.png`: client, direct, FLIP. Returns what they are.
    #[must_use]
    pub fn write(&self, name: &str) -> Vec<String> {
        let folder = root().join("target/gallery");
        std::fs::create_dir_all(&folder).unwrap();
        let entries = self.worst.iter().zip(1..);
        entries
            .map(|(entry, n)| {
                entry.picture.write(&folder.join(format!("{name}-{n}.png")));
                format!("{} {:.4}", entry.name, entry.error)
            })
            .collect()
    }
}

fn beside(parts: [&[u8]; 3]) -> Picture {
    let row = (SIDE * 3) as usize;
    let rgb = (0..SIDE as usize)
        .flat_map(|y| parts.into_iter().flat_map(move |p| &p[y * row..(y + 1) * row]))
        .copied()
        .collect();
    Picture {
        width: 3 * SIDE,
        height: SIDE,
        rgb,
    }
}
