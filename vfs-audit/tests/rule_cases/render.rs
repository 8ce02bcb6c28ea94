//! Findings as stable text: every rule that is not simply unobserved, and every list.

use vfs_audit::checker::{Findings, RuleVerdict, Verdict, Violation};

/// The whole report of a case.
pub(crate) fn report(findings: &Findings) -> String {
    let mut text = String::new();
    for (op, count) in &findings.invocations {
        text += &format!("invocations {op}: {count}\n");
    }
    text.extend(findings.rules.iter().filter(|rule| is_told(rule)).map(verdict));
    for (title, list) in [("violation", &findings.violations), ("suspected", &findings.suspected)] {
        text.extend(list.iter().map(|violation| listed(title, violation)));
    }
    for known in &findings.excepted {
        text += &listed("excepted", &known.violation);
        text += &format!("  because {}\n", known.reason);
    }
    for call in &findings.set_apart {
        let (op, callback, caller, route) = (&call.op, &call.callback, &call.caller, call.route);
        text += &format!("set apart {op} {callback} from {caller} ({route:?}): {}\n", call.count);
    }
    for fault in &findings.disagreements {
        text += &format!("disagreement {}: {} ({})\n", fault.at, fault.what, fault.count);
    }
    text
}

/// A rule that the case says something of; stale rules are so in every case, and are told where they are exercised.
fn is_told(rule: &RuleVerdict) -> bool {
    let touched = rule.satisfied + rule.violated + rule.unknown + rule.not_applicable + rule.excepted > 0;
    touched || !matches!(rule.verdict, Verdict::Unobserved | Verdict::Stale(_))
}

fn verdict(rule: &RuleVerdict) -> String {
    let name = match &rule.verdict {
        Verdict::Satisfied => "satisfied".to_owned(),
        Verdict::Violated => "violated".to_owned(),
        Verdict::Unobserved => "unobserved".to_owned(),
        Verdict::NotJudged => "not judged".to_owned(),
        Verdict::Inconclusive(why) => format!("inconclusive, {why}"),
        Verdict::NotObservable(why) => format!("not observable, {why}"),
        Verdict::Stale(why) => format!("stale, {why}"),
    };
    let mut counts = Vec::new();
    for (what, count) in [
        ("satisfied", rule.satisfied),
        ("of them unproven", rule.unproven),
        ("violated", rule.violated),
        ("unknown", rule.unknown),
        ("excepted", rule.excepted),
        ("not applicable", rule.not_applicable),
    ] {
        if count > 0 {
            counts.push(format!("{count} {what}"));
        }
    }
    let mut text = format!("rule {}: {name} ({})\n", rule.id, counts.join(", "));
    text.extend(rule.seen.iter().map(|(state, count)| format!("  seen {state} ({count})\n")));
    text
}

fn listed(title: &str, violation: &Violation) -> String {
    format!(
        "{title} {} {} by {:?}: {}\n  required {}\n  found {}\n",
        violation.rule, violation.fingerprint, violation.evidence, violation.count, violation.required, violation.found
    )
}
