use super::*;
use tongyou_protocol::cube::HALF_TANGENT;

const SIZE: usize = 512;
const NEAR: f32 = 0.1;

fn depth_of(z: f32) -> u16 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within u16")]
    let d = (65_535.0 * NEAR / z).round() as u16;
    d
}

/// A wall at 20 m with a post at 2 m before its middle columns.
fn post() -> Vec<u16> {
    (0..SIZE * SIZE)
        .map(|i| depth_of(if (200..240).contains(&(i % SIZE)) { 2.0 } else { 20.0 }))
        .collect()
}

/// The area that triangles cover, in cells.
fn area(indices: &[u16]) -> f32 {
    let at = |v: u16| (f32::from(v % 128), f32::from(v / 128));
    let double: f32 = indices
        .chunks_exact(3)
        .map(|t| {
            let [(ax, ay), (bx, by), (cx, cy)] = [at(t[0]), at(t[1]), at(t[2])];
            ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)).abs()
        })
        .sum();
    double / 2.0
}

#[test]
fn a_wall_is_a_few_squares_without_a_cut() {
    let mesh = FaceMesh::new(&vec![depth_of(5.0); SIZE * SIZE], SIZE, NEAR);
    assert!(mesh.sheet.is_empty() && mesh.edges.is_empty());
    assert_eq!(mesh.surface.len(), 8 * 8 * 6);
    assert_eq!(area(&mesh.surface), 127.0 * 127.0);
}

#[test]
fn a_post_is_cut_out_and_the_wall_goes_on_behind_it() {
    let mesh = FaceMesh::new(&post(), SIZE, NEAR);
    let cut = mesh.edges.len() / 4;
    assert_eq!(cut, 2 * 127, "one column of cells at each side");
    let covered = area(&mesh.surface) + f32::from(small(cut));
    assert_eq!(covered, 127.0 * 127.0, "every cell is plain or cut");
    let wall = depth_of(20.0);
    // Half a metre of the eye's movement moves the post by 0.225 against the wall: 13.8 cells, more than half its width.
    let row = 64 * GRID;
    for x in 50..=59 {
        let [own, sheet, source, _] = mesh.vertices[row + x];
        assert_eq!((own, sheet), (depth_of(2.0), wall), "column {x}");
        assert!(
            !(50..=59).contains(&source),
            "column {x} takes its colour from the post"
        );
    }
    for [_, near, sheet, _] in &mesh.edges {
        assert_eq!((*near, *sheet), (depth_of(2.0), wall));
    }
    assert_eq!(mesh.edge_indices().len(), cut * 6);
}

#[test]
fn a_slope_is_not_cut_however_steep() {
    // A ground: inverse depth rises by 12 with each row, from 100 to 6232.
    let samples: Vec<u16> = (0..SIZE * SIZE).map(|i| small(100 + 12 * (i / SIZE))).collect();
    let mesh = FaceMesh::new(&samples, SIZE, NEAR);
    assert!(mesh.edges.is_empty(), "{} cut cells", mesh.edges.len() / 4);
    assert_eq!(area(&mesh.surface), 127.0 * 127.0);
}

/// A post of 1.5 m before a wall at 8 m and a floor that ends there: beside and behind its foot the floor goes on, row by
/// row, and the floor that is seen is not taken for something that hides the wall.
#[test]
fn behind_the_foot_of_a_post_the_floor_goes_on() {
    let floor = |y: usize| {
        let down = (f32::from(small(y)) + 0.5) / 256.0 - 1.0;
        if down * HALF_TANGENT > 0.2 {
            1.6 / (down * HALF_TANGENT)
        } else {
            8.0
        }
    };
    let seen = |x: usize, y: usize| {
        if (230..282).contains(&x) {
            floor(y).min(1.5)
        } else {
            floor(y)
        }
    };
    let samples: Vec<u16> = (0..SIZE * SIZE).map(|i| depth_of(seen(i % SIZE, i / SIZE))).collect();
    let mesh = FaceMesh::new(&samples, SIZE, NEAR);
    for row in 40..112 {
        let own = depth_of(floor(texel_of(row, SIZE)));
        for column in 0..GRID {
            let [here, sheet, source_column, source_row] = mesh.vertices[row * GRID + column];
            assert!(
                sheet.abs_diff(own) <= 1,
                "row {row}, column {column}: {sheet} instead of {own} (seen: {here})"
            );
            if here != own {
                assert!(
                    !(57..=70).contains(&source_column),
                    "row {row}, column {column}: the post's own colour"
                );
                assert_eq!(usize::from(source_row), row, "column {column}");
            }
        }
    }
}
