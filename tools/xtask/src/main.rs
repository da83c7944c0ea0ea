//! The project's own commands: `cargo xtask demo`, `test`, `check`, `build`, `dist`, `setup`.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks to the person at the terminal"
)]

mod assemble;
mod bench;
mod demo;
mod dependencies;
mod setup;
mod shell;
mod test;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  demo [--port N]  install what is missing, build, and run a tour with a simulated guide and tourists
  test [--long]    install what is missing, then every check and test (--long: the slow ones too)
  bench NAME [--quick] [--release]
                   fanout, load or latency: figures as JSON on standard output, how it goes on standard error
  check            formatting, lints, dependency directions
  build            programs, scenes and the web page
  dist             one release binary of the server with the web page inside: target/dist/tongyou-server
  setup            install what is missing, nothing else
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demo"] => demo::run(4433),
        ["demo", "--port", port] => demo::run(port.parse()?),
        ["test"] => test::run(false),
        ["test", "--long"] => test::run(true),
        ["bench", name, more @ ..] => bench::run(name, more),
        ["check"] => test::check(),
        ["build"] => {
            let tools = setup::for_building()?;
            assemble::all(&tools)
        }
        ["dist"] => assemble::dist(),
        ["setup"] => setup::for_testing().map(drop),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("unknown command {other:?}\n\n{HELP}"),
    }
}
