//! The table of one kernel: a row for each op, a column for each file system.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::coverage::figures::{Cell, Covered, Op};

/// Columns, as far as the reports name them; every other file system is counted under [`OTHERS`].
const COLUMNS: &[&str] = &[
    "ext4", "xfs", "btrfs", "tmpfs", "overlay", "f2fs", "vfat", "exfat", "ntfs3", "nfs4", "fuse", "squashfs",
    "iso9660", "bdev", "proc",
];
const OTHERS: &str = "others";
const LEGEND: &str = "a number: observed so often; 0: hooked, never called; !: not hooked; -: no such callback";
const OP_WIDTH: usize = 26;
const CELL_WIDTH: usize = 9;

/// The kernel's table, with the ops that were not reached and the figures below it.
pub(crate) fn render(covered: &Covered) -> String {
    let named: BTreeSet<&str> = covered.ops.iter().flat_map(|op| op.by_fs.keys().map(String::as_str)).collect();
    let columns: Vec<&str> = COLUMNS.iter().filter(|fs| named.contains(*fs)).copied().chain([OTHERS]).collect();
    let mut text = format!("{} by the rules of {}, {} reports\n", covered.kernel, covered.rules, covered.reports);
    let mut table = "";
    for op in &covered.ops {
        let (of, name) = op.op.split_once('.').unwrap_or(("", &op.op));
        if of != table {
            table = of;
            let _ = write!(text, "\n{table}\n{:OP_WIDTH$}", "");
            for fs in &columns {
                let _ = write!(text, "{fs:>CELL_WIDTH$}");
            }
            text.push('\n');
        }
        write_op(&mut text, name, op, &columns);
    }
    let _ = write!(text, "\n{LEGEND}\n\n");
    write_figures(&mut text, covered);
    text
}

fn write_op(text: &mut String, name: &str, op: &Op, columns: &[&str]) {
    let _ = write!(text, "{name:<OP_WIDTH$}");
    if op.by_fs.is_empty() {
        let _ = writeln!(text, "  {}", why(op));
        return;
    }
    for column in columns {
        let cell = if *column == OTHERS { others(op) } else { op.by_fs.get(*column).cloned() };
        let _ = write!(text, "{:>CELL_WIDTH$}", shown(cell.as_ref()));
    }
    text.push('\n');
}

/// What the file systems without a column of their own come to together.
fn others(op: &Op) -> Option<Cell> {
    let cells = op.by_fs.iter().filter(|(fs, _)| !COLUMNS.contains(&fs.as_str())).map(|(_, cell)| cell);
    cells.cloned().reduce(|sum, cell| match (sum, cell) {
        (Cell::Observed { count }, Cell::Observed { count: more }) => {
            Cell::Observed { count: count.saturating_add(more) }
        }
        (observed @ Cell::Observed { .. }, _) | (_, observed @ Cell::Observed { .. }) => observed,
        (Cell::Hooked, _) | (_, Cell::Hooked) => Cell::Hooked,
        (unhooked @ Cell::NotHooked { .. }, Cell::NotHooked { .. }) => unhooked,
    })
}

fn shown(cell: Option<&Cell>) -> String {
    match cell {
        None => "-".to_owned(),
        Some(Cell::Observed { count }) => count.to_string(),
        Some(Cell::Hooked) => "0".to_owned(),
        Some(Cell::NotHooked { .. }) => "!".to_owned(),
    }
}

fn why(op: &Op) -> &str {
    op.why_not.as_deref().unwrap_or("no reason is stated")
}

fn write_figures(text: &mut String, covered: &Covered) {
    let summary = &covered.summary;
    for op in covered.ops.iter().filter(|op| op.count == 0) {
        let _ = writeln!(text, "not reached: {}: {}", op.op, why(op));
    }
    for (reason, rules) in &summary.rules_with_reason {
        let _ = writeln!(text, "no verdict on {}: {reason}: {}", rules.len(), rules.join(", "));
    }
    for rule in &summary.rules_without {
        let _ = writeln!(text, "NEITHER VERDICT NOR REASON: {rule}");
    }
    for name in &summary.wrongly_excused {
        let _ = writeln!(text, "REACHED, THOUGH STATED TO BE OUT OF REACH: {name}");
    }
    let with_reason: usize = summary.rules_with_reason.values().map(Vec::len).sum();
    let _ = writeln!(
        text,
        "{}: {} of {} ops reached ({} documented, {} that this kernel lacks); {} judged rules: {} with a verdict, \
         {with_reason} with a stated reason, {} without",
        covered.kernel,
        summary.ops_reached,
        summary.ops_present,
        summary.ops_documented,
        summary.ops_documented - summary.ops_present,
        summary.rules_judged,
        summary.rules_with_verdict,
        summary.rules_without.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::figures;

    #[test]
    fn the_table_has_every_op_each_file_system_and_the_figures() {
        let text = render(&figures::tests::covered());
        let row = |name: &str| {
            text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!(row("create"), ["create", "5", "0", "-"]);
        assert_eq!(row("link"), ["link", "!", "-", "-"]);
        assert_eq!(row("gone")[1..].join(" "), "this kernel has no i.gone");
        assert!(text.contains("NEITHER VERDICT NOR REASON: i.mknod.dir"), "{text}");
        let last = "6.12.1: 1 of 4 ops reached (5 documented, 1 that this kernel lacks); 4 judged rules: 1 with a verdict, \
                    2 with a stated reason, 1 without\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn file_systems_without_a_column_are_counted_together() {
        let mut op = figures::tests::covered().ops.remove(0);
        op.by_fs.insert("sysfs".into(), Cell::Hooked);
        op.by_fs.insert("pipefs".into(), Cell::Observed { count: 2 });
        op.by_fs.insert("sockfs".into(), Cell::Observed { count: 3 });
        assert_eq!(others(&op), Some(Cell::Observed { count: 5 }));
    }
}
