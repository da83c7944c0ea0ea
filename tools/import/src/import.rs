//! The stages in their order.

use std::collections::BTreeMap;
use std::path::Path;

use glam::{DVec3, Vec3};
use tongyou_scene::{Material, Mesh, Node, Primitive, Scene};

use crate::data::Up;
use crate::gather::{Gathered, gather};
use crate::georef::Local;
use crate::report::{Ground, Report, Surfels, Work};
use crate::source::Source;
use crate::surface::{foliage, ground, surfels};
use crate::write::splats;
use crate::{Error, Options, Surface, clean, read, simplify};

/// What is wider than this and at least four times as wide as high is taken for ground seen from the air.
const GROUND_M: f64 = 60.0;

/// Imports a file of any format. The same file and options give the same scene.
///
/// # Errors
/// [`Error`], naming the file, the place and the fault.
pub fn import(path: &Path, name: &str, options: &Options) -> Result<(Scene, Report), Error> {
    let source = Source::open(path)?;
    let summary = read::inspect(path)?;
    let mut gathered = gather(&source, &options.limits)?;
    let up = options.placement.up.unwrap_or(summary.up);
    let local = locate(&source, &gathered, up, summary.crs.as_deref(), options)?;
    let mut warnings = std::mem::take(&mut gathered.warnings);
    warnings.extend(local.warnings.iter().cloned());
    let splats = splats::placed(&gathered.splats, &local, |p| kept(options, p));
    let (scene, work, triangles, (min, max)) = if !gathered.parts.is_empty() {
        meshes(&source, gathered, &local, name, options)?
    } else if !gathered.splats.is_empty() {
        warnings.push(
            "the server draws splats as small opaque squares; their soft edges and view-dependent colours are in splats.glb"
                .into(),
        );
        squares(&source, &gathered, &local, name, options)?
    } else {
        points(&source, &gathered, &local, name, options)?
    };
    let report = Report {
        format: source.format.to_string(),
        work,
        triangles,
        min,
        max,
        frame: local.frame.clone(),
        warnings,
        splats,
    };
    Ok((scene, report))
}

/// A scene, what was done for it, its triangles, and its box in local metres.
type Made = (Scene, Work, usize, (DVec3, DVec3));

fn locate(
    source: &Source,
    gathered: &Gathered,
    up: Up,
    stated: Option<&str>,
    options: &Options,
) -> Result<Local, Error> {
    let bounds = Local::upright_bounds(up, gathered.positions());
    let bounds = bounds.ok_or_else(|| source.fault("file", "has nothing to show"))?;
    // Low ground, not the lowest outlier.
    let mut heights: Vec<f64> = gathered.positions().map(|p| Local::height(up, p)).collect();
    let place = heights.len() / 10;
    let low = *heights.select_nth_unstable_by(place, f64::total_cmp).1;
    Local::new(source, stated, up, bounds, low, &options.placement)
}

/// Whether a place is inside the crop.
fn kept(options: &Options, p: DVec3) -> bool {
    let crop = options.placement.crop;
    crop.is_none_or(|[west, south, east, north]| (west..=east).contains(&p.x) && (south..=north).contains(&p.y))
}

fn points(source: &Source, gathered: &Gathered, local: &Local, name: &str, options: &Options) -> Result<Made, Error> {
    let place = |p| local.place(p).filter(|&p| kept(options, p));
    let mut points = gathered.placed(place);
    let all = gathered.points.positions.len();
    let noise = usize::try_from(gathered.points.noise).unwrap_or(usize::MAX);
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
        Surface::Surfels => false,
        Surface::Auto => size.x.max(size.y) > GROUND_M && size.x.min(size.y) > 4.0 * size.z.min(GROUND_M / 4.0),
    };
    if !as_ground {
        let (normals, placed) = (&gathered.points.normals, points.len() == all);
        let normals = if placed && !normals.is_empty() {
            normals.iter().map(|&n| local.direction(n)).collect()
        } else {
            Vec::new()
        };
        let made = surfels::of_points(points, normals, options.vertices);
        let work = Surfels {
            points: all + noise,
            outliers: made.outliers + noise,
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
    clean::points::drop_lonely(&mut points);
    let outliers = noise + all - points.len();
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
        points: all + noise,
        outliers,
        kept: thinned - spikes,
        foliage: leaves,
        tufts: foliage.len(),
        spikes,
        cell_m,
    };
    Ok((scene, Work::Ground(work), triangles, (min, max)))
}

fn squares(source: &Source, gathered: &Gathered, local: &Local, name: &str, options: &Options) -> Result<Made, Error> {
    let place = |p| local.place(p).filter(|&p| kept(options, p));
    let made = surfels::of_splats(
        &gathered.splats,
        place,
        local.linear(),
        options.vertices.saturating_mul(2),
    );
    let Some(bounds) = made.bounds() else {
        return Err(source.fault("file", "has no splat that could be seen"));
    };
    let work = Surfels {
        points: gathered.splats.len(),
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

fn meshes(source: &Source, gathered: Gathered, local: &Local, name: &str, options: &Options) -> Result<Made, Error> {
    let Gathered { parts, mut look, .. } = gathered;
    let mut placed = Vec::with_capacity(parts.len());
    let mirrored = local.linear().determinant() < 0.0;
    for mut part in parts {
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
    let (parts, work) = clean::mesh::clean(placed, options.fragment_share, |p| kept(options, p));
    let bounds = crate::data::Bounds::around(parts.iter().flat_map(|p| p.positions.iter().copied()));
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
