//! The stages in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use glam::{DVec3, Vec3};
use tongyou_scene::{Material, Mesh, Node, Primitive, Scene};

use crate::budget::Need;
use crate::data::{Bounds, Look, Part, Splat, Up};
use crate::gather::{Gathered, Room, gather};
use crate::georef::Local;
use crate::job::Job;
use crate::progress::{self, Progress};
use crate::report::{Ground, Object, Report, Surfels, Tiles, Work};
use crate::source::Source;
use crate::surface::{foliage, ground, object, surfels};
use crate::write::splats;
use crate::{Error, Options, ScanPoint, Surface, clean, read, simplify, tiles};

/// What is wider than this and at least four times as wide as high is taken for ground seen from the air.
const GROUND_M: f64 = 60.0;

/// Where an import works and whom it tells.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Where points go that are too many for memory; without it all stay in memory.
    pub job: Option<&'a Job>,
    /// Points on disk become tiles in [`Job::out`]; else only what the scene needs of them is kept.
    pub tiles: bool,
    /// How far it is.
    pub progress: &'a Progress,
}

/// Imports a file of any format in memory. The same file and options give the same scene.
///
/// # Errors
/// [`Error`], naming the file, the place and the fault.
pub fn import(path: &Path, name: &str, options: &Options) -> Result<(Scene, Report), Error> {
    let run = Run {
        job: None,
        tiles: false,
        progress: &Progress::new(progress::Report::Quiet),
    };
    import_all(&[path.to_owned()], name, options, &run)
}

/// An input that is read.
struct Input {
    source: Source,
    gathered: Gathered,
    up: Up,
    /// The coordinate system that it or the user states.
    crs: Option<String>,
}

/// Imports files of any format into one scene in one frame: that of the first with a coordinate system. The same files
/// and options give the same scene.
///
/// # Errors
/// [`Error`], naming the file, the place and the fault.
pub fn import_all(paths: &[PathBuf], name: &str, options: &Options, run: &Run<'_>) -> Result<(Scene, Report), Error> {
    let mut inputs = read_all(paths, options, run)?;
    let Some(first) = inputs.first().map(|i| i.source.clone()) else {
        return Err(Error::Option {
            option: "SCAN",
            fault: "there is none".into(),
        });
    };
    let mut warnings: Vec<String> = Vec::new();
    for input in &mut inputs {
        let several = paths.len() > 1;
        let file = input
            .source
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let named = |w: String| if several { format!("{file}: {w}") } else { w };
        warnings.extend(std::mem::take(&mut input.gathered.warnings).into_iter().map(named));
    }
    let (locals, told) = locate(&inputs, options)?;
    warnings.extend(told);
    let frame = locals[0].frame.clone();
    let formats: BTreeSet<String> = inputs.iter().map(|i| i.source.format.to_string()).collect();
    let mut report = Report {
        format: formats.into_iter().collect::<Vec<_>>().join(", "),
        work: Vec::new(),
        tiles: None,
        triangles: 0,
        min: DVec3::INFINITY,
        max: DVec3::NEG_INFINITY,
        frame,
        warnings,
        splats: Vec::new(),
        fit: None,
    };
    let mut scene: Option<Scene> = None;
    let mut add_made = |report: &mut Report, (made, work, triangles, (min, max)): Made| {
        report.work.push(work);
        report.triangles += triangles;
        (report.min, report.max) = (report.min.min(min), report.max.max(max));
        match &mut scene {
            None => scene = Some(made),
            Some(scene) => join(scene, made),
        }
    };
    if inputs.iter().any(|i| !i.gathered.parts.is_empty()) {
        run.progress.stage("clean meshes", 0);
        let (parts, look) = placed_parts(&mut inputs, &locals)?;
        add_made(&mut report, meshes(&first, parts, look, name, options)?);
    }
    if inputs.iter().any(|i| !i.gathered.splats.is_empty()) {
        run.progress.stage("place splats", 0);
        report.warnings.push(
            "the server draws splats as small opaque squares; their soft edges and view-dependent colours are in splats.glb"
                .into(),
        );
        let all: usize = inputs.iter().map(|i| i.gathered.splats.len()).sum();
        for (input, local) in inputs.iter_mut().zip(&locals) {
            if input.gathered.splats.is_empty() {
                continue;
            }
            let splats = std::mem::take(&mut input.gathered.splats);
            let share = splats.len() as f64 / all as f64;
            let made = squares(&input.source, &splats, local, name, options, share)?;
            report
                .splats
                .extend(splats::placed(&splats, local, |p| kept(options, p)));
            add_made(&mut report, made);
        }
    }
    let spilled = inputs.iter().any(|i| i.gathered.spilled.is_some());
    if let (true, Some(job)) = (spilled, run.job) {
        let noise: u64 = spilled_of(&inputs).map(|s| s.noise).sum();
        let all: u64 = spilled_of(&inputs).map(|s| s.points).sum();
        let both = inputs.into_iter().zip(locals);
        let both: Vec<_> = both
            .filter_map(|(i, local)| Some((i.gathered.spilled?, local)))
            .collect();
        let settings = tiles::Settings {
            job,
            threads: options.threads,
            crop: options.placement.crop,
            frame: &report.frame,
            precision_m: options.precision_m,
            write: run.tiles,
            progress: run.progress,
        };
        let tiled = tiles::build(&both, &settings)?;
        run.progress.stage("surface", 0);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let cloud = Cloud {
            points: tiled.sample,
            normals: Vec::new(),
            all: count(all + noise),
            outliers: count(noise + tiled.outliers + tiled.outside),
            duplicates: count(tiled.duplicates),
        };
        if run.tiles {
            report.tiles = Some(Tiles {
                points: tiled.points,
                tiles: tiled.tiles,
                bytes: tiled.bytes,
                duplicates: tiled.duplicates,
                outliers: noise + tiled.outliers,
                outside: tiled.outside,
                moved_m: tiled.moved_m,
            });
            (report.min, report.max) = (report.min.min(tiled.bounds.0), report.max.max(tiled.bounds.1));
        }
        add_made(&mut report, points(&first, cloud, name, options)?);
    } else if inputs.iter().any(|i| !i.gathered.points.positions.is_empty()) {
        run.progress.stage("surface", 0);
        let cloud = Cloud::of(inputs, &locals, options);
        add_made(&mut report, points(&first, cloud, name, options)?);
    }
    let scene = scene.ok_or_else(|| first.fault("file", "has nothing to show"))?;
    Ok((scene, report))
}

fn spilled_of(inputs: &[Input]) -> impl Iterator<Item = &tiles::spill::Spilled> {
    inputs.iter().filter_map(|i| i.gathered.spilled.as_ref())
}

/// Reads all inputs; those that were read before a crash are not read again.
fn read_all(paths: &[PathBuf], options: &Options, run: &Run<'_>) -> Result<Vec<Input>, Error> {
    let mut room = Room {
        need: Need::default(),
        limit: options.memory,
        limits: &options.limits,
        progress: run.progress,
    };
    let mut out = Vec::with_capacity(paths.len());
    for (number, path) in paths.iter().enumerate() {
        let source = Source::open(path)?;
        let summary = read::inspect(path)?;
        let all = summary
            .counts
            .iter()
            .filter(|(what, _)| matches!(*what, "points" | "splats" | "vertices"));
        let stage = format!("input-{number}");
        let again = run.job.and_then(|job| job.finished(&stage));
        let gathered = if let Some(spilled) = again {
            Gathered::again(spilled)
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            run.progress.stage(&format!("read {name}"), all.map(|c| c.1).sum());
            let spill_to = run.job.map(|job| job.path(&format!("{stage}.raw")));
            let gathered = gather(&source, &mut room, spill_to)?;
            let only_points = gathered.parts.is_empty() && gathered.splats.is_empty();
            if let (Some(spilled), Some(job), true) = (&gathered.spilled, run.job, only_points) {
                job.finish(&stage, spilled)?;
            }
            gathered
        };
        out.push(Input {
            source,
            gathered,
            up: options.placement.up.unwrap_or(summary.up),
            crs: options.placement.crs.clone().or(summary.crs),
        });
    }
    if let Some(job) = run.job.filter(|_| out.iter().any(|i| i.gathered.spilled.is_some())) {
        for (number, input) in out.iter_mut().enumerate() {
            input.gathered.spill(job.path(&format!("input-{number}.raw")))?;
        }
    }
    Ok(out)
}

impl Input {
    /// The upright box around it and the height of its low ground: not of its lowest outlier.
    fn extent(&self) -> Option<(Bounds, f64)> {
        let bounds = Local::upright_bounds(self.up, self.gathered.positions())?;
        if let Some(spilled) = &self.gathered.spilled {
            let low = match self.up {
                Up::Y => spilled.low_y,
                Up::Z => spilled.low_z,
            };
            return Some((bounds, Local::height(self.up, low.into())));
        }
        let mut heights: Vec<f64> = self.gathered.positions().map(|p| Local::height(self.up, p)).collect();
        let place = heights.len() / 10;
        Some((bounds, *heights.select_nth_unstable_by(place, f64::total_cmp).1))
    }
}

/// The way of each input to one frame, and what the user should know.
fn locate(inputs: &[Input], options: &Options) -> Result<(Vec<Local>, Vec<String>), Error> {
    let nothing = |input: &Input| input.source.fault("file", "has nothing to show");
    let extents: Vec<(Bounds, f64)> = inputs
        .iter()
        .map(|i| i.extent().ok_or_else(|| nothing(i)))
        .collect::<Result<_, _>>()?;
    let alone = |at: usize| {
        let (input, (bounds, low)) = (&inputs[at], extents[at]);
        Local::new(
            &input.source,
            input.crs.as_deref(),
            input.up,
            bounds,
            low,
            &options.placement,
        )
    };
    if inputs.len() == 1 {
        let local = alone(0)?;
        let warnings = local.warnings.clone();
        return Ok((vec![local], warnings));
    }
    // The first that a coordinate system puts on Earth carries the frame.
    let mut leader = None;
    for at in (0..inputs.len()).filter(|&at| inputs[at].crs.is_some()) {
        let local = alone(at)?;
        if local.is_on_earth() {
            leader = Some((at, local));
            break;
        }
    }
    let (leader, frame) = match leader {
        Some(found) => found,
        None => {
            // All in one plane: its middle is that of all.
            let corners = extents.iter().flat_map(|(b, _)| [b.min, b.max]);
            let bounds = Bounds::around(corners).ok_or_else(|| nothing(&inputs[0]))?;
            let low = extents.iter().map(|e| e.1).fold(f64::INFINITY, f64::min);
            let first = &inputs[0];
            (
                0,
                Local::new(&first.source, None, first.up, bounds, low, &options.placement)?,
            )
        }
    };
    let mut warnings = frame.warnings.clone();
    let mut out = Vec::with_capacity(inputs.len());
    for (input, (bounds, _)) in inputs.iter().zip(&extents) {
        let mut crs = input.crs.clone();
        if crs.is_none() && frame.is_on_earth() {
            let led = extents[leader].0;
            let size = led.size().max(bounds.size());
            let near = (bounds.min - size).cmple(led.max).all() && (bounds.max + size).cmpge(led.min).all();
            let file = input.source.path.file_name().unwrap_or_default().to_string_lossy();
            if !near {
                let fault = "states no coordinate system and its coordinates are far from those of the other inputs: \
                             give --crs, or import it alone with --at";
                return Err(input.source.fault("file", fault));
            }
            warnings.push(format!(
                "{file} states no coordinate system and is taken to be in that of {}",
                inputs[leader]
                    .source
                    .path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
            ));
            crs.clone_from(&inputs[leader].crs);
        }
        let local = frame.beside(crs.as_deref(), input.up, *bounds);
        out.push(local.map_err(|fault| input.source.fault("coordinate system", fault))?);
    }
    Ok((out, warnings))
}

/// A scene, what was done for it, its triangles, and its box in local metres.
type Made = (Scene, Work, usize, (DVec3, DVec3));

/// Puts one scene to another.
fn join(to: &mut Scene, from: Scene) {
    let (meshes, materials, images, nodes) = (to.meshes.len(), to.materials.len(), to.images.len(), to.nodes.len());
    let move_image = |image: &mut Option<usize>| *image = image.map(|i| i + images);
    to.images.extend(from.images);
    to.materials.extend(from.materials.into_iter().map(|mut m| {
        move_image(&mut m.base_color_texture);
        move_image(&mut m.metallic_roughness_texture);
        move_image(&mut m.normal_texture);
        move_image(&mut m.emissive_texture);
        m
    }));
    to.meshes.extend(from.meshes.into_iter().map(|mut mesh| {
        for primitive in &mut mesh.primitives {
            primitive.material = primitive.material.map(|m| m + materials);
        }
        mesh
    }));
    to.nodes.extend(from.nodes.into_iter().map(|mut node| {
        node.mesh = node.mesh.map(|m| m + meshes);
        node.parent = node.parent.map(|p| p + nodes);
        node
    }));
}

/// Whether a place is inside the crop.
fn kept(options: &Options, p: DVec3) -> bool {
    let crop = options.placement.crop;
    crop.is_none_or(|[west, south, east, north]| (west..=east).contains(&p.x) && (south..=north).contains(&p.y))
}

/// Points in local metres.
struct Cloud {
    points: Vec<ScanPoint>,
    /// As long as `points`, or empty.
    normals: Vec<Vec3>,
    /// In the files.
    all: usize,
    /// Left out already.
    outliers: usize,
    duplicates: usize,
}

impl Cloud {
    /// The points of all inputs at their places, each place once.
    fn of(inputs: Vec<Input>, locals: &[Local], options: &Options) -> Self {
        let mut out = Self {
            points: Vec::new(),
            normals: Vec::new(),
            all: 0,
            outliers: 0,
            duplicates: 0,
        };
        let mut all_normals = true;
        for (input, local) in inputs.into_iter().zip(locals) {
            let points = input.gathered.points;
            let noise = usize::try_from(points.noise).unwrap_or(usize::MAX);
            out.all += points.positions.len() + noise;
            out.outliers += noise;
            all_normals &= points.positions.is_empty() || !points.normals.is_empty();
            for (at, (&position, &color)) in points.positions.iter().zip(&points.colors).enumerate() {
                let Some(position) = local.place(position).filter(|&p| kept(options, p)) else {
                    out.outliers += 1;
                    continue;
                };
                out.points.push(ScanPoint { position, color });
                let normal = points.normals.get(at).map_or(Vec3::Z, |&n| local.direction(n));
                out.normals.push(normal);
            }
        }
        out.duplicates = clean::points::drop_duplicates(&mut out.points, &mut out.normals);
        if !all_normals {
            out.normals = Vec::new();
        }
        out
    }
}

fn points(source: &Source, cloud: Cloud, name: &str, options: &Options) -> Result<Made, Error> {
    let Cloud {
        mut points,
        normals,
        all,
        outliers,
        duplicates,
    } = cloud;
    if points.len() < 3 {
        return Err(source.fault("file", format!("has {} usable points, a surface needs 3", points.len())));
    }
    let (min, max) = crate::bounds(&points);
    let size = max - min;
    if size.max_element() < 1e-9 {
        return Err(source.fault("file", format!("has {} points, all of them at one place", points.len())));
    }
    let as_ground = match options.surface {
        Surface::Ground => true,
        Surface::Surfels | Surface::Object => false,
        Surface::Auto => size.x.max(size.y) > GROUND_M && size.x.min(size.y) > 4.0 * size.z.min(GROUND_M / 4.0),
    };
    if options.surface == Surface::Object {
        let made = object::around(&points, &normals, options.vertices, name);
        let made =
            made.ok_or_else(|| source.fault("surface", "the points make none: they are too few or too far apart"))?;
        let work = Object {
            points: all,
            duplicates,
            outliers: made.outliers + outliers,
            vertices: made.vertices,
            cell_m: made.cell_m,
            error_m: made.apart.max_m,
            rms_error_m: made.apart.rms_m,
        };
        return Ok((made.scene, Work::Object(work), made.triangles, (min, max)));
    }
    if !as_ground {
        let made = surfels::of_points(points, normals, options.vertices);
        let work = Surfels {
            points: all,
            duplicates,
            outliers: made.outliers + outliers,
            kept: made.squares,
            cell_m: made.cell_m,
        };
        let triangles = made.squares * 2;
        return Ok((
            surfels::scene(made.primitives, name),
            Work::Surfels(work),
            triangles,
            (min, max),
        ));
    }
    let before = points.len();
    clean::points::drop_lonely(&mut points);
    let outliers = outliers + before - points.len();
    let (min, max) = crate::bounds(&points);
    let mut foliage = foliage::split(&mut points);
    let leaves = foliage.len();
    foliage::thin(&mut foliage, options.vertices);
    let cell_m = clean::points::cell_for(&points, options.vertices);
    clean::points::thin(&mut points, cell_m);
    let thinned = points.len();
    let spikes = clean::points::drop_spikes(&mut points, cell_m);
    let (scene, triangles) = ground::scene(&points, &foliage, cell_m, name, options.base, source)?;
    let work = Ground {
        points: all,
        duplicates,
        outliers,
        kept: thinned - spikes,
        foliage: leaves,
        tufts: foliage.len(),
        spikes,
        cell_m,
    };
    Ok((scene, Work::Ground(work), triangles, (min, max)))
}

/// Squares for the splats of one input, its share of those that the options allow.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count"
)]
fn squares(
    source: &Source,
    splats: &[Splat],
    local: &Local,
    name: &str,
    options: &Options,
    share: f64,
) -> Result<Made, Error> {
    let place = |p| local.place(p).filter(|&p| kept(options, p));
    let most = (options.vertices.saturating_mul(2) as f64 * share).ceil() as usize;
    let made = surfels::of_splats(splats, place, local.linear(), most);
    let Some(bounds) = made.bounds() else {
        return Err(source.fault("file", "has no splat that could be seen"));
    };
    let work = Surfels {
        points: splats.len(),
        duplicates: 0,
        outliers: made.outliers,
        kept: made.squares,
        cell_m: 0.0,
    };
    let triangles = made.squares * 2;
    Ok((
        surfels::scene(made.primitives, name),
        Work::Surfels(work),
        triangles,
        bounds,
    ))
}

/// The parts of all inputs at their places, and the materials of all.
fn placed_parts(inputs: &mut [Input], locals: &[Local]) -> Result<(Vec<Part>, Look), Error> {
    let mut placed = Vec::new();
    let mut look = Look::default();
    for (input, local) in inputs.iter_mut().zip(locals) {
        let source = &input.source;
        let mirrored = local.linear().determinant() < 0.0;
        let (materials, images) = (look.materials.len(), look.images.len());
        let of = std::mem::take(&mut input.gathered.look);
        let moved = |image: Option<usize>| image.map(|i| i + images);
        look.materials.extend(of.materials.into_iter().map(|m| Material {
            base_color_texture: moved(m.base_color_texture),
            metallic_roughness_texture: moved(m.metallic_roughness_texture),
            normal_texture: moved(m.normal_texture),
            emissive_texture: moved(m.emissive_texture),
            ..m
        }));
        look.images.extend(of.images);
        for mut part in std::mem::take(&mut input.gathered.parts) {
            part.material = part.material.map(|m| m + materials);
            for position in &mut part.positions {
                let at = local.place(*position);
                *position = at.ok_or_else(|| source.fault(&part.name, "has vertices without a place on Earth"))?;
            }
            for normal in &mut part.normals {
                *normal = local.direction(*normal);
            }
            if mirrored {
                for triangle in part.indices.as_chunks_mut::<3>().0 {
                    triangle.swap(1, 2);
                }
            }
            placed.push(part);
        }
    }
    Ok((placed, look))
}

fn meshes(source: &Source, parts: Vec<Part>, mut look: Look, name: &str, options: &Options) -> Result<Made, Error> {
    let (parts, work) = clean::mesh::clean(parts, options.fragment_share, |p| kept(options, p));
    let bounds = Bounds::around(parts.iter().flat_map(|p| p.positions.iter().copied()));
    let Some(bounds) = bounds else {
        return Err(source.fault("file", "has no triangle left after cleaning"));
    };
    let mut out = Scene {
        name: name.to_owned(),
        ..Scene::default()
    };
    if look.materials.is_empty() || parts.iter().any(|p| p.material.is_none()) {
        look.materials.push(ground::material());
    }
    let fallback = look.materials.len() - 1;
    let mut triangles = 0;
    for part in parts {
        triangles += part.indices.len() / 3;
        let mut primitive = Primitive {
            material: Some(part.material.unwrap_or(fallback)),
            positions: part.positions.iter().map(|&p| to_scene(p)).collect(),
            normals: part.normals.iter().map(|n| Vec3::new(n.x, n.z, -n.y)).collect(),
            tangents: Vec::new(),
            tex_coords: part.tex_coords,
            colors: part.colors,
            indices: part.indices,
        };
        simplify::optimise(&mut primitive);
        add(&mut out, part.name, primitive);
    }
    out.materials = look.materials;
    out.images = look.images;
    untextured(&mut out);
    Ok((out, Work::Meshes(work), triangles, (bounds.min, bounds.max)))
}

/// Gives primitives without texture coordinates their material without its textures, as glTF demands.
fn untextured(scene: &mut Scene) {
    let mut plain: BTreeMap<usize, usize> = BTreeMap::new();
    for primitive in scene.meshes.iter_mut().flat_map(|m| &mut m.primitives) {
        let Some(material) = primitive.material.filter(|_| primitive.tex_coords.is_empty()) else {
            continue;
        };
        let with = &scene.materials[material];
        let textures = [
            with.base_color_texture,
            with.metallic_roughness_texture,
            with.normal_texture,
            with.emissive_texture,
        ];
        if textures.iter().all(Option::is_none) {
            continue;
        }
        let without = Material {
            base_color_texture: None,
            metallic_roughness_texture: None,
            normal_texture: None,
            emissive_texture: None,
            ..with.clone()
        };
        let index = *plain.entry(material).or_insert_with(|| {
            scene.materials.push(without);
            scene.materials.len() - 1
        });
        primitive.material = Some(index);
    }
}

/// East, north, up to x east, y up, z south.
pub(crate) fn to_scene(p: DVec3) -> Vec3 {
    DVec3::new(p.x, p.z, -p.y).as_vec3()
}

/// Adds a mesh under a node of its own.
pub(crate) fn add(scene: &mut Scene, name: String, primitive: Primitive) {
    scene.meshes.push(Mesh {
        name: name.clone(),
        primitives: vec![primitive],
    });
    scene.nodes.push(Node {
        name,
        parent: None,
        translation: Vec3::ZERO,
        rotation: glam::Quat::IDENTITY,
        scale: Vec3::ONE,
        mesh: Some(scene.meshes.len() - 1),
        light: None,
    });
}
