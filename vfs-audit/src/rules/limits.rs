//! What a check of each rule can miss and can wrongly report, and by which witness it is judged: derived from what the rule
//! reads and demands, so that it follows the rules wherever they go. The page of limits is this, printed.

mod page;

use serde::Serialize;

use super::{
    fact::FactReader,
    glob,
    model::{Catalogue, Demand, LockClass, LockKind, Op, Read, Requirement, Rule, Table},
};

/// A limit that several rules share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Its sign on the page.
    pub sign: &'static str,
    /// In words.
    pub text: &'static str,
}

const fn limit(sign: &'static str, text: &'static str) -> Limit {
    Limit { sign, text }
}

const NOT_THROUGH_THE_TABLE: Limit =
    limit("M1", "calls that do not come through the operations table: they are set apart");
const MISSED_RELEASE: Limit = limit("M2", "a release that was not seen, while other tasks hold the lock shared");
const NO_OWNER: Limit = limit("M3", "a lock that another task happens to hold: it has no owner to compare");
const INLINED: Limit = limit("M4", "a function that the compiler has inlined");
const DID_NOT_SLEEP: Limit = limit("M5", "a sleep that could have happened and did not in this run");
const AGAIN: Limit = limit("M6", "a lock that is released and acquired again while the callback runs");

/// What a check can miss, by its causes.
pub const MISSES: [Limit; 6] = [NOT_THROUGH_THE_TABLE, MISSED_RELEASE, NO_OWNER, INLINED, DID_NOT_SLEEP, AGAIN];

const NOT_THE_VFS: Limit =
    limit("W1", "code other than the VFS that calls through the table with locks of its own (a stacked file system)");
const MISSED_ACQUISITION: Limit =
    limit("W2", "an acquisition that was missed unnoticed: the violation says that it is known by history");
const RELEASED_BY_ANOTHER: Limit = limit(
    "W3",
    "a lock that another task has released for this one, until this one next enters a system call: known by history",
);
const CALL_NOT_SEEN: Limit = limit("W4", "a demanded call of a function of which the compiler has inlined this copy");
const ANOTHER_TRACER: Limit = limit("W5", "preemption that another tracer has switched off in a way of its own");

/// What a check can wrongly report, by its causes.
pub const MISREPORTS: [Limit; 5] =
    [NOT_THE_VFS, MISSED_ACQUISITION, RELEASED_BY_ANOTHER, CALL_NOT_SEEN, ANOTHER_TRACER];

/// The limits of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleLimits {
    /// Rule id.
    pub id: String,
    /// Operations table.
    pub table: String,
    /// The newest rule set that has it.
    pub release: String,
    /// How each lock's state is known.
    pub witnesses: Vec<String>,
    /// What a check of it can miss.
    pub misses: Vec<Limit>,
    /// What it can miss beyond that, in its own words; empty when nothing.
    pub misses_besides: String,
    /// What it can wrongly report; empty when it is not judged.
    pub misreports: Vec<Limit>,
    /// What it can wrongly report beyond that, in its own words; empty when nothing.
    pub misreports_besides: String,
    /// Known dubious cases of it, which are not reported, with their reasons.
    pub excepted: Vec<String>,
    /// Why it is not judged: nothing to break, or a lock that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
    /// What the live tracer cannot read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_observable_live: Option<String>,
}

/// The limits of many rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Rule sets that the rules are of, oldest first.
    pub releases: Vec<String>,
    /// Each rule as its newest rule set has it.
    pub rules: Vec<RuleLimits>,
}

impl Limits {
    /// Of every rule of these rule sets, oldest first.
    pub fn of(catalogues: &[Catalogue]) -> Self {
        let mut rules: Vec<RuleLimits> = Vec::new();
        for catalogue in catalogues.iter().rev() {
            let mut unreadable = catalogue.not_observable_live();
            for (table, op) in catalogue.ops() {
                for rule in
                    op.rules.iter().filter(|rule| !rules.iter().any(|known| known.id == rule.id)).collect::<Vec<_>>()
                {
                    let not_observable_live = unreadable.remove(&rule.id);
                    rules.push(RuleLimits { not_observable_live, ..of_rule(catalogue, table, op, rule) });
                }
            }
        }
        Self { releases: catalogues.iter().map(|catalogue| catalogue.name.clone()).collect(), rules }
    }
}

fn of_rule(catalogue: &Catalogue, table: &Table, op: &Op, rule: &Rule) -> RuleLimits {
    let is_judged = !rule.requires.is_empty();
    let exceptions = catalogue.exceptions.iter().filter(|exception| glob::matches(&exception.rule, &rule.id));
    RuleLimits {
        id: rule.id.clone(),
        table: table.name.clone(),
        release: catalogue.name.clone(),
        witnesses: witnesses(catalogue, rule),
        misses: misses(catalogue, op, rule),
        misses_besides: rule.misses.clone(),
        misreports_besides: rule.misreports.clone(),
        misreports: if is_judged { misreports(catalogue, op, rule) } else { Vec::new() },
        excepted: exceptions.map(|exception| exception.reason.clone()).collect(),
        not_judged: rule.why_not_judged.clone().or_else(|| catalogue.stale(rule)),
        not_observable_live: None,
    }
}

/// How each lock's state is known.
pub(super) fn witnesses(catalogue: &Catalogue, rule: &Rule) -> Vec<String> {
    classes(catalogue, rule).into_iter().map(witness).collect()
}

fn witness(class: &LockClass) -> String {
    let how = match class.kind {
        LockKind::Rwsem => "its count and owner, and the task's held-lock table",
        LockKind::Mutex => "its owner, and the task's held-lock table",
        LockKind::Spinlock => "its value, which knows no owner",
        LockKind::Seqlock => "its sequence and its spinlock, which know no owner",
        LockKind::PageLock => "PG_locked in its flags, which knows no owner",
        LockKind::BufferLock => "BH_Lock in its state, which knows no owner",
        LockKind::PercpuRwsem => "its counters, and the task's held-lock table",
        LockKind::Rcu => "the task's RCU nesting",
        LockKind::Gone => return format!("{}: none, it is gone: {}", class.name, class.gone),
    };
    format!("{}: {how}", class.name)
}

/// The lock classes that a rule reads.
fn classes<'c>(catalogue: &'c Catalogue, rule: &Rule) -> Vec<&'c LockClass> {
    let mut classes: Vec<&LockClass> = Vec::new();
    for read in rule.reads() {
        let Read::Lock { lock, .. } = read else { continue };
        if let Some(class) = catalogue.locks.get(lock)
            && !classes.iter().any(|known| known.name == class.name)
        {
            classes.push(class);
        }
    }
    classes
}

/// Whether a rule reads a fact of such a kind.
fn reads(op: &Op, rule: &Rule, wanted: impl Fn(&FactReader) -> bool) -> bool {
    let is_wanted = |name: &str| op.facts.iter().any(|fact| fact.name == name && wanted(&fact.reader));
    rule.reads().into_iter().any(|read| matches!(read, Read::Fact(name) if is_wanted(name)))
}

fn is_of_a_call(reader: &FactReader) -> bool {
    matches!(reader, FactReader::Called(_) | FactReader::Order(..) | FactReader::EventuallyCalled(_))
}

/// What a check of a rule can miss, beside what the rule itself says.
pub(super) fn misses(catalogue: &Catalogue, op: &Op, rule: &Rule) -> Vec<Limit> {
    let kinds: Vec<LockKind> = classes(catalogue, rule).into_iter().map(|class| class.kind).collect();
    let ownerless = |kind: &LockKind| {
        matches!(kind, LockKind::Spinlock | LockKind::Seqlock | LockKind::PageLock | LockKind::BufferLock)
    };
    let follows_the_lock = |reader: &FactReader| matches!(reader, FactReader::Released(_) | FactReader::Acquired(_));
    let mut limits = Vec::new();
    let mut when = |applies: bool, limit: Limit| limits.extend(applies.then_some(limit));
    when(kinds.iter().any(|kind| matches!(kind, LockKind::Rwsem | LockKind::PercpuRwsem)), MISSED_RELEASE);
    when(kinds.iter().any(ownerless) && rule.misses.is_empty(), NO_OWNER);
    when(reads(op, rule, is_of_a_call), INLINED);
    when(reads(op, rule, |reader| matches!(reader, FactReader::Slept)), DID_NOT_SLEEP);
    when(!kinds.is_empty() && !reads(op, rule, follows_the_lock), AGAIN);
    when(true, NOT_THROUGH_THE_TABLE);
    limits
}

/// What a check of a judged rule can wrongly report.
pub(super) fn misreports(catalogue: &Catalogue, op: &Op, rule: &Rule) -> Vec<Limit> {
    let mut demands = Vec::new();
    for requirement in &rule.requires {
        collect(requirement, &mut demands);
    }
    let of_tracked = |wanted: &[Demand]| {
        demands.iter().any(|(lock, demand)| {
            let kind = catalogue.locks.get(*lock).map(|class| class.kind);
            matches!(kind, Some(LockKind::Rwsem | LockKind::PercpuRwsem)) && wanted.contains(demand)
        })
    };
    let mut limits = vec![NOT_THE_VFS];
    let mut when = |applies: bool, limit: Limit| limits.extend(applies.then_some(limit));
    when(of_tracked(&[Demand::SharedAtLeast, Demand::Held]), MISSED_ACQUISITION);
    when(of_tracked(&[Demand::NotHeld, Demand::NotShared, Demand::NotPromised]), RELEASED_BY_ANOTHER);
    when(reads(op, rule, is_of_a_call), CALL_NOT_SEEN);
    when(reads(op, rule, |reader| matches!(reader, FactReader::Atomic)), ANOTHER_TRACER);
    limits
}

/// Every lock and what is demanded of it.
fn collect<'r>(requirement: &'r Requirement, into: &mut Vec<(&'r str, Demand)>) {
    match requirement {
        Requirement::Lock { lock, demand, .. } => into.push((lock, *demand)),
        Requirement::Fact(_) => {}
        Requirement::Any(choices) => choices.iter().for_each(|choice| collect(choice, into)),
        Requirement::If(_, requirement) => collect(requirement, into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Limits {
        Limits::of(&Catalogue::load_all().unwrap())
    }

    #[test]
    fn every_rule_of_every_release_has_its_limits_once() {
        let limits = all();
        let mut ids: Vec<&str> = limits.rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for catalogue in Catalogue::load_all().unwrap() {
            assert!(catalogue.rules().all(|rule| ids.binary_search(&rule.id.as_str()).is_ok()));
        }
    }

    #[test]
    fn a_judged_rule_can_miss_and_wrongly_report_something_and_no_limit_is_idle() {
        let limits = all();
        for rule in &limits.rules {
            assert!(!rule.misses.is_empty(), "{}", rule.id);
            assert!(!rule.misreports.is_empty() || rule.not_judged.is_some(), "{}", rule.id);
        }
        for limit in MISSES {
            assert!(limits.rules.iter().any(|rule| rule.misses.contains(&limit)), "{}", limit.text);
        }
        for limit in MISREPORTS {
            assert!(limits.rules.iter().any(|rule| rule.misreports.contains(&limit)), "{}", limit.text);
        }
    }

    #[test]
    fn a_page_lock_has_no_owner_and_an_exclusive_rwsem_needs_no_history() {
        let limits = all();
        let signs = |id: &str| {
            let rule = limits.rules.iter().find(|rule| rule.id == id).unwrap();
            let of = |limits: &[Limit]| limits.iter().map(|limit| limit.sign).collect::<Vec<_>>().join(" ");
            (of(&rule.misses), of(&rule.misreports))
        };
        assert_eq!(signs("inode_operations.setattr"), ("M2 M6 M1".to_owned(), "W1".to_owned()));
    }
}
