//! Small sound files of every format, made here: a bumpy sheet of 12 by 12 squares, one unit each, heights below 1.

use std::io::{Cursor, Write};

use e57::{E57Writer, Quaternion, Record, RecordValue, Transform, Translation};
use glam::{Quat, Vec3};
use tongyou_scene::{Mesh, Node, Primitive, Scene, write_glb};

/// Squares a side.
pub(crate) const SIDE: u32 = 12;
pub(crate) const VERTICES: usize = 169;
pub(crate) const TRIANGLES: usize = 288;

/// Corners of the sheet: z up.
pub(crate) fn positions() -> Vec<[f32; 3]> {
    let each = (0..=SIDE).flat_map(|x| (0..=SIDE).map(move |y| (x as f32, y as f32)));
    // Quarters: every format holds them exactly.
    each.map(|(x, y)| [x, y, ((x * 3.0 + y * 5.0) % 4.0) / 4.0]).collect()
}

pub(crate) fn triangles() -> Vec<[u32; 3]> {
    let wide = SIDE + 1;
    let squares = (0..SIDE).flat_map(|x| (0..SIDE).map(move |y| x * wide + y));
    squares
        .flat_map(|at| [[at, at + wide, at + wide + 1], [at, at + wide + 1, at + 1]])
        .collect()
}

fn color(index: usize) -> [u8; 3] {
    [u8::try_from(index % 256).unwrap(), 100, 50]
}

/// How a PLY writes its numbers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Coding {
    Text,
    Little,
    Big,
}

struct Ply {
    coding: Coding,
    out: Vec<u8>,
}

impl Ply {
    fn new(coding: Coding, elements: &str) -> Self {
        let name = match coding {
            Coding::Text => "ascii",
            Coding::Little => "binary_little_endian",
            Coding::Big => "binary_big_endian",
        };
        let out = format!("ply\nformat {name} 1.0\ncomment a sample\n{elements}end_header\n").into_bytes();
        Self { coding, out }
    }

    fn bytes(&mut self, little: &[u8], text: String) {
        match self.coding {
            Coding::Text => self.out.extend(format!("{text} ").bytes()),
            Coding::Little => self.out.extend(little),
            Coding::Big => self.out.extend(little.iter().rev()),
        }
    }

    fn float(&mut self, v: f32) {
        self.bytes(&v.to_le_bytes(), v.to_string());
    }

    fn byte(&mut self, v: u8) {
        self.bytes(&[v], v.to_string());
    }

    fn int(&mut self, v: u32) {
        self.bytes(&v.to_le_bytes(), v.to_string());
    }
}

pub(crate) fn ply_mesh(coding: Coding) -> Vec<u8> {
    let elements = format!(
        "element vertex {VERTICES}\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\n\
         property uchar green\nproperty uchar blue\nelement face {TRIANGLES}\nproperty list uchar int vertex_indices\n"
    );
    let mut ply = Ply::new(coding, &elements);
    for (index, position) in positions().into_iter().enumerate() {
        position.into_iter().for_each(|v| ply.float(v));
        color(index).into_iter().for_each(|v| ply.byte(v));
    }
    for triangle in triangles() {
        ply.byte(3);
        triangle.into_iter().for_each(|v| ply.int(v));
    }
    ply.out
}

pub(crate) fn ply_points() -> Vec<u8> {
    let elements = format!("element vertex {VERTICES}\nproperty float x\nproperty float y\nproperty float z\n");
    let mut ply = Ply::new(Coding::Little, &elements);
    positions().into_iter().flatten().for_each(|v| ply.float(v));
    ply.out
}

/// Splats with one band of harmonics, as trainers write them.
pub(crate) fn ply_splats(coding: Coding) -> Vec<u8> {
    let mut names = vec![
        "x".to_owned(),
        "y".into(),
        "z".into(),
        "f_dc_0".into(),
        "f_dc_1".into(),
        "f_dc_2".into(),
    ];
    names.extend((0..9).map(|i| format!("f_rest_{i}")));
    names.extend(
        [
            "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
        ]
        .map(String::from),
    );
    let properties: String = names.iter().map(|n| format!("property float {n}\n")).collect();
    let mut ply = Ply::new(coding, &format!("element vertex {VERTICES}\n{properties}"));
    for position in positions() {
        position.into_iter().for_each(|v| ply.float(v));
        [0.5, 0.0, -0.5].into_iter().for_each(|v| ply.float(v));
        (0..9_u8).for_each(|v| ply.float(f32::from(v) / 10.0));
        [2.0, -2.0, -1.0, -6.0, 1.0, 0.0, 0.0, 0.0]
            .into_iter()
            .for_each(|v| ply.float(v));
    }
    ply.out
}

pub(crate) fn obj() -> Vec<u8> {
    let mut out = String::from("# a sample\nmtllib sample.mtl\nusemtl stone\n");
    for [x, y, z] in positions() {
        out += &format!("v {x} {y} {z}\n");
        out += &format!("vt {} {}\n", x / SIDE as f32, y / SIDE as f32);
    }
    for triangle in triangles() {
        let [a, b, c] = triangle.map(|i| i + 1);
        out += &format!("f {a}/{a} {b}/{b} {c}/{c}\n");
    }
    out.into_bytes()
}

fn corners() -> impl Iterator<Item = [[f32; 3]; 3]> {
    let positions = positions();
    triangles().into_iter().map(move |t| t.map(|i| positions[i as usize]))
}

pub(crate) fn stl_binary() -> Vec<u8> {
    let mut out = vec![b' '; 80];
    out.extend(u32::try_from(TRIANGLES).unwrap().to_le_bytes());
    for triangle in corners() {
        out.extend([0; 12]);
        out.extend(triangle.iter().flatten().flat_map(|v| v.to_le_bytes()));
        out.extend([0; 2]);
    }
    out
}

pub(crate) fn stl_text() -> Vec<u8> {
    let mut out = String::from("solid sample\n");
    for triangle in corners() {
        out += "facet normal 0 0 1\nouter loop\n";
        for [x, y, z] in triangle {
            out += &format!("vertex {x} {y} {z}\n");
        }
        out += "endloop\nendfacet\n";
    }
    out += "endsolid sample\n";
    out.into_bytes()
}

/// The sheet lying in the axes of glTF, under a node that moves it and mirrors it.
pub(crate) fn glb() -> Vec<u8> {
    let primitive = Primitive {
        positions: positions().into_iter().map(|[x, y, z]| Vec3::new(x, z, -y)).collect(),
        normals: vec![Vec3::Y; VERTICES],
        indices: triangles().into_iter().flatten().collect(),
        ..Primitive::default()
    };
    let mut scene = Scene::default();
    scene.meshes.push(Mesh {
        name: "sheet".into(),
        primitives: vec![primitive],
    });
    scene.nodes.push(Node {
        name: "turned".into(),
        parent: None,
        translation: Vec3::new(100.0, 0.0, 0.0),
        rotation: Quat::IDENTITY,
        scale: Vec3::new(-2.0, 2.0, 2.0),
        mesh: Some(0),
        light: None,
    });
    write_glb(&scene).unwrap()
}

/// The JSON of the GLB, and its binary chunk.
pub(crate) fn glb_chunks() -> (serde_json::Value, Vec<u8>) {
    let glb = glb();
    let length = u32::from_le_bytes(glb[12..16].try_into().unwrap()) as usize;
    let root = serde_json::from_slice(&glb[20..20 + length]).unwrap();
    (root, glb[28 + length..].to_vec())
}

/// The same as JSON with its buffer inside.
pub(crate) fn gltf() -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut root, blob) = glb_chunks();
    let base64: String = blob
        .chunks(3)
        .flat_map(|c| {
            let padded = c.iter().chain(&[0, 0]).take(3);
            let bits = padded.fold(0_usize, |a, &b| a << 8 | usize::from(b));
            [18, 12, 6, 0].map(|s| char::from(digits[bits >> s & 63]))
        })
        .collect();
    root["buffers"][0]["uri"] = serde_json::json!(format!("data:application/octet-stream;base64,{base64}"));
    serde_json::to_vec(&root).unwrap()
}

/// Two scans: one as it is, one turned by a quarter and moved.
pub(crate) fn e57() -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let mut file = E57Writer::new(&mut out, "{sample}").unwrap();
    let prototype = vec![
        Record::CARTESIAN_X_F64,
        Record::CARTESIAN_Y_F64,
        Record::CARTESIAN_Z_F64,
        Record::COLOR_RED_U8,
        Record::COLOR_GREEN_U8,
        Record::COLOR_BLUE_U8,
    ];
    for pose in [false, true] {
        let mut scan = file.add_pointcloud("{scan}", prototype.clone()).unwrap();
        if pose {
            let half = std::f64::consts::FRAC_1_SQRT_2;
            scan.set_transform(Some(Transform {
                rotation: Quaternion {
                    w: half,
                    x: 0.0,
                    y: 0.0,
                    z: half,
                },
                translation: Translation {
                    x: 50.0,
                    y: 0.0,
                    z: 0.0,
                },
            }));
        }
        for (index, position) in positions().into_iter().enumerate() {
            let mut values: Vec<RecordValue> = position.iter().map(|&v| RecordValue::Double(v.into())).collect();
            values.extend(color(index).iter().map(|&v| RecordValue::Integer(v.into())));
            scan.add_point(values).unwrap();
        }
        scan.finalize().unwrap();
    }
    file.finalize().unwrap();
    drop(file);
    out.into_inner()
}

/// Two scans of intensity and colours.
pub(crate) fn pts() -> Vec<u8> {
    let mut out = String::new();
    for shift in [0.0, 20.0] {
        out += &format!("{VERTICES}\n");
        for (index, [x, y, z]) in positions().into_iter().enumerate() {
            let [r, g, b] = color(index);
            out += &format!("{} {y} {z} -1203 {r} {g} {b}\n", x + shift);
        }
    }
    out.into_bytes()
}

pub(crate) fn xyz() -> Vec<u8> {
    let mut out = String::from("x,y,z,r,g,b\n");
    for (index, [x, y, z]) in positions().into_iter().enumerate() {
        let [r, g, b] = color(index);
        out += &format!("{x},{y},{z},{r},{g},{b}\n");
    }
    out.into_bytes()
}

/// The attributes of an SPZ without harmonics, one after the other, and their lengths.
fn spz_attributes(version: u32) -> Vec<Vec<u8>> {
    let mut rows: Vec<Vec<u8>> = vec![Vec::new(); 5];
    for position in positions() {
        for v in position {
            #[expect(clippy::cast_possible_truncation, reason = "a small number of quarters")]
            let fixed = (v * 4096.0) as i32;
            rows[0].extend(&fixed.to_le_bytes()[..3]);
        }
        rows[1].push(255);
        rows[2].extend([200, 128, 40]);
        rows[3].extend([160, 160, 80]);
        if version >= 3 {
            rows[4].extend((3_u32 << 30).to_le_bytes());
        } else {
            rows[4].extend([128, 128, 128]);
        }
    }
    rows
}

fn spz_head(version: u32, tail: [u8; 4]) -> Vec<u8> {
    let mut out = b"NGSP".to_vec();
    out.extend(version.to_le_bytes());
    out.extend(u32::try_from(VERTICES).unwrap().to_le_bytes());
    out.extend(tail);
    out
}

/// Version 2 or 3 before it is packed.
pub(crate) fn spz_unpacked(version: u32) -> Vec<u8> {
    let mut out = spz_head(version, [0, 12, 0, 0]);
    out.extend(spz_attributes(version).concat());
    out
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

pub(crate) fn spz4() -> Vec<u8> {
    let attributes = spz_attributes(4);
    let mut out = spz_head(4, [0, 12, 0, 5]);
    out.extend(32_u32.to_le_bytes());
    out.resize(32, 0);
    let packed: Vec<Vec<u8>> = attributes
        .iter()
        .map(|a| zstd::encode_all(a.as_slice(), 3).unwrap())
        .collect();
    for (attribute, packed) in attributes.iter().zip(&packed) {
        out.extend((packed.len() as u64).to_le_bytes());
        out.extend((attribute.len() as u64).to_le_bytes());
    }
    out.extend(packed.concat());
    out
}

/// A LAS or LAZ around `middle`, with a coordinate system in GeoTIFF keys where a code is given.
pub(crate) fn las(packed: bool, middle: [f64; 3], code: Option<u16>) -> Vec<u8> {
    let mut builder = las::Builder::from((1, 2));
    builder.point_format = las::point::Format::new(2).unwrap();
    builder.point_format.is_compressed = packed;
    for (transform, middle) in [
        (&mut builder.transforms.x, middle[0]),
        (&mut builder.transforms.y, middle[1]),
        (&mut builder.transforms.z, middle[2]),
    ] {
        transform.scale = 0.01;
        transform.offset = middle.round();
    }
    if let Some(code) = code {
        let keys = [1_u16, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, code];
        builder.vlrs.push(las::Vlr {
            user_id: "LASF_Projection".into(),
            record_id: 34735,
            description: String::new(),
            data: keys.iter().flat_map(|k| k.to_le_bytes()).collect(),
        });
    }
    let mut writer = las::Writer::new(Cursor::new(Vec::new()), builder.into_header().unwrap()).unwrap();
    for (index, [x, y, z]) in positions().into_iter().enumerate() {
        let [r, g, b] = color(index).map(|c| u16::from(c) * 257);
        let point = las::Point {
            x: f64::from(x) - 6.0 + middle[0],
            y: f64::from(y) - 6.0 + middle[1],
            z: f64::from(z) + middle[2],
            color: Some(las::Color::new(r, g, b)),
            ..las::Point::default()
        };
        writer.write_point(point).unwrap();
    }
    writer.into_inner().unwrap().into_inner()
}

/// Every format, with a name for messages.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("las", las(false, [500.0, 600.0, 0.0], None)),
        ("laz", las(true, [500.0, 600.0, 0.0], Some(32_648))),
        ("ply-text", ply_mesh(Coding::Text)),
        ("ply-little", ply_mesh(Coding::Little)),
        ("ply-big", ply_mesh(Coding::Big)),
        ("ply-points", ply_points()),
        ("ply-splats", ply_splats(Coding::Little)),
        ("obj", obj()),
        ("stl-binary", stl_binary()),
        ("stl-text", stl_text()),
        ("glb", glb()),
        ("gltf", gltf()),
        ("e57", e57()),
        ("pts", pts()),
        ("xyz", xyz()),
        ("spz2", gzip(&spz_unpacked(2))),
        ("spz3", gzip(&spz_unpacked(3))),
        ("spz4", spz4()),
    ]
}
