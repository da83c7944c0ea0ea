//! The tour as a headset is told it.

use std::collections::BTreeMap;

use glam::Vec3;
use tongyou_protocol::control;
use tongyou_scene::{EYE_HEIGHT_M, Stop, Text, Tour};

/// Models by the stop's id.
pub(crate) type LocalModels = BTreeMap<String, Vec<control::LocalModel>>;

pub(crate) fn tour(tour: &Tour, models: &LocalModels) -> control::Tour {
    control::Tour {
        id: tour.id.clone(),
        title: Some(text(&tour.title)),
        notice: tour.notice.as_ref().map(text),
        stops: tour.stops.iter().map(|s| stop(s, models)).collect(),
        clock_start_s: tour.clock_start.seconds.into(),
    }
}

/// Origin of quantised poses: the floor in the middle of the stop's cells, so that all of them are within reach.
pub(crate) fn pose_origin(stop: &Stop) -> Vec3 {
    let eyes = || stop.cells.iter().map(|c| Vec3::from(c.eye));
    let low = eyes().reduce(Vec3::min).unwrap_or_default();
    let high = eyes().reduce(Vec3::max).unwrap_or_default();
    (low + high) / 2.0 - Vec3::Y * EYE_HEIGHT_M
}

fn stop(stop: &Stop, models: &LocalModels) -> control::Stop {
    let cell = |cell: &tongyou_scene::Cell| {
        let [x, y, z] = cell.eye;
        control::Cell {
            point: Some(Vec3::from(cell.eye).into()),
            floor_y: stop.ground_m(x, z).unwrap_or(y - EYE_HEIGHT_M),
        }
    };
    control::Stop {
        id: stop.id.clone(),
        title: Some(text(&stop.title)),
        text: Some(text(&stop.text)),
        cells: stop.cells.iter().map(cell).collect(),
        look_at: Some(stop.look_at().into()),
        pose_origin: Some(pose_origin(stop).into()),
        local_models: models.get(&stop.id).cloned().unwrap_or_default(),
    }
}

fn text(text: &Text) -> control::Text {
    control::Text {
        zh: text.zh.clone(),
        en: text.en.clone(),
    }
}
