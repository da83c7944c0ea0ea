//! The page's files are looked up when this crate is compiled, so a new page compiles it anew.

fn main() {
    println!("cargo::rerun-if-changed=../client/web/dist");
}
