//! `probes`: what would be hooked, and what not and why. Nothing is attached.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    Exit,
    args::{ListFormat, ProbesArgs},
    live::{self, Beyond},
    output::{self, print, print_json},
    rights, selection,
};
use crate::report::{HookStatus, escape};

/// Lists the hooks.
///
/// # Errors
/// The kernel cannot be audited, or stdout cannot be written.
pub fn run(args: &ProbesArgs) -> anyhow::Result<Exit> {
    rights::require("looking over")?;
    let kernel = live::kernel()?;
    let catalogue = selection::catalogue(&args.rules, &kernel.release)?;
    selection::prove(&catalogue, &args.filters, &[])?;
    let session = live::prepare(&catalogue, &args.filters, &args.live, Beyond::EVERYTHING)?;
    let rows = live::hook_statuses(&session, &BTreeMap::new());
    let addresses = output::addresses(args.addresses);
    match args.format {
        ListFormat::Json => print_json(&rows, addresses)?,
        ListFormat::Table => print(&addresses.apply(&table(&rows, &session.plans().unreadable)))?,
    }
    Ok(Exit::Clean)
}

fn table(rows: &[HookStatus], unreadable: &BTreeMap<String, String>) -> String {
    let mut table = prettytable::Table::new();
    table.set_format(*prettytable::format::consts::FORMAT_CLEAN);
    table.set_titles(prettytable::row!["op", "callback", "file systems", "found"]);
    for row in rows {
        let cells = [&row.op, &row.callback, &row.fs, &row.reason];
        table.add_row(cells.map(|cell| escape::text(cell).into_owned()).into_iter().collect());
    }
    let hooked = rows.iter().filter(|row| !row.callback.is_empty()).count();
    let mut text = format!("{table}\n{hooked} callbacks would be hooked.\n");
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (rule, why) in unreadable {
        reasons.entry(why).or_default().push(rule);
    }
    for (why, rules) in reasons {
        let _ = writeln!(text, "{} rules cannot be read here: {}", rules.len(), escape::text(why));
    }
    text
}
