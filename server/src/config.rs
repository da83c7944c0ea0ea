//! Configuration: flags over environment over a TOML file over defaults, parsed once.

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What can be said on the command line or in the environment.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// A TOML file with any of the settings below (names with `_`).
    #[arg(long, env = "TONGYOU_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Every setting, each optional: one layer of the configuration.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Address and port of HTTPS (TCP) and of QUIC and WebTransport (UDP) [default: 0.0.0.0:4433]
    #[arg(long, env = "TONGYOU_LISTEN", global = true)]
    listen: Option<SocketAddr>,
    /// Folder of certificates and of the guide's secret [default: tongyou-data]
    #[arg(long, env = "TONGYOU_DATA", global = true)]
    data: Option<PathBuf>,
    /// The server's certificate and those above it (PEM), for HTTPS and QUIC; without it self-signed ones are made
    #[arg(long, env = "TONGYOU_CERTIFICATE", global = true)]
    certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, env = "TONGYOU_KEY", global = true)]
    key: Option<PathBuf>,
    /// Folder of tours [default: assets/tours]
    #[arg(long, env = "TONGYOU_TOURS", global = true)]
    tours: Option<PathBuf>,
    /// Folder of scenes (GLB) [default: assets/scenes]
    #[arg(long, env = "TONGYOU_SCENES", global = true)]
    scenes: Option<PathBuf>,
    /// Names or addresses under which headsets reach this machine, beside those found [repeatable]
    #[arg(long = "name", env = "TONGYOU_NAMES", value_delimiter = ',', global = true)]
    names: Option<Vec<String>>,
    /// Tours to start a session of at once [repeatable]
    #[arg(long, env = "TONGYOU_OPEN", value_delimiter = ',', global = true)]
    open: Option<Vec<String>>,
    /// A file that is written once the server is ready: JSON with addresses, codes and grants
    #[arg(long, env = "TONGYOU_READY_FILE", global = true)]
    ready_file: Option<PathBuf>,
    /// Address of plain HTTP that answers `GET /metrics` with counters for Prometheus; off where none is given
    #[arg(long, env = "TONGYOU_METRICS", global = true)]
    metrics: Option<SocketAddr>,
    /// Headsets that a session admits [default: 50]
    #[arg(long, env = "TONGYOU_CAPACITY", global = true)]
    capacity: Option<u16>,
    /// Most sets a second of a vantage in which something moves [default: 12]
    #[arg(long, env = "TONGYOU_SETS_PER_S", global = true)]
    sets_per_s: Option<f32>,
    /// Bit rate of a vantage's colour, bits per second [default: 12000000]
    #[arg(long, env = "TONGYOU_BITRATE_BPS", global = true)]
    bitrate_bps: Option<u32>,
    /// Milliseconds from one keyframe to the next [default: 1000]
    #[arg(long, env = "TONGYOU_GROUP_MS", global = true)]
    group_ms: Option<u32>,
    /// Threads of each video encoder [default: 1]
    #[arg(long, env = "TONGYOU_ENCODE_THREADS", global = true)]
    encode_threads: Option<u8>,
    /// Pixels along the side of the sharp faces that headsets are sent where they look, or `off`; without a GPU they are
    /// drawn while there is time for them [default: 1024]
    #[arg(long, env = "TONGYOU_FACES", global = true)]
    faces: Option<Faces>,
    /// Draw what lies behind near things as a layer of its own: `on` or `off` [default: on]
    #[arg(long, env = "TONGYOU_BEHIND", global = true)]
    behind: Option<Switch>,
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

/// A size in pixels, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
struct Faces(Option<u16>);

impl std::str::FromStr for Faces {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            size => match size.parse() {
                Ok(size) => Ok(Self(Some(size))),
                Err(_) => Err(format!("faces is {text:?}: it must be `off` or a number of pixels")),
            },
        }
    }
}

impl TryFrom<toml::Value> for Faces {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Integer(size) => size.to_string().parse(),
            toml::Value::String(text) => text.parse(),
            other => Err(format!("faces is {other}: it must be \"off\" or a number of pixels")),
        }
    }
}

/// The configuration of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port, TCP and UDP.
    pub listen: SocketAddr,
    /// Folder of certificates and secrets.
    pub data: PathBuf,
    /// Files of the operator's certificate and its key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Folder of tours.
    pub tours: PathBuf,
    /// Folder of scenes.
    pub scenes: PathBuf,
    /// More names of this machine.
    pub names: Vec<String>,
    /// Tours to start a session of.
    pub open: Vec<String>,
    /// Written once the server is ready.
    pub ready_file: Option<PathBuf>,
    /// Where counters are served, without TLS.
    pub metrics: Option<SocketAddr>,
    /// Headsets that a session admits.
    pub capacity: u16,
    /// Most sets a second of a vantage in which something moves.
    pub sets_per_s: f32,
    /// Bits per second of a vantage's colour.
    pub bitrate_bps: u32,
    /// Milliseconds between keyframes.
    pub group_ms: u32,
    /// Threads of each encoder.
    pub encode_threads: u8,
    /// Pixels along the side of a sharp face; `None` for no sharp faces.
    pub faces: Option<u16>,
    /// Whether what lies behind near things is drawn.
    pub behind: bool,
}

impl Options {
    /// Reads the file that was named, if any, and fills in the defaults.
    ///
    /// # Errors
    /// When the file can not be read, has unknown keys, or a value is out of range.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        let file = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        self.settings.clone().over(file).finish()
    }
}

#[cfg(test)]
impl Options {
    /// What a file says, and nothing else.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self {
            config: Some(path),
            settings: Settings::default(),
        }
    }
}

impl Settings {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("can not read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// This layer where it says something, the one below where it does not.
    fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            data: self.data.or(below.data),
            certificate: self.certificate.or(below.certificate),
            key: self.key.or(below.key),
            tours: self.tours.or(below.tours),
            scenes: self.scenes.or(below.scenes),
            names: self.names.or(below.names),
            open: self.open.or(below.open),
            ready_file: self.ready_file.or(below.ready_file),
            metrics: self.metrics.or(below.metrics),
            capacity: self.capacity.or(below.capacity),
            sets_per_s: self.sets_per_s.or(below.sets_per_s),
            bitrate_bps: self.bitrate_bps.or(below.bitrate_bps),
            group_ms: self.group_ms.or(below.group_ms),
            encode_threads: self.encode_threads.or(below.encode_threads),
            faces: self.faces.or(below.faces),
            behind: self.behind.or(below.behind),
        }
    }

    fn finish(self) -> anyhow::Result<Config> {
        let certificate = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => bail!("configuration: certificate needs key, the file of its private key"),
            (None, Some(_)) => {
                bail!("configuration: key needs certificate, the file of the certificate that it is for")
            }
        };
        let config = Config {
            listen: self
                .listen
                .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433))),
            data: self.data.unwrap_or_else(|| "tongyou-data".into()),
            certificate,
            tours: self.tours.unwrap_or_else(|| "assets/tours".into()),
            scenes: self.scenes.unwrap_or_else(|| "assets/scenes".into()),
            names: self.names.unwrap_or_default(),
            open: self.open.unwrap_or_default(),
            ready_file: self.ready_file,
            metrics: self.metrics,
            capacity: self.capacity.unwrap_or(50),
            sets_per_s: self.sets_per_s.unwrap_or(12.0),
            bitrate_bps: self.bitrate_bps.unwrap_or(12_000_000),
            group_ms: self.group_ms.unwrap_or(1000),
            encode_threads: self.encode_threads.unwrap_or(1),
            faces: self.faces.unwrap_or(Faces(Some(1024))).0,
            behind: self.behind.unwrap_or(Switch::On) == Switch::On,
        };
        let range = |name: &str, good: bool, expected: &str| {
            if good {
                Ok(())
            } else {
                bail!("configuration: {name} must be {expected}")
            }
        };
        range("capacity", (1..=1000).contains(&config.capacity), "1 to 1000")?;
        range("sets_per_s", (1.0..=36.0).contains(&config.sets_per_s), "1 to 36")?;
        range(
            "bitrate_bps",
            (500_000..=50_000_000).contains(&config.bitrate_bps),
            "500000 to 50000000",
        )?;
        range("group_ms", (250..=10_000).contains(&config.group_ms), "250 to 10000")?;
        let good = |size: u16| (256..=2048).contains(&size) && size.is_multiple_of(16);
        range(
            "faces",
            config.faces.is_none_or(good),
            "off, or a multiple of 16 from 256 to 2048",
        )?;
        range("encode_threads", (1..=16).contains(&config.encode_threads), "1 to 16")?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(toml: &str, flags: Settings) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.toml");
        std::fs::write(&path, toml).unwrap();
        Options {
            config: Some(path),
            settings: flags,
        }
        .resolve()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = Settings {
            capacity: Some(7),
            ..Settings::default()
        };
        let config = resolve("faces = 'off'\nbehind = 'off'", Settings::default()).unwrap();
        assert_eq!((config.faces, config.behind), (None, false));
        let config = resolve("faces = 768", Settings::default()).unwrap();
        assert_eq!((config.faces, config.behind), (Some(768), true));
        let config = resolve("capacity = 9\nsets_per_s = 4.0", flags).unwrap();
        assert_eq!((config.capacity, config.sets_per_s, config.group_ms), (7, 4.0, 1000));
    }

    #[test]
    fn mistakes_are_named() {
        for (toml, word) in [
            ("capacty = 9", "capacty"),
            ("capacity = 0", "capacity"),
            ("sets_per_s = 99", "sets_per_s"),
            ("faces = 1000", "faces"),
            ("faces = 'large'", "faces"),
            ("behind = 'maybe'", "behind"),
            ("certificate = 'a.pem'", "needs key"),
            ("key = 'a.pem'", "needs certificate"),
        ] {
            let error = format!("{:#}", resolve(toml, Settings::default()).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
