//! Mouse and keys.

use super::view::View;
use std::collections::BTreeSet;
use winit::keyboard::KeyCode;

const TURN_PER_PIXEL: f32 = 0.0032;
const TURN_PER_S: f32 = 1.4;
const LEAN_PER_S: f32 = 0.6;
/// A press that moves less than this is a click.
const CLICK_PIXELS: f32 = 6.0;

/// What the wearer wants that is not looking about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wish {
    /// To stand at another cell.
    Cell(u32),
    /// To stand on the floor there, stop-local metres, looking along a heading.
    Floor {
        x: f32,
        z: f32,
        heading: f32,
    },
    /// To have the picture of a cell here soon.
    LookAhead(u32),
    /// To go where the middle of the picture is.
    Go,
    /// As the guide: the next stop, or the one before.
    Next,
    Previous,
    /// The head back to the rendered point, the heading back to the sight.
    Recentre,
    Leave,
}

/// What is held and dragged.
#[derive(Debug, Default)]
pub(super) struct Input {
    held: BTreeSet<KeyCode>,
    /// Where the mouse is, pixels.
    mouse: Option<(f32, f32)>,
    /// The button is down, and how far the mouse has moved since.
    drag: Option<f32>,
    middle: bool,
}

impl Input {
    /// A key goes down or up.
    pub(super) fn key(&mut self, code: KeyCode, down: bool, repeat: bool) -> Option<Wish> {
        if !down {
            self.held.remove(&code);
            return None;
        }
        self.held.insert(code);
        if repeat {
            return None;
        }
        match code {
            KeyCode::Escape => Some(Wish::Leave),
            KeyCode::KeyR => Some(Wish::Recentre),
            KeyCode::KeyN => Some(Wish::Next),
            KeyCode::KeyP => Some(Wish::Previous),
            other => digit(other).map(Wish::Cell),
        }
    }

    /// The window is not the one that keys go to any more.
    pub(super) fn lost(&mut self) {
        self.held.clear();
        self.drag = None;
        self.middle = false;
    }

    /// Whether the wearer holds the key with which one points.
    pub(super) fn points(&self) -> bool {
        self.middle || self.held.contains(&KeyCode::KeyF)
    }

    /// Where the mouse is, pixels.
    pub(super) const fn mouse(&self) -> Option<(f32, f32)> {
        self.mouse
    }

    /// The middle button goes down or up.
    pub(super) const fn middle(&mut self, down: bool) {
        self.middle = down;
    }

    /// The mouse moves; dragging turns the view.
    pub(super) fn moved(&mut self, to: (f32, f32), view: &mut View) {
        if let (Some(drag), Some(from)) = (&mut self.drag, self.mouse) {
            let by = (to.0 - from.0, to.1 - from.1);
            *drag += by.0.abs() + by.1.abs();
            view.turn(by.0 * TURN_PER_PIXEL, by.1 * TURN_PER_PIXEL);
        }
        self.mouse = Some(to);
    }

    /// The left button goes down or up; gives the place of a click.
    pub(super) fn button(&mut self, down: bool) -> Option<(f32, f32)> {
        if down {
            self.drag = Some(0.0);
            return None;
        }
        let moved = self.drag.take()?;
        self.mouse.filter(|_| moved < CLICK_PIXELS)
    }

    /// Turns and leans as keys are held for so long; whether anything moves.
    pub(super) fn advance(&self, view: &mut View, seconds: f32) -> bool {
        let on = |codes: &[KeyCode]| f32::from(u8::from(codes.iter().any(|c| self.held.contains(c))));
        let axis = |plus: &[KeyCode], minus: &[KeyCode]| on(plus) - on(minus);
        let before = *view;
        view.turn(
            axis(
                &[KeyCode::ArrowLeft, KeyCode::KeyQ],
                &[KeyCode::ArrowRight, KeyCode::KeyE],
            ) * TURN_PER_S
                * seconds,
            axis(&[KeyCode::ArrowUp], &[KeyCode::ArrowDown]) * TURN_PER_S * seconds,
        );
        view.lean(
            axis(&[KeyCode::KeyD], &[KeyCode::KeyA]) * LEAN_PER_S * seconds,
            axis(&[KeyCode::PageUp], &[KeyCode::PageDown]) * LEAN_PER_S * seconds,
            axis(&[KeyCode::KeyW], &[KeyCode::KeyS]) * LEAN_PER_S * seconds,
        );
        *view != before
    }
}

/// The cell that a number key stands for, from 0.
fn digit(code: KeyCode) -> Option<u32> {
    const DIGITS: [KeyCode; 9] = [
        KeyCode::Digit1,
        KeyCode::Digit2,
        KeyCode::Digit3,
        KeyCode::Digit4,
        KeyCode::Digit5,
        KeyCode::Digit6,
        KeyCode::Digit7,
        KeyCode::Digit8,
        KeyCode::Digit9,
    ];
    (0..).zip(DIGITS).find(|(_, d)| *d == code).map(|(n, _)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drag_turns_and_a_click_does_not() {
        let (mut input, mut view) = (Input::default(), View::default());
        input.moved((100.0, 100.0), &mut view);
        input.button(true);
        input.moved((200.0, 100.0), &mut view);
        assert!(
            (view.yaw - 0.32).abs() < 1e-4,
            "dragging to the right turns to the left: {}",
            view.yaw
        );
        assert_eq!(input.button(false), None);
        let before = view;
        input.moved((50.0, 60.0), &mut view);
        input.button(true);
        input.moved((51.0, 60.0), &mut view);
        assert_eq!(input.button(false), Some((51.0, 60.0)));
        assert!((view.yaw - before.yaw).abs() < 0.01);
    }

    #[test]
    fn keys_are_wishes_once_and_movement_while_they_are_held() {
        let (mut input, mut view) = (Input::default(), View::default());
        assert_eq!(input.key(KeyCode::Digit3, true, false), Some(Wish::Cell(2)));
        assert_eq!(input.key(KeyCode::Digit3, true, true), None);
        assert_eq!(input.key(KeyCode::KeyN, true, false), Some(Wish::Next));
        assert_eq!(input.key(KeyCode::KeyW, true, false), None);
        assert!(input.advance(&mut view, 0.5));
        assert!((view.offset.z + 0.3).abs() < 1e-5, "{}", view.offset);
        input.lost();
        assert!(!input.advance(&mut view, 0.5));
    }
}
