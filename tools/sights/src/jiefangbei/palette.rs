//! The scene's materials and their textures.

use glam::{Vec3, Vec4};
use tongyou_scene::{Alpha, Error, Material};

use crate::builder::{Builder, Paint, plain};
use crate::lettering;
use crate::textures::{self, Facade};

/// Everything that can be painted.
pub(super) struct Palette {
    pub(super) paving: Paint,
    pub(super) asphalt: Paint,
    pub(super) stone: Paint,
    pub(super) relief: Paint,
    pub(super) inscription: Paint,
    pub(super) dial: Paint,
    pub(super) hand: Paint,
    pub(super) bronze: Paint,
    pub(super) dark_metal: Paint,
    pub(super) steel: Paint,
    pub(super) concrete: Paint,
    pub(super) black_tile: Paint,
    pub(super) soil: Paint,
    pub(super) flowers: Paint,
    pub(super) leaves: Paint,
    pub(super) bark: Paint,
    pub(super) wood: Paint,
    pub(super) plain: Paint,
    pub(super) red: Paint,
    pub(super) globe: Paint,
    pub(super) lantern: Paint,
    pub(super) glow_warm: Paint,
    pub(super) glow_cool: Paint,
    pub(super) shops: Paint,
    pub(super) screen: Paint,
    pub(super) signs: [Paint; 4],
    pub(super) sign_panel: Paint,
    /// Lit from behind; takes the vertex colour by day.
    pub(super) poster: Paint,
    pub(super) train_body: Paint,
    pub(super) train_glass: Paint,
    pub(super) glass: Paint,
    /// Glass offices, stone department store, homes, pale offices, dark glass tower.
    pub(super) facades: [Paint; 5],
}

/// Metres that one repeat of each façade covers: eight windows across, eight floors up.
pub(super) const FACADE_M: [crate::shapes::Tile; 5] = [
    crate::shapes::Tile(16.0, 30.4),
    crate::shapes::Tile(24.0, 31.2),
    crate::shapes::Tile(26.0, 24.8),
    crate::shapes::Tile(22.4, 28.8),
    crate::shapes::Tile(12.0, 32.0),
];

const FACADES: [Facade; 5] = [
    Facade {
        name: "offices",
        seed: 101,
        windows: (8, 8),
        glass: (0.45, 0.40),
        wall: [0.46, 0.49, 0.52],
        pane: [0.30, 0.40, 0.48],
        lit: 0.30,
        homely: 0.0,
    },
    Facade {
        name: "store",
        seed: 201,
        windows: (8, 8),
        glass: (0.27, 0.34),
        wall: [0.78, 0.72, 0.62],
        pane: [0.24, 0.28, 0.31],
        lit: 0.42,
        homely: 0.5,
    },
    Facade {
        name: "homes",
        seed: 301,
        windows: (8, 8),
        glass: (0.30, 0.30),
        wall: [0.72, 0.68, 0.62],
        pane: [0.22, 0.26, 0.30],
        lit: 0.30,
        homely: 1.0,
    },
    Facade {
        name: "pale",
        seed: 401,
        windows: (8, 8),
        glass: (0.44, 0.27),
        wall: [0.80, 0.81, 0.80],
        pane: [0.26, 0.36, 0.42],
        lit: 0.30,
        homely: 0.2,
    },
    Facade {
        name: "tower",
        seed: 501,
        windows: (8, 8),
        glass: (0.47, 0.44),
        wall: [0.34, 0.38, 0.42],
        pane: [0.24, 0.36, 0.46],
        lit: 0.25,
        homely: 0.1,
    },
];

impl Palette {
    pub(super) fn new(b: &mut Builder) -> Result<Self, Error> {
        let sheet = lettering::sheet()?;
        let screen_image = b.image(textures::screen(&sheet));
        let inscription_image = b.image(textures::inscription(&sheet));
        let sheet = b.image(sheet);
        let facades = FACADES.map(|f| facade(b, f));
        let sign = |b: &mut Builder, name: &str, color: [f32; 3]| {
            let mut m = plain(name, [0.02, 0.02, 0.022], 0.5);
            m.emissive = Vec3::from(color);
            m.emissive_texture = Some(sheet);
            b.material(m)
        };
        let signs = [
            sign(b, "sign-red", [3.2, 0.35, 0.22]),
            sign(b, "sign-amber", [3.0, 1.6, 0.45]),
            sign(b, "sign-white", [2.2, 2.3, 2.5]),
            sign(b, "sign-jade", [0.35, 2.2, 1.5]),
        ];
        let paving_image = b.image(textures::paving());
        let paving_rough = b.image(textures::paving_roughness());
        let paving_normals = b.image(textures::paving_normals());
        let stone_image = b.image(textures::stone());
        let relief_image = b.image(textures::relief());
        let dial_image = b.image(textures::dial());
        let shop_images = [b.image(textures::shops(false)), b.image(textures::shops(true))];
        let leaf_image = b.image(textures::leaves());

        let metal = |name: &str, color: [f32; 3], roughness: f32| Material {
            metallic: 1.0,
            ..plain(name, color, roughness)
        };
        let glow = |name: &str, color: [f32; 3]| Material {
            emissive: Vec3::from(color),
            ..plain(name, [0.8; 3], 0.5)
        };
        Ok(Self {
            paving: b.material(Material {
                base_color_texture: Some(paving_image),
                metallic_roughness_texture: Some(paving_rough),
                normal_texture: Some(paving_normals),
                ..plain("paving", [1.0; 3], 1.0)
            }),
            asphalt: b.material(plain("asphalt", [0.09, 0.09, 0.095], 0.9)),
            stone: b.material(Material {
                base_color_texture: Some(stone_image),
                ..plain("stone", [0.93, 0.90, 0.84], 0.75)
            }),
            relief: b.material(Material {
                base_color_texture: Some(stone_image),
                normal_texture: Some(relief_image),
                ..plain("relief", [0.62, 0.55, 0.47], 0.7)
            }),
            inscription: b.material(Material {
                base_color_texture: Some(inscription_image),
                ..plain("inscription", [1.0; 3], 0.6)
            }),
            dial: b.material(Material {
                base_color_texture: Some(dial_image),
                emissive: Vec3::new(1.9, 1.6, 1.1),
                emissive_texture: Some(dial_image),
                ..plain("dial", [1.0; 3], 0.5)
            }),
            hand: b.material(plain("hand", [0.015, 0.014, 0.013], 0.5)),
            bronze: b.material(metal("bronze", [0.52, 0.36, 0.18], 0.42)),
            dark_metal: b.material(plain("dark-metal", [0.035, 0.036, 0.04], 0.5)),
            steel: b.material(metal("steel", [0.62, 0.64, 0.66], 0.38)),
            concrete: b.material(Material {
                base_color_texture: Some(stone_image),
                ..plain("concrete", [0.50, 0.50, 0.49], 0.9)
            }),
            black_tile: b.material(plain("black-tile", [0.028, 0.028, 0.032], 0.35)),
            soil: b.material(plain("soil", [0.09, 0.06, 0.04], 1.0)),
            flowers: b.material(Material {
                double_sided: true,
                ..plain("flowers", [1.0; 3], 0.8)
            }),
            leaves: b.material(Material {
                base_color_texture: Some(leaf_image),
                alpha: Alpha::Mask(0.4),
                double_sided: true,
                ..plain("leaves", [1.0; 3], 0.75)
            }),
            bark: b.material(plain("bark", [0.17, 0.125, 0.09], 0.95)),
            wood: b.material(plain("wood", [0.36, 0.20, 0.10], 0.65)),
            plain: b.material(plain("paint", [1.0; 3], 0.6)),
            red: b.material(plain("red-lacquer", [0.48, 0.025, 0.02], 0.5)),
            globe: b.material(glow("globe", [9.0, 6.4, 3.4])),
            lantern: b.material(Material {
                emissive: Vec3::new(2.4, 0.26, 0.10),
                ..plain("lantern", [0.62, 0.03, 0.02], 0.6)
            }),
            glow_warm: b.material(glow("glow-warm", [2.6, 1.5, 0.6])),
            glow_cool: b.material(glow("glow-cool", [0.6, 1.3, 2.6])),
            shops: b.material(Material {
                base_color_texture: Some(shop_images[0]),
                emissive: Vec3::splat(1.5),
                emissive_texture: Some(shop_images[1]),
                ..plain("shops", [1.0; 3], 0.4)
            }),
            screen: b.material(Material {
                emissive: Vec3::splat(1.9),
                emissive_texture: Some(screen_image),
                ..plain("screen", [0.02; 3], 0.45)
            }),
            signs,
            sign_panel: b.material(plain("sign-panel", [0.03, 0.03, 0.034], 0.5)),
            poster: b.material(Material {
                emissive: Vec3::new(0.05, 0.035, 0.025),
                ..plain("poster", [1.0; 3], 0.6)
            }),
            train_body: b.material(plain("train-body", [1.0; 3], 0.35)),
            train_glass: b.material(Material {
                emissive: Vec3::new(1.1, 1.0, 0.8),
                ..plain("train-glass", [0.03, 0.04, 0.05], 0.3)
            }),
            glass: b.material(Material {
                base_color: Vec4::new(0.10, 0.15, 0.17, 1.0),
                ..plain("glass", [1.0; 3], 0.3)
            }),
            facades,
        })
    }
}

fn facade(b: &mut Builder, facade: Facade) -> Paint {
    let base_color_texture = Some(b.image(facade.color(512)));
    let emissive_texture = Some(b.image(facade.glow(512)));
    let metallic_roughness_texture = Some(b.image(facade.roughness(128)));
    b.material(Material {
        base_color_texture,
        emissive_texture,
        metallic_roughness_texture,
        emissive: Vec3::new(1.0, 0.94, 0.86),
        ..plain(facade.name, [1.0; 3], 1.0)
    })
}
