//! The `oracle` objects of reports, added up, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use prettytable::{Table, format};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the tool's report says of the comparison; see `vfs-audit schema`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Oracle {
    /// Invocations (entries and exits) at which lockdep was asked.
    pub(crate) invocations: u64,
    invocations_by_fs: BTreeMap<String, u64>,
    /// Locks of which both sides said something.
    pub(crate) compared: u64,
    /// Claims that lockdep denies, though the tool calls them known.
    pub(crate) disagreed: u64,
    /// Whether lockdep had switched itself off.
    pub(crate) lockdep_off: bool,
    locks: Vec<Row>,
    cases: Vec<Case>,
    cases_left_out: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Row {
    kind: String,
    lock: String,
    held: u64,
    certain: Agreement,
    tracked_only: Agreement,
    word_only: Agreement,
    not_certain: Agreement,
    no_claim: u64,
    unasked: u64,
    unknown: u64,
    word: Agreement,
    table: Agreement,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Agreement {
    agreed: u64,
    disagreed: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Case {
    lock: String,
    at: String,
    fs: String,
    class: String,
    said: String,
    lockdep: String,
    #[serde(default)]
    reason: Option<String>,
    count: u64,
    task: String,
    stack: Vec<String>,
}

/// Columns behind the lock's.
const COLUMNS: [&str; 12] = [
    "compared",
    "held, by lockdep",
    "certain: agrees",
    "denied",
    "tracked only: agrees",
    "denied",
    "word only: agrees",
    "denied",
    "not certain",
    "not asked",
    "word alone: agrees / not",
    "table alone: agrees / not",
];

impl Agreement {
    fn add(&mut self, other: &Self) {
        self.agreed += other.agreed;
        self.disagreed += other.disagreed;
    }

    fn sum(&self) -> u64 {
        self.agreed + self.disagreed
    }

    fn text(&self) -> String {
        format!("{} / {}", grouped(self.agreed), grouped(self.disagreed))
    }
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.held += other.held;
        self.certain.add(&other.certain);
        self.tracked_only.add(&other.tracked_only);
        self.word_only.add(&other.word_only);
        self.not_certain.add(&other.not_certain);
        self.no_claim += other.no_claim;
        self.unasked += other.unasked;
        self.unknown += other.unknown;
        self.word.add(&other.word);
        self.table.add(&other.table);
    }

    fn cells(&self, name: String) -> Vec<String> {
        let compared = [&self.certain, &self.tracked_only, &self.word_only, &self.not_certain].map(Agreement::sum);
        let numbers = [
            compared.iter().sum(),
            self.held,
            self.certain.agreed,
            self.certain.disagreed,
            self.tracked_only.agreed,
            self.tracked_only.disagreed,
            self.word_only.agreed,
            self.word_only.disagreed,
            self.not_certain.sum(),
            self.no_claim + self.unasked + self.unknown,
        ];
        let numbers = numbers.map(grouped).into_iter().chain([self.word.text(), self.table.text()]);
        std::iter::once(name).chain(numbers).collect()
    }
}

impl Oracle {
    /// The object of a report.
    ///
    /// # Errors
    /// There is none, or it has another form.
    pub(crate) fn of(report: &Value) -> Result<Self> {
        let oracle = report.get("oracle").context("the report has no oracle object")?;
        Self::deserialize(oracle).context("the oracle object has another form")
    }

    /// Whether lockdep, asked at so many invocations at `least`, denies nothing that the tool claims to know.
    pub(crate) fn is_borne_out(&self, least: u64) -> bool {
        self.disagreed == 0 && !self.lockdep_off && self.invocations >= least
    }

    /// Adds another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.invocations += other.invocations;
        for (fs, count) in &other.invocations_by_fs {
            *self.invocations_by_fs.entry(fs.clone()).or_default() += count;
        }
        self.compared += other.compared;
        self.disagreed += other.disagreed;
        self.lockdep_off |= other.lockdep_off;
        self.locks.extend(other.locks.iter().cloned());
        self.locks = summed(&self.locks, |row| (row.kind.clone(), row.lock.clone()));
        for case in &other.cases {
            let is_same = |known: &&mut Case| {
                (&known.lock, &known.at, &known.fs, &known.said, &known.lockdep)
                    == (&case.lock, &case.at, &case.fs, &case.said, &case.lockdep)
            };
            match self.cases.iter_mut().find(is_same) {
                Some(known) => known.count += case.count,
                None => self.cases.push(case.clone()),
            }
        }
        self.cases_left_out += other.cases_left_out;
    }

    /// What was compared by kind of lock and by lock, then every claim that was denied.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} locks compared with lockdep at {} entries and exits of callbacks\n",
            grouped(self.compared),
            grouped(self.invocations)
        );
        let by_fs = self.invocations_by_fs.iter().map(|(fs, count)| format!("{fs} {}", grouped(*count)));
        let _ = writeln!(text, "by file system: {}\n", by_fs.collect::<Vec<_>>().join(", "));
        text.push_str(&laid_out("kind", &summed(&self.locks, |row| (row.kind.clone(), String::new()))));
        text.push('\n');
        text.push_str(&laid_out("lock", &self.locks));
        let _ = writeln!(
            text,
            "\nclaims that lockdep denies, though the tool calls them known: {}",
            grouped(self.disagreed)
        );
        if self.lockdep_off {
            text.push_str("LOCKDEP HAD SWITCHED ITSELF OFF: its answers are worth nothing\n");
        }
        for case in &self.cases {
            let Case { lock, at, fs, said, lockdep, count, task, .. } = case;
            let reason = case.reason.as_deref().unwrap_or("NO REASON");
            let _ = writeln!(
                text,
                "{reason}: {lock} at {at} on {fs}: {said}; lockdep: {lockdep}: {} times, {task}",
                grouped(*count)
            );
            if case.reason.is_none() {
                for frame in &case.stack {
                    let _ = writeln!(text, "      {frame}");
                }
            }
        }
        if self.cases_left_out > 0 {
            let _ = writeln!(text, "and {} that the reports leave out", grouped(self.cases_left_out));
        }
        text
    }
}

/// Rows with the same key as one, which has the key's names.
fn summed(rows: &[Row], key: impl Fn(&Row) -> (String, String)) -> Vec<Row> {
    let mut sums: BTreeMap<(String, String), Row> = BTreeMap::new();
    for row in rows {
        let (kind, lock) = key(row);
        let empty = || Row { kind: kind.clone(), lock: lock.clone(), ..Row::default() };
        sums.entry((kind.clone(), lock.clone())).or_insert_with(empty).add(row);
    }
    sums.into_values().collect()
}

fn laid_out(first: &str, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.set_format(*format::consts::FORMAT_NO_BORDER_LINE_SEPARATOR);
    table.set_titles(std::iter::once(first).chain(COLUMNS).collect());
    for row in rows {
        let name = if row.lock.is_empty() { row.kind.clone() } else { format!("{} ({})", row.lock, row.kind) };
        table.add_row(row.cells(name).into_iter().collect());
    }
    table.to_string()
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let thousands = tail.as_bytes().chunks(3).map(|chunk| String::from_utf8_lossy(chunk).into_owned());
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(thousands).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(disagreed: u64) -> Value {
        let of = |agreed: u64, disagreed: u64| json!({"agreed": agreed, "disagreed": disagreed});
        let row = |lock: &str| {
            json!({"kind": "rwsem", "lock": lock, "held": 11, "certain": of(1_234_567, disagreed), "tracked_only": of(5, 2),
                "word_only": of(0, 0), "not_certain": of(9, 0), "no_claim": 0, "unasked": 4, "unknown": 0,
                "word": of(7, 0), "table": of(8, 1)})
        };
        let case = json!({"lock": "rwsem i_rwsem", "at": "entry of f", "fs": "ext4", "class": "certain",
            "said": "word: free", "lockdep": "held shared", "count": 3, "task": "touch (1)", "stack": ["f+0x0"]});
        json!({"oracle": {"invocations": 10, "invocations_by_fs": {"ext4": 10}, "compared": 20, "disagreed": disagreed,
            "lockdep_off": false, "locks": [row("i_rwsem"), row("s_umount")],
            "cases": if disagreed > 0 { vec![case] } else { vec![] }, "cases_left_out": 0}})
    }

    /// The words of the line that begins with `name`.
    fn line<'t>(table: &'t str, name: &str) -> Vec<&'t str> {
        let line = table.lines().find(|line| line.trim().starts_with(name)).unwrap();
        line.split('|').map(str::trim).collect()
    }

    #[test]
    fn every_kind_and_every_lock_has_a_row_of_the_sum() {
        let mut sum = Oracle::default();
        sum.add(&Oracle::of(&report(0)).unwrap());
        sum.add(&Oracle::of(&report(0)).unwrap());
        let table = sum.table();
        assert!(table.contains("by file system: ext4 20\n"), "{table}");
        let lock = line(&table, "i_rwsem (rwsem)");
        assert_eq!(lock[1..6], ["2,469,166", "22", "2,469,134", "0", "10"], "{table}");
        assert_eq!(lock[10..13], ["8", "14 / 0", "16 / 2"], "{table}");
        assert_eq!(line(&table, "rwsem")[3], "4,938,268", "{table}");
        assert!(!table.contains("NO REASON"), "{table}");
    }

    #[test]
    fn a_claim_that_lockdep_denies_is_shown_once_with_its_stack() {
        let mut sum = Oracle::of(&report(3)).unwrap();
        sum.add(&Oracle::of(&report(3)).unwrap());
        let table = sum.table();
        let case =
            "NO REASON: rwsem i_rwsem at entry of f on ext4: word: free; lockdep: held shared: 6 times, touch (1)";
        assert!(table.contains(&format!("{case}\n      f+0x0\n")), "{table}");
        assert_eq!(sum.disagreed, 6);
    }

    #[test]
    fn one_denied_claim_a_lockdep_that_is_off_and_a_load_that_did_not_run_are_each_a_failure() {
        let good = Oracle::of(&report(0)).unwrap();
        assert!(good.is_borne_out(10));
        assert!(!good.is_borne_out(11));
        assert!(!Oracle { disagreed: 1, ..good.clone() }.is_borne_out(10));
        assert!(!Oracle { lockdep_off: true, ..good }.is_borne_out(10));
    }

    #[test]
    fn a_report_without_the_object_is_an_error() {
        assert!(Oracle::of(&json!({})).is_err());
        assert!(Oracle::of(&json!({"oracle": {"invocations": 1}})).is_err());
    }

    #[test]
    fn thousands_are_kept_apart() {
        assert_eq!([0, 12, 123, 1_000, 123_456].map(grouped), ["0", "12", "123", "1,000", "123,456"]);
    }
}
