//! A document as the source of rules: what is made of it is the release's own rule set.

use std::collections::BTreeMap;

use vfs_audit::rules::{Catalogue, Op, Rule, adopt, import};

use crate::differences::rule_set;
use crate::layout::kernel_documents;

/// Rules by id; where they stand in a catalogue is of no account.
pub(crate) fn by_id(catalogue: &Catalogue) -> BTreeMap<String, Rule> {
    catalogue.rules().map(|rule| (rule.id.clone(), rule.clone())).collect()
}

/// Ops without their rules, facts in order.
pub(crate) fn ops(catalogue: &Catalogue) -> BTreeMap<String, Op> {
    let plain = |op: &Op| {
        let mut op = Op { rules: Vec::new(), ..op.clone() };
        op.facts.sort_by(|a, b| a.name.cmp(&b.name));
        op
    };
    catalogue.ops().map(|(table, op)| (format!("{}.{}", table.name, op.name), plain(op))).collect()
}

#[test]
fn a_release_s_document_gives_the_release_s_rules() {
    for (document, text) in kernel_documents("a_release_s_document_gives_the_release_s_rules") {
        let release = rule_set(&document);
        let expected = Catalogue::load(release).unwrap();
        let adopted = adopt(&import::read(&text, &document)).unwrap();
        assert_eq!(adopted.nearest, release);
        assert_eq!(adopted.diagnostics, [], "{document}");
        let (found, wanted) = (by_id(&adopted.catalogue), by_id(&expected));
        for (id, rule) in &wanted {
            assert_eq!(found.get(id), Some(rule), "{document}");
        }
        let more: Vec<_> = found.keys().filter(|id| !wanted.contains_key(*id)).collect();
        assert!(more.is_empty(), "{document}: {more:?}");
        assert_eq!(ops(&adopted.catalogue), ops(&expected), "{document}");
    }
}
