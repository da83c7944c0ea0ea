//! Puts a scene into a tour: a stop in the tour's file, the scene's model in the folder that the server reads. What
//! the author wrote stays as it is, comments included.

use std::path::{Path, PathBuf};

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};
use tongyou_scene::Tour;

use crate::write::{self, Manifest};
use crate::{Error, Frame, validate};

/// What is added, and where.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Addition {
    /// The tour: its file, or its name without `.toml`. A tour that is not there is made.
    pub tour: PathBuf,
    /// The folder that the server reads scenes from; the scene's parent where none is given.
    pub scenes: Option<PathBuf>,
    /// The stop's id; the scene's name where none is given.
    pub stop: Option<String>,
    /// What everybody faces, metres east, up and south of the scene's origin; what rises most where none is given.
    pub look_at: Option<[f32; 3]>,
    /// What visitors read, Chinese and English; a placeholder where none is given.
    pub title: Option<(String, String)>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// The tour's file.
    pub tour: PathBuf,
    /// The model that the tour's stop names.
    pub scene: PathBuf,
    /// The id of the stop.
    pub stop: String,
    /// Whether the stop was there and was brought up to date.
    pub replaced: bool,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// Adds a scene's folder to a tour, or brings its stop up to date: texts and light stay, cells and ground are replaced.
///
/// # Errors
/// [`Error`] where the scene is not fit to publish, has no place to stand, or the tour would not be one. Nothing is
/// written then.
pub fn add(folder: &Path, addition: &Addition) -> Result<Added, Error> {
    let refused = |fault: String| Error::Add { fault };
    let findings = validate(folder)?;
    if let Some(first) = findings.errors.first() {
        let more = findings.errors.len() - 1;
        return Err(refused(format!(
            "{} is not fit to publish: {first}{}",
            folder.display(),
            if more > 0 {
                format!(" (and {more} more)")
            } else {
                String::new()
            }
        )));
    }
    let manifest = Manifest::load(folder)?;
    let name = folder
        .canonicalize()
        .ok()
        .and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
    let name = name.map_or_else(String::new, |n| id_of(&n));
    let stop = addition.stop.clone().unwrap_or_else(|| name.clone());
    let chosen = match addition.look_at {
        None => manifest.stop.clone(),
        Some(look_at) => {
            let scene = crate::preview::load(folder)?.0;
            crate::cells::draft(&crate::collide::Shell::new(&scene), Some(look_at.into()))
        }
    };
    let draft = chosen.as_ref().ok_or_else(|| {
        refused(format!(
            "{} has no place to stand; its scene.toml needs a [stop]",
            folder.display()
        ))
    })?;
    let path = file_of(&addition.tour);
    let (text, made) = match std::fs::read_to_string(&path) {
        Ok(text) => (text, false),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (new_tour(&path, &manifest), true),
        Err(source) => return Err(Error::Io { file: path, source }),
    };
    if !made {
        // A fault that was there before is not this scene's.
        Tour::parse(&text, &path.display().to_string())?;
    }
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| refused(e.to_string()))?;
    let written = stop_table(&stop, &name, addition.title.as_ref(), draft)?;
    let stops = document
        .entry("stops")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let stops = stops
        .as_array_of_tables_mut()
        .ok_or_else(|| refused(format!("{}: stops is not written as [[stops]]", path.display())))?;
    let known = stops
        .iter_mut()
        .find(|t| t.get("id").and_then(Item::as_str) == Some(&stop));
    let replaced = known.is_some();
    match known {
        Some(known) => {
            for key in ["scene", "look_at", "cells", "walkable"] {
                if let Some(item) = written.get(key) {
                    known.insert(key, item.clone());
                }
            }
        }
        None => stops.push(written),
    }
    let text = document.to_string();
    let tour = Tour::parse(&text, &path.display().to_string())?;

    let scenes = addition
        .scenes
        .clone()
        .or_else(|| folder.canonicalize().ok()?.parent().map(Path::to_owned));
    let scenes = scenes.ok_or_else(|| refused("the folder of scenes is not known: --scenes".into()))?;
    let finest = manifest
        .level
        .first()
        .ok_or_else(|| refused("scene.toml lists no files".into()))?;
    let from = folder.join(&finest.file);
    let bytes = std::fs::read(&from).map_err(|source| Error::Io { file: from, source })?;
    let scene = scenes.join(format!("{name}.glb"));
    // The model first: a server never sees a tour whose scene is missing.
    write::file(&scene, &bytes)?;
    write::file(&path, text.as_bytes())?;
    let mut warnings = findings.warnings;
    warnings.extend(apart(&tour, &manifest));
    if !draft.own_ground {
        warnings.push("the scan has no ground: people stand on a plane at its foot".into());
    }
    if addition.title.is_none() && !replaced {
        warnings.push(format!("title and text of stop {stop:?} are placeholders"));
    }
    Ok(Added {
        tour: path,
        scene,
        stop,
        replaced,
        warnings,
    })
}

/// The text of a tour with this scene as its only stop, for looking at it alone.
///
/// # Errors
/// [`Error::Add`] where the scene has no place to stand.
pub(crate) fn tour_of(name: &str, manifest: &Manifest, draft: &crate::Draft) -> Result<String, Error> {
    let refused = |fault: String| Error::Add { fault };
    let text = new_tour(Path::new(name), manifest);
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| refused(e.to_string()))?;
    let mut stops = ArrayOfTables::new();
    stops.push(stop_table(name, name, None, draft)?);
    document.insert("stops", Item::ArrayOfTables(stops));
    let text = document.to_string();
    Tour::parse(&text, name)?;
    Ok(text)
}

/// `tours/mine` is `tours/mine.toml`.
fn file_of(tour: &Path) -> PathBuf {
    if tour.extension().is_some_and(|e| e == "toml") {
        return tour.to_owned();
    }
    let mut name = tour.as_os_str().to_owned();
    name.push(".toml");
    PathBuf::from(name)
}

/// A name as tours allow it.
fn id_of(name: &str) -> String {
    let lower = name.to_lowercase();
    let harmless = |c: char| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    };
    let id: String = lower.chars().map(harmless).take(64).collect();
    let id = id.trim_matches('-').to_owned();
    if id.is_empty() { "scan".to_owned() } else { id }
}

fn new_tour(path: &Path, manifest: &Manifest) -> String {
    let id = path
        .file_stem()
        .map_or_else(|| "tour".to_owned(), |s| id_of(&s.to_string_lossy()));
    let (lat, lon, height) = match &manifest.anchor {
        Frame::Earth { lat, lon, height_m, .. } => (*lat, *lon, *height_m),
        Frame::Plane { .. } => (0.0, 0.0, 0.0),
    };
    let whose = manifest.rights.attribution.trim();
    let whose = if whose.is_empty() { "?" } else { whose };
    let credit = Value::from(whose);
    format!(
        "# Made by `tongyou-import add`. Titles and texts are for you to write.\n\
         id = \"{id}\"\n\
         title = {{ zh = \"{id}\", en = \"{id}\" }}\n\
         summary = {{ zh = \"导入的扫描。\", en = \"An imported scan.\" }}\n\
         credit = {{ zh = {credit}, en = {credit} }}\n\
         clock_start = \"14:00:00\"\n\
         anchor = {{ lat = {lat:?}, lon = {lon:?}, height_m = {height:?} }}\n"
    )
}

/// The stop as a table: TOML of the very types that the tour is read with.
fn stop_table(stop: &str, scene: &str, title: Option<&(String, String)>, draft: &crate::Draft) -> Result<Table, Error> {
    let refused = |fault: String| Error::Add { fault };
    let text = toml::to_string(draft).map_err(|e| refused(e.to_string()))?;
    let drafted: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| refused(e.to_string()))?;
    let both = |zh: &str, en: &str| {
        let mut table = toml_edit::InlineTable::new();
        table.insert("zh", zh.into());
        table.insert("en", en.into());
        toml_edit::value(table)
    };
    let mut table = Table::new();
    table.insert("id", toml_edit::value(stop));
    table.insert(
        "title",
        match title {
            Some((zh, en)) => both(zh, en),
            None => both(&format!("扫描：{scene}"), &format!("A scan: {scene}")),
        },
    );
    table.insert("text", both("（待写）", "(to be written)"));
    table.insert("scene", toml_edit::value(scene));
    table.insert("look_at", drafted["look_at"].clone());
    let mut light = toml_edit::InlineTable::new();
    light.insert("preset", "day".into());
    table.insert("lighting", toml_edit::value(light));
    for key in ["cells", "walkable"] {
        table.insert(key, drafted[key].clone());
    }
    // Tables keep the place they had in their own document, which is not this one.
    table.set_position(None);
    for key in ["cells", "walkable"] {
        for inner in table
            .get_mut(key)
            .and_then(Item::as_array_of_tables_mut)
            .into_iter()
            .flat_map(|a| a.iter_mut())
        {
            place_anywhere(inner);
        }
    }
    Ok(table)
}

fn place_anywhere(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        if let Some(inner) = item.as_table_mut() {
            place_anywhere(inner);
        }
    }
}

/// A tour has one anchor; a scene that was placed elsewhere keeps its own origin, and its sun is not that of the tour.
fn apart(tour: &Tour, manifest: &Manifest) -> Option<String> {
    let Frame::Earth { lat, lon, .. } = manifest.anchor else {
        return None;
    };
    let metres_per_degree = 111_320.0;
    let north = (lat - tour.anchor.lat) * metres_per_degree;
    let east = (lon - tour.anchor.lon) * metres_per_degree * lat.to_radians().cos();
    let far = north.hypot(east);
    (far > 1.0).then(|| format!("the scene's anchor is {far:.0} m from the tour's: the stop has an origin of its own"))
}
