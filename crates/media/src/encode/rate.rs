//! Rate control: which quantiser the next picture gets. Pure; the encoder reports what each picture cost.
//!
//! OpenH264's own control moves by a step or two a picture, which at four pictures a second leaves a still view
//! blurred for five seconds. This one models a picture's bits as `cost · 2^(−qp/6)`, spends no more than
//! [`BURST_S`] of the bit rate on any picture (a frame that is longer on its way expires), and pays what a
//! keyframe overdraws back over the pictures that follow.

/// The most that one picture may take, in seconds of the bit rate.
const BURST_S: f64 = 0.2;
/// Time over which an overdraft is paid back, in seconds.
const PAYBACK_S: f64 = 0.7;
/// Unused budget that may be saved up, in seconds of the bit rate.
const SAVINGS_S: f64 = 0.25;
/// Keyframes that follow each other within this time, in seconds, are groups of one moving view.
const GROUP_S: f64 = 2.5;
/// How much finer than its keyframe a picture of such a group may become: more would be seen as breathing.
const GROUP_RANGE: u8 = 7;
/// Guess for the first keyframe: bits a pixel at quantiser 0 in a detailed picture.
const FIRST_COST_PER_PIXEL: f64 = 16.0;

/// The state of one encoder's rate control.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    bitrate_bps: f64,
    fps: f64,
    min_qp: u8,
    max_qp: u8,
    /// Bits of an intra picture and of a predicted one, both extrapolated to quantiser 0.
    intra_cost: f64,
    predicted_cost: f64,
    /// Bits spent beyond the budget; negative are savings.
    overdraft: f64,
    /// What sharpening a still picture costs, as a share of the difference between two intra pictures.
    refinement: f64,
    /// Whether the view is still: pictures cost nothing unless they become sharper.
    calm: bool,
    last_qp: u8,
    /// Pictures since the last keyframe, of which there was one, and the finest quantiser of its group.
    since_keyframe: Option<u32>,
    finest_in_group: u8,
}

impl Rate {
    pub(super) fn new(pixels: usize, bitrate_bps: u32, fps: f32, min_qp: u8, max_qp: u8) -> Self {
        let pixels = f64::from(u32::try_from(pixels).unwrap_or(u32::MAX));
        Self {
            bitrate_bps: bitrate_bps.into(),
            fps: fps.into(),
            min_qp,
            max_qp,
            intra_cost: pixels * FIRST_COST_PER_PIXEL,
            predicted_cost: pixels * FIRST_COST_PER_PIXEL / 4.0,
            overdraft: 0.0,
            refinement: 1.0,
            calm: false,
            last_qp: max_qp,
            since_keyframe: None,
            finest_in_group: min_qp,
        }
    }

    pub(super) fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.bitrate_bps = bitrate_bps.into();
        self.overdraft = self
            .overdraft
            .clamp(-self.bitrate_bps * SAVINGS_S, self.bitrate_bps * BURST_S);
    }

    pub(super) fn set_fps(&mut self, fps: f32) {
        self.fps = fps.into();
    }

    /// The quantiser for the next picture.
    pub(super) fn choose(&self, keyframe: bool) -> u8 {
        let target = self.target(keyframe);
        if keyframe {
            let fits = |qp: &u8| bits_at(self.intra_cost, *qp) <= target;
            return (self.min_qp..=self.max_qp).find(fits).unwrap_or(self.max_qp);
        }
        // Small steps: below a threshold that depends on the picture bits vanish altogether, and large ones would
        // jump to and fro across it. A still view sharpens in about a second all the same.
        let down = match self.fps {
            ..6.0 => 4,
            ..15.0 => 2,
            _ => 1,
        };
        let limit = self.finest_in_group;
        let finest = self.last_qp.saturating_sub(down).max(limit);
        if self.calm {
            let affordable = (finest..self.last_qp).find(|qp| self.refine(*qp) <= target);
            let next = self.last_qp.saturating_sub(1).max(limit);
            // The estimate may be too careful; with savings in hand one step is always tried.
            let try_anyway = self.overdraft <= 0.0 && self.refine(next) <= self.bitrate_bps * BURST_S;
            return affordable.unwrap_or(if try_anyway { next } else { self.last_qp });
        }
        let up = if bits_at(self.predicted_cost, self.last_qp) > target * 2.0 {
            6
        } else {
            2
        };
        let coarsest = (self.last_qp + up).min(self.max_qp);
        (finest..=coarsest)
            .find(|qp| bits_at(self.predicted_cost, *qp) <= target)
            .unwrap_or(coarsest)
    }

    /// Whether a keyframe came out so large that it should be coded again, now that its cost is known.
    pub(super) fn is_excessive(&self, bits: usize, qp: u8) -> bool {
        as_f64(bits) > self.target(true) * 1.5 && qp < self.max_qp
    }

    /// Learns the cost of a keyframe that is coded again and not sent.
    pub(super) fn discard(&mut self, bits: usize, qp: u8) {
        self.intra_cost = cost(as_f64(bits), qp);
    }

    /// Takes note of a picture that goes out.
    pub(super) fn spend(&mut self, bits: usize, qp: u8, keyframe: bool) {
        let in_group = self
            .since_keyframe
            .is_some_and(|pictures| f64::from(pictures) < GROUP_S * self.fps);
        if keyframe {
            self.intra_cost = cost(as_f64(bits), qp);
            self.since_keyframe = Some(0);
            self.finest_in_group = if in_group {
                qp.saturating_sub(GROUP_RANGE).max(self.min_qp)
            } else {
                self.min_qp
            };
        } else {
            self.learn(as_f64(bits), qp);
            self.since_keyframe = self.since_keyframe.map(|pictures| pictures.saturating_add(1));
            if !in_group {
                self.finest_in_group = self.min_qp;
            }
        }
        self.overdraft += as_f64(bits) - self.bitrate_bps / self.fps;
        self.overdraft = self.overdraft.max(-self.bitrate_bps * SAVINGS_S);
        self.last_qp = qp;
    }

    /// Learns from a predicted picture, in the belief that the view is still or that it moves.
    fn learn(&mut self, bits: f64, qp: u8) {
        let share = self.bitrate_bps / self.fps;
        if self.calm {
            let expected = if qp < self.last_qp { self.refine(qp) } else { 0.0 };
            if expected > 0.0 {
                let ratio = bits / expected;
                let weight = if ratio > 1.0 { 1.0 } else { 0.3 };
                self.refinement = (self.refinement * (1.0 + (ratio - 1.0) * weight)).clamp(0.3, 4.0);
            }
            if bits > (expected * 1.6).max(share * 0.3) {
                self.calm = false;
                self.predicted_cost = cost(bits, qp);
            }
            return;
        }
        let now = cost(bits, qp);
        // Faster up than down: a picture that is too large hurts more than one that is too small.
        let weight = if now > self.predicted_cost { 0.7 } else { 0.35 };
        self.predicted_cost += (now - self.predicted_cost) * weight;
        self.calm = bits < share * 0.03;
    }

    fn target(&self, keyframe: bool) -> f64 {
        let burst = self.bitrate_bps * BURST_S;
        let share = self.bitrate_bps / self.fps;
        if keyframe {
            // At high rates several pictures' worth, at low rates never more than what arrives in time.
            return burst.min(share * 8.0);
        }
        let paid_back = self.overdraft / (PAYBACK_S * self.fps).max(1.0);
        let most = burst.min(share * 2.0);
        (share - paid_back).clamp(most.min(share * 0.2), most)
    }

    /// What sharpening a still view to a quantiser costs.
    fn refine(&self, qp: u8) -> f64 {
        let difference = bits_at(self.intra_cost, qp) - bits_at(self.intra_cost, self.last_qp);
        difference.max(0.0) * self.refinement
    }
}

fn bits_at(cost: f64, qp: u8) -> f64 {
    cost * (-f64::from(qp) / 6.0).exp2()
}

fn cost(bits: f64, qp: u8) -> f64 {
    bits * (f64::from(qp) / 6.0).exp2()
}

fn as_f64(bits: usize) -> f64 {
    f64::from(u32::try_from(bits).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A camera whose pictures follow the model with other constants, and every second a keyframe.
    fn spend_a_second(rate: &mut Rate, fps: u32, intra: f64, moving: f64) -> Vec<(usize, u8)> {
        (0..fps)
            .map(|at| {
                let keyframe = at == 0;
                let qp = rate.choose(keyframe);
                let refined = (bits_at(intra, qp) - bits_at(intra, rate.last_qp)).max(0.0);
                let real = if keyframe {
                    bits_at(intra, qp)
                } else {
                    bits_at(moving, qp).max(refined)
                };
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small and positive"
                )]
                let bits = real as usize;
                rate.spend(bits, qp, keyframe);
                (bits, qp)
            })
            .collect()
    }

    #[test]
    fn the_bit_rate_holds_over_a_second() {
        for fps in [4u8, 12, 36, 60] {
            for bitrate in [2_000_000, 8_000_000, 20_000_000] {
                let mut rate = Rate::new(1536 * 1024, bitrate, fps.into(), 10, 51);
                for second in 0..6 {
                    let pictures = spend_a_second(&mut rate, fps.into(), 6e7, 1e7);
                    let sum: usize = pictures.iter().map(|picture| picture.0).sum();
                    let share = as_f64(sum) / f64::from(bitrate);
                    assert!(
                        second < 2 || share < 1.1,
                        "{fps} fps, {bitrate} bit/s, second {second}: {share:.2}"
                    );
                    let at_most = pictures[1..].iter().map(|picture| picture.0).max().unwrap();
                    assert!(
                        second < 2 || as_f64(at_most) < f64::from(bitrate) * 0.25,
                        "{at_most} bits in one picture"
                    );
                }
            }
        }
    }

    #[test]
    fn a_still_view_gets_the_finest_quantiser_within_a_second() {
        let mut rate = Rate::new(1536 * 1024, 8_000_000, 4.0, 14, 42);
        spend_a_second(&mut rate, 4, 2e7, 0.0);
        let pictures = spend_a_second(&mut rate, 4, 2e7, 0.0);
        assert!(pictures[3].1 < pictures[0].1, "{pictures:?}");
        for pair in pictures.windows(2) {
            assert!(pair[1].1 <= pair[0].1, "quality falls within a group: {pictures:?}");
        }
    }

    #[test]
    fn groups_do_not_breathe_and_what_stays_still_becomes_sharp() {
        let mut rate = Rate::new(1536 * 1024, 8_000_000, 12.0, 14, 42);
        for second in 0..4 {
            let pictures = spend_a_second(&mut rate, 12, 6e7, 1e5);
            let finest = pictures.iter().map(|picture| picture.1).min().unwrap();
            assert!(second == 0 || finest + GROUP_RANGE >= pictures[0].1, "{pictures:?}");
        }
        for _ in 0..12 * 5 {
            let qp = rate.choose(false);
            rate.spend(200, qp, false);
        }
        assert_eq!(rate.last_qp, 14, "without keyframes nothing holds it back");
    }

    #[test]
    fn a_keyframe_that_is_far_too_large_is_noticed_and_learnt_from() {
        let mut rate = Rate::new(1536 * 1024, 8_000_000, 30.0, 14, 51);
        let first = rate.choose(true);
        assert!(rate.is_excessive(4_000_000, first));
        rate.discard(4_000_000, first);
        let second = rate.choose(true);
        assert!(second >= first + 7, "{first} then {second}");
        assert!(!rate.is_excessive(4_000_000, 51), "coarser does not exist");
    }

    #[test]
    fn the_limits_of_the_quantiser_hold() {
        let mut rate = Rate::new(256, 50_000_000, 1.0, 14, 42);
        assert_eq!(rate.choose(true), 14);
        rate.discard(usize::MAX, 42);
        assert_eq!(rate.choose(true), 42);
        rate.spend(usize::MAX, 42, false);
        assert_eq!(rate.choose(false), 42);
    }
}
