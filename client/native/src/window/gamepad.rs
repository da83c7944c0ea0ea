//! Gamepads: what their sticks and buttons mean here, and on Linux a thread that reads them (`/dev/input/js*`, laid out
//! as the kernel's xpad driver does: two sticks, two triggers, A B X Y). Elsewhere there is none yet.

use super::input::Wish;
use super::view::View;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const TURN_PER_S: f32 = 2.2;
const LEAN_PER_S: f32 = 0.6;
/// Snap turns are the gentler way for many.
const SNAP: f32 = std::f32::consts::FRAC_PI_6;
/// Sticks do not come back to the very middle.
const DEAD: f32 = 0.15;
/// A trigger or a digital pad is pressed from here on.
const PRESSED: f32 = 0.5;

const LEFT_X: usize = 0;
const LEFT_Y: usize = 1;
const RIGHT_X: usize = 3;
const RIGHT_Y: usize = 4;
const RIGHT_TRIGGER: usize = 5;
const PAD_X: usize = 6;
const AXES: usize = 8;
const BUTTON_A: u8 = 0;
const BUTTON_B: u8 = 1;
const SHOULDER_LEFT: u8 = 4;
const SHOULDER_RIGHT: u8 = 5;

/// A pad, as both the thread and the window know it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Pad>>);

/// What is held, and what was pressed since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Pad {
    axes: [f32; AXES],
    wishes: Vec<Wish>,
    /// Radians that the view is to jump by.
    snap: f32,
    was_used: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Pad> {
        // What a panic elsewhere left is as good as anything.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads pads until the process ends; `wake` is called for every change.
    #[cfg(target_os = "linux")]
    pub(super) fn watch(&self, wake: impl Fn() -> bool + Send + 'static) {
        let pad = self.clone();
        std::thread::spawn(move || joystick::run(&pad, &wake));
    }

    /// There is no way to read them here yet.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn watch(&self, _wake: impl Fn() -> bool + Send + 'static) {}
}

impl Pad {
    /// An axis moves, −1 to 1; triggers rest at −1.
    fn axis(&mut self, number: usize, to: f32) {
        let Some(axis) = self.axes.get_mut(number) else { return };
        let before = std::mem::replace(axis, to);
        if number == PAD_X && before.abs() < PRESSED && to.abs() >= PRESSED {
            // To the right is clockwise.
            self.snap -= SNAP * to.signum();
        }
        self.was_used |= to.abs() > DEAD && number != RIGHT_TRIGGER || self.points();
    }

    fn button(&mut self, number: u8, down: bool) {
        let wish = match number {
            BUTTON_A => Wish::Go,
            BUTTON_B => Wish::Recentre,
            SHOULDER_LEFT => Wish::Previous,
            SHOULDER_RIGHT => Wish::Next,
            _ => return,
        };
        if down {
            self.wishes.push(wish);
            self.was_used = true;
        }
    }

    /// The pad is gone.
    fn lost(&mut self) {
        *self = Self::default();
    }

    /// Whether the wearer holds the trigger with which one points.
    pub(super) fn points(&self) -> bool {
        self.axes[RIGHT_TRIGGER] > PRESSED
    }

    /// Whether it was used since the last time; who uses it aims with the middle of the picture.
    pub(super) fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.was_used)
    }

    pub(super) fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Turns and leans as the sticks are held for so long; whether anything moves.
    pub(super) fn advance(&mut self, view: &mut View, seconds: f32) -> bool {
        let before = *view;
        let stick = |v: f32| v.signum() * ((v.abs() - DEAD) / (1.0 - DEAD)).max(0.0);
        let [left_x, left_y, right_x, right_y] = [LEFT_X, LEFT_Y, RIGHT_X, RIGHT_Y].map(|a| stick(self.axes[a]));
        view.turn(
            std::mem::take(&mut self.snap) - right_x * TURN_PER_S * seconds,
            -right_y * TURN_PER_S * seconds,
        );
        view.lean(left_x * LEAN_PER_S * seconds, 0.0, -left_y * LEAN_PER_S * seconds);
        *view != before
    }
}

#[cfg(target_os = "linux")]
mod joystick {
    use super::{Pad, Shared};
    use std::fs::File;
    use std::io::Read;
    use std::time::Duration;

    /// Where pads appear when they are plugged in.
    const PLACES: std::ops::Range<u8> = 0..4;
    const LOOK_AGAIN: Duration = Duration::from_secs(2);
    const BUTTON: u8 = 1;
    const AXIS: u8 = 2;
    /// Says how things are at the beginning, which nobody has pressed.
    const INITIAL: u8 = 0x80;

    /// Reads the first pad that there is, and the next one when that is gone.
    pub(super) fn run(pad: &Shared, wake: &impl Fn() -> bool) {
        loop {
            let found = PLACES.into_iter().find_map(|n| {
                let path = format!("/dev/input/js{n}");
                Some((File::open(&path).ok()?, path))
            });
            if let Some((file, path)) = found {
                tracing::info!(path, "a gamepad");
                let goes_on = read(file, pad, wake);
                pad.lock().lost();
                if !goes_on {
                    return;
                }
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Until the pad is gone; false when nobody wants to know any more.
    pub(super) fn read(mut from: impl Read, pad: &Shared, wake: &impl Fn() -> bool) -> bool {
        let mut event = [0; 8];
        while from.read_exact(&mut event).is_ok() {
            pad.lock().take(event);
            if !wake() {
                return false;
            }
        }
        true
    }

    impl Pad {
        /// An event of the joystick interface: time u32, value i16, kind u8, number u8.
        fn take(&mut self, [_, _, _, _, low, high, kind, number]: [u8; 8]) {
            let value = i16::from_le_bytes([low, high]);
            match kind & !INITIAL {
                BUTTON if kind & INITIAL == 0 => self.button(number, value != 0),
                AXIS => self.axis(number.into(), (f32::from(value) / 32_767.0).max(-1.0)),
                _ => {}
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn event(kind: u8, number: u8, value: i16) -> [u8; 8] {
        let [low, high] = value.to_le_bytes();
        [1, 2, 3, 4, low, high, kind, number]
    }

    /// What a pad sends that is plugged in, and then used.
    fn pad(events: &[[u8; 8]]) -> Shared {
        let pad = Shared::default();
        assert!(joystick::read(&events.concat()[..], &pad, &|| true));
        pad
    }

    #[test]
    fn sticks_turn_and_lean_beyond_their_dead_middle() {
        let pad = pad(&[event(0x82, 3, 900), event(2, 0, 32_767), event(2, 4, -16_000)]);
        let mut view = View::default();
        assert!(pad.lock().advance(&mut view, 0.1));
        assert_eq!(view.yaw, 0.0, "the right stick is nearly in its middle");
        assert!((view.offset.x - 0.06).abs() < 1e-4, "{}", view.offset);
        assert!(
            view.pitch > 0.05,
            "a stick that is pushed away looks up: {}",
            view.pitch
        );
    }

    #[test]
    fn buttons_are_wishes_once_and_the_digital_pad_turns_by_steps() {
        let events = [
            event(0x81, 0, 1),
            event(1, 0, 1),
            event(1, 0, 0),
            event(1, 5, 1),
            event(2, 6, 32_767),
            event(2, 6, 32_000),
            event(2, 6, 0),
            event(1, 40, 1),
            event(2, 99, 5),
        ];
        let pad = pad(&events);
        let mut pad = pad.lock();
        assert!(pad.take_used() && !pad.take_used());
        assert_eq!(
            pad.take_wishes(),
            [Wish::Go, Wish::Next],
            "what was held at the beginning was not pressed"
        );
        assert_eq!(pad.take_wishes(), []);
        let mut view = View::default();
        pad.advance(&mut view, 0.01);
        assert!(
            (view.yaw - (std::f32::consts::TAU - SNAP)).abs() < 1e-5,
            "one step, clockwise"
        );
        assert!(!pad.advance(&mut view, 0.01));
        assert!(!pad.points());
        pad.axis(RIGHT_TRIGGER, 0.9);
        assert!(pad.points());
        pad.lost();
        assert!(!pad.points());
    }

    #[test]
    fn reading_ends_when_nobody_wants_to_know() {
        let pad = Shared::default();
        let events = [event(2, 0, 9_000), event(2, 0, 32_767)].concat();
        assert!(!joystick::read(&events[..], &pad, &|| false));
        assert!(pad.lock().axes[LEFT_X] < 0.5, "the second one was not read");
    }
}
