//! Pictures of a scene by the server's own renderer, light and sky.

use std::io::Cursor;
use std::path::Path;

use glam::{Mat3, Quat, Vec3, Vec4};
use image::{ExtendedColorType, ImageEncoder};
use tongyou_render::{Config, Executor, Memory, VantageKey, VantageKind, VantageRequest, plan, rgb_from_nv12};
use tongyou_scene::{Alpha, Lighting, Material, Mesh, Node, Preset, Primitive, Scene, StopLighting};

use crate::Error;
use crate::cells::Draft;
use crate::collide::{Collider, Shell};

/// The angle between the upper and the lower edge.
const FOV_DEG: f32 = 36.0;
/// Share of a thing's corners on each side that a picture may leave out: strays far from everything.
const STRAY: f32 = 0.005;
/// Pictures are drawn this much larger and averaged.
const FINER: u32 = 2;
/// Things smaller than this are drawn larger: shadows and haze are made for places.
const SMALL_M: f32 = 8.0;

/// A camera.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    /// The middle of what is looked at, metres.
    pub look_at: Vec3,
    /// Half the diagonal of what should be in the picture.
    pub radius_m: f32,
    /// Half its extent along each axis.
    half: Vec3,
    /// Places of its surface, from the middle.
    places: Vec<Vec3>,
    /// From where: degrees clockwise from north.
    pub azimuth_deg: f32,
    /// How far above the horizon.
    pub elevation_deg: f32,
    /// Height of the foot of the thing.
    foot: f32,
}

/// A picture: sRGB, rows from top to bottom.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Three bytes a pixel.
    pub rgb: Vec<u8>,
}

impl View {
    /// The whole thing, a little from above, the sun over the shoulder.
    pub(crate) fn whole(shell: &Shell) -> Self {
        let every = (shell.triangles.len() / 100_000).max(1);
        let middles = shell
            .triangles
            .iter()
            .step_by(every)
            .map(|t| t.iter().sum::<Vec3>() / 3.0);
        let mut places: Vec<Vec3> = middles.collect();
        let mut axes: [Vec<f32>; 3] = Default::default();
        for place in &places {
            for (axis, value) in axes.iter_mut().zip(place.to_array()) {
                axis.push(value);
            }
        }
        let [x, y, z] = axes.map(|mut axis| {
            axis.sort_unstable_by(f32::total_cmp);
            let last = axis.len().saturating_sub(1);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count"
            )]
            let skip = (last as f32 * STRAY) as usize;
            let at = |i: usize| axis.get(i).copied().unwrap_or_default();
            (at(skip), at(last.saturating_sub(skip)))
        });
        let (low, high) = (Vec3::new(x.0, y.0, z.0), Vec3::new(x.1, y.1, z.1));
        let (size, middle) = (high - low, (low + high) / 2.0);
        places.retain(|p| p.cmpge(low).all() && p.cmple(high).all());
        for place in &mut places {
            *place -= middle;
        }
        // Ground is looked down upon, things are looked at.
        let flat = size.y < 0.35 * size.x.max(size.z);
        Self {
            look_at: middle,
            places,
            radius_m: (size.length() / 2.0).max(1e-3),
            half: (size / 2.0).max(Vec3::splat(1e-4)),
            azimuth_deg: 207.0,
            elevation_deg: if flat { 32.0 } else { 16.0 },
            foot: low.y,
        }
    }

    fn towards(&self) -> Vec3 {
        let (azimuth, elevation) = (self.azimuth_deg.to_radians(), self.elevation_deg.to_radians());
        -Vec3::new(
            azimuth.sin() * elevation.cos(),
            elevation.sin(),
            -azimuth.cos() * elevation.cos(),
        )
    }

    /// The nearest place from which everything is in a picture of this shape.
    fn eye(&self, aspect: f32) -> Vec3 {
        let towards = self.towards();
        let right = towards.cross(Vec3::Y).normalize_or(Vec3::X);
        let up = right.cross(towards);
        let tangent = (FOV_DEG / 2.0).to_radians().tan() * 0.9;
        let mut back = 0.0_f32;
        // A place is in the picture if it is no farther off the axis than its distance allows; the axis goes through
        // the middle between the outermost places, which moves as the eye does: three rounds settle it.
        let mut middle = Vec3::ZERO;
        for _ in 0..3 {
            back = 0.0;
            for place in &self.places {
                let at = *place - middle;
                let off = (at.dot(right).abs() / aspect).max(at.dot(up).abs());
                back = back.max(off / tangent - at.dot(towards));
            }
            let (mut across, mut upright) = ((f32::INFINITY, f32::NEG_INFINITY), (f32::INFINITY, f32::NEG_INFINITY));
            for place in &self.places {
                let at = *place - middle;
                let far = (back + at.dot(towards)).max(1e-6);
                let (x, y) = (at.dot(right) / far, at.dot(up) / far);
                across = (across.0.min(x), across.1.max(x));
                upright = (upright.0.min(y), upright.1.max(y));
            }
            middle += (right * (across.0 + across.1) + up * (upright.0 + upright.1)) * (back / 2.0);
        }
        self.look_at + middle - towards * back.max(1e-3)
    }
}

/// Draws a scene. What has no ground of its own stands on a plain one.
///
/// # Errors
/// [`Error::Preview`] where there is no graphics driver, or the scene can not be drawn.
pub(crate) fn render(scene: &Scene, view: &View, (width, height): (u32, u32)) -> Result<Picture, Error> {
    let failed = |fault: String| Error::Preview { fault };
    let scale = (SMALL_M / view.radius_m).max(1.0);
    let mut shown = scene.clone();
    ground(&mut shown, view);
    if scale > 1.0 {
        for node in shown.nodes.iter_mut().filter(|n| n.parent.is_none()) {
            node.translation *= scale;
            node.scale *= scale;
        }
    }
    let view = View {
        look_at: view.look_at * scale,
        radius_m: view.radius_m * scale,
        half: view.half * scale,
        places: view.places.iter().map(|p| *p * scale).collect(),
        ..*view
    };
    let eye = view.eye(width as f32 / height as f32);
    let mut executor = Executor::new(Config::default()).map_err(|e| failed(e.to_string()))?;
    let id = executor.add_scene(&shown).map_err(|e| failed(e.to_string()))?;
    let (width, height) = (width.next_multiple_of(4), height.next_multiple_of(2));
    let request = VantageRequest {
        key: VantageKey(1),
        scene: id,
        time: tongyou_protocol::TourTime(0),
        lighting: light(&view),
        point: eye,
        near: (view.radius_m * 0.01).clamp(0.01, 1.0),
        kind: VantageKind::Flat {
            world_from_camera: rotation(view.towards()),
            vertical_fov_rad: FOV_DEG.to_radians(),
            width: width * FINER,
            height: height * FINER,
        },
        force: true,
        only: None,
    };
    let (plan, _) = plan(executor.scenes(), &Memory::default(), &[request]);
    if let Some((_, refusal)) = plan.refused.first() {
        return Err(failed(refusal.to_string()));
    }
    let frames = executor.execute(&plan).map_err(|e| failed(e.to_string()))?;
    let frame = frames
        .first()
        .ok_or_else(|| failed("the renderer gave no picture".into()))?;
    let fine = rgb_from_nv12(&frame.nv12, width * FINER, height * FINER);
    let fine = fine.ok_or_else(|| failed("the picture has a wrong size".into()))?;
    Ok(Picture {
        width,
        height,
        rgb: averaged(&fine, width, height),
    })
}

/// A small picture for lists of scenes.
pub(crate) fn thumbnail(scene: &Scene, shell: &Shell) -> Result<Picture, Error> {
    render(scene, &View::whole(shell), (512, 288))
}

/// The server's afternoon; haze would hide what is far only because it is large.
fn light(view: &View) -> Lighting {
    let day = StopLighting {
        sun_azimuth_deg: Some(view.azimuth_deg + 48.0),
        sun_elevation_deg: Some(42.0),
        haze_per_m: Some((0.06 / view.radius_m).min(0.0006)),
        ..StopLighting::preset(Preset::Day)
    };
    day.resolve().unwrap_or_else(|_| unreachable_day())
}

/// A preset always resolves; without light the picture would be black.
fn unreachable_day() -> Lighting {
    Lighting {
        to_sun: Vec3::Y,
        sun: Vec3::splat(4.0),
        sky_zenith: Vec3::splat(0.3),
        sky_horizon: Vec3::splat(0.6),
        ground: Vec3::splat(0.2),
        lamps: 0.0,
        emissive: 1.0,
        exposure: 1.0,
        haze_per_m: 0.0,
    }
}

/// A disc at the foot of things, far enough to reach the horizon of the picture.
fn ground(scene: &mut Scene, view: &View) {
    let size = view.half * 2.0;
    if size.y < 0.2 * size.x.max(size.z) {
        return;
    }
    let (radius, foot) = (view.radius_m * 60.0, view.foot - view.radius_m * 0.004);
    let middle = Vec3::new(view.look_at.x, foot, view.look_at.z);
    let corners = (0..64_u8).map(|i| {
        let angle = f32::from(i) / 64.0 * std::f32::consts::TAU;
        middle + Vec3::new(angle.cos(), 0.0, -angle.sin()) * radius
    });
    let positions: Vec<Vec3> = std::iter::once(middle).chain(corners).collect();
    let indices = (0..64).flat_map(|i| [0, 1 + i, 1 + (i + 1) % 64]).collect();
    attach(
        scene,
        "ground of the picture",
        positions,
        indices,
        paint("ground", [0.30, 0.29, 0.27, 1.0]),
    );
}

/// Draws cells as posts, the ground between them and the collision mesh as veils over the scene.
pub(crate) fn overlay(scene: &mut Scene, draft: Option<&Draft>, collider: &Collider) {
    let lifted = collider
        .normals()
        .into_iter()
        .zip(&collider.vertices)
        .map(|(n, p)| *p + n * 0.02);
    let lifted: Vec<Vec3> = lifted.collect();
    let mut veil = paint("collider", [0.15, 0.35, 0.9, 0.25]);
    (veil.alpha, veil.unlit) = (Alpha::Blend, true);
    attach(scene, "collider", lifted, collider.indices.clone(), veil);
    let Some(draft) = draft else { return };
    let (mut positions, mut indices) = (Vec::new(), Vec::new());
    for area in &draft.walkable {
        let first = u32::try_from(positions.len()).unwrap_or(u32::MAX);
        let (vertices, triangles) = area.relief_mesh().unwrap_or_else(|| fan(area));
        positions.extend(vertices.into_iter().map(|v| v + Vec3::Y * 0.05));
        indices.extend(triangles.into_iter().flatten().map(|i| first + i));
    }
    let mut green = paint("walkable", [0.1, 0.8, 0.3, 0.45]);
    (green.alpha, green.unlit) = (Alpha::Blend, true);
    attach(scene, "walkable", positions, indices, green);
    for cell in &draft.cells {
        let mut red = paint("cell", [0.95, 0.2, 0.1, 1.0]);
        red.unlit = true;
        let (positions, indices) = post(Vec3::from(cell.eye), tongyou_scene::EYE_HEIGHT_M);
        attach(scene, &cell.id, positions, indices, red);
    }
}

/// Level ground of a convex outline.
fn fan(area: &tongyou_scene::Area) -> (Vec<Vec3>, Vec<[u32; 3]>) {
    let vertices = area
        .outline
        .iter()
        .map(|&[x, z]| Vec3::new(x, area.ground_m, z))
        .collect();
    let corners = u32::try_from(area.outline.len()).unwrap_or(0);
    (vertices, (2..corners).map(|c| [0, c, c - 1]).collect())
}

/// A slim pyramid that stands on its tip below the eye.
fn post(eye: Vec3, height: f32) -> (Vec<Vec3>, Vec<u32>) {
    let tip = eye - Vec3::Y * height;
    let corner = |x: f32, z: f32| eye + Vec3::new(x, 0.0, z) * 0.15;
    let positions = vec![
        tip,
        corner(-1.0, -1.0),
        corner(1.0, -1.0),
        corner(1.0, 1.0),
        corner(-1.0, 1.0),
    ];
    (positions, vec![0, 1, 2, 0, 2, 3, 0, 3, 4, 0, 4, 1, 1, 4, 3, 1, 3, 2])
}

fn attach(scene: &mut Scene, name: &str, positions: Vec<Vec3>, indices: Vec<u32>, material: Material) {
    if indices.is_empty() {
        return;
    }
    scene.materials.push(material);
    let normals = vec![Vec3::Y; positions.len()];
    scene.meshes.push(Mesh {
        name: name.to_owned(),
        primitives: vec![Primitive {
            material: Some(scene.materials.len() - 1),
            positions,
            normals,
            indices,
            ..Primitive::default()
        }],
    });
    scene.nodes.push(Node {
        name: name.to_owned(),
        parent: None,
        translation: Vec3::ZERO,
        rotation: Quat::IDENTITY,
        scale: Vec3::ONE,
        mesh: Some(scene.meshes.len() - 1),
        light: None,
    });
}

fn paint(name: &str, color: [f32; 4]) -> Material {
    Material {
        name: name.to_owned(),
        base_color: Vec4::from(color),
        ..crate::surface::ground::material()
    }
}

/// A camera that looks along a direction, upright.
fn rotation(towards: Vec3) -> Quat {
    let back = (-towards).normalize_or(Vec3::Z);
    let right = Vec3::Y.cross(back).normalize_or(Vec3::X);
    Quat::from_mat3(&Mat3::from_cols(right, back.cross(right), back))
}

fn averaged(fine: &[u8], width: u32, height: u32) -> Vec<u8> {
    let (wide, finer) = ((width * FINER * 3) as usize, FINER as usize);
    let mut out = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height as usize {
        for x in 0..width as usize {
            for channel in 0..3 {
                let pixels = (0..finer * finer).map(|i| {
                    let (row, column) = (y * finer + i / finer, x * finer + i % finer);
                    usize::from(fine[row * wide + column * 3 + channel])
                });
                let mean = (pixels.sum::<usize>() + finer * finer / 2) / (finer * finer);
                out.push(u8::try_from(mean).unwrap_or(u8::MAX));
            }
        }
    }
    out
}

impl Picture {
    /// As the bytes of a PNG.
    ///
    /// # Errors
    /// [`Error::Preview`] where the picture can not be expressed.
    pub fn png(&self) -> Result<Vec<u8>, Error> {
        let mut out = Cursor::new(Vec::new());
        let encoder = image::codecs::png::PngEncoder::new(&mut out);
        self.encoded(encoder)?;
        Ok(out.into_inner())
    }

    /// Writes a PNG, or a JPEG where the name ends so.
    ///
    /// # Errors
    /// [`Error`] where the file can not be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let is_jpeg = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"));
        if !is_jpeg {
            return crate::write::file(path, &self.png()?);
        }
        let mut out = Cursor::new(Vec::new());
        self.encoded(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 82))?;
        crate::write::file(path, &out.into_inner())
    }

    fn encoded(&self, encoder: impl ImageEncoder) -> Result<(), Error> {
        let done = encoder.write_image(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8);
        done.map_err(|e| Error::Preview { fault: e.to_string() })
    }
}

/// Draws a scene's folder or a GLB; `shows` adds cells and colliders.
///
/// # Errors
/// [`Error`] where there is no scene, or it can not be drawn.
pub fn preview(path: &Path, size: (u32, u32), angles: Angles, shows: bool) -> Result<Picture, Error> {
    let (mut scene, manifest) = load(path)?;
    let shell = Shell::new(&scene);
    if shell.triangles.is_empty() {
        return Err(Error::Preview {
            fault: format!("{} has no triangles", path.display()),
        });
    }
    let mut view = View::whole(&shell);
    view.azimuth_deg = angles.azimuth_deg.unwrap_or(view.azimuth_deg);
    view.elevation_deg = angles.elevation_deg.unwrap_or(view.elevation_deg);
    if shows {
        let stop = manifest
            .and_then(|m| m.stop)
            .or_else(|| crate::cells::draft(&shell, None));
        overlay(&mut scene, stop.as_ref(), &Collider::new(&shell));
    }
    render(&scene, &view, size)
}

/// From where a picture is taken, where it is not the usual place.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Angles {
    /// Degrees clockwise from north.
    pub azimuth_deg: Option<f32>,
    /// Degrees above the horizon.
    pub elevation_deg: Option<f32>,
}

/// The finest level of a scene's folder with its manifest, or a GLB.
pub(crate) fn load(path: &Path) -> Result<(Scene, Option<crate::write::Manifest>), Error> {
    let limits = tongyou_scene::Limits::default();
    if !path.is_dir() {
        return Ok((tongyou_scene::load_glb(path, &limits)?, None));
    }
    let manifest = crate::write::Manifest::load(path)?;
    let file = manifest.level.first().map_or("scene.glb", |l| l.file.as_str());
    if file.contains(['/', '\\']) || file.starts_with('.') {
        return Err(crate::source::input(
            path,
            "scene.toml",
            format!("{file:?} is not a plain file name"),
        ));
    }
    Ok((tongyou_scene::load_glb(&path.join(file), &limits)?, Some(manifest)))
}

/// The scene as a server shows it alone, with cells, ground and colliders drawn, and a tour of it.
///
/// # Errors
/// [`Error`] where there is no scene, or no place to stand in it.
pub fn walk(path: &Path, name: &str) -> Result<(Vec<u8>, String), Error> {
    let (mut scene, manifest) = load(path)?;
    let shell = Shell::new(&scene);
    let manifest = manifest.ok_or_else(|| Error::Preview {
        fault: format!("{} is one file; --open needs a scene's folder", path.display()),
    })?;
    let draft = manifest.stop.clone().or_else(|| crate::cells::draft(&shell, None));
    let draft = draft.ok_or_else(|| Error::Preview {
        fault: format!("{} has no place to stand", path.display()),
    })?;
    overlay(&mut scene, Some(&draft), &Collider::new(&shell));
    let tour = crate::add::tour_of(name, &manifest, &draft)?;
    Ok((tongyou_scene::write_glb(&scene)?, tour))
}
