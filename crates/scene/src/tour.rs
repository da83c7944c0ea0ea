//! `tour.toml`: what is visited, from where, in which light, and what is said.

use std::collections::BTreeSet;
use std::path::Path;

use glam::{Vec2, Vec3};
use serde::{Deserialize, Serialize};

use crate::relief::Relief;
use crate::seats::{EYE_HEIGHT_M, Formation};
use crate::{Error, Lighting, StopLighting};

/// Tour files are written by people; one above this size is a mistake.
const MAX_TOUR_BYTES: u64 = 1 << 20;

/// A tour: stops in the order in which they are visited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tour {
    /// Name in addresses and logs: lower-case letters, digits and `-`.
    pub id: String,
    /// What visitors read.
    pub title: Text,
    /// One or two sentences for the list of tours.
    pub summary: Text,
    /// A label that visitors see all the time, such as what a scan really shows.
    pub notice: Option<Text>,
    /// Who made the content and under which licence.
    pub credit: Text,
    /// Local time of day at tour time 0; clocks in the scenes are built to agree with it.
    pub clock_start: ClockTime,
    /// Where the scenes' origin lies on Earth.
    pub anchor: Anchor,
    /// At least one.
    pub stops: Vec<Stop>,
}

/// The same text in the languages of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// A point on Earth (WGS-84), the origin of stop-local space.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Metres above sea level.
    pub height_m: f64,
}

/// Time of day, written `"16:00:00"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime {
    /// Seconds since midnight, below 86,400.
    pub seconds: u32,
}

/// One place of a tour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Unique in the tour: lower-case letters, digits and `-`.
    pub id: String,
    /// What visitors read.
    pub title: Text,
    /// Caption and narration, a few sentences.
    pub text: Text,
    /// The scene's name: `<scenes dir>/<scene>.glb`.
    pub scene: String,
    /// Added to tour time for everything that moves in the scene, so that a stop can show the same place later in
    /// the day. See [`Stop::scene_time_s`].
    #[serde(default)]
    pub time_shift_s: f64,
    /// The point that everybody faces, stop-local metres.
    pub look_at: [f32; 3],
    /// Light of the stop.
    pub lighting: StopLighting,
    /// Where people stand; the first is where a group arrives.
    pub cells: Vec<Cell>,
    /// Where people may walk.
    pub walkable: Vec<Area>,
}

/// A rendered point and the ground around it for which its picture is good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Unique in the stop: lower-case letters, digits and `-`.
    pub id: String,
    /// The rendered point, 1.6 m above the ground, stop-local metres.
    pub eye: [f32; 3],
    /// Who is nearer than this belongs to the cell.
    pub radius_m: f32,
    /// How a group stands here.
    #[serde(default)]
    pub formation: Formation,
}

/// A simple polygon of walkable ground.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Height of the ground; with a relief, what its heights are counted from.
    pub ground_m: f32,
    /// Corners `[x, z]` in either direction of turn.
    pub outline: Vec<[f32; 2]>,
    /// Outlines inside that can not be walked on: the monument, flower beds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<Vec<[f32; 2]>>,
    /// Ground that is not level: heights over a grid. Where it has none nobody walks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relief: Option<Relief>,
}

impl Tour {
    /// Reads and checks a tour file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TourSyntax`] with line and column, or [`Error::Tour`] with the line and the key.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let failed = |reason| Error::Read {
            file: path.to_owned(),
            reason,
        };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > MAX_TOUR_BYTES {
            return Err(Error::Limit {
                file: path.display().to_string(),
                place: "file".into(),
                what: "bytes",
                count: size,
                limit: MAX_TOUR_BYTES,
            });
        }
        Self::parse(
            &std::fs::read_to_string(path).map_err(failed)?,
            &path.display().to_string(),
        )
    }

    /// Reads and checks a tour from text; `file` is used in messages.
    ///
    /// # Errors
    /// As [`Tour::load`].
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let tour: Self = toml::from_str(text).map_err(|e| Error::TourSyntax {
            file: file.to_owned(),
            message: e.to_string().trim_end().to_owned(),
        })?;
        tour.faults().map_or(Ok(()), |(place, fault)| {
            Err(Error::Tour {
                file: file.to_owned(),
                line: line_of(text, &place),
                place,
                fault,
            })
        })?;
        Ok(tour)
    }

    /// Checks a tour that was not read from a file.
    ///
    /// # Errors
    /// [`Error::Tour`] with the key of the first fault.
    pub fn validate(&self) -> Result<(), Error> {
        match self.faults() {
            None => Ok(()),
            Some((place, fault)) => Err(Error::Tour {
                file: self.id.clone(),
                line: 0,
                place,
                fault,
            }),
        }
    }

    /// The stop with an id.
    #[must_use]
    pub fn stop(&self, id: &str) -> Option<&Stop> {
        self.stops.iter().find(|s| s.id == id)
    }

    /// The first fault: its key and what is wrong.
    fn faults(&self) -> Option<(String, String)> {
        let found = |place: &str, fault: String| Some((place.to_owned(), fault));
        if let Some(fault) = bad_id(&self.id) {
            return found("id", fault);
        }
        let texts = [
            ("title", &self.title),
            ("summary", &self.summary),
            ("credit", &self.credit),
        ];
        for (place, text) in texts.into_iter().chain(self.notice.iter().map(|n| ("notice", n))) {
            if let Some(fault) = bad_text(text) {
                return found(place, fault);
            }
        }
        let Anchor { lat, lon, height_m } = self.anchor;
        if !((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) && (-500.0..=9000.0).contains(&height_m))
        {
            return found("anchor", format!("{lat}, {lon}, {height_m} m is no place on Earth"));
        }
        if self.stops.is_empty() {
            return found("stops", "a tour needs at least one stop".into());
        }
        let mut ids = BTreeSet::new();
        for (index, stop) in self.stops.iter().enumerate() {
            let place = format!("stops[{index}]");
            if !ids.insert(&stop.id) {
                return found(&format!("{place}.id"), format!("{:?} is used twice", stop.id));
            }
            if let Some((key, fault)) = stop.faults() {
                return Some((format!("{place}.{key}"), fault));
            }
        }
        None
    }
}

impl Stop {
    /// The time at which the scene is shown, in seconds, for a tour time in seconds.
    #[must_use]
    pub fn scene_time_s(&self, tour_time_s: f64) -> f64 {
        tour_time_s + self.time_shift_s
    }

    /// The point that everybody faces.
    #[must_use]
    pub fn look_at(&self) -> Vec3 {
        Vec3::from(self.look_at)
    }

    /// The light of the stop for the renderer.
    ///
    /// # Errors
    /// [`Error::Tour`]; can not happen for a tour that passed [`Tour::validate`].
    pub fn light(&self) -> Result<Lighting, Error> {
        self.lighting.resolve().map_err(|(key, fault)| Error::Tour {
            file: self.id.clone(),
            line: 0,
            place: format!("lighting.{key}"),
            fault,
        })
    }

    /// The cell with an id.
    #[must_use]
    pub fn cell(&self, id: &str) -> Option<&Cell> {
        self.cells.iter().find(|c| c.id == id)
    }

    /// Height of the walkable ground at a point, or `None` where nobody may stand.
    #[must_use]
    pub fn ground_m(&self, x: f32, z: f32) -> Option<f32> {
        self.walkable.iter().find_map(|a| a.height_m(x, z))
    }

    fn faults(&self) -> Option<(String, String)> {
        let found = |place: &str, fault: String| Some((place.to_owned(), fault));
        if let Some(fault) = bad_id(&self.id) {
            return found("id", fault);
        }
        if let Some(fault) = bad_id(&self.scene) {
            return found("scene", fault);
        }
        for (place, text) in [("title", &self.title), ("text", &self.text)] {
            if let Some(fault) = bad_text(text) {
                return found(place, fault);
            }
        }
        if !self.look_at.iter().all(|v| near(*v)) {
            return found("look_at", format!("{:?} is not finite or too far away", self.look_at));
        }
        if !(self.time_shift_s.is_finite() && self.time_shift_s.abs() <= 86_400.0) {
            return found("time_shift_s", format!("{} is more than a day", self.time_shift_s));
        }
        if let Err((key, fault)) = self.lighting.resolve() {
            return found(&format!("lighting.{key}"), fault);
        }
        for (index, area) in self.walkable.iter().enumerate() {
            if let Some(fault) = area.fault() {
                return found(&format!("walkable[{index}]"), fault);
            }
        }
        if self.cells.is_empty() {
            return found("cells", "a stop needs at least one cell".into());
        }
        let mut ids = BTreeSet::new();
        for (index, cell) in self.cells.iter().enumerate() {
            let fault = if ids.insert(&cell.id) {
                cell.fault(self)
            } else {
                Some(("id", "is used twice".into()))
            };
            if let Some((key, fault)) = fault {
                return found(&format!("cells[{index}].{key}"), fault);
            }
        }
        None
    }
}

impl Cell {
    fn fault(&self, stop: &Stop) -> Option<(&'static str, String)> {
        let [x, y, z] = self.eye;
        if let Some(fault) = bad_id(&self.id) {
            return Some(("id", fault));
        }
        if !self.eye.iter().all(|v| near(*v)) {
            return Some(("eye", format!("{:?} is not finite or too far away", self.eye)));
        }
        match stop.ground_m(x, z) {
            None => return Some(("eye", format!("[{x}, {z}] lies outside the walkable area"))),
            Some(ground) if (y - ground - EYE_HEIGHT_M).abs() > 0.25 => {
                return Some((
                    "eye",
                    format!("is {:.2} m above the ground, expected {EYE_HEIGHT_M}", y - ground),
                ));
            }
            Some(_) => {}
        }
        if !(0.2..=50.0).contains(&self.radius_m) {
            return Some(("radius_m", format!("{} is not between 0.2 and 50", self.radius_m)));
        }
        let Formation { rows, spacing_m } = self.formation;
        if !(1..=20).contains(&rows) || !(0.6..=5.0).contains(&spacing_m) {
            return Some((
                "formation",
                format!("{rows} rows (1 to 20) every {spacing_m} m (0.6 to 5)"),
            ));
        }
        None
    }
}

impl Area {
    /// Whether a point lies inside the outline and outside every hole, on ground.
    #[must_use]
    pub fn contains(&self, x: f32, z: f32) -> bool {
        self.height_m(x, z).is_some()
    }

    /// Height of the ground at a point of the area, metres; `None` outside.
    #[must_use]
    pub fn height_m(&self, x: f32, z: f32) -> Option<f32> {
        let at = Vec2::new(x, z);
        if !inside(&self.outline, at) || self.holes.iter().any(|h| inside(h, at)) {
            return None;
        }
        match &self.relief {
            None => Some(self.ground_m),
            Some(relief) => relief.rise_m(at).map(|rise| self.ground_m + rise),
        }
    }

    /// The surface of a relief for colliders: vertices in stop-local metres, three indices a triangle. `None` where the
    /// ground is level.
    #[must_use]
    pub fn relief_mesh(&self) -> Option<(Vec<Vec3>, Vec<[u32; 3]>)> {
        let relief = self.relief.as_ref()?;
        Some(relief.mesh(self.ground_m))
    }

    fn fault(&self) -> Option<String> {
        for outline in self.holes.iter().chain([&self.outline]) {
            if !(3..=512).contains(&outline.len()) {
                return Some(format!("an outline has {} corners, expected 3 to 512", outline.len()));
            }
            if !outline.iter().flatten().all(|v| near(*v)) {
                return Some("a corner is not finite or too far away".into());
            }
        }
        (!near(self.ground_m)).then(|| format!("ground_m = {} is not finite or too far away", self.ground_m))
    }
}

/// Even-odd rule.
fn inside(outline: &[[f32; 2]], at: Vec2) -> bool {
    let mut inside = false;
    let mut from = outline.last();
    for corner in outline {
        if let Some(&[px, pz]) = from {
            let [x, z] = *corner;
            if (z > at.y) != (pz > at.y) && at.x < (px - x) * (at.y - z) / (pz - z) + x {
                inside = !inside;
            }
        }
        from = Some(corner);
    }
    inside
}

impl TryFrom<String> for ClockTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = text
            .split(':')
            .map(|p| if p.len() == 2 { p.parse::<u32>().ok() } else { None });
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(h @ 0..=23)), Some(Some(m @ 0..=59)), Some(Some(s @ 0..=59)), None) => Ok(Self {
                seconds: h * 3600 + m * 60 + s,
            }),
            _ => Err(format!("{text:?} is not a time of day like \"16:00:00\"")),
        }
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> Self {
        let s = time.seconds;
        format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }
}

fn near(v: f32) -> bool {
    v.is_finite() && v.abs() <= 100_000.0
}

/// Names become file names and addresses, so that only harmless characters are allowed.
fn bad_id(id: &str) -> Option<String> {
    let harmless = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=64).contains(&id.len()) && id.bytes().all(harmless) && !id.starts_with('-');
    (!good).then(|| format!("{id:?} must be 1 to 64 of a-z, 0-9 and '-'"))
}

fn bad_text(text: &Text) -> Option<String> {
    for (language, value) in [("zh", &text.zh), ("en", &text.en)] {
        if value.trim().is_empty() || value.chars().count() > 2000 {
            return Some(format!("{language} is empty or longer than 2000 characters"));
        }
        if value.chars().any(|c| c.is_control() && c != '\n') {
            return Some(format!("{language} contains control characters"));
        }
    }
    None
}

/// The line, from 1, of a key such as `stops[1].cells[0].eye`, or of the nearest thing around it; 0 if none is.
fn line_of(text: &str, place: &str) -> usize {
    let Ok(root) = toml::de::DeTable::parse(text) else {
        return 0;
    };
    let root = toml::Spanned::new(0..text.len(), toml::de::DeValue::Table(root.into_inner()));
    let (mut value, mut at) = (&root, None);
    for key in place.split(['.', '[']).map(|k| k.trim_end_matches(']')) {
        let next = match key.parse::<usize>() {
            Ok(index) => value.get_ref().get(index),
            Err(_) => value.get_ref().get(key),
        };
        let Some(next) = next else { break };
        at = Some(next.span().start);
        value = next;
    }
    at.and_then(|at| text.get(..at))
        .map_or(0, |before| before.matches('\n').count() + 1)
}

#[cfg(test)]
#[path = "tour_tests.rs"]
mod tests;
