//! The last picture of each vantage, on the CPU: what did not change since is taken from there.

use wgpu::{Buffer, BufferView};

use super::target::Readback;
use crate::behind::ABSENT;
use crate::nv12::nv12_len;
use crate::plan::PictureKey;
use crate::{Area, Error, Result, Tiles, View};

/// Luma half way between black and white.
const MID_GREY: u8 = 126;

/// Most bytes that pictures may take: about fifty panoramas.
const KEPT_BYTES: usize = 256 << 20;
/// A picture that was not asked for during this many submissions belongs to nobody.
const KEPT_SUBMISSIONS: u64 = 1000;

/// Colour and depth of all views of a vantage.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) nv12: Vec<u8>,
    /// View after view.
    pub(crate) depth: Vec<u16>,
}

/// Pictures by what they show: who looks at the same shares one.
#[derive(Default)]
pub(crate) struct Pictures {
    kept: Vec<Kept>,
}

struct Kept {
    shows: PictureKey,
    picture: Picture,
    last_used: u64,
}

/// Where a view that was drawn lies in the whole picture.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) view: View,
    /// Its number in its vantage.
    pub(crate) number: usize,
    /// What of it was drawn; not empty.
    pub(crate) tiles: Tiles,
}

impl Picture {
    /// Nothing yet: black sky, or, where not all is going to be drawn, grey that is not there.
    pub(crate) fn new(width: u32, height: u32, depths: usize, masked: bool) -> Self {
        let luma = width as usize * height as usize;
        let (grey, depth) = if masked { (MID_GREY, ABSENT) } else { (0, 0) };
        let mut nv12 = vec![grey; luma];
        nv12.resize(nv12_len(width, height), 128);
        Self {
            nv12,
            depth: vec![depth; depths],
        }
    }

    /// Takes the views that were drawn, and their depths if they were read. Of a masked picture no depth becomes
    /// [`ABSENT`].
    pub(crate) fn take(
        &mut self,
        (width, height): (u32, u32),
        drawn: &[Drawn],
        depth: bool,
        masked: bool,
        from: &Readback,
    ) -> Result<()> {
        let bytes = mapped(&from.nv12, from.nv12.size())?;
        for d in drawn {
            for area in d.tiles.runs() {
                copy_area(
                    &mut self.nv12,
                    &bytes,
                    (width as usize, height as usize),
                    &d.view,
                    &area,
                );
            }
        }
        drop(bytes);
        from.nv12.unmap();
        if !depth {
            return Ok(());
        }
        let len = drawn.first().map_or(0, |d| d.view.depth_len());
        let bytes = mapped(&from.depths, (drawn.len() * len * 2) as u64)?;
        for (slot, d) in drawn.iter().enumerate() {
            let to = &mut self.depth[d.number * len..][..len];
            let from: &[u16] = bytemuck::cast_slice(&bytes[slot * len * 2..][..len * 2]);
            if d.view.is_undivided() {
                to.copy_from_slice(from);
                continue;
            }
            for area in d.tiles.runs() {
                for y in area.origin.y..area.origin.y + area.size.y {
                    let at = (y * d.view.size.x + area.origin.x) as usize;
                    let end = at + area.size.x as usize;
                    to[at..end].copy_from_slice(&from[at..end]);
                    if masked {
                        to[at..end].iter_mut().for_each(|d| *d = (*d).min(ABSENT - 1));
                    }
                }
            }
        }
        drop(bytes);
        from.depths.unmap();
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.nv12.len() + self.depth.len() * 2
    }
}

impl Pictures {
    /// Takes a picture out, or a copy when it is needed again; it comes back by [`Self::keep`], changed.
    pub(crate) fn take(&mut self, shows: PictureKey, again: bool) -> Option<Picture> {
        let at = self.kept.iter().position(|k| k.shows == shows)?;
        if again {
            return Some(self.kept[at].picture.clone());
        }
        Some(self.kept.swap_remove(at).picture)
    }

    pub(crate) fn keep(&mut self, shows: PictureKey, picture: Picture, now: u64) {
        self.kept
            .retain(|k| k.shows != shows && now - k.last_used < KEPT_SUBMISSIONS);
        self.kept.push(Kept {
            shows,
            picture,
            last_used: now,
        });
        let mut bytes: usize = self.kept.iter().map(|k| k.picture.bytes()).sum();
        while bytes > KEPT_BYTES {
            let oldest = (0..self.kept.len()).min_by_key(|i| self.kept[*i].last_used);
            let Some(oldest) = oldest else { return };
            bytes -= self.kept.swap_remove(oldest).picture.bytes();
        }
    }
}

/// Copies an area's rows of luma and of chroma.
fn copy_area(to: &mut [u8], from: &[u8], (width, height): (usize, usize), view: &View, area: &Area) {
    let (origin, size) = (view.origin + area.origin, area.size);
    let [x, y, across, down] = [origin.x, origin.y, size.x, size.y].map(|v| v as usize);
    let luma = y..y + down;
    let chroma = height + y / 2..height + (y + down) / 2;
    for row in luma.chain(chroma) {
        let at = row * width + x;
        to[at..at + across].copy_from_slice(&from[at..at + across]);
    }
}

fn mapped(buffer: &Buffer, bytes: u64) -> Result<BufferView> {
    let range = buffer.slice(..bytes).get_mapped_range();
    range.map_err(|e| Error::Gpu {
        doing: "reading a picture",
        message: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_once_and_the_oldest_go_when_there_are_too_many() {
        let mut pictures = Pictures::default();
        for i in 0..80u64 {
            pictures.keep(PictureKey(i), Picture::new(1536, 1024, 1536 * 1024, false), i);
        }
        assert!(pictures.take(PictureKey(0), false).is_none());
        assert!(pictures.take(PictureKey(79), true).is_some());
        assert!(pictures.take(PictureKey(79), false).is_some());
        assert!(pictures.take(PictureKey(79), false).is_none());
        let bytes: usize = pictures.kept.iter().map(|k| k.picture.bytes()).sum();
        assert!(bytes <= KEPT_BYTES && pictures.kept.len() > 30);
        pictures.keep(PictureKey(5), Picture::new(4, 2, 8, false), 5000);
        assert_eq!(pictures.kept.len(), 1);
    }

    #[test]
    fn a_view_is_copied_to_its_place_alone() {
        let view = View {
            origin: glam::UVec2::new(4, 2),
            size: glam::UVec2::new(4, 2),
            ..crate::VantageKind::Panorama.views()[0]
        };
        let from: Vec<u8> = (0..48).collect();
        let mut to = vec![255; 48];
        let area = Area::whole(&view);
        copy_area(&mut to, &from, (8, 4), &view, &area);
        let copied: Vec<u8> = to.iter().copied().filter(|v| *v != 255).collect();
        assert_eq!(copied, [20, 21, 22, 23, 28, 29, 30, 31, 44, 45, 46, 47]);
        assert_eq!((to[20], to[28], to[44]), (20, 28, 44));
    }
}
