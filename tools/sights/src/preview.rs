//! `tongyou-sights preview`: what a visitor of a stop sees, as a PNG, by the server's own renderer.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use glam::{Mat3, Quat, Vec3};
use tongyou_protocol::TourTime;
use tongyou_render::{Config, Executor, Memory, VantageKey, VantageKind, VantageRequest, plan, rgb_from_nv12};
use tongyou_scene::{Limits, Tour, load_glb};

/// Which picture.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The tour
    #[arg(long, default_value = "assets/tours/jiefangbei.toml")]
    tour: PathBuf,
    /// Folder of the scenes
    #[arg(long, default_value = "target/scenes")]
    scenes: PathBuf,
    /// The stop's id; the first stop if left out
    #[arg(long)]
    stop: Option<String>,
    /// The cell's id; the stop's first cell if left out
    #[arg(long)]
    cell: Option<String>,
    /// Stand here instead of at a cell: x,y,z in metres
    #[arg(long, value_parser = point, allow_hyphen_values = true)]
    eye: Option<Vec3>,
    /// Look at this point instead of the stop's sight: x,y,z in metres
    #[arg(long, value_parser = point, allow_hyphen_values = true)]
    look_at: Option<Vec3>,
    /// Tour time in seconds
    #[arg(long, default_value_t = 0.0)]
    time: f64,
    /// Angle between the upper and the lower edge in degrees
    #[arg(long, default_value_t = 70.0)]
    fov: f32,
    /// Pixels across and down
    #[arg(long, default_value = "1280x720")]
    size: String,
    /// The picture
    #[arg(long)]
    out: PathBuf,
}

/// Renders the picture.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let tour = Tour::load(&options.tour)?;
    let stop = match &options.stop {
        Some(id) => tour
            .stop(id)
            .ok_or_else(|| anyhow!("{} has no stop {id:?}", options.tour.display()))?,
        None => tour.stops.first().context("the tour has no stops")?,
    };
    let cell = match &options.cell {
        Some(id) => stop
            .cell(id)
            .ok_or_else(|| anyhow!("stop {:?} has no cell {id:?}", stop.id))?,
        None => stop.cells.first().context("the stop has no cells")?,
    };
    let eye = options.eye.unwrap_or(Vec3::from(cell.eye));
    let look_at = options.look_at.unwrap_or(stop.look_at());
    let size = options
        .size
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let Some((width, height)) = size else {
        bail!("{:?} is not a size like 1280x720", options.size)
    };

    let scene = load_glb(&options.scenes.join(format!("{}.glb", stop.scene)), &Limits::default())?;
    let mut executor = Executor::new(Config::default())?;
    let id = executor.add_scene(&scene)?;
    let world_from_camera = camera(look_at - eye);
    let request = VantageRequest {
        key: VantageKey(1),
        scene: id,
        time: microseconds(stop.scene_time_s(options.time)),
        lighting: stop.light()?,
        point: eye,
        near: 0.1,
        kind: VantageKind::Flat {
            world_from_camera,
            vertical_fov_rad: options.fov.to_radians(),
            width,
            height,
        },
        force: true,
        only: None,
    };
    let (plan, _) = plan(executor.scenes(), &Memory::default(), &[request]);
    if let Some((_, refusal)) = plan.refused.first() {
        bail!("can not be drawn: {refusal}");
    }
    let start = std::time::Instant::now();
    let frames = executor.execute(&plan)?;
    let took = start.elapsed();
    let frame = frames.first().context("the renderer gave no picture")?;
    let rgb = rgb_from_nv12(&frame.nv12, width, height).context("the picture has a wrong size")?;
    image::save_buffer(&options.out, &rgb, width, height, image::ExtendedColorType::Rgb8)
        .with_context(|| format!("can not write {}", options.out.display()))?;
    let line = format!(
        "{}: stop {}, {} ms on {}",
        options.out.display(),
        stop.id,
        took.as_millis(),
        executor.adapter()
    );
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

/// Reads `x,y,z`.
fn point(text: &str) -> Result<Vec3, String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|n| n.trim().parse::<f32>()).collect();
    match numbers.as_deref() {
        Ok([x, y, z]) => Ok(Vec3::new(*x, *y, *z)),
        _ => Err("expected three numbers like 1.5,1.6,-20".to_owned()),
    }
}

/// A camera that looks along a direction, upright.
fn camera(towards: Vec3) -> Quat {
    let back = (-towards).normalize_or(Vec3::Z);
    let right = Vec3::Y.cross(back).normalize_or(Vec3::X);
    Quat::from_mat3(&Mat3::from_cols(right, back.cross(right), back))
}

#[expect(clippy::cast_possible_truncation, reason = "a tour lasts days at most")]
fn microseconds(seconds: f64) -> TourTime {
    TourTime((seconds * 1e6).round() as i64)
}
