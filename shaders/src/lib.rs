//! The WGSL sources, embedded and validated.

/// A shader module: the pieces of WGSL that make it up, and its entry points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shader {
    /// Draws triangle ids into a multisampled target.
    Raster,
    /// Draws depth as the sun sees it.
    Shadow,
    /// Shades visibility samples and writes NV12 and depth.
    Shade,
    /// The same for an eye's foveated view, whose depth has places of its own.
    ShadeEye,
    /// Warps a layer to an eye.
    PresentWarp,
    /// Draws people and rings over a layer.
    PresentFigures,
    /// Draws local models over a layer, in its light.
    PresentLocals,
}

impl Shader {
    /// Every module of the renderer.
    pub const ALL: [Self; 4] = [Self::Raster, Self::Shadow, Self::Shade, Self::ShadeEye];
    /// Every module of the native client.
    pub const PRESENT: [Self; 3] = [Self::PresentWarp, Self::PresentFigures, Self::PresentLocals];

    /// The module's name, for labels and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raster => "raster",
            Self::Shadow => "shadow",
            Self::Shade => "shade",
            Self::ShadeEye => "shade_eye",
            Self::PresentWarp => "present_warp",
            Self::PresentFigures => "present_figures",
            Self::PresentLocals => "present_locals",
        }
    }

    /// The whole WGSL text of the module.
    #[must_use]
    pub fn source(self) -> String {
        match self {
            Self::Raster => ["enable primitive_index;\n", COMMON, RASTER].concat(),
            Self::Shadow => [COMMON, SHADOW].concat(),
            Self::Shade => [COMMON, SKY, TONE, LIGHT, SHADE, VIEW_EVEN].concat(),
            Self::ShadeEye => [COMMON, SKY, TONE, LIGHT, SHADE, VIEW_EYE].concat(),
            Self::PresentWarp => [PRESENT_COMMON, PRESENT_WARP].concat(),
            Self::PresentFigures => [PRESENT_COMMON, PRESENT_FIGURES].concat(),
            Self::PresentLocals => [PRESENT_COMMON, TONE, PRESENT_LOCALS].concat(),
        }
    }

    /// Names of the module's entry points.
    #[must_use]
    pub const fn entry_points(self) -> &'static [&'static str] {
        match self {
            Self::Raster => &[
                "vs_view",
                "fs_opaque",
                "fs_alpha",
                "fs_opaque_behind",
                "fs_alpha_behind",
            ],
            Self::Shadow => &["vs_shadow", "fs_shadow_alpha"],
            Self::Shade => &["cs_shade"],
            Self::ShadeEye => &["cs_shade", "cs_depth"],
            Self::PresentWarp => &[
                "vs_surface",
                "vs_sheet",
                "vs_edge",
                "vs_backdrop",
                "fs_surface",
                "fs_sheet",
                "fs_edge",
                "vs_cover",
                "fs_cover",
            ],
            Self::PresentFigures => &["vs_figure", "fs_figure"],
            Self::PresentLocals => &["vs_local", "fs_local"],
        }
    }
}

const COMMON: &str = include_str!("../wgsl/common.wgsl");
const RASTER: &str = include_str!("../wgsl/raster.wgsl");
const SHADOW: &str = include_str!("../wgsl/shadow.wgsl");
const SKY: &str = include_str!("../wgsl/sky.wgsl");
const TONE: &str = include_str!("../wgsl/tone.wgsl");
const LIGHT: &str = include_str!("../wgsl/light.wgsl");
const SHADE: &str = include_str!("../wgsl/shade.wgsl");
const VIEW_EVEN: &str = include_str!("../wgsl/view_even.wgsl");
const VIEW_EYE: &str = include_str!("../wgsl/view_eye.wgsl");
const PRESENT_COMMON: &str = include_str!("../wgsl/present_common.wgsl");
const PRESENT_WARP: &str = include_str!("../wgsl/present_warp.wgsl");
const PRESENT_FIGURES: &str = include_str!("../wgsl/present_figures.wgsl");
const PRESENT_LOCALS: &str = include_str!("../wgsl/present_locals.wgsl");

#[cfg(test)]
mod tests {
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::*;

    #[test]
    fn every_entry_point_is_there_and_valid() {
        for shader in Shader::ALL.into_iter().chain(Shader::PRESENT) {
            let source = shader.source();
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{}: {}", shader.name(), e.emit_to_string(&source)));
            Validator::new(ValidationFlags::all(), Capabilities::PRIMITIVE_INDEX)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {}", shader.name(), e.emit_to_string(&source)));
            let found: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
            assert_eq!(found, shader.entry_points(), "{}", shader.name());
        }
    }
}
