//! The comparisons of a run, summed up by lock.

use std::{cmp::Reverse, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Class, Compared, Comparison, Holds, Reason, Verdict, claim::witnesses, judge};
use crate::{
    observation::{Point, Tracked, Word},
    report::Addresses,
};

/// How comparisons of one class came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// Lockdep said the same.
    pub agreed: u64,
    /// It said something else.
    pub disagreed: u64,
}

impl Agreement {
    /// All comparisons of the class.
    pub fn compared(&self) -> u64 {
        self.agreed + self.disagreed
    }

    fn add(&mut self, other: &Self) {
        self.agreed += other.agreed;
        self.disagreed += other.disagreed;
    }
}

/// How one witness by itself came out, whatever the other said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Witness {
    /// Lockdep said the same.
    pub agreed: u64,
    /// It said something else.
    pub disagreed: u64,
    /// The witness said nothing: locks of this kind are not tracked, or the word counts readers and names none.
    pub silent: u64,
}

impl Witness {
    fn tally(&mut self, agrees: Option<bool>, count: u64) {
        match agrees {
            Some(true) => self.agreed += count,
            Some(false) => self.disagreed += count,
            None => self.silent += count,
        }
    }

    fn add(&mut self, other: &Self) {
        self.agreed += other.agreed;
        self.disagreed += other.disagreed;
        self.silent += other.silent;
    }
}

/// All comparisons of one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockAgreement {
    /// Kind of lock.
    pub kind: String,
    /// Lock class of the rules.
    pub lock: String,
    /// Comparisons in which lockdep said that the task holds the lock.
    pub held: u64,
    /// What the tool calls certain.
    pub certain: Agreement,
    /// What the table of a task with an incomplete history says.
    pub tracked_only: Agreement,
    /// What a word that names no owner says.
    pub word_only: Agreement,
    /// What the tool does not claim to know; compared is that the lock is not held exclusive.
    pub not_certain: Agreement,
    /// Neither witness could be read.
    pub no_claim: u64,
    /// Lockdep was not asked: the callback ran in an interrupt, or lockdep was off for the task.
    pub unasked: u64,
    /// Lockdep knows no such locks.
    pub unknown: u64,
    /// The lock's word by itself.
    pub word: Witness,
    /// The task's table by itself.
    pub table: Witness,
}

/// Equal claims that lockdep denied, with the first of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// Kind and class of the lock.
    pub lock: String,
    /// Where: op, callback, role, entry or exit.
    pub at: String,
    /// File system type.
    pub fs: String,
    /// How the claim is known.
    pub class: Class,
    /// What both witnesses said.
    pub said: String,
    /// What lockdep said.
    pub lockdep: String,
    /// The reason for which the claim is not certain; none for a certain one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How often.
    pub count: u64,
    /// Task of the first.
    pub task: String,
    /// Its stack.
    pub stack: Vec<String>,
}

/// What the oracle came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OracleReport {
    /// Invocations (entries and exits) at which lockdep was asked.
    pub invocations: u64,
    /// The same by file system type.
    pub invocations_by_fs: BTreeMap<String, u64>,
    /// Locks of which both sides said something.
    pub compared: u64,
    /// What the tool claims to know and lockdep denies: each is a fault of the tool's.
    pub disagreed: u64,
    /// Whether lockdep had switched itself off at the end: then its answers are worth nothing.
    pub lockdep_off: bool,
    /// By lock.
    pub locks: Vec<LockAgreement>,
    /// Denied claims, the certain ones first; at most [`CASES_MAX`].
    pub cases: Vec<Case>,
    /// Denied claims that are not listed.
    pub cases_left_out: u64,
}

/// Denied claims that are listed.
pub const CASES_MAX: usize = 100;

impl LockAgreement {
    fn new(kind: &str, lock: &str) -> Self {
        Self { kind: kind.to_owned(), lock: lock.to_owned(), ..Self::default() }
    }

    /// Comparisons in which both sides said something.
    pub fn compared(&self) -> u64 {
        [&self.certain, &self.tracked_only, &self.word_only, &self.not_certain].map(Agreement::compared).iter().sum()
    }

    fn class(&mut self, class: Class) -> &mut Agreement {
        match class {
            Class::Certain => &mut self.certain,
            Class::TrackedOnly => &mut self.tracked_only,
            Class::WordOnly => &mut self.word_only,
            Class::NotCertain => &mut self.not_certain,
        }
    }

    fn tally(&mut self, comparison: &Comparison, class: Class, verdict: Verdict) {
        let count = comparison.count;
        match verdict {
            Verdict::NoAnswer if comparison.answer == Answer::Unknown => return self.unknown += count,
            Verdict::NoAnswer => return self.unasked += count,
            Verdict::NoClaim => return self.no_claim += count,
            Verdict::Agreed => self.class(class).agreed += count,
            Verdict::Disagreed | Verdict::Explained(_) => self.class(class).disagreed += count,
        }
        if comparison.answer != Answer::Holds(Holds::No) {
            self.held += count;
        }
        let (word, table) = witnesses(comparison);
        self.word.tally(word, count);
        self.table.tally(table, count);
    }

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
}

impl OracleReport {
    /// Sums up what was compared.
    pub fn of(compared: &Compared) -> Self {
        let mut rows: BTreeMap<(&str, &str), LockAgreement> = BTreeMap::new();
        let mut cases = Vec::new();
        let mut disagreed = 0;
        for comparison in &compared.comparisons {
            let (class, verdict) = judge(comparison);
            let (kind, lock) = (comparison.kind, comparison.lock.as_str());
            let row = rows.entry((kind, lock)).or_insert_with(|| LockAgreement::new(kind, lock));
            row.tally(comparison, class, verdict);
            match verdict {
                Verdict::Disagreed => {
                    disagreed += comparison.count;
                    cases.push(case(comparison, class, None));
                }
                Verdict::Explained(reason) => cases.push(case(comparison, class, Some(reason))),
                Verdict::Agreed | Verdict::NoAnswer | Verdict::NoClaim => {}
            }
        }
        let mut cases = merged(cases);
        let left_out = cases.split_off(cases.len().min(CASES_MAX)).iter().map(|case| case.count).sum();
        let locks: Vec<LockAgreement> = rows.into_values().collect();
        Self {
            invocations: compared.invocations.values().sum(),
            invocations_by_fs: compared.invocations.clone(),
            compared: locks.iter().map(LockAgreement::compared).sum(),
            disagreed,
            lockdep_off: compared.is_lockdep_off,
            locks,
            cases,
            cases_left_out: left_out,
        }
    }

    /// The rows, those of one kind of lock together.
    pub fn by_kind(&self) -> Vec<LockAgreement> {
        let mut kinds: BTreeMap<&str, LockAgreement> = BTreeMap::new();
        for row in &self.locks {
            kinds.entry(&row.kind).or_insert_with(|| LockAgreement::new(&row.kind, "all")).add(row);
        }
        kinds.into_values().collect()
    }

    /// Hides kernel addresses in what was symbolised.
    pub(crate) fn redact(&mut self, addresses: Addresses) {
        for case in &mut self.cases {
            addresses.apply_to(&mut case.at);
            case.stack.iter_mut().for_each(|frame| addresses.apply_to(frame));
        }
    }
}

/// Cases that differ in their stack alone as one, the certain ones first, then by count.
fn merged(cases: Vec<Case>) -> Vec<Case> {
    let mut merged: BTreeMap<_, Case> = BTreeMap::new();
    for case in cases {
        let key = (case.lock.clone(), case.at.clone(), case.fs.clone(), case.said.clone(), case.lockdep.clone());
        match merged.get_mut(&key) {
            Some(known) => known.count += case.count,
            None => drop(merged.insert(key, case)),
        }
    }
    let mut cases: Vec<Case> = merged.into_values().collect();
    cases.sort_by_key(|case| (case.reason.is_some(), case.class, Reverse(case.count)));
    cases
}

fn case(comparison: &Comparison, class: Class, reason: Option<Reason>) -> Case {
    let point = match comparison.point {
        Point::Entry => "entry",
        Point::Exit => "exit",
    };
    let history = if comparison.history_complete { "complete" } else { "incomplete" };
    let (word, table) = (word_text(comparison.word), table_text(comparison.tracked));
    let (task, stack) = comparison.sight.clone().unwrap_or_default();
    Case {
        lock: format!("{} {}", comparison.kind, comparison.lock),
        at: format!("{point} of {} ({}), {}", comparison.callback, comparison.op, comparison.role),
        fs: comparison.fs.clone(),
        class,
        said: format!("word: {word}, table: {table}, history {history}"),
        lockdep: answer_text(comparison.answer).to_owned(),
        reason,
        count: comparison.count,
        task,
        stack,
    }
}

fn word_text(word: Word) -> &'static str {
    match word {
        Word::Unread => "not read",
        Word::Free => "free",
        Word::ExclusiveSelf => "held exclusive by this task",
        Word::ExclusiveOther => "held exclusive by another task",
        Word::Readers => "held by readers",
        Word::Taken => "taken",
    }
}

fn table_text(tracked: Tracked) -> &'static str {
    match tracked {
        Tracked::None => "not held",
        Tracked::Shared => "held shared",
        Tracked::Exclusive => "held exclusive",
        Tracked::Untracked => "not tracked",
    }
}

fn answer_text(answer: Answer) -> &'static str {
    match answer {
        Answer::Holds(Holds::No) => "not held",
        Answer::Holds(Holds::Shared) => "held shared",
        Answer::Holds(Holds::Exclusive) => "held exclusive",
        Answer::Unasked | Answer::Unknown => "nothing",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::oracle) fn comparison(
        word: Word,
        tracked: Tracked,
        history_complete: bool,
        holds: Holds,
    ) -> Comparison {
        Comparison {
            lock: "i_rwsem".to_owned(),
            kind: "rwsem",
            op: "inode_operations.create".to_owned(),
            callback: "ext4_create".to_owned(),
            role: "dir".to_owned(),
            fs: "ext4".to_owned(),
            point: Point::Entry,
            word,
            tracked,
            history_complete,
            answer: Answer::Holds(holds),
            count: 1,
            sight: None,
        }
    }

    fn of(comparisons: Vec<Comparison>) -> OracleReport {
        let invocations = BTreeMap::from([("ext4".to_owned(), 2), ("xfs".to_owned(), 3)]);
        OracleReport::of(&Compared { invocations, comparisons, is_lockdep_off: false })
    }

    #[test]
    fn every_comparison_is_counted_once_and_in_its_class() {
        let own = comparison(Word::ExclusiveSelf, Tracked::Exclusive, true, Holds::Exclusive);
        let report = of(vec![
            Comparison { count: 10, ..own.clone() },
            Comparison { count: 7, ..comparison(Word::Readers, Tracked::Shared, false, Holds::Shared) },
            Comparison { count: 5, ..comparison(Word::Taken, Tracked::Untracked, true, Holds::No) },
            Comparison { count: 4, ..comparison(Word::Readers, Tracked::None, false, Holds::No) },
            Comparison { count: 3, answer: Answer::Unasked, ..own.clone() },
            Comparison { count: 2, answer: Answer::Unknown, lock: "page".to_owned(), kind: "page lock", ..own },
        ]);
        let row = &report.locks[1];
        assert_eq!((row.kind.as_str(), row.lock.as_str()), ("rwsem", "i_rwsem"));
        assert_eq!(row.certain, Agreement { agreed: 10, disagreed: 0 });
        assert_eq!(row.tracked_only, Agreement { agreed: 7, disagreed: 0 });
        assert_eq!(row.word_only, Agreement { agreed: 0, disagreed: 5 });
        assert_eq!(row.not_certain, Agreement { agreed: 4, disagreed: 0 });
        assert_eq!((row.held, row.unasked, report.locks[0].unknown), (17, 3, 2));
        assert_eq!(row.word, Witness { agreed: 10, disagreed: 5, silent: 11 });
        assert_eq!(row.table, Witness { agreed: 21, disagreed: 0, silent: 5 });
        assert_eq!((report.compared, report.invocations, report.disagreed), (26, 5, 0));
        assert_eq!(report.by_kind().iter().map(LockAgreement::compared).sum::<u64>(), 26);
    }

    #[test]
    fn a_certain_claim_that_is_denied_comes_first_and_equal_ones_are_one_case() {
        let taken = comparison(Word::Taken, Tracked::Untracked, true, Holds::No);
        let wrong = comparison(Word::Free, Tracked::None, true, Holds::Shared);
        let sight = Some(("touch (7)".to_owned(), vec!["ext4_create+0x0".to_owned()]));
        let report = of(vec![Comparison { count: 9, ..taken }, Comparison { sight, ..wrong.clone() }, wrong]);
        assert_eq!(report.disagreed, 2);
        assert_eq!(report.cases.len(), 2);
        let first = &report.cases[0];
        assert_eq!((first.count, first.reason, first.class), (2, None, Class::Certain));
        assert_eq!(first.at, "entry of ext4_create (inode_operations.create), dir");
        assert_eq!(first.said, "word: free, table: not held, history complete");
        assert_eq!((first.lockdep.as_str(), first.task.as_str()), ("held shared", "touch (7)"));
        assert_eq!(report.cases[1].reason, Some(Reason::OwnerUnknown));
    }
}
