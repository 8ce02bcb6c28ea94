//! Where results go: stdout or a file, in the form that was asked for.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;

use super::args::{Format, Judging, Output};
use super::destination::Destination;
use super::{Advice, Exit, note};
use crate::report::baseline::Baseline;
use crate::report::date::Date;
use crate::report::{
    Addresses, Report, Style, Terms, escape, exit_code, render_json, render_json_lines, render_junit, render_ktap,
    render_sarif, render_table,
};

/// Columns of the table form: no narrower, no wider, whatever the terminal.
const COLUMNS: std::ops::RangeInclusive<usize> = 80..=120;
const SECONDS_PER_DAY: u64 = 86_400;

/// Prints a result on stdout; a reader that has had enough is no error.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing the result to stdout"),
    }
}

/// Prints a result as JSON, through the same place as every report.
///
/// # Errors
/// Stdout cannot be written.
pub fn print_json<T: Serialize + ?Sized>(value: &T, addresses: Addresses) -> anyhow::Result<()> {
    let text = escape::json(&value).context("putting the result into JSON")?;
    print(&(addresses.apply(&text).into_owned() + "\n"))
}

/// Whether kernel addresses may leave, as a flag says.
pub fn addresses(shown: bool) -> Addresses {
    if shown { Addresses::Shown } else { Addresses::Hidden }
}

/// Files that must be readable before a run begins, and what they say.
#[derive(Debug)]
pub struct Conclusion<'a> {
    judging: &'a Judging,
    output: &'a Output,
    baseline: Option<(Baseline, String)>,
    opened: Vec<Destination>,
}

impl<'a> Conclusion<'a> {
    /// Reads the baseline; call it before a run, so that a wrong file does not cost the run.
    ///
    /// # Errors
    /// The baseline cannot be read.
    pub fn prepare(judging: &'a Judging, output: &'a Output) -> anyhow::Result<Self> {
        let baseline = judging.baseline.as_deref().map(read_baseline).transpose()?;
        Ok(Self { judging, output, baseline, opened: Vec::new() })
    }

    /// Opens every file that is written at the end, for a run that gives up the rights to do so before.
    ///
    /// # Errors
    /// One cannot be opened.
    pub fn open(mut self) -> anyhow::Result<Self> {
        let also = self.output.also.iter().map(|(_, path)| path);
        for path in self.output.file.iter().chain(also).chain(&self.judging.write_baseline) {
            let hint = "name a file in a directory that exists and can be written";
            let what = || format!("opening {} for writing", path.display());
            self.opened.push(Destination::open(path).map_err(|error| Advice::new(what(), hint).because(error))?);
        }
        Ok(self)
    }

    /// Ends a run: marks what is known, says what is incomplete, writes the report and the new baseline.
    ///
    /// # Errors
    /// A result cannot be written.
    pub fn conclude(mut self, mut report: Report) -> anyhow::Result<Exit> {
        let today = today();
        let baseline = self.baseline.as_ref().map(|(baseline, name)| (baseline, name.as_str(), today));
        report.redact(addresses(self.output.addresses));
        report.conclude(&Terms { require: &self.judging.require, baseline });
        match &self.output.file {
            Some(path) => self.write(path, &render(&report, self.output.format, style(false))?, "the report")?,
            None => print(&render(&report, self.output.format, style(io::stdout().is_terminal()))?)?,
        }
        for (format, path) in &self.output.also {
            self.write(path, &render(&report, *format, style(false))?, "the report")?;
        }
        if let Some(path) = &self.judging.write_baseline {
            let baseline = Baseline::of(&report, today);
            self.write(path, &baseline.to_toml()?, "the baseline")?;
            note(&format!("baseline of {} violations in {}: give each its reason", baseline.len(), path.display()));
        }
        Ok(exit_code(&report))
    }

    /// To the file that was opened for it, if one was; to stdout where that fails, since a run cannot be made again.
    fn write(&mut self, path: &PathBuf, text: &str, what: &str) -> anyhow::Result<()> {
        let opened = self.opened.iter().position(|destination| destination.path() == path);
        let destination = opened.map_or_else(|| Destination::open(path), |place| Ok(self.opened.remove(place)));
        destination.and_then(|destination| destination.write(text)).or_else(|error| {
            print(text)?;
            let what = format!("writing {what} to {}", path.display());
            Err(Advice::new(what, "it is on stdout instead; make room, or name another file").because(error).into())
        })
    }
}

fn read_baseline(path: &Path) -> anyhow::Result<(Baseline, String)> {
    let what = || format!("reading the baseline {}", path.display());
    let hint = "`vfs-audit run --write-baseline FILE` makes one";
    let text = std::fs::read_to_string(path).map_err(|error| Advice::new(what(), hint).because(error))?;
    let baseline = Baseline::parse(&text).with_context(what)?;
    Ok((baseline, path.display().to_string()))
}

fn render(report: &Report, format: Format, style: Style) -> anyhow::Result<String> {
    match format {
        Format::Table => Ok(render_table(report, style)),
        Format::Json => render_json(report).context("putting the report into JSON"),
        Format::Jsonl => render_json_lines(report).context("putting the report into JSON"),
        Format::Sarif => render_sarif(report).context("putting the report into SARIF"),
        Format::Junit => Ok(render_junit(report)),
        Format::Ktap => Ok(render_ktap(report)),
    }
}

fn style(to_terminal: bool) -> Style {
    if !to_terminal {
        return Style::default();
    }
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width = terminal_columns().unwrap_or(Style::default().width).clamp(*COLUMNS.start(), *COLUMNS.end());
    Style { width, colour: !plain }
}

fn terminal_columns() -> Option<usize> {
    // SAFETY: a plain C struct of numbers, for which zero bytes are a valid value.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one `winsize`, which is ours.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

fn today() -> Date {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::from_unix_days(since.as_secs() / SECONDS_PER_DAY)
}
