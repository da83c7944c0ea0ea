//! What an import will need, said before it starts, and the limit that it keeps to.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::data::Summary;
use crate::{Error, Options, read, tiles};

/// Points that are kept in memory; more go to disk and become tiles.
pub(crate) const IN_MEMORY: u64 = 200_000;
/// The program itself and what is read at once.
const BASE: u64 = 56 << 20;
/// Bytes at the peak for a point that stays in memory: gathered, placed, sorted into cells, in a mesh.
const POINT: u64 = 420;
/// Bytes for a splat of spherical harmonics of the third degree: gathered, placed, merged, written.
const SPLAT: u64 = 1400;
/// Bytes for a vertex and for a triangle: gathered, welded, in the scene, in its levels, in the tree that measures them.
const VERTEX: u64 = 420;
const TRIANGLE: u64 = 320;
/// A pixel decoded, scaled and packed.
const PIXEL: u64 = 16;
/// Points a second that a core takes through all stages of tiles.
const RATE: u64 = 350_000;

/// What inputs are and what importing them takes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each input with its format and counts.
    pub found: Vec<String>,
    /// Points of all inputs.
    pub points: u64,
    /// Points become tiles.
    pub tiled: bool,
    /// Bytes at the peak, as far as counts are known beforehand.
    pub memory: u64,
    /// Bytes that it must not pass.
    pub limit: u64,
    /// Bytes on disk while it runs.
    pub disk: u64,
    /// Bytes free there, where the system says so.
    pub disk_free: Option<u64>,
    /// Seconds, roughly.
    pub seconds: u64,
    /// Some counts are estimates from the beginning of a file.
    pub estimated: bool,
    /// Threads that fit into the limit.
    pub threads: usize,
}

/// What collision mesh, cells and picture take (measured on a country of 190,000 triangles with a software renderer).
const FINISH: u64 = 640 << 20;

impl Plan {
    /// Whether collision mesh, cells and picture fit beside all else.
    #[must_use]
    pub fn has_room_to_finish(&self) -> bool {
        self.limit == 0 || self.memory + FINISH <= self.limit
    }

    /// Looks at inputs. `out` is where the scene goes; with `tiles` many points may go to disk beside it.
    ///
    /// # Errors
    /// [`Error`] of an input, or [`Error::Memory`] where the limit is too small.
    pub fn new(paths: &[PathBuf], out: &Path, options: &Options, tiles: bool) -> Result<Self, Error> {
        let mut plan = Self {
            found: Vec::new(),
            points: 0,
            tiled: false,
            memory: BASE,
            limit: options.memory,
            disk: 0,
            disk_free: free_beside(out),
            seconds: 1,
            estimated: false,
            threads: options.threads.max(1),
        };
        let mut in_memory = Need::default();
        let (mut bytes, mut named) = (0, Vec::new());
        for path in paths {
            let summary = read::inspect(path)?;
            plan.found.push(line(path, &summary));
            named.push(path.display().to_string());
            plan.estimated |= summary.estimated;
            bytes += summary.bytes;
            let count = |what: &str| {
                summary
                    .counts
                    .iter()
                    .filter(|(w, _)| *w == what)
                    .map(|c| c.1)
                    .sum::<u64>()
            };
            let triangles = count("triangles") + count("faces");
            // Without triangles, vertices are points.
            if triangles > 0 {
                in_memory.vertices += count("vertices");
                in_memory.triangles += triangles;
            } else {
                plan.points += count("vertices");
            }
            plan.points += count("points");
            in_memory.splats += count("splats");
            in_memory.pixels += count("pixels");
        }
        plan.tiled = tiles && plan.points > IN_MEMORY;
        if plan.tiled {
            let need = tiles::memory(plan.points, plan.threads);
            if plan.limit > 0 && BASE + need + in_memory.bytes() > plan.limit {
                plan.threads = 1;
            }
            plan.memory += tiles::memory(plan.points, plan.threads);
            plan.disk += tiles::disk(plan.points);
            plan.seconds += plan.points / RATE / plan.threads as u64 + plan.points / 2_000_000;
        } else {
            in_memory.points = plan.points;
        }
        plan.memory += in_memory.bytes();
        plan.seconds += in_memory.bytes() / (300 << 20);
        // The scene itself is hardly ever larger than what it was made of.
        plan.disk += bytes;
        if plan.limit > 0 && plan.memory > plan.limit {
            return Err(Error::Memory {
                needed: plan.memory,
                limit: plan.limit,
                what: named.join(", "),
                advice: advice(&in_memory),
            });
        }
        if plan.disk_free.is_some_and(|free| free < plan.disk) {
            return Err(Error::Option {
                option: "--out",
                fault: format!(
                    "{} would be needed on its disk while importing, {} are free",
                    bytes_text(plan.disk),
                    bytes_text(plan.disk_free.unwrap_or_default())
                ),
            });
        }
        Ok(plan)
    }
}

fn line(path: &Path, summary: &Summary) -> String {
    let name = path
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let about = if summary.estimated { "about " } else { "" };
    let counts: Vec<String> = summary
        .counts
        .iter()
        .map(|(what, n)| format!("{about}{n} {what}"))
        .collect();
    format!("{name}: {}, {}", summary.format, counts.join(", "))
}

fn advice(need: &Need) -> &'static str {
    if need.triangles + need.vertices > 0 {
        "meshes are worked on in memory: raise --max-memory, or divide the mesh and import its parts into scenes of their own"
    } else if need.splats > 0 {
        "splats are worked on in memory: raise --max-memory, or --crop them before"
    } else {
        "raise --max-memory, or write a folder rather than one file, so that points can go to disk"
    }
}

/// What is worked on in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Need {
    pub(crate) points: u64,
    pub(crate) splats: u64,
    pub(crate) vertices: u64,
    pub(crate) triangles: u64,
    pub(crate) pixels: u64,
}

impl Need {
    /// Bytes at the peak.
    pub(crate) fn bytes(&self) -> u64 {
        let each = [
            (self.points, POINT),
            (self.splats, SPLAT),
            (self.vertices, VERTEX),
            (self.triangles, TRIANGLE),
            (self.pixels, PIXEL),
        ];
        each.iter()
            .map(|&(count, bytes)| count.saturating_mul(bytes))
            .fold(0, u64::saturating_add)
    }

    /// Refuses more than the limit: counts may have been estimates, or lies.
    pub(crate) fn check(&self, limit: u64, what: &str) -> Result<(), Error> {
        let needed = BASE.saturating_add(self.bytes());
        if limit == 0 || needed <= limit {
            return Ok(());
        }
        Err(Error::Memory {
            needed,
            limit,
            what: format!("{what} so far"),
            advice: advice(self),
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.found {
            writeln!(f, "found     {found}")?;
        }
        let about = if self.estimated { "roughly" } else { "at most about" };
        write!(f, "needs     {about} {} of memory", bytes_text(self.memory))?;
        if self.limit > 0 {
            write!(f, " (limit {})", bytes_text(self.limit))?;
        }
        write!(f, ", {} of disk", bytes_text(self.disk))?;
        if let Some(free) = self.disk_free {
            write!(f, " ({} free)", bytes_text(free))?;
        }
        write!(f, ", about {} s on {} threads", self.seconds, self.threads)
    }
}

/// Bytes for people.
pub(crate) fn bytes_text(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let bytes = bytes as f64;
    if bytes >= 1024.0 * 1024.0 * 1024.0 {
        format!("{:.1} GiB", bytes / (1024.0 * 1024.0 * 1024.0))
    } else {
        format!("{:.0} MiB", (bytes / (1024.0 * 1024.0)).ceil())
    }
}

/// Half of the memory that this machine or this process's control group has; 0 where neither says so.
#[must_use]
pub fn default_memory() -> u64 {
    let kibibytes = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    let all = kibibytes.map(|k| k.saturating_mul(1024)).into_iter().chain(group).min();
    all.unwrap_or_default() / 2
}

/// Reads `1GiB`, `512 MiB`, `2G` or plain bytes.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits]
        .parse()
        .map_err(|_| format!("{text:?} does not begin with a number"))?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let factor: f64 = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mib" => 1_048_576.0,
        "mb" => 1e6,
        "g" | "gib" => 1_073_741_824.0,
        "gb" => 1e9,
        _ => return Err(format!("{unit:?} is not a unit: KiB, MiB, GiB")),
    };
    let bytes = number * factor;
    if !(1e6..1e15).contains(&bytes) {
        return Err("is not a sensible amount of memory".into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between a megabyte and a petabyte"
    )]
    Ok(bytes as u64)
}

/// Bytes free on the disk on which a path lies or will lie.
fn free_beside(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|p| p.is_dir())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory() {
        assert_eq!(parse_memory("1GiB"), Ok(1 << 30));
        assert_eq!(parse_memory("512 MiB"), Ok(512 << 20));
        assert_eq!(parse_memory("1.5g"), Ok(3 << 29));
        assert_eq!(parse_memory("64000000"), Ok(64_000_000));
        for wrong in ["", "GiB", "5 parsecs", "1", "-1GiB", "nan"] {
            assert!(parse_memory(wrong).is_err(), "{wrong}");
        }
        assert!(default_memory() > 1 << 20);
    }
}
