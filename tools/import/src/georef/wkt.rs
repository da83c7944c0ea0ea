//! Well-known text of coordinate systems (version 1), as far as scans use it, to a PROJ string.

use std::fmt::Write;

/// Deeper nesting is damage.
const DEEPEST: usize = 24;

/// `NAME["text", 1.5, CHILD[…]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    /// Texts and numbers, as written.
    pub(super) values: Vec<String>,
    pub(super) children: Vec<Self>,
}

impl Node {
    /// Parses one node; `None` where the text is not WKT.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        Self::nested(&mut rest, 0)
    }

    fn nested(rest: &mut &str, depth: usize) -> Option<Self> {
        let open = rest.find(['[', '('])?;
        let name = rest[..open].trim();
        if depth > DEEPEST || name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let mut out = Self {
            name: name.to_ascii_uppercase(),
            ..Self::default()
        };
        *rest = &rest[open + 1..];
        loop {
            *rest = rest.trim_start();
            match rest.chars().next()? {
                ']' | ')' => {
                    *rest = &rest[1..];
                    return Some(out);
                }
                ',' => *rest = &rest[1..],
                '"' => {
                    let end = rest[1..].find('"')? + 1;
                    out.values.push(rest[1..end].to_owned());
                    *rest = &rest[end + 1..];
                }
                _ => {
                    let end = rest.find(['[', '(', ']', ')', ','])?;
                    if rest[end..].starts_with(['[', '(']) {
                        out.children.push(Self::nested(rest, depth + 1)?);
                    } else {
                        out.values.push(rest[..end].trim().to_owned());
                        *rest = &rest[end..];
                    }
                }
            }
        }
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    fn number(&self, at: usize) -> Option<f64> {
        self.values.get(at)?.parse().ok().filter(|v: &f64| v.is_finite())
    }

    /// The EPSG code of this node itself.
    fn code(&self) -> Option<u16> {
        let id = self.child("AUTHORITY").or_else(|| self.child("ID"))?;
        (id.values.first()?.eq_ignore_ascii_case("EPSG")).then(|| id.values.get(1)?.parse().ok())?
    }

    /// The factor of its own UNIT.
    fn unit(&self) -> Option<f64> {
        self.child("UNIT")?.number(1).filter(|u| (1e-6..=1e6).contains(u))
    }
}

/// What a coordinate system says about itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stated {
    pub(super) name: String,
    /// The EPSG code of the horizontal system.
    pub(super) code: Option<u16>,
    /// A PROJ string, where the projection is one that is known here.
    pub(super) proj: Option<String>,
    /// Metres in the unit of its heights, where it has a vertical system.
    pub(super) up_unit_m: Option<f64>,
}

/// Reads WKT; `None` where it is not one of a coordinate system.
pub(super) fn stated(text: &str) -> Option<Stated> {
    let root = Node::parse(text)?;
    let (horizontal, vertical) = match root.name.as_str() {
        "COMPD_CS" | "COMPOUNDCRS" => (
            root.children.iter().find(|c| is_horizontal(c))?,
            root.child("VERT_CS").or_else(|| root.child("VERTCRS")),
        ),
        _ if is_horizontal(&root) => (&root, None),
        _ => return None,
    };
    Some(Stated {
        name: root.values.first().cloned().unwrap_or_default(),
        code: horizontal.code(),
        proj: proj(horizontal),
        up_unit_m: vertical.and_then(Node::unit),
    })
}

fn is_horizontal(node: &Node) -> bool {
    ["PROJCS", "GEOGCS", "GEOCCS", "PROJCRS", "GEOGCRS", "GEODCRS"].contains(&node.name.as_str())
}

fn proj(node: &Node) -> Option<String> {
    let mut out = String::new();
    match node.name.as_str() {
        "GEOGCS" => out.push_str("+proj=longlat"),
        "GEOCCS" => out.push_str("+proj=geocent"),
        "PROJCS" => projected(node, &mut out)?,
        _ => return None,
    }
    let base = if node.name == "PROJCS" {
        node.child("GEOGCS")?
    } else {
        node
    };
    let datum = base.child("DATUM")?;
    let spheroid = datum.child("SPHEROID")?;
    let (axis, flattening) = (spheroid.number(1)?, spheroid.number(2)?);
    if !(6.0e6..7.0e6).contains(&axis) {
        return None;
    }
    if (200.0..400.0).contains(&flattening) {
        write!(out, " +a={axis} +rf={flattening}").ok()?;
    } else {
        write!(out, " +a={axis} +b={axis}").ok()?;
    }
    if let Some(shift) = datum.child("TOWGS84") {
        let shift: Vec<String> = (0..7).map_while(|i| shift.number(i)).map(|v| v.to_string()).collect();
        if shift.len() == 3 || shift.len() == 7 {
            write!(out, " +towgs84={}", shift.join(",")).ok()?;
        }
    }
    if let Some(prime) = base.child("PRIMEM").and_then(|p| p.number(1)).filter(|p| *p != 0.0) {
        write!(out, " +pm={prime}").ok()?;
    }
    out.push_str(" +no_defs");
    Some(out)
}

fn projected(node: &Node, out: &mut String) -> Option<()> {
    let unit = node.unit().unwrap_or(1.0);
    // Angles are in the unit of the geographic system below.
    let degree = node.child("GEOGCS").and_then(Node::unit).map_or(1.0, f64::to_degrees);
    let parameter = |names: &[&str]| {
        let all = node.children.iter().filter(|c| c.name == "PARAMETER");
        let mut named = all.filter(|c| {
            c.values
                .first()
                .is_some_and(|v| names.contains(&v.to_ascii_lowercase().as_str()))
        });
        named.next().and_then(|c| c.number(1))
    };
    let angle = |names: &[&str]| parameter(names).map(|v| (v * degree * 1e12).round() / 1e12);
    let kind = node.child("PROJECTION")?.values.first()?.to_ascii_lowercase();
    let kind = match kind.as_str() {
        "transverse_mercator" | "gauss_kruger" => "tmerc",
        k if k.starts_with("lambert_conformal_conic") => "lcc",
        "mercator_1sp" | "mercator_2sp" | "mercator" => "merc",
        "albers_conic_equal_area" | "albers" => "aea",
        "lambert_azimuthal_equal_area" => "laea",
        "oblique_stereographic" | "double_stereographic" => "sterea",
        "polar_stereographic" => "stere",
        "cassini_soldner" | "cassini" => "cass",
        _ => return None,
    };
    write!(out, "+proj={kind}").ok()?;
    let lat_0 = angle(&["latitude_of_origin", "latitude_of_center", "central_parallel"]);
    let lat_1 = angle(&["standard_parallel_1"]).or(if kind == "lcc" { lat_0 } else { None });
    let options = [
        ("lat_1", lat_1.filter(|_| kind == "lcc" || kind == "aea")),
        ("lat_ts", lat_1.filter(|_| kind == "merc")),
        ("lat_2", angle(&["standard_parallel_2"])),
        ("lat_0", lat_0),
        (
            "lon_0",
            angle(&["central_meridian", "longitude_of_center", "longitude_of_origin"]),
        ),
        ("k_0", parameter(&["scale_factor"])),
        ("x_0", parameter(&["false_easting"]).map(|v| v * unit)),
        ("y_0", parameter(&["false_northing"]).map(|v| v * unit)),
        ("to_meter", Some(unit)),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            write!(out, " +{name}={value}").ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_systems_and_codes() {
        let text = r#"COMPD_CS["both",PROJCS["x",GEOGCS["g",DATUM["d",SPHEROID["s",6378137,298.257]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["central_meridian",105],PARAMETER["false_easting",500000],UNIT["metre",1],AUTHORITY["EPSG","4544"]],VERT_CS["h",VERT_DATUM["v",2005],UNIT["US survey foot",0.3048006096012192]]]"#;
        let stated = stated(text).unwrap();
        assert_eq!((stated.code, stated.name.as_str()), (Some(4544), "both"));
        assert_eq!(stated.up_unit_m, Some(0.304_800_609_601_219_2));
        let proj = stated.proj.unwrap();
        assert!(
            proj.starts_with("+proj=tmerc +lon_0=105 +x_0=500000 +to_meter=1 +a=6378137 +rf=298.257"),
            "{proj}"
        );
    }

    #[test]
    fn broken_text_is_refused() {
        for text in [
            "",
            "PROJCS[",
            "PROJCS[\"",
            "PROJCS[\"x\"",
            "]",
            "PROJCS[\"x\",GEOGCS[\"g\"]",
            "a b[1]",
        ] {
            assert_eq!(Node::parse(text), None, "{text}");
        }
        assert_eq!(Node::parse(&"A[".repeat(100_000)), None);
        assert!(stated(r#"PROJCS["x"]"#).is_some_and(|s| s.proj.is_none() && s.code.is_none()));
    }
}
