//! What a release's document has: its ops and judged rules, as `vfs-audit rules list` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The ops and rules of a rule set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// Table and op.
    pub(crate) ops: BTreeSet<String>,
    /// Judged rules, with their ops.
    pub(crate) judged: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    table: String,
    op: String,
    standing: String,
}

impl Document {
    /// The rule set `name` ("v6.12") of this daemon.
    ///
    /// # Errors
    /// It has no such rule set.
    pub(crate) fn of(daemon: &Path, name: &str) -> Result<Self> {
        let mut command = Command::new(daemon);
        command.args(["rules", "list", "--format", "json", "--rules", name]);
        let text = process::text(&mut command).with_context(|| format!("listing the rules {name}"))?;
        Self::read(&text)
    }

    fn read(text: &str) -> Result<Self> {
        let rules: Vec<Listed> = serde_json::from_str(text).context("reading the list of rules")?;
        let mut document = Self::default();
        for rule in rules {
            let op = format!("{}.{}", rule.table, rule.op);
            document.ops.insert(op.clone());
            if rule.standing == "judged" {
                document.judged.insert(rule.id, op);
            }
        }
        Ok(document)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn document() -> Document {
        let rule = |op: &str, standing: &str| {
            format!(r#"{{"id": "i.{op}.dir", "table": "i", "op": "{op}", "standing": "{standing}"}}"#)
        };
        let ops = ["create", "mknod", "link", "gone"].map(|op| rule(op, "judged"));
        Document::read(&format!("[{}, {}]", ops.join(","), rule("fiemap", "permissive"))).unwrap()
    }

    #[test]
    fn every_op_counts_and_judged_rules_only() {
        assert_eq!(document().ops.len(), 5);
        assert_eq!(document().judged.len(), 4);
        assert_eq!(document().judged["i.link.dir"], "i.link");
    }
}
