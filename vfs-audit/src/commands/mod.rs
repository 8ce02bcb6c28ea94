//! The commands: the only place that prints, exits or reads the environment.

mod advice;
pub mod args;
mod check;
mod compare;
mod destination;
pub mod doctor;
mod live;
mod mounts;
pub mod output;
pub mod probes;
mod reference;
mod rights;
mod rules;
pub mod run;
pub mod selection;

use std::io::Write as _;
use std::process::ExitCode;

use args::{Arguments, Command};

use crate::report::{Addresses, escape};

pub use crate::report::Exit;
pub use advice::Advice;

/// Does what the arguments say; the exit code is the program's.
pub fn main(arguments: &Arguments) -> ExitCode {
    let exit = dispatch(&arguments.command).unwrap_or_else(|error| {
        complain(&error);
        Exit::Failed
    });
    ExitCode::from(exit.code())
}

fn dispatch(command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Record(args) => run::record(args),
        Command::Check(args) => check::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Rules(command) => rules::run(command),
        Command::Probes(args) => probes::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Reference(args) => reference::run(args),
        Command::Schema => output::print(&crate::report::render_schema()?).map(|()| Exit::Clean),
    }
}

/// A line of progress or log, on stderr; addresses never stand in one.
pub fn note(text: &str) {
    let text = Addresses::Hidden.apply(text);
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "vfs-audit: {}", escape::text(&text));
}

fn complain(error: &anyhow::Error) {
    let _ = write!(std::io::stderr(), "{}", advice::explain(error));
}
