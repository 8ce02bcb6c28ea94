//! `check`: recorded runs through the checker.

use std::fs::File;
use std::path::Path;

use super::args::CheckArgs;
use super::output::Conclusion;
use super::{Advice, Exit, selection};
use crate::checker::{Checker, Options};
use crate::observation::Observation;
use crate::recording::{self, Header, Reader, Reading, Remains};
use crate::report::{AuditedCommand, ByFileSystem, HookStatus, Loss, Recording, Report, Source, Tracker};
use crate::rules::Catalogue;

/// A recording that is open.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) reader: Reader<File>,
}

/// What the recordings say beyond their observations, added up.
#[derive(Default)]
struct Sum {
    seconds: f64,
    command: Option<AuditedCommand>,
    hooks: Vec<HookStatus>,
    loss: Loss,
    tracker: Tracker,
    invocations_by_fs: ByFileSystem,
    recordings: Vec<Recording>,
    incomplete: Vec<String>,
}

/// Checks the recordings as one run.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let conclusion = Conclusion::prepare(&args.judging, &args.output)?;
    let opened = args.files.iter().map(|file| open(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let header = common_header(&opened, selection::goes_by_kernel(&args.rules))?;
    let catalogue = selection::catalogue(&args.rules, &release_of(&header))?;
    selection::prove(&catalogue, &args.filters, &args.judging.require)?;
    let report = check(args, opened, header, &catalogue)?;
    conclusion.conclude(report)
}

fn check(args: &CheckArgs, opened: Vec<Opened>, header: Header, catalogue: &Catalogue) -> anyhow::Result<Report> {
    let options = Options { strict: args.judging.strict, missing: header.missing };
    let mut checker = Checker::new(catalogue, options);
    let mut sum = Sum::default();
    for recording in opened {
        feed(args, recording, &mut checker, &mut sum)?;
    }
    let mut findings = checker.finish();
    args.filters.narrow(catalogue, &mut findings);
    let mut kernel = header.kernel;
    kernel.rules.clone_from(&catalogue.name);
    Ok(Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel,
        source: Source::Recorded,
        seconds: sum.seconds,
        command: sum.command,
        recordings: sum.recordings,
        hooks: sum.hooks,
        findings,
        loss: sum.loss,
        tracker: sum.tracker,
        invocations_by_fs: sum.invocations_by_fs,
        timing: None,
        oracle: None,
        baseline: None,
        incomplete: sum.incomplete,
    })
}

/// Opens a recording.
///
/// # Errors
/// It cannot be read, or is none; with what to do.
pub(super) fn open(path: &Path) -> anyhow::Result<Opened> {
    let name = path.display().to_string();
    let advise = |error: recording::Error| {
        let hint = match &error {
            recording::Error::UnknownVersion { .. } => "check it with the vfs-audit that recorded it, or record anew",
            recording::Error::NotARecording { .. } => "name a file that `vfs-audit record -o FILE` made",
            recording::Error::Io(_) | recording::Error::TooLarge { .. } | recording::Error::Encode { .. } => {
                "see that the file is there and readable"
            }
        };
        Advice::new(format!("opening the recording {name}"), hint).because(error)
    };
    let reader = File::open(path).map_err(recording::Error::from).and_then(Reader::open).map_err(advise)?;
    Ok(Opened { name, reader })
}

/// The header that all recordings share in what the rules depend on.
fn common_header(opened: &[Opened], automatic: bool) -> anyhow::Result<Header> {
    let mut headers = opened.iter().filter_map(|one| one.reader.header());
    let Some(first) = headers.next() else {
        let hint = "record the run anew, or say which rules with `--rules RELEASE`";
        let what = "the recording's header is damaged, so its kernel and rules are not known";
        return if automatic { Err(Advice::new(what, hint).into()) } else { Ok(Header::default()) };
    };
    let release = release_of(first);
    if let Some(other) = headers.find(|other| automatic && rules_of(other) != rules_of(first)) {
        let what = format!("the recordings are of kernels with different rules: {release}, {}", release_of(other));
        let hint = "check them one by one, or say which rules with `--rules RELEASE`";
        return Err(Advice::new(what, hint).into());
    }
    Ok(first.clone())
}

/// The kernel release that `auto` goes by; a reference run names its rule set instead.
pub(super) fn release_of(header: &Header) -> String {
    match header.source {
        Source::Live | Source::Recorded => header.kernel.release.clone(),
        Source::Reference if header.kernel.rules.is_empty() => header.kernel.release.clone(),
        Source::Reference => header.kernel.rules.trim_start_matches('v').to_owned(),
    }
}

fn rules_of(header: &Header) -> &'static str {
    Catalogue::for_kernel(&release_of(header))
}

fn feed(args: &CheckArgs, opened: Opened, checker: &mut Checker, sum: &mut Sum) -> anyhow::Result<()> {
    let Opened { name, mut reader } = opened;
    let header = reader.header().cloned();
    let failed = |error| Advice::new(format!("reading the recording {name}"), "check a copy of it").because(error);
    let take = |observation: &Observation| {
        if args.filters.wants(observation) {
            sum.tracker.tally(observation);
            sum.invocations_by_fs.tally(checker.op_of(observation), observation);
            checker.feed(observation);
        }
    };
    reader.read(Reading::Merged, take).map_err(failed)?;
    let remains = reader.finish().map_err(failed)?;
    sum.add(name, header, remains);
    Ok(())
}

impl Sum {
    fn add(&mut self, file: String, header: Option<Header>, remains: Remains) {
        let Remains { end, observations, damage } = remains;
        let mut incomplete = damage.lines();
        let header = header.unwrap_or_default();
        let end = end.unwrap_or_default();
        incomplete.extend(end.incomplete);
        self.incomplete.extend(incomplete.into_iter().map(|reason| format!("{file}: {reason}")));
        self.recordings.push(Recording { file, observations, lost_observations: damage.lost_observations });
        self.seconds += end.seconds;
        if !header.command.is_empty() && self.command.is_none() {
            self.command = Some(AuditedCommand { argv: header.command, exit_code: end.command_exit });
        }
        self.hooks.extend(if end.hooks.is_empty() { header.hooks } else { end.hooks });
        self.loss.total = self.loss.total.saturating_add(end.loss.total);
        for (cause, count) in end.loss.by_cause {
            let sum = self.loss.by_cause.entry(cause).or_default();
            *sum = sum.saturating_add(count);
        }
        self.tracker.releases_missed = self.tracker.releases_missed.saturating_add(end.tracker.releases_missed);
        self.tracker.probes_skipped = self.tracker.probes_skipped.saturating_add(end.tracker.probes_skipped);
    }
}
