//! What the operator may set.

use std::time::Duration;

use crate::BudgetConfig;

/// Size and angle of a flat camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatConfig {
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
    pub height: u16,
    /// Vertical field of view, radians.
    pub vertical_fov_rad: f32,
}

/// Limits and rates of all sessions of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Most headsets of a session for which none was named.
    pub capacity_default: u16,
    /// Largest capacity that a session may be given.
    pub capacity_max: u16,
    /// Wrong codes that one address (an IPv6 /64) may say before it has to wait.
    pub attempts_per_address: u32,
    /// Time after which an address is forgiven one wrong code.
    pub attempt_forgiven_every: Duration,
    /// First wait of an address; it doubles with each wrong code after that, up to an hour.
    pub attempt_wait: Duration,
    /// Wrong codes a second that are taken from everybody together, in the long run.
    pub attempts_per_s: f64,
    /// Wrong codes that are taken from everybody together in a burst.
    pub attempts_burst: f64,
    /// A link that has not said hello by then is closed.
    pub hello_timeout: Duration,
    /// A headset that has said nothing for so long is gone.
    pub silence_timeout: Duration,
    /// How long a seat, and the lead, waits for somebody whose connection broke.
    pub lease_grace: Duration,
    /// How long a headset whose connection broke may come back with its ticket.
    pub resume_within: Duration,
    /// How long a grant can be used.
    pub grant_lifetime: Duration,
    /// A session without people ends after this.
    pub empty_lifetime: Duration,
    /// From the decision to change the stop to the change; longer where somebody's round trip is longer.
    pub commit_lead: Duration,
    /// The longest that it is made for somebody's round trip.
    pub commit_lead_max: Duration,
    /// Longest wait for headsets to get ready.
    pub prepare_timeout: Duration,
    /// How long a headset is sent the picture of a cell that its wearer aims at.
    pub ahead_for: Duration,
    /// Cells of a session in which nobody stands but which are rendered for those who aim at them, at most.
    pub ahead_vantages: usize,
    /// Views of their own for those who stand off the cells.
    pub budget: BudgetConfig,
    /// Half the distance between the eyes of such a view, metres.
    pub half_ipd_m: f32,
    /// How far ahead of the newest pose such a view is rendered, beside half the round trip.
    pub stereo_ahead: Duration,
    /// Most spectators of a session; 0 for none.
    pub spectators_most: u16,
    /// Their camera.
    pub spectator: FlatConfig,
    /// The camera of the guide's look at another stop.
    pub preview: FlatConfig,
    /// How long that look lasts; zero for none.
    pub preview_for: Duration,
    /// Avatar batches a second to each listener.
    pub avatar_rate_hz: f32,
    /// Bytes of avatar datagrams a second to each listener, 32 bytes per datagram for its envelope included.
    pub byte_budget_per_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity_default: 24,
            capacity_max: 1000,
            attempts_per_address: 10,
            attempt_forgiven_every: Duration::from_secs(60),
            attempt_wait: Duration::from_secs(10),
            attempts_per_s: 5.0,
            attempts_burst: 100.0,
            hello_timeout: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(4),
            lease_grace: Duration::from_secs(30),
            resume_within: Duration::from_secs(600),
            grant_lifetime: Duration::from_secs(12 * 3600),
            empty_lifetime: Duration::from_secs(12 * 3600),
            commit_lead: Duration::from_millis(300),
            commit_lead_max: Duration::from_millis(1500),
            prepare_timeout: Duration::from_secs(3),
            ahead_for: Duration::from_secs(8),
            ahead_vantages: 2,
            budget: BudgetConfig::default(),
            half_ipd_m: 0.032,
            stereo_ahead: Duration::from_millis(50),
            spectators_most: 8,
            spectator: FlatConfig {
                width: 1280,
                height: 720,
                vertical_fov_rad: std::f32::consts::FRAC_PI_3,
            },
            preview: FlatConfig {
                width: 640,
                height: 360,
                vertical_fov_rad: std::f32::consts::FRAC_PI_3,
            },
            preview_for: Duration::from_secs(30),
            avatar_rate_hz: 30.0,
            byte_budget_per_s: 60_000,
        }
    }
}
