//! `doctor`: what this kernel offers, what is missing, and what to do about it.
//!
//! Everything is tried, nothing is concluded from a version number; what was attached for a trial is detached again.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{
    Exit,
    args::{DoctorArgs, ListFormat},
    live,
    output::{self, print, print_json},
    rights,
};
use crate::{
    report::escape,
    rules::Catalogue,
    tracer::{Session, TracerError, Wanted},
};

/// One thing that a live audit needs.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    what: &'static str,
    /// Whether it is as needed.
    ok: bool,
    /// What was found.
    found: String,
}

/// What the doctor found.
#[derive(Debug, Serialize)]
struct Diagnosis {
    /// `uname -r`.
    release: String,
    /// Whether a live audit can run here.
    can_audit: bool,
    findings: Vec<Finding>,
}

/// Looks the host over; exit code 0 when a live audit can run, 2 when not.
///
/// # Errors
/// Stdout cannot be written.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let kernel = live::kernel()?;
    let mut findings = Vec::new();
    let can_audit = examine(&kernel.release, &mut findings);
    let diagnosis = Diagnosis { release: kernel.release, can_audit, findings };
    let addresses = output::addresses(args.addresses);
    match args.format {
        ListFormat::Json => print_json(&diagnosis, addresses)?,
        ListFormat::Table => print(&addresses.apply(&text(&diagnosis)))?,
    }
    Ok(if can_audit { Exit::Clean } else { Exit::Failed })
}

/// Goes as far as it can; true when every step worked.
fn examine(release: &str, findings: &mut Vec<Finding>) -> bool {
    let lacking = rights::lacking().unwrap_or_else(|error| vec![format!("what is not known: {error:#}")]);
    let may_audit = lacking.is_empty() && rights::require("auditing").is_ok();
    let mut find = |what, ok, found: String| findings.push(Finding { what, ok, found });
    let found = if may_audit {
        "all capabilities that it takes".to_owned()
    } else {
        format!("lacks {}; run it with sudo", lacking.join(", "))
    };
    find("rights", may_audit, found);
    let rules = Catalogue::for_kernel(release);
    find("rules", true, format!("{rules}, the nearest document to {release}"));
    if !may_audit {
        return false;
    }
    let catalogue = match Catalogue::load(rules) {
        Ok(catalogue) => catalogue,
        Err(error) => {
            find("rules", false, error.to_string());
            return false;
        }
    };
    let mut session = match Session::prepare(&catalogue, Wanted::default()) {
        Ok(session) => session,
        Err(error) => {
            find("kernel", false, causes(&error));
            return false;
        }
    };
    find("types and symbols", true, "BTF and addresses are there".to_owned());
    find("programs", true, format!("maps and programs load; memory is read by {}", session.reads_by()));
    let live = session.live();
    let found = format!("{} in {} superblocks", live.tables.len(), live.superblocks.len());
    find("operations tables", !live.tables.is_empty(), found);
    if let Err(error) = session.start(&catalogue, None) {
        find("probes", false, causes(&error));
        return false;
    }
    let attached = session.hooks().filter(|(_, fate)| fate.is_some_and(|fate| fate.attached.is_ok())).count();
    let backend = session.backend().map_or("nothing", |backend| backend.name());
    find("probes", attached > 0, format!("{attached} of {} callbacks by {backend}", session.hooks().count()));
    let fast = session.fast_path();
    find("fast path", fast.is_ok(), fast.unwrap_or_else(|why| format!("plans are interpreted: {why}")));
    let found = match (session.sees_contexts(), session.sees_interrupts()) {
        (true, true) => "preemption, RCU read sides and interrupts are seen",
        (true, false) => {
            "preemption and RCU read sides are seen; that interrupts are off is not, with this kind of probe"
        }
        (false, _) => {
            "not known: no call of the self-test was seen in one; rules on where sleeping is allowed stay undecided"
        }
    };
    find("contexts", true, found.to_owned());
    for refused in session.refused() {
        find("refused", true, refused.clone());
    }
    let found = match session.silent() {
        None => {
            "attached; whether they fire was not tested: the kernel counts their runs for CAP_SYS_ADMIN only".to_owned()
        }
        Some([]) => "those that the self-test calls fire".to_owned(),
        Some(silent) => silent.join(", ") + " do not fire",
    };
    find("probes on locks", session.silent().is_none_or(<[_]>::is_empty), found);
    for found in not_hooked(&session) {
        find("not hooked", true, found);
    }
    attached > 0
}

/// The callbacks that have no probe: a line for each reason, with the first few names.
fn not_hooked(session: &Session) -> Vec<String> {
    const NAMES: usize = 3;
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (hook, why) in session.hooks().filter_map(|(hook, fate)| Some((hook, fate?.attached.as_ref().err()?))) {
        by_reason.entry(why.reason()).or_default().push(&hook.callback);
    }
    let line = |(reason, names): (&str, Vec<&str>)| {
        let more = if names.len() > NAMES { ", …: `vfs-audit probes` lists them" } else { "" };
        format!("{} callbacks: {reason} ({}{more})", names.len(), names[..names.len().min(NAMES)].join(", "))
    };
    by_reason.into_iter().map(line).collect()
}

/// An error and what is behind it, in one line.
fn causes(error: &TracerError) -> String {
    let mut line = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(line, ": {cause}");
        source = cause.source();
    }
    line
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = format!("kernel {}\n", escape::text(&diagnosis.release));
    for finding in &diagnosis.findings {
        let mark = if finding.ok { "ok" } else { "NO" };
        let _ = writeln!(text, "  {mark}  {}: {}", finding.what, escape::text(finding.found.trim()));
    }
    text.push_str(if diagnosis.can_audit {
        "This kernel can be audited: `vfs-audit run -- CMD`.\n"
    } else {
        "This kernel cannot be audited from here; `cargo xtask audit` audits a Debian kernel in a VM instead.\n"
    });
    text
}
