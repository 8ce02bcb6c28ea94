//! Walks a parsed TOML document and notes every fault on the way, instead of stopping at the first.

use std::{cell::RefCell, collections::BTreeMap};

use toml::{
    Spanned,
    de::{DeArray, DeString, DeTable, DeValue},
};

use super::{
    fault::{At, Fault, Place, Problem, SourceFile, fault},
    release::{Reach, Release},
};

/// Collects faults.
pub(super) struct Faults<'a> {
    files: &'a [SourceFile],
    /// By file, line and column: a file may have thousands, and each is looked for before it is added.
    found: RefCell<BTreeMap<(String, usize, usize), Vec<Fault>>>,
}

impl<'a> Faults<'a> {
    /// An empty collection.
    pub(super) fn new(files: &'a [SourceFile]) -> Self {
        Self { files, found: RefCell::default() }
    }

    /// Notes a fault, once for all releases.
    pub(super) fn note(&self, place: &Place, problem: Problem) {
        let fault = fault(self.files, place, problem);
        let mut found = self.found.borrow_mut();
        let here = found.entry((fault.file.clone(), fault.line, fault.column)).or_default();
        if !here.iter().any(|known| known.problem.is_same_but_for_release(&fault.problem)) {
            here.push(fault);
        }
    }

    /// Notes the fault of a result, if it is one.
    pub(super) fn keep<T>(&self, place: &Place, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.note(place, problem)).ok()
    }

    /// The faults, by file and place.
    pub(super) fn into_sorted(self) -> Vec<Fault> {
        self.found.into_inner().into_values().flatten().collect()
    }
}

/// A key and its value as the TOML reader gives them.
type Entry<'t> = (&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>);

/// The keys of one TOML table.
pub(super) struct Fields<'t> {
    table: &'t DeTable<'t>,
    within: &'static str,
    file: usize,
    place: Place,
    faults: &'t Faults<'t>,
}

impl<'t> Fields<'t> {
    /// A table of which only `known` keys are allowed.
    pub(super) fn new(
        table: &'t Spanned<DeTable<'t>>,
        file: usize,
        within: &'static str,
        known: &[&'static str],
        faults: &'t Faults<'t>,
    ) -> Self {
        let fields = Self { table: table.get_ref(), within, file, place: Place { file, span: table.span() }, faults };
        fields.refuse_unknown(known);
        fields
    }

    fn refuse_unknown(&self, known: &[&'static str]) {
        for (key, _) in self.entries() {
            if !known.contains(&key.get_ref().as_ref()) {
                let problem =
                    Problem::UnknownKey { key: key.get_ref().to_string(), within: self.within, known: known.to_vec() };
                self.faults.note(&self.place_of(key.span()), problem);
            }
        }
    }

    /// The entries in the order of the file.
    fn entries(&self) -> Vec<Entry<'t>> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    fn place_of(&self, span: std::ops::Range<usize>) -> Place {
        Place { file: self.file, span }
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &'static str) {
        self.faults.note(&self.place_of(value.span()), Problem::WrongType { key: key.to_owned(), expected });
    }

    /// A text, if the key is there.
    pub(super) fn text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.get(key)?;
        self.as_text(key, value, false)
    }

    /// A text that must be there; a missing one is noted and read as empty.
    pub(super) fn required(&self, key: &'static str) -> At<String> {
        if self.get(key).is_none() {
            self.faults.note(&self.place, Problem::MissingKey { key, within: self.within });
        }
        self.text(key).unwrap_or_else(|| At { value: String::new(), place: self.place() })
    }

    fn as_text(&self, key: &str, value: &Spanned<DeValue<'_>>, blank_allowed: bool) -> Option<At<String>> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong(key, value, "a text");
            return None;
        };
        let place = self.place_of(value.span());
        if !blank_allowed && text.trim().is_empty() {
            self.faults.note(&place, Problem::Empty(key.to_owned()));
        }
        Some(At { value: text.to_string(), place })
    }

    /// A whole number, if the key is there.
    pub(super) fn number(&self, key: &'static str) -> Option<i64> {
        let value = self.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong(key, value, "a whole number");
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        if parsed.is_none() {
            self.wrong(key, value, "a whole number");
        }
        parsed
    }

    /// `true` or `false`, if the key is there.
    pub(super) fn truth(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        let DeValue::Boolean(truth) = value.get_ref() else {
            self.wrong(key, value, "true or false");
            return None;
        };
        Some(*truth)
    }

    /// A list of texts; empty when the key is not there.
    pub(super) fn texts(&self, key: &'static str) -> Vec<At<String>> {
        self.get(key).map(|value| self.as_texts(key, value)).unwrap_or_default()
    }

    /// A list of texts, or nothing when the key is not there.
    pub(super) fn optional_texts(&self, key: &'static str) -> Option<Vec<At<String>>> {
        self.get(key).map(|value| self.as_texts(key, value))
    }

    fn as_texts(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Vec<At<String>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, value, "a list of texts");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.as_text(key, item, false)).collect()
    }

    /// Name and text pairs in the order of the file; texts may be blank.
    pub(super) fn pairs(&self, key: &'static str) -> Vec<(At<String>, At<String>)> {
        let Some(table) = self.subtable(key) else { return Vec::new() };
        table
            .entries()
            .into_iter()
            .filter_map(|(name, value)| Some((table.name(name), table.as_text(name.get_ref(), value, true)?)))
            .collect()
    }

    /// Name and texts pairs in the order of the file; one text stands for a list of one.
    pub(super) fn lists(&self, key: &'static str) -> Vec<(At<String>, Vec<At<String>>)> {
        let Some(table) = self.subtable(key) else { return Vec::new() };
        let texts = |name: &str, value: &Spanned<DeValue<'_>>| {
            if matches!(value.get_ref(), DeValue::String(_)) {
                table.as_text(name, value, false).into_iter().collect()
            } else {
                table.as_texts(name, value)
            }
        };
        table.entries().into_iter().map(|(name, value)| (table.name(name), texts(name.get_ref(), value))).collect()
    }

    /// Name and number pairs.
    pub(super) fn numbers(&self, key: &'static str) -> Vec<(At<String>, u64)> {
        let Some(table) = self.subtable(key) else { return Vec::new() };
        let mut numbers = Vec::new();
        for (name, value) in table.entries() {
            let mut parsed = None;
            if let DeValue::Integer(number) = value.get_ref() {
                parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
            }
            match parsed {
                Some(number) => numbers.push((table.name(name), number)),
                None => table.wrong(name.get_ref(), value, "a whole number that is not negative"),
            }
        }
        numbers
    }

    fn name(&self, key: &Spanned<DeString<'_>>) -> At<String> {
        At { value: key.get_ref().to_string(), place: self.place_of(key.span()) }
    }

    /// A table whose keys are free.
    fn subtable(&self, key: &'static str) -> Option<Fields<'t>> {
        let value = self.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(key, value, "a table");
            return None;
        };
        Some(Self { table, within: key, file: self.file, place: self.place_of(value.span()), faults: self.faults })
    }

    /// The tables of an array (`[[op]]`), or one table in its place.
    pub(super) fn tables(&self, key: &'static str, within: &'static str, known: &[&'static str]) -> Vec<Fields<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        if let DeValue::Array(items) = value.get_ref() {
            return self.array(key, items, within, known);
        }
        if let DeValue::Table(table) = value.get_ref() {
            return vec![self.inner(table, value.span(), within, known)];
        }
        self.wrong(key, value, "a table or a list of tables");
        Vec::new()
    }

    fn array(
        &self,
        key: &'static str,
        items: &'t DeArray<'t>,
        within: &'static str,
        known: &[&'static str],
    ) -> Vec<Fields<'t>> {
        let mut tables = Vec::new();
        for item in items {
            if let DeValue::Table(table) = item.get_ref() {
                tables.push(self.inner(table, item.span(), within, known));
            } else {
                self.wrong(key, item, "a list of tables");
            }
        }
        tables
    }

    fn inner(
        &self,
        table: &'t DeTable<'t>,
        span: std::ops::Range<usize>,
        within: &'static str,
        known: &[&'static str],
    ) -> Fields<'t> {
        let fields = Self { table, within, file: self.file, place: self.place_of(span), faults: self.faults };
        if !known.is_empty() {
            fields.refuse_unknown(known);
        }
        fields
    }

    /// Every key with its text, `since` and `until` left out: for tables whose keys are names.
    pub(super) fn named_texts(&self) -> Vec<(At<String>, At<String>)> {
        self.entries()
            .into_iter()
            .filter(|(name, _)| !matches!(name.get_ref().as_ref(), "since" | "until"))
            .filter_map(|(name, value)| Some((self.name(name), self.as_text(name.get_ref(), value, true)?)))
            .collect()
    }

    /// `since` and `until`.
    pub(super) fn reach(&self) -> Reach {
        let release = |key| {
            let name = self.text(key)?;
            let found = Release::named(&name.value);
            if found.is_none() {
                self.faults.note(&name.place, Problem::UnknownRelease(name.value));
            }
            found
        };
        let reach = Reach { since: release("since"), until: release("until") };
        if let (Some(since), Some(until)) = (reach.since, reach.until)
            && until < since
        {
            self.faults.note(&self.place, Problem::ReachInverted { since, until });
        }
        reach
    }
}
