//! Places the parts of a row into columns where the layout is gone: all ways that the columns admit, or none.
//!
//! Nothing is guessed: a text goes into a cell when every admissible placement puts it there.

use std::collections::BTreeSet;

use super::vocabulary::ColumnKind;

/// Parts of a row looked at: a longer row is not placed.
pub(super) const PARTS_MAX: usize = 16;
/// Columns looked at.
pub(super) const COLUMNS_MAX: usize = 12;
/// Placements told apart before a row counts as hopeless.
const PLACEMENTS_MAX: usize = 256;

/// What a column admits.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Its vocabulary.
    pub(super) kind: ColumnKind,
    /// Width of the border over it, where a border bounds the text.
    pub(super) width_max: Option<usize>,
}

/// What a row says about one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// All admissible placements agree.
    Certain(String),
    /// They differ; empty when there is none, or too many to list.
    Open(Vec<String>),
}

/// Distributes the parts, in order, over the columns; a column may stay blank.
pub(super) fn place(parts: &[String], slots: &[Slot]) -> Vec<Placed> {
    if parts.is_empty() {
        return vec![Placed::Certain(String::new()); slots.len()];
    }
    if slots.len() == 1 && slots[0].kind != ColumnKind::Note {
        return vec![Placed::Certain(parts.join(" "))];
    }
    if parts.len() > PARTS_MAX || slots.len() > COLUMNS_MAX {
        return vec![Placed::Open(Vec::new()); slots.len()];
    }
    let mut search = Search::new(parts, slots);
    search.walk(0, 0);
    search.summary()
}

/// Enumerates admissible placements; a dead end is never entered, so the work is bounded by their number.
struct Search<'a> {
    parts: &'a [String],
    slots: &'a [Slot],
    /// `feasible[column][part]`: the parts from `part` on fit into the columns from `column` on.
    feasible: Vec<Vec<bool>>,
    chosen: Vec<String>,
    found: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn new(parts: &'a [String], slots: &'a [Slot]) -> Self {
        let mut feasible = vec![vec![false; parts.len() + 1]; slots.len() + 1];
        feasible[slots.len()][parts.len()] = true;
        for column in (0..slots.len()).rev() {
            for part in 0..=parts.len() {
                let fits = |end: usize| feasible[column + 1][end] && admits(&slots[column], &parts[part..end]);
                feasible[column][part] = (part..=parts.len()).any(fits);
            }
        }
        Self { parts, slots, feasible, chosen: Vec::new(), found: Vec::new() }
    }

    fn walk(&mut self, column: usize, part: usize) {
        if self.found.len() > PLACEMENTS_MAX {
            return;
        }
        if column == self.slots.len() {
            self.found.push(self.chosen.clone());
            return;
        }
        for end in part..=self.parts.len() {
            let run = &self.parts[part..end];
            if self.feasible[column + 1][end] && admits(&self.slots[column], run) {
                self.chosen.push(run.join(" "));
                self.walk(column + 1, end);
                self.chosen.pop();
            }
        }
    }

    fn summary(self) -> Vec<Placed> {
        if !self.feasible[0][0] || self.found.len() > PLACEMENTS_MAX {
            return vec![Placed::Open(Vec::new()); self.slots.len()];
        }
        (0..self.slots.len()).map(|column| agreed(&self.found, column)).collect()
    }
}

fn agreed(found: &[Vec<String>], column: usize) -> Placed {
    let texts: BTreeSet<&String> = found.iter().filter_map(|placement| placement.get(column)).collect();
    match texts.len() {
        1 => Placed::Certain(texts.into_iter().cloned().collect()),
        _ => Placed::Open(texts.into_iter().cloned().collect()),
    }
}

fn admits(slot: &Slot, run: &[String]) -> bool {
    if run.is_empty() {
        return true;
    }
    let text = run.join(" ");
    slot.width_max.is_none_or(|width| text.chars().count() <= width) && slot.kind.admits(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(columns: &[(&str, Option<usize>)]) -> Vec<Slot> {
        let slot = |(heading, width_max): &(&str, Option<usize>)| Slot {
            kind: ColumnKind::of(heading),
            width_max: *width_max,
        };
        columns.iter().map(slot).collect()
    }

    fn placed(text: &str, columns: &[(&str, Option<usize>)]) -> Vec<Placed> {
        let parts: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        place(&parts, &slots(columns))
    }

    fn certain(text: &str) -> Placed {
        Placed::Certain(text.to_owned())
    }

    const PAGES: &[(&str, Option<usize>)] =
        &[("folio locked", Some(24)), ("i_rwsem", Some(9)), ("invalidate_lock", None)];

    #[test]
    fn as_many_values_as_columns_are_placed_in_order() {
        let columns = &[("rename_lock", None), ("->d_lock", None), ("may block", None), ("rcu-walk", None)];
        let expected = ["no", "no", "yes (ref-walk)", "maybe"].map(certain);
        assert_eq!(placed("no no yes (ref-walk) maybe", columns), expected);
    }

    #[test]
    fn a_value_that_one_column_admits_is_placed_there() {
        assert_eq!(placed("yes, unlocks (see below)", PAGES), ["yes, unlocks (see below)", "", ""].map(certain));
        assert_eq!(placed("", PAGES), ["", "", ""].map(certain));
    }

    #[test]
    fn a_value_that_two_columns_admit_stays_open_and_the_rest_is_certain() {
        let open = Placed::Open(vec![String::new(), "exclusive".to_owned()]);
        assert_eq!(placed("locks the page exclusive", PAGES), [certain("locks the page"), open.clone(), open]);
    }

    #[test]
    fn a_width_tells_a_remark_from_an_annotation() {
        let columns = &[("s_umount", Some(12)), ("note", None)];
        assert_eq!(placed("maybe(read) (see below)", columns), ["maybe(read)", "(see below)"].map(certain));
        let unbounded = &[("s_umount", None), ("note", None)];
        assert!(matches!(placed("no (see below)", unbounded)[1], Placed::Open(_)));
    }

    #[test]
    fn words_that_no_column_admits_are_placed_nowhere() {
        assert_eq!(placed("yes perhaps", PAGES), vec![Placed::Open(Vec::new()); 3]);
    }

    #[test]
    fn a_row_without_end_is_refused_quickly() {
        let parts = vec!["yes".to_owned(); 100_000];
        assert_eq!(place(&parts, &slots(PAGES)), vec![Placed::Open(Vec::new()); 3]);
    }
}
