//! Which words of the document's prose a rule is drawn from, as `rules/import/sentences.toml` lists them.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;

use super::document::{Imported, fold};
use super::vocabulary::{annotations, split_base};
use crate::rules::{Op, Table, glob};

const FILE: &str = include_str!("../../../../rules/import/sentences.toml");

/// A sentence of the document and the rules drawn from it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentence {
    /// Ids, or globs over them.
    rules: Vec<String>,
    /// Telling words, one wording per release that changed them.
    says: Vec<String>,
    /// A remark in the op's cell that says the same.
    or_note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sentence: Vec<Sentence>,
}

/// All sentences that rules are drawn from.
pub(crate) fn all() -> &'static [Sentence] {
    static SENTENCES: OnceLock<Vec<Sentence>> = OnceLock::new();
    SENTENCES.get_or_init(|| {
        let file: File = toml::from_str(FILE).unwrap_or_else(|error| unreachable!("the embedded sentences: {error}"));
        file.sentence
    })
}

/// The sentence that a rule is drawn from, if it is drawn from one.
pub(crate) fn of_rule(id: &str) -> Option<&'static Sentence> {
    all().iter().find(|sentence| sentence.is_of(id))
}

impl Sentence {
    /// Whether a rule is drawn from it.
    pub(crate) fn is_of(&self, id: &str) -> bool {
        // All rules of a sentence are of one table, and most sentences are of another than the id's.
        self.is_in(id.split('.').next().unwrap_or_default()) && self.rules.iter().any(|rule| glob::matches(rule, id))
    }

    fn is_in(&self, table: &str) -> bool {
        self.rules.first().and_then(|rule| rule.split('.').next()) == Some(table)
    }

    /// The first wording, which names the sentence.
    pub(crate) fn telling(&self) -> &str {
        self.says.first().map_or("", String::as_str)
    }

    /// True when a text folded by [`fold`] has one of the wordings.
    pub(crate) fn stands_in(&self, folded: &str) -> bool {
        self.says.iter().any(|words| folded.contains(&fold(words)))
    }

    /// True when a cell's remark makes the sentence unneeded.
    pub(crate) fn is_said_by<'a>(&self, mut cells: impl Iterator<Item = &'a str>) -> bool {
        let Some(note) = &self.or_note else { return false };
        cells.any(|cell| annotations(split_base(cell).1).is_some_and(|notes| notes.contains(note)))
    }
}

/// Sentences that a table's rules are drawn from: telling words, and the rules.
pub(crate) fn of_catalogue(table: &Table) -> BTreeMap<String, Vec<String>> {
    let drawn = |sentence: &&Sentence| table.ops.iter().any(|op| is_drawn(sentence, op));
    all().iter().filter(drawn).map(entry).collect()
}

fn is_drawn(sentence: &Sentence, op: &Op) -> bool {
    let is_said = sentence.is_said_by(op.cells.iter().map(|cell| cell.text.as_str()));
    !is_said && op.rules.iter().any(|rule| sentence.is_of(&rule.id))
}

/// Sentences that stand in a document's section.
pub(crate) fn of_document(imported: &Imported, table: &str) -> BTreeMap<String, Vec<String>> {
    let prose = imported.folded_prose(table);
    all().iter().filter(|sentence| sentence.is_in(table) && sentence.stands_in(&prose)).map(entry).collect()
}

fn entry(sentence: &Sentence) -> (String, Vec<String>) {
    (sentence.telling().to_owned(), sentence.rules.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Catalogue, Rule};

    /// Where in the document a rule says it is drawn from, beyond its cells.
    fn pointer<'a>(op: &Op, rule: &'a Rule) -> &'a str {
        let cited = rule.cites.iter().filter_map(|column| op.cells.iter().find(|cell| cell.column == *column));
        let cells = cited.map(|cell| cell.text.as_str()).collect::<Vec<_>>().join("; ");
        rule.document.strip_prefix(&cells).map_or("", |rest| rest.trim_start_matches("; "))
    }

    fn uncovered(catalogue: &Catalogue) -> Vec<&str> {
        let is_prose = |pointer: &str| pointer.starts_with("prose") || pointer.starts_with("footnote");
        let rules = catalogue.ops().flat_map(|(_, op)| op.rules.iter().map(move |rule| (op, rule)));
        let bare = rules.filter(|(op, rule)| is_prose(pointer(op, rule)) && of_rule(&rule.id).is_none());
        bare.map(|(_, rule)| rule.id.as_str()).collect()
    }

    #[test]
    fn every_rule_that_points_to_prose_has_a_sentence() {
        for release in Catalogue::releases() {
            assert_eq!(uncovered(&Catalogue::load(release).unwrap()), [""; 0], "{release}");
        }
    }

    #[test]
    fn every_sentence_is_one_of_a_rule_of_some_release() {
        let catalogues: Vec<_> = Catalogue::load_all().unwrap();
        let ids: Vec<&str> = catalogues.iter().flat_map(Catalogue::rules).map(|rule| rule.id.as_str()).collect();
        for sentence in all() {
            assert!(!sentence.says.is_empty(), "{:?}", sentence.rules);
            for rule in &sentence.rules {
                assert!(sentence.is_in(rule.split('.').next().unwrap()), "{rule} is of another table than the first");
                assert!(ids.iter().any(|id| glob::matches(rule, id)), "{rule}");
            }
        }
    }

    #[test]
    fn no_rule_has_two_sentences() {
        let catalogues: Vec<_> = Catalogue::load_all().unwrap();
        for rule in catalogues.iter().flat_map(Catalogue::rules) {
            let sentences = all().iter().filter(|sentence| sentence.is_of(&rule.id)).count();
            assert!(sentences <= 1, "{}", rule.id);
        }
    }
}
