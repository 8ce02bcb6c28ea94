//! The JSON form line by line: one object per line, each with its `type`, so that a pipeline can read a long report as
//! it comes.

use serde::Serialize;

use super::{Document, escape};
use crate::report::Report;

/// One line: the type, then the object's own fields.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

/// What a report says beside its lists.
#[derive(Serialize)]
struct Run<'a> {
    schema_version: u32,
    tool_version: &'a str,
    kernel: &'a crate::report::KernelInfo,
    source: crate::report::Source,
    seconds: f64,
    command: &'a Option<crate::report::AuditedCommand>,
    recordings: &'a [crate::report::Recording],
}

/// How it ended; always the last line.
#[derive(Serialize)]
struct End<'a> {
    exit: &'a super::Ending,
    incomplete: &'a [String],
    summary: &'a super::Summary,
    invocations: &'a std::collections::BTreeMap<String, u64>,
    invocations_by_fs: &'a crate::report::ByFileSystem,
    ungrouped: u64,
    timing: &'a Option<crate::report::Timing>,
    baseline: &'a Option<crate::report::BaselineUse>,
}

/// The report as lines: `run`, then each `hook`, `rule`, `violation`, `suspected`, `excepted` and `set_apart`, then
/// `loss`, `tracker`, with `--oracle` `oracle`, and `end`.
///
/// # Errors
/// None that a report can cause.
pub fn render_json_lines(report: &Report) -> serde_json::Result<String> {
    let Document {
        schema_version,
        tool_version,
        kernel,
        source,
        seconds,
        command,
        recordings,
        exit,
        incomplete,
        summary,
        hooks,
        rules,
        violations,
        suspected,
        excepted,
        set_apart,
        invocations,
        invocations_by_fs,
        ungrouped,
        loss,
        tracker,
        timing,
        oracle,
        baseline,
    } = &Document::from(report);
    let mut out = String::new();
    let run = Run {
        schema_version: *schema_version,
        tool_version,
        kernel,
        source: *source,
        seconds: *seconds,
        command,
        recordings,
    };
    push(&mut out, "run", [&run])?;
    push(&mut out, "hook", hooks)?;
    push(&mut out, "rule", rules)?;
    push(&mut out, "violation", violations)?;
    push(&mut out, "suspected", suspected)?;
    push(&mut out, "excepted", excepted)?;
    push(&mut out, "set_apart", set_apart)?;
    push(&mut out, "loss", [loss])?;
    push(&mut out, "tracker", [tracker])?;
    push(&mut out, "oracle", oracle)?;
    let end =
        End { exit, incomplete, summary, invocations, invocations_by_fs, ungrouped: *ungrouped, timing, baseline };
    push(&mut out, "end", [&end])?;
    Ok(out)
}

fn push<'a, T: Serialize + 'a>(
    out: &mut String,
    kind: &'static str,
    values: impl IntoIterator<Item = &'a T>,
) -> serde_json::Result<()> {
    for value in values {
        out.push_str(&escape::json_line(&Line { kind, value })?);
        out.push('\n');
    }
    Ok(())
}
