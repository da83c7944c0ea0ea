//! Decoders, on a thread of their own, so that the network never waits for a picture.

use media::decode::{Decoder, OpenH264};
use protocol::SetId;
use protocol::depth::Cube;
use protocol::frame::{Codec, Frame, Header, Layer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use stream::receive::{Complete, StreamId};
use tokio::sync::mpsc;
use tongyou_media as media;
use tongyou_protocol as protocol;
use tongyou_stream as stream;

/// Pictures that wait for the news that their set is complete.
const MAX_PICTURES: usize = 24;
const MAX_DECODERS: usize = 4;
const MAX_KEYFRAMES: usize = 8;

/// What is done with pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decode {
    /// Checksums only: a frame counts as decoded when it is whole.
    #[default]
    Nothing,
    /// Colour and depth are decoded in full.
    All,
}

/// A complete set, decoded.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Which stream.
    pub stream: StreamId,
    /// What the colour frame said.
    pub header: Header,
    /// The picture: an atlas, or what its shape says.
    pub color: media::decode::Picture,
    /// Depth, where the layer has any.
    pub depth: Option<Arc<Cube>>,
}

/// What the thread has done.
pub(super) enum Decoded {
    Color { set: SetId, result: Result<(), String> },
    Picture(Result<Box<Picture>, String>),
}

enum Job {
    Color(Box<Frame>),
    Complete(Box<Complete>),
    Forget(SetId),
}

/// The thread's near end. Dropping it ends the thread.
pub(super) struct Decoding {
    jobs: Option<blocking::Sender<Job>>,
    done: mpsc::UnboundedReceiver<Decoded>,
    in_flight: usize,
}

impl Decoding {
    pub(super) fn new(decode: Decode) -> Self {
        let (done_tx, done) = mpsc::unbounded_channel();
        let jobs = (decode == Decode::All).then(|| {
            let (jobs, queue) = blocking::channel();
            std::thread::spawn(move || Worker::default().run(&queue, &done_tx));
            jobs
        });
        Self {
            jobs,
            done,
            in_flight: 0,
        }
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Begins to decode. Returns the set where nothing is to be done.
    pub(super) fn color(&mut self, frame: Frame) -> Option<SetId> {
        let set = frame.header.tag.set;
        let Some(jobs) = &self.jobs else { return Some(set) };
        match jobs.send(Job::Color(Box::new(frame))) {
            Ok(()) => {
                self.in_flight += 1;
                None
            }
            Err(_) => Some(set),
        }
    }

    pub(super) fn complete(&self, complete: &Complete) {
        self.send(|| Job::Complete(Box::new(complete.clone())));
    }

    pub(super) fn forget(&self, set: SetId) {
        self.send(|| Job::Forget(set));
    }

    fn send(&self, job: impl FnOnce() -> Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that is gone has said why.
            let _ = jobs.send(job());
        }
    }

    /// What has been done; `None` at once and for ever where nothing is decoded.
    pub(super) async fn recv(&mut self) -> Option<Decoded> {
        let decoded = self.done.recv().await?;
        if matches!(decoded, Decoded::Color { .. }) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        Some(decoded)
    }
}

/// The thread's own.
#[derive(Default)]
struct Worker {
    decoders: VecDeque<(StreamId, OpenH264)>,
    pictures: BTreeMap<SetId, (Header, media::decode::Picture)>,
    cubes: BTreeMap<SetId, Arc<Cube>>,
}

impl Worker {
    fn run(mut self, jobs: &blocking::Receiver<Job>, done: &mpsc::UnboundedSender<Decoded>) {
        while let Ok(job) = jobs.recv() {
            let decoded = match job {
                Job::Color(frame) => {
                    let result = self.color(&frame);
                    Decoded::Color {
                        set: frame.header.tag.set,
                        result,
                    }
                }
                Job::Complete(complete) => Decoded::Picture(self.complete(&complete).map(Box::new)),
                Job::Forget(set) => {
                    self.pictures.remove(&set);
                    continue;
                }
            };
            if done.send(decoded).is_err() {
                return;
            }
        }
    }

    fn color(&mut self, frame: &Frame) -> Result<(), String> {
        let header = frame.header;
        let name = |error: &dyn std::fmt::Display| format!("set {}: {error}", header.tag.set);
        if header.codec != Codec::H264 {
            return Err(name(&"colour is not H.264"));
        }
        let id = StreamId::of(&header);
        let at = self.decoder(id).map_err(|e| name(&e))?;
        let picture = self.decoders[at].1.decode(&frame.payload).map_err(|e| name(&e))?;
        if (picture.size.width(), picture.size.height()) != (usize::from(header.width), usize::from(header.height)) {
            return Err(name(&format!(
                "{:?}, announced {} × {}",
                picture.size, header.width, header.height
            )));
        }
        self.pictures.insert(header.tag.set, (header, picture));
        if self.pictures.len() > MAX_PICTURES {
            self.pictures.pop_first();
        }
        Ok(())
    }

    /// The decoder of a stream, the last of all from now on. Where there is none free, that of the least important
    /// layer gives way, and of those the one that had nothing to do for longest; never a more important one.
    fn decoder(&mut self, id: StreamId) -> Result<usize, String> {
        if let Some(at) = self.decoders.iter().position(|(of, _)| *of == id) {
            if let Some(used) = self.decoders.remove(at) {
                self.decoders.push_back(used);
            }
            return Ok(self.decoders.len() - 1);
        }
        if self.decoders.len() == MAX_DECODERS {
            let ranks = self.decoders.iter().enumerate();
            let least = ranks.max_by_key(|(at, (of, _))| (rank(*of), std::cmp::Reverse(*at)));
            match least.map(|(at, (of, _))| (at, *of)) {
                Some((at, of)) if rank(of) >= rank(id) => self.decoders.remove(at),
                _ => return Err(format!("all {MAX_DECODERS} decoders have more important layers")),
            };
        }
        let decoder = OpenH264::new().map_err(|e| e.to_string())?;
        self.decoders.push_back((id, decoder));
        Ok(self.decoders.len() - 1)
    }

    fn complete(&mut self, complete: &Complete) -> Result<Picture, String> {
        let set = complete.color.tag.set;
        let (header, color) = self
            .pictures
            .remove(&set)
            .ok_or_else(|| format!("set {set}: its picture is gone"))?;
        self.pictures
            .retain(|id, (h, _)| *id > set || StreamId::of(h) != complete.stream);
        let keyframe = complete
            .depth_keyframe
            .as_ref()
            .map(|f| self.cube(f, None))
            .transpose()?;
        let depth = complete
            .depth
            .as_ref()
            .map(|f| self.cube(f, keyframe.as_deref()))
            .transpose()?;
        Ok(Picture {
            stream: complete.stream,
            header,
            color,
            depth,
        })
    }

    fn cube(&mut self, frame: &Frame, keyframe: Option<&Cube>) -> Result<Arc<Cube>, String> {
        let set = frame.header.tag.set;
        if let Some(cube) = self.cubes.get(&set) {
            return Ok(Arc::clone(cube));
        }
        let cube = Cube::decode(&frame.payload, keyframe).map_err(|e| format!("depth of set {set}: {e}"))?;
        let cube = Arc::new(cube);
        self.cubes.insert(set, Arc::clone(&cube));
        if self.cubes.len() > MAX_KEYFRAMES {
            self.cubes.pop_first();
        }
        Ok(cube)
    }
}

/// How dispensable a stream's layer is.
const fn rank(stream: StreamId) -> u8 {
    match stream.layer {
        Layer::Base => 0,
        Layer::Behind => 1,
        Layer::Face(_) => 2,
    }
}
