//! The event loop's side of the window.

use super::canvas::Canvas;
use super::gamepad;
use super::input::{Input, Wish};
use super::stage::{Change, Frame, Stage};
use super::things::{self, People};
use super::view::View;
use super::wearer::{FromNet, Known, Shared};
use super::{End, Error, Options};
use crate::near::{Key, Near};
use crate::net::{self, Machine, Presented};
use crate::present::{Eye, Gpu, Layer, Locals, Things};
use glam::Vec3;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tongyou_protocol::control::{LocalModel, PlacementKind};
use tongyou_protocol::frame::Shape;
use winit::application::ApplicationHandler;
use winit::dpi::LogicalSize;
use winit::event::{ElementState, MouseButton, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow};
use winit::keyboard::PhysicalKey;
use winit::window::{Window, WindowId};

/// Vertical angle of view of a wide window; a tall one keeps its width.
const FOV_Y: f32 = 70.0;
const MAX_FOV_Y: f32 = 100.0;
/// Between two frames where nothing else sets the pace, and on a software driver, which would take all processors.
const FRAME: Duration = Duration::from_millis(8);
const FRAME_SOFTWARE: Duration = Duration::from_millis(33);
/// Brightness of what is not where everyone is.
const WAITING: f32 = 0.12;
/// The server lets a picture come ahead for eight seconds from the last hint.
const HINT_EVERY: Duration = Duration::from_secs(4);
/// A pause in drawing is not a movement.
const LONGEST_STEP_S: f32 = 0.1;

pub(super) struct App {
    size: (u32, u32),
    frames_left: Option<u32>,
    clock: Machine,
    shared: Arc<Shared>,
    tell: watch::Sender<Option<Presented>>,
    window: Option<Arc<Window>>,
    canvas: Option<Canvas>,
    stage: Stage,
    view: View,
    input: Input,
    pad: gamepad::Shared,
    /// The pad was used last: the middle of the picture aims, not the mouse.
    aims_ahead: bool,
    /// The ring that was hinted at to the server, and when.
    hinted: Option<(u32, Instant)>,
    people: People,
    near: Arc<Near>,
    /// Of the present stop, on the GPU; `None` where that failed.
    locals: BTreeMap<Key, Option<Locals>>,
    /// 0 black, 1 as rendered.
    brightness: f32,
    /// Of the last frame.
    eye: Option<Eye>,
    /// The ring that the mouse is on.
    hot: Option<u32>,
    frames: u32,
    last_frame: Instant,
    /// Something is to be seen that was not drawn yet.
    is_dirty: bool,
    end: Option<Result<End, Error>>,
}

impl App {
    pub(super) fn new(
        options: &Options,
        clock: Machine,
        shared: Arc<Shared>,
        tell: watch::Sender<Option<Presented>>,
        (pad, near): (gamepad::Shared, Arc<Near>),
    ) -> Self {
        Self {
            size: options.size,
            frames_left: options.frames,
            clock,
            shared,
            tell,
            window: None,
            canvas: None,
            stage: Stage::new(),
            view: View::default(),
            input: Input::default(),
            pad,
            aims_ahead: false,
            hinted: None,
            people: People::default(),
            near,
            locals: BTreeMap::new(),
            brightness: 1.0,
            eye: None,
            hot: None,
            frames: 0,
            last_frame: Instant::now(),
            is_dirty: true,
            end: None,
        }
    }

    /// How it ended.
    pub(super) fn end(self) -> Result<End, Error> {
        let frames = self.frames;
        self.end.unwrap_or(Ok(End::Left { frames }))
    }

    fn leave(&mut self, event_loop: &ActiveEventLoop, end: Result<End, Error>) {
        self.end.get_or_insert(end);
        event_loop.exit();
    }

    fn open(&mut self, event_loop: &ActiveEventLoop) -> Result<(), Error> {
        let (width, height) = self.size;
        let attributes = Window::default_attributes()
            .with_title("同游 Tongyou")
            .with_inner_size(LogicalSize::new(width, height));
        let window = event_loop
            .create_window(attributes)
            .map_err(|e| Error::NoWindow(e.to_string()))?;
        let window = Arc::new(window);
        let canvas = Canvas::new(Arc::clone(&window))?;
        tracing::info!(adapter = canvas.gpu.name(), "the window is open");
        self.canvas = Some(canvas);
        self.window = Some(window);
        Ok(())
    }

    fn wish(&mut self, event_loop: &ActiveEventLoop, wish: Wish) {
        match wish {
            Wish::Leave => {
                let frames = self.frames;
                self.leave(event_loop, Ok(End::Left { frames }));
            }
            Wish::Recentre => {
                let yaw = self.shared.known().placement.map_or(0.0, |p| p.yaw);
                self.view = View { yaw, ..View::default() };
            }
            Wish::Go => {
                if let Some(wish) = self.walk_to(self.aim()) {
                    self.shared.wanted().wishes.push(wish);
                }
            }
            other => self.shared.wanted().wishes.push(other),
        }
        self.is_dirty = true;
    }

    fn draw(&mut self, event_loop: &ActiveEventLoop) -> Result<(), Error> {
        let now = Instant::now();
        let seconds = (now - self.last_frame).as_secs_f32().min(LONGEST_STEP_S);
        self.last_frame = now;
        let mut moves = self.input.advance(&mut self.view, seconds);
        let (pad_points, wishes) = {
            let mut pad = self.pad.lock();
            moves |= pad.advance(&mut self.view, seconds);
            self.aims_ahead |= pad.take_used();
            (pad.points(), pad.take_wishes())
        };
        for wish in wishes {
            self.wish(event_loop, wish);
        }
        let points = pad_points || self.input.points();
        let pointer = self.eye.filter(|_| points).and_then(|eye| {
            let (x, y) = self.aim();
            self.stage.hit(eye.position, eye.ray(x, y))
        });
        let known = self.shared.known().clone();
        self.follow(&known, now);
        {
            let mut wanted = self.shared.wanted();
            wanted.view = self.view;
            wanted.pointer = pointer;
        }
        if self.aims_ahead {
            self.hot = self.ring_at((0.0, 0.0));
        }
        self.hint(now);
        let comes = self.stage.advance(seconds);
        let Some(canvas) = &mut self.canvas else { return Ok(()) };
        let Some(size) = canvas.size() else { return Ok(()) };
        let shown = self.stage.shown();
        let eye = self.stage.layer().map_or_else(
            || Eye {
                position: self.view.offset,
                rotation: self.view.rotation(),
                fov_y: angle_of_view(size).0,
                aspect: angle_of_view(size).1,
            },
            |layer| eye_of(layer, &self.view, &known, size),
        );
        // Who has no picture yet of the stop where everyone is sees the old one darkly, and nobody in it.
        let waits = shown.is_some_and(|(stream, ..)| known.shown.is_some_and(|s| s.epoch != stream.epoch));
        let goal = if waits { WAITING } else { 1.0 };
        self.brightness += (goal - self.brightness) * (12.0 * seconds).min(1.0);
        self.people.update(&known, now);
        let (figures, rings) = if waits || known.watches {
            (Vec::new(), Vec::new())
        } else {
            let rings = things::drawn(&things::rings(&known), self.hot);
            (self.people.figures(&known, now), rings)
        };
        let stop_models = known.stop.as_ref().filter(|_| !waits).map(|s| &s.local_models[..]);
        if let Some(models) = stop_models {
            upload(&mut self.locals, &canvas.gpu, &self.near, models);
        }
        let machine_us = self.clock.now().machine_us;
        let at_s = known.tour_time_s(machine_us);
        let locals: Vec<&Locals> = match (stop_models, at_s) {
            (Some(_), Some(_)) => self.locals.values().flatten().collect(),
            _ => Vec::new(),
        };
        let lives = locals.iter().any(|local| local.moves());
        let frame = Frame {
            now,
            locals: (&locals, at_s.unwrap_or_default()),
            brightness: self.brightness,
            things: Things {
                figures: &figures,
                rings: &rings,
                pointer: pointer.map(|at| (known.me.map_or(0, |id| id.0), at)),
            },
        };
        let stage = &mut self.stage;
        let presented = canvas.present(|gpu, presenter, color, target| {
            stage.draw(gpu, presenter, (color, target), eye, &frame);
        })?;
        if !presented {
            return Ok(());
        }
        self.eye = Some(eye);
        let settles = (goal - self.brightness).abs() > 0.01;
        self.is_dirty = moves || settles || comes || points || self.stage.is_fading() || lives || !figures.is_empty();
        if let Some((stream, set, _)) = shown {
            let machine_us = self.clock.now().machine_us;
            self.tell.send_if_modified(|told| {
                let is_new = told.is_none_or(|p| (p.stream, p.set) != (stream, set));
                if is_new {
                    *told = Some(Presented {
                        stream,
                        set,
                        machine_us,
                    });
                }
                is_new
            });
            self.frames += 1;
            if self.frames_left.is_some_and(|most| self.frames >= most) {
                let frames = self.frames;
                self.leave(event_loop, Ok(End::Left { frames }));
            }
        }
        Ok(())
    }

    /// Shows what is to be shown, as soon as it is there.
    fn follow(&mut self, known: &Known, now: Instant) {
        let Some(wanted) = known.shown else { return };
        let yaw = known.placement.map_or(0.0, |p| p.yaw);
        match self.stage.show(wanted, now, yaw - self.view.yaw) {
            Change::None | Change::Cell => {}
            Change::Stop => {
                self.view = View { yaw, ..View::default() };
            }
        }
    }

    /// Where the wearer aims in the picture, −1..=1: with the mouse, or with the middle.
    fn aim(&self) -> (f32, f32) {
        let mouse = self.input.mouse().filter(|_| !self.aims_ahead);
        mouse.and_then(|at| self.in_picture(at)).unwrap_or((0.0, 0.0))
    }

    /// A place of the window, pixels, as one of the picture, −1..=1, x to the right, y up.
    fn in_picture(&self, (x, y): (f32, f32)) -> Option<(f32, f32)> {
        let (width, height) = self.canvas.as_ref()?.size()?;
        #[expect(clippy::cast_precision_loss, reason = "pixels of a window")]
        let place = (x / width as f32 * 2.0 - 1.0, 1.0 - y / height as f32 * 2.0);
        Some(place)
    }

    /// The ring at a place of the picture.
    fn ring_at(&self, (x, y): (f32, f32)) -> Option<u32> {
        let eye = self.eye?;
        let known = self.shared.known();
        if known.watches {
            return None;
        }
        things::pick(&things::rings(&known), eye.position, eye.ray(x, y))
    }

    /// The ring there, or the floor.
    fn walk_to(&self, (x, y): (f32, f32)) -> Option<Wish> {
        if let Some(cell) = self.ring_at((x, y)) {
            return Some(Wish::Cell(cell));
        }
        let eye = self.eye?;
        let floor_y = self
            .shared
            .known()
            .placement
            .filter(|p| p.kind() != PlacementKind::Watching)?
            .seat?
            .y;
        let at = things::floor(floor_y, eye.position, eye.ray(x, y))?;
        // A wall that stands before it is nothing to walk through.
        let hit = self.stage.hit(eye.position, eye.ray(x, y));
        let is_hidden = hit.is_some_and(|hit| hit.distance(eye.position) < 0.9 * at.distance(eye.position));
        (!is_hidden).then_some(Wish::Floor {
            x: at.x,
            z: at.z,
            heading: self.view.yaw,
        })
    }

    /// Lets the server know where the wearer may soon go, again and again while that is so.
    fn hint(&mut self, now: Instant) {
        let Some(cell) = self.hot else {
            self.hinted = None;
            return;
        };
        let known = self
            .hinted
            .is_some_and(|(hinted, at)| hinted == cell && now < at + HINT_EVERY);
        if !known {
            self.hinted = Some((cell, now));
            self.shared.wanted().wishes.push(Wish::LookAhead(cell));
        }
    }

    fn retitle(&self) {
        if let Some(window) = &self.window {
            window.set_title(&title(&self.shared.known()));
        }
    }

    fn click(&mut self, event_loop: &ActiveEventLoop, button: MouseButton, down: bool) {
        match button {
            MouseButton::Left => {
                let at = self.input.button(down).and_then(|at| self.in_picture(at));
                if let Some(cell) = at.and_then(|at| self.ring_at(at)) {
                    self.wish(event_loop, Wish::Cell(cell));
                }
            }
            MouseButton::Right if down => {
                let at = self.input.mouse().and_then(|at| self.in_picture(at));
                if let Some(wish) = at.and_then(|at| self.walk_to(at)) {
                    self.wish(event_loop, wish);
                }
            }
            MouseButton::Middle => {
                self.input.middle(down);
                self.is_dirty = true;
            }
            _ => {}
        }
    }

    /// The time until the next frame.
    fn pace(&self) -> Duration {
        let is_software = self.canvas.as_ref().is_some_and(|c| c.gpu.is_software());
        if is_software { FRAME_SOFTWARE } else { FRAME }
    }
}

impl ApplicationHandler<FromNet> for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.window.is_none()
            && let Err(error) = self.open(event_loop)
        {
            self.leave(event_loop, Err(error));
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, event: FromNet) {
        match event {
            FromNet::Set(stream, set) => {
                if let Some(canvas) = &self.canvas {
                    self.stage.push(&canvas.gpu, &canvas.presenter, stream, &set);
                }
                self.is_dirty = true;
            }
            FromNet::News => {
                self.retitle();
                self.is_dirty = true;
            }
            FromNet::Woken => self.is_dirty = true,
            FromNet::Over(Ok(net::End::Ended(words))) => self.leave(event_loop, Ok(End::Ended(words))),
            FromNet::Over(Ok(net::End::Cancelled)) => {
                let frames = self.frames;
                self.leave(event_loop, Ok(End::Left { frames }));
            }
            FromNet::Over(Err(error)) => self.leave(event_loop, Err(error.into())),
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _id: WindowId, event: WindowEvent) {
        let done = match event {
            WindowEvent::CloseRequested => {
                self.wish(event_loop, Wish::Leave);
                Ok(())
            }
            WindowEvent::Resized(size) => {
                self.is_dirty = true;
                let resized = self.canvas.as_mut().map(|c| c.resize(size.width, size.height));
                resized.unwrap_or(Ok(())).map_err(Error::from)
            }
            WindowEvent::KeyboardInput { event, .. } => {
                if let PhysicalKey::Code(code) = event.physical_key
                    && let Some(wish) = self.input.key(code, event.state == ElementState::Pressed, event.repeat)
                {
                    self.wish(event_loop, wish);
                }
                self.is_dirty = true;
                Ok(())
            }
            WindowEvent::Focused(false) => {
                self.input.lost();
                Ok(())
            }
            #[expect(clippy::cast_possible_truncation, reason = "pixels of a window")]
            WindowEvent::CursorMoved { position, .. } => {
                let before = self.view;
                self.input.moved((position.x as f32, position.y as f32), &mut self.view);
                self.aims_ahead = false;
                let at = self.in_picture((position.x as f32, position.y as f32));
                let hot = at.and_then(|at| self.ring_at(at));
                self.is_dirty |= before != self.view || hot != self.hot;
                self.hot = hot;
                Ok(())
            }
            WindowEvent::MouseInput { state, button, .. } => {
                self.click(event_loop, button, state == ElementState::Pressed);
                Ok(())
            }
            WindowEvent::RedrawRequested => self.draw(event_loop),
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.leave(event_loop, Err(error));
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let Some(window) = &self.window else { return };
        if !self.is_dirty && self.frames_left.is_none() {
            event_loop.set_control_flow(ControlFlow::Wait);
            return;
        }
        let next = self.last_frame + self.pace();
        if Instant::now() >= next {
            window.request_redraw();
        }
        event_loop.set_control_flow(ControlFlow::WaitUntil(next));
    }
}

/// Puts what a stop has on the GPU, and takes off what it has not.
fn upload(locals: &mut BTreeMap<Key, Option<Locals>>, gpu: &Gpu, near: &Near, models: &[LocalModel]) {
    let there = near.there(models);
    locals.retain(|key, _| there.iter().any(|(k, _)| k == key));
    for (key, scene) in there {
        locals.entry(key).or_insert_with(|| {
            let made = Locals::new(gpu, &scene);
            made.inspect_err(|error| tracing::warn!(%error, "without a local model"))
                .ok()
        });
    }
}

/// The eye that looks at a layer. A panorama is looked at from its own point, as the head moves about it; a view of the
/// wearer's own from where the wearer stands; a flat camera through itself, wholly in the window.
fn eye_of(layer: &Layer, view: &View, known: &Known, size: (u32, u32)) -> Eye {
    let (fov_y, aspect) = angle_of_view(size);
    let eye = Eye {
        position: view.offset,
        rotation: view.rotation(),
        fov_y,
        aspect,
    };
    let (Some(tag), Some(form)) = (layer.tag(), layer.form()) else {
        return eye;
    };
    let at = |position: Vec3| Eye { position, ..eye };
    match form.shape {
        Shape::Panorama => at(tag.point + view.offset),
        Shape::Stereo => {
            let seat = known
                .placement
                .filter(|p| p.kind() == PlacementKind::Roaming)
                .and_then(|p| p.seat);
            let standing = seat.map(|s| Vec3::from(s) + Vec3::Y * known.eye_height_m + view.offset);
            at(standing.unwrap_or(tag.point))
        }
        Shape::Flat => {
            #[expect(clippy::cast_precision_loss, reason = "pixels of a picture")]
            let picture = form.width as f32 / form.height as f32;
            Eye {
                position: tag.point,
                rotation: tag.eyes.rotation,
                fov_y: 2.0 * (tag.half_tangent * (picture / aspect).max(1.0)).atan(),
                aspect,
            }
        }
    }
}

/// Vertical angle, radians, and width over height.
fn angle_of_view((width, height): (u32, u32)) -> (f32, f32) {
    #[expect(clippy::cast_precision_loss, reason = "pixels of a window")]
    let aspect = width as f32 / height as f32;
    let fov_y = if aspect >= 1.0 {
        FOV_Y.to_radians()
    } else {
        (2.0 * (0.7 / aspect).atan()).min(MAX_FOV_Y.to_radians())
    };
    (fov_y, aspect)
}

/// Tour, stop and people.
fn title(known: &Known) -> String {
    let Some(stop) = &known.stop else {
        return "同游 Tongyou · …".to_owned();
    };
    let name = stop.title.as_ref().map_or("", |t| &t.zh);
    let (index, count) = known.stops;
    let mut title = format!(
        "{} · {name} ({}/{count}) · {} 人 — 同游",
        known.tour,
        index + 1,
        known.people.len()
    );
    if known.leads {
        title.push_str(" · N/P");
    }
    if known.is_stalled {
        title.push_str(" · …");
    }
    if let Some(notice) = &known.notice {
        title = format!("{title} · {notice}");
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;
    use tongyou_protocol::control;

    #[test]
    fn the_title_tells_tour_stop_and_people() {
        let mut known = Known::default();
        assert_eq!(title(&known), "同游 Tongyou · …");
        known.tour = "渝中".to_owned();
        known.stops = (1, 3);
        known.people = vec![control::Person::default(); 4];
        let text = control::Text {
            zh: "解放碑".to_owned(),
            en: String::new(),
        };
        known.stop = Some(control::Stop {
            title: Some(text),
            ..control::Stop::default()
        });
        assert_eq!(title(&known), "渝中 · 解放碑 (2/3) · 4 人 — 同游");
        known.notice = Some("no".to_owned());
        assert!(title(&known).ends_with(" · no"));
    }

    #[test]
    fn a_tall_window_keeps_its_width_of_view() {
        assert_eq!(angle_of_view((1600, 900)).0, FOV_Y.to_radians());
        let (fov_y, aspect) = angle_of_view((900, 1000));
        assert!(((0.5 * fov_y).tan() * aspect - 0.7).abs() < 1e-5);
        assert!(angle_of_view((100, 2000)).0 <= MAX_FOV_Y.to_radians());
    }
}
