//! One run at one rule: how it stands to what is documented, and why, from what the run says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Cell, Relation, Run};
use crate::checker::{RuleVerdict, Verdict, Violation};
use crate::report::HookState;
use crate::rules::import::renames;
use crate::rules::{Catalogue, Demand, LockKind, Op, Requirement, Rule, Standing, Table};

/// Causes of a deviation that are told; the rest is counted.
const CAUSES_MAX: usize = 3;

/// The run's cell of a rule; `document` is what the line says.
pub(super) fn cell(id: &str, document: &str, run: &Run<'_>) -> Cell {
    let Some((table, op, rule)) = run.catalogue.rule(id) else { return no_rule(id, run.catalogue) };
    let found = run.findings.rules.iter().find(|found| found.id == id);
    let Some(found) = found else { return plain(Relation::Unobserved, "it was not asked for".to_owned()) };
    let (relation, why) = relate(&Asked { table, op, rule, found, run });
    let broken = found.violated.saturating_add(found.excepted);
    Cell {
        relation,
        why,
        applied: [found.violated, found.unknown, found.excepted].into_iter().fold(found.satisfied, u64::saturating_add),
        broken,
        known: broken > 0 && found.violated == 0,
        document: (rule.document != document).then(|| rule.document.clone()),
        seen: found.seen.clone(),
    }
}

fn plain(relation: Relation, why: String) -> Cell {
    Cell { relation, why, applied: 0, broken: 0, known: false, document: None, seen: BTreeMap::new() }
}

/// A rule that the run's rule set does not have; where the op goes by another name there, that is said.
fn no_rule(id: &str, catalogue: &Catalogue) -> Cell {
    let mut parts = id.split('.');
    let (table, op) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let other = renames::other_names(table, op).find(|other| catalogue.op(table, other).is_some());
    let name = &catalogue.name;
    let why = match (catalogue.op(table, op), other) {
        (None, Some(other)) => format!("{name} has `{other}` instead of `{op}`"),
        (None, None) => format!("{name} has no `{op}`"),
        (Some(_), _) => format!("{name} does not say so"),
    };
    plain(Relation::NoRule, why)
}

/// A rule with everything that a run says of it.
struct Asked<'a> {
    table: &'a Table,
    op: &'a Op,
    rule: &'a Rule,
    found: &'a RuleVerdict,
    run: &'a Run<'a>,
}

fn relate(asked: &Asked<'_>) -> (Relation, String) {
    let found = asked.found;
    match &found.verdict {
        Verdict::Violated => (Relation::Deviates, causes(asked)),
        Verdict::Inconclusive(_) if found.excepted > 0 && found.unknown == 0 => {
            (Relation::Deviates, known_cases(asked))
        }
        Verdict::Stale(why) => (Relation::Stale, why.clone()),
        Verdict::Inconclusive(why) => (Relation::Undecided, why.clone()),
        Verdict::Satisfied => match exclusive_each_time(asked) {
            Some(why) => (Relation::Stricter, why),
            None => (Relation::Agrees, String::new()),
        },
        Verdict::NotJudged => not_judged(asked),
        Verdict::NotObservable(why) => (Relation::Unobserved, format!("not observable: {why}")),
        Verdict::Unobserved => (Relation::Unobserved, why_unobserved(asked)),
    }
}

/// What was found, the most frequent first.
fn causes(asked: &Asked<'_>) -> String {
    let all = &asked.run.findings.violations;
    let mut violations: Vec<&Violation> = all.iter().filter(|violation| violation.rule == asked.rule.id).collect();
    violations.sort_by_key(|violation| std::cmp::Reverse(violation.count));
    let rest = violations.len().saturating_sub(CAUSES_MAX);
    let told = violations.iter().take(CAUSES_MAX).map(|violation| {
        let at = &violation.counterexample;
        format!(
            "{} where {} is required ({} times: {} on {}, called by {})",
            violation.found, violation.required, violation.count, at.callback, at.fs, at.caller
        )
    });
    let mut text = told.collect::<Vec<_>>().join("; ");
    if rest > 0 {
        let _ = write!(text, "; and {rest} more ways");
    }
    text
}

/// Known dubious cases and nothing else.
fn known_cases(asked: &Asked<'_>) -> String {
    let cases = asked.run.findings.excepted.iter().filter(|case| case.violation.rule == asked.rule.id);
    let told = cases.map(|case| {
        let at = &case.violation.counterexample;
        format!("known case at {} on {} ({} times): {}", at.callback, at.fs, case.violation.count, case.reason)
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Why a satisfied rule is more than satisfied: what must be held shared was held exclusive each time.
fn exclusive_each_time(asked: &Asked<'_>) -> Option<String> {
    let mut shared = Vec::new();
    for requirement in &asked.rule.requires {
        locks_held_shared(requirement, &mut shared);
    }
    let mut told = Vec::new();
    for (role, lock) in shared {
        let has_modes = asked.run.catalogue.lock(lock).is_some_and(|class| class.kind == LockKind::Rwsem);
        let states = states(asked, role, lock);
        let is_exclusive = |(state, _): &(&str, u64)| matches!(*state, "exclusive" | "no object");
        if !has_modes || !states.iter().any(|(state, _)| *state == "exclusive") || !states.iter().all(is_exclusive) {
            return None;
        }
        told.push(format!("{lock} of {role} was held exclusive each time, where shared is enough"));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

fn locks_held_shared<'r>(requirement: &'r Requirement, into: &mut Vec<(&'r str, &'r str)>) {
    match requirement {
        Requirement::Lock { role, lock, demand: Demand::SharedAtLeast } => into.push((role, lock)),
        Requirement::If(_, inner) => locks_held_shared(inner, into),
        Requirement::Lock { .. } | Requirement::Fact(_) | Requirement::Any(_) => {}
    }
}

/// The states that a lock was seen in, with invocations.
fn states<'f>(asked: &Asked<'f>, role: &str, lock: &str) -> Vec<(&'f str, u64)> {
    let prefix = format!("{role}.{lock}: ");
    asked.found.seen.iter().filter_map(|(seen, count)| Some((seen.strip_prefix(&prefix)?, *count))).collect()
}

/// Where nothing is judged, what was seen can still be more than the document promises.
fn not_judged(asked: &Asked<'_>) -> (Relation, String) {
    let seen = &asked.found.seen;
    let states: Vec<&str> = seen.keys().filter_map(|seen| Some(seen.rsplit_once(": ")?.1)).collect();
    let is_held = |state: &&str| matches!(*state, "shared" | "exclusive" | "held");
    let is_promised_nowhere = asked.rule.standing == Standing::NotPromised;
    let told = seen.iter().map(|(what, count)| format!("{what} ({count} times)")).collect::<Vec<_>>().join(", ");
    let held_or_absent = |state: &&str| is_held(state) || *state == "no object";
    if is_promised_nowhere && states.iter().any(is_held) && states.iter().all(held_or_absent) {
        return (Relation::Stricter, format!("held each time though it is not promised: {told}"));
    }
    let may_be_either = is_promised_nowhere || asked.rule.standing == Standing::Permissive;
    if may_be_either && states.iter().any(|state| *state != "not known" && *state != "no object") {
        return (Relation::Agrees, String::new());
    }
    let why = asked.rule.why_not_judged.clone().unwrap_or_else(|| "nothing is required".to_owned());
    (Relation::NotJudged, why)
}

/// Why the rule never applied: no hook, no invocation, or none that it speaks of.
fn why_unobserved(asked: &Asked<'_>) -> String {
    let name = format!("{}.{}", asked.table.name, asked.op.name);
    let invocations = asked.run.findings.invocations.get(&name).copied().unwrap_or(0);
    if invocations > 0 {
        let conditions: Vec<String> = asked.rule.when.iter().map(ToString::to_string).collect();
        return if conditions.is_empty() {
            "invocations of the op, but none of the kind that it speaks of".to_owned()
        } else {
            format!("invocations of the op, but none with: {}", conditions.join(" and "))
        };
    }
    let hooks = || asked.run.hooks.iter().filter(|hook| hook.op == name);
    let attached = hooks().filter(|hook| hook.state == HookState::Attached).count();
    match hooks().find(|hook| hook.state != HookState::Attached) {
        Some(hook) if attached == 0 => format!("the op was not watched: {}", hook.reason),
        _ if attached > 0 => "no invocation of the op, whose callbacks were watched".to_owned(),
        _ => "no invocation of the op".to_owned(),
    }
}
