//! Animations of translation, rotation and scale.

use glam::{Quat, Vec3};
use gltf::json;
use json::accessor::Type;
use json::animation::{Interpolation, Property};

use super::nodes::NewIndex;
use super::{Source, label};
use crate::{Animation, Channel, Error, Keys};

impl Source<'_> {
    pub(super) fn animations(&mut self, new_index: &NewIndex) -> Result<Vec<Animation>, Error> {
        let root = self.root;
        let mut out = Vec::new();
        for (index, animation) in root.animations.iter().enumerate() {
            let place = label("animation", index, animation.name.as_ref());
            let mut channels = Vec::new();
            for (at, channel) in animation.channels.iter().enumerate() {
                channels.extend(self.channel(animation, channel, new_index, &format!("{place}, channel {at}"))?);
            }
            let last = channels
                .iter()
                .filter_map(|c: &Channel| c.times_s.last())
                .fold(0.0_f32, |a, &b| a.max(b));
            let name = animation.name.clone().unwrap_or_default();
            out.push(Animation {
                name,
                duration_s: f64::from(last),
                channels,
            });
        }
        Ok(out)
    }

    /// `None` where the channel moves a node that the scene does not show.
    fn channel(
        &mut self,
        animation: &json::Animation,
        channel: &json::animation::Channel,
        new_index: &NewIndex,
        place: &str,
    ) -> Result<Option<Channel>, Error> {
        let sampler = self.get(&animation.samplers, channel.sampler.value(), place, "sampler")?;
        let step = match self.valid(&sampler.interpolation, place, "interpolation")? {
            Interpolation::Linear => false,
            Interpolation::Step => true,
            Interpolation::CubicSpline => return Err(self.fault(place, "CUBICSPLINE is not supported")),
        };
        let Some(&node) = new_index.get(channel.target.node.value()) else {
            return Err(self.fault(
                place,
                format!("moves node {}, which does not exist", channel.target.node.value()),
            ));
        };
        let count = self
            .elements(sampler.input.value(), &format!("{place}, input"), &[Type::Scalar])?
            .count;
        self.spent.keys += count as u64;
        self.within(place, "animation keys", self.spent.keys, self.limits.keys)?;
        let times_s = self.times(sampler.input.value(), &format!("{place}, input"))?;
        let output = sampler.output.value();
        let place = format!("{place}, output");
        let keys = match self.valid(&channel.target.path, &place, "path")? {
            Property::Translation => Keys::Translation(self.vec3_keys(output, &place, true)?),
            Property::Scale => Keys::Scale(self.vec3_keys(output, &place, false)?),
            Property::Rotation => {
                let raw = self.floats::<4>(output, &place, Type::Vec4)?;
                let unit = raw.into_iter().map(|q| self.unit(Quat::from_array(q), &place));
                Keys::Rotation(unit.collect::<Result<_, _>>()?)
            }
            Property::MorphTargetWeights => return Err(self.fault(place, "morph targets are not supported")),
        };
        let values = match &keys {
            Keys::Translation(k) | Keys::Scale(k) => k.len(),
            Keys::Rotation(k) => k.len(),
        };
        if values != times_s.len() {
            return Err(self.fault(place, format!("has {values} values for {} key times", times_s.len())));
        }
        Ok(node.map(|node| Channel {
            node,
            times_s,
            keys,
            step,
        }))
    }

    fn times(&self, accessor: usize, place: &str) -> Result<Vec<f32>, Error> {
        let times: Vec<f32> = self
            .floats::<1>(accessor, place, Type::Scalar)?
            .into_iter()
            .map(|[t]| t)
            .collect();
        let rising = times.windows(2).all(|w| w[0] < w[1]);
        if times.first().is_none_or(|&t| t < 0.0) || !rising {
            return Err(self.fault(place, "key times must be there, not negative and strictly rising"));
        }
        Ok(times)
    }

    fn vec3_keys(&self, accessor: usize, place: &str, translation: bool) -> Result<Vec<Vec3>, Error> {
        let keys: Vec<Vec3> = self
            .floats::<3>(accessor, place, Type::Vec3)?
            .into_iter()
            .map(Vec3::from)
            .collect();
        for &key in &keys {
            if translation {
                self.check_translation(key, place)?;
            } else {
                self.check_scale(key, place)?;
            }
        }
        Ok(keys)
    }
}
