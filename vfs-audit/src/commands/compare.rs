//! `compare`: what is documented, what the reference VFS does and what kernels do, rule by rule.

use std::collections::BTreeMap;

use super::args::{CompareArgs, ListFormat};
use super::check::{self, Opened};
use super::{Advice, Exit, output, selection};
use crate::checker::{Checker, Options};
use crate::compare::{About, Run, compare, render};
use crate::observation::Observation;
use crate::recording::{Header, Reading, Remains};
use crate::report::{Addresses, HookStatus, Source};
use crate::rules::Catalogue;

/// A recording with the rules that it is related to.
struct Related {
    opened: Opened,
    header: Header,
    catalogue: usize,
}

/// Compares recordings; exit code 1 when one deviates, 3 when one is incomplete.
///
/// # Errors
/// A recording or a rule set that is not there, or stdout cannot be written.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    let mut catalogues: Vec<(String, Catalogue)> = Vec::new();
    let mut recordings = Vec::new();
    for file in &args.files {
        let opened = check::open(file)?;
        let header = header_of(&opened, selection::goes_by_kernel(&args.rules))?;
        let catalogue = catalogue_of(args, &header, &mut catalogues)?;
        recordings.push(Related { opened, header, catalogue });
    }
    prove(args, &catalogues)?;
    let mut runs = Vec::new();
    for recording in recordings {
        let catalogue = &catalogues[recording.catalogue].1;
        runs.extend(checked(args, recording, catalogue)?);
    }
    let comparison = compare(&runs);
    match args.format {
        ListFormat::Json => output::print_json(&comparison, Addresses::Hidden)?,
        ListFormat::Table => output::print(&Addresses::Hidden.apply(&render(&comparison)))?,
    }
    let is_incomplete = comparison.runs.iter().any(|run| !run.incomplete.is_empty());
    Ok(match (comparison.deviates(), is_incomplete) {
        (true, _) => Exit::Violated,
        (false, true) => Exit::Incomplete,
        (false, false) => Exit::Clean,
    })
}

fn header_of(opened: &Opened, goes_by_kernel: bool) -> anyhow::Result<Header> {
    match opened.reader.header() {
        Some(header) => Ok(header.clone()),
        None if goes_by_kernel => {
            let hint = "record the run anew, or say which rules with `--rules RELEASE`";
            let what = format!("the header of {} is damaged, so its kernel and rules are not known", opened.name);
            Err(Advice::new(what, hint).into())
        }
        None => Ok(Header::default()),
    }
}

/// The place of the rule set of a recording, loaded once for all that share it.
fn catalogue_of(
    args: &CompareArgs,
    header: &Header,
    catalogues: &mut Vec<(String, Catalogue)>,
) -> anyhow::Result<usize> {
    let release = check::release_of(header);
    let key =
        if selection::goes_by_kernel(&args.rules) { Catalogue::for_kernel(&release).to_owned() } else { String::new() };
    if let Some(known) = catalogues.iter().position(|(known, _)| *known == key) {
        return Ok(known);
    }
    let catalogue = selection::catalogue(&args.rules, &release)?;
    catalogues.push((key, catalogue));
    Ok(catalogues.len() - 1)
}

/// Proves that every pattern names something in one of the rule sets: ops come and go with the releases.
fn prove(args: &CompareArgs, catalogues: &[(String, Catalogue)]) -> anyhow::Result<()> {
    let proofs = catalogues.iter().map(|(_, catalogue)| selection::prove(catalogue, &args.filters, &[]));
    proofs.reduce(anyhow::Result::or).unwrap_or(Ok(()))
}

/// A recording as one run, or as one run per file system.
fn checked<'c>(args: &CompareArgs, recording: Related, catalogue: &'c Catalogue) -> anyhow::Result<Vec<Run<'c>>> {
    let Related { opened: Opened { name, mut reader }, header, .. } = recording;
    let failed = |error| Advice::new(format!("reading the recording {name}"), "check a copy of it").because(error);
    let options = || Options { missing: header.missing.clone(), ..Options::default() };
    let mut checkers: BTreeMap<String, (Checker<'c>, u64)> = BTreeMap::new();
    if !args.by_fs {
        checkers.insert(String::new(), (Checker::new(catalogue, options()).recording_all_states(), 0));
    }
    let take = |observation: &Observation| {
        if !args.filters.wants(observation) {
            return;
        }
        let fs = if args.by_fs { observation.fs.as_str() } else { "" };
        if !checkers.contains_key(fs) {
            checkers.insert(fs.to_owned(), (Checker::new(catalogue, options()).recording_all_states(), 0));
        }
        if let Some((checker, count)) = checkers.get_mut(fs) {
            checker.feed(observation);
            *count += 1;
        }
    };
    reader.read(Reading::Merged, take).map_err(failed)?;
    let Remains { end, damage, .. } = reader.finish().map_err(failed)?;
    let end = end.unwrap_or_default();
    let hooks: Vec<HookStatus> = if end.hooks.is_empty() { header.hooks.clone() } else { end.hooks };
    let mut incomplete = damage.lines();
    incomplete.extend(end.incomplete);
    if end.loss.total > 0 {
        incomplete.push(format!("something was lost: {}", end.loss.total));
    }
    let is_reference = header.source == Source::Reference;
    let runs = checkers.into_iter().map(|(fs, (checker, observations))| {
        let mut findings = checker.finish();
        args.filters.narrow(catalogue, &mut findings);
        let about = About {
            name: name.clone(),
            source: header.source,
            kernel: if is_reference { String::new() } else { header.kernel.release.clone() },
            rules: catalogue.name.clone(),
            fs,
            observations,
            incomplete: incomplete.clone(),
        };
        Run { about, catalogue, findings, hooks: hooks.clone() }
    });
    Ok(runs.collect())
}
