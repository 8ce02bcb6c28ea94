//! The text form of a case.
//!
//! ```text
//! === title
//! rules v6.12
//! strict
//! --- entry inode_operations.create
//! @count 3
//! dir.i_rwsem = free/none
//! some_fact = true
//! --- report
//! …
//! ```

use std::collections::BTreeMap;

use vfs_audit::observation::{LockEvidence, LockReading, Observation, Point, Route, Tracked, Word};

/// One case.
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) rules: String,
    pub(crate) strict: bool,
    pub(crate) observations: Vec<Observation>,
    /// Everything up to and with the line that opens the report.
    pub(crate) input: String,
}

/// Reads all cases of a file; stored reports are skipped.
pub(crate) fn parse(text: &str) -> Result<Vec<Case>, String> {
    let blocks = text.split("=== ").skip(1);
    blocks.map(|block| parse_one(block).map_err(|problem| format!("{}: {problem}", first_line(block)))).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn parse_one(block: &str) -> Result<Case, String> {
    let (input, _) = block.split_once("--- report").ok_or("no `--- report`")?;
    let mut case = Case {
        title: first_line(input).to_owned(),
        rules: String::new(),
        strict: false,
        observations: Vec::new(),
        input: format!("=== {input}--- report\n"),
    };
    for line in input.lines().skip(1).filter(|line| !line.is_empty()) {
        parse_line(line, &mut case)?;
    }
    Ok(case)
}

fn parse_line(line: &str, case: &mut Case) -> Result<(), String> {
    if let Some(opening) = line.strip_prefix("--- ") {
        case.observations.push(open(opening)?);
        return Ok(());
    }
    let Some(observation) = case.observations.last_mut() else {
        match line.split_once(' ') {
            Some(("rules", rules)) => rules.clone_into(&mut case.rules),
            None if line == "strict" => case.strict = true,
            _ => return Err(format!("`{line}` before the first observation")),
        }
        return Ok(());
    };
    match (line.strip_prefix('@'), line.split_once(" = ")) {
        (Some(attribute), _) => set_attribute(attribute, observation),
        (None, Some((name, value))) => set_reading(name, value, observation),
        (None, None) => Err(format!("`{line}` is nothing")),
    }
}

fn open(opening: &str) -> Result<Observation, String> {
    let (point, id) = opening.split_once(' ').ok_or("no op")?;
    let (table, op) = id.split_once('.').ok_or("an op is TABLE.OP")?;
    Ok(Observation {
        table: table.to_owned(),
        op: op.to_owned(),
        also: Vec::new(),
        callback: format!("examplefs_{op}"),
        fs: "examplefs".to_owned(),
        sb_id: "vda".to_owned(),
        caller: "caller+0x40".to_owned(),
        route: Route::Table,
        point: match point {
            "entry" => Point::Entry,
            "exit" => Point::Exit,
            _ => return Err(format!("`{point}` is no point")),
        },
        history_complete: true,
        facts: BTreeMap::new(),
        locks: Vec::new(),
        count: 1,
        example: None,
    })
}

fn set_attribute(attribute: &str, observation: &mut Observation) -> Result<(), String> {
    let (name, value) = attribute.split_once(' ').ok_or("an attribute has a value")?;
    match (name, value) {
        ("count", _) => observation.count = value.parse().map_err(|_| "no number")?,
        ("fs", _) => value.clone_into(&mut observation.fs),
        ("callback", _) => value.clone_into(&mut observation.callback),
        ("caller", _) => value.clone_into(&mut observation.caller),
        ("also", _) => observation.also = value.split(' ').map(str::to_owned).collect(),
        ("history", "incomplete") => observation.history_complete = false,
        ("route", "direct") => observation.route = Route::Direct,
        ("route", "unknown") => observation.route = Route::Unknown,
        _ => return Err(format!("`@{attribute}` is no attribute")),
    }
    Ok(())
}

fn set_reading(name: &str, value: &str, observation: &mut Observation) -> Result<(), String> {
    let Some((role, lock)) = name.split_once('.') else {
        let is = value.parse().map_err(|_| format!("`{value}` is neither true nor false"))?;
        observation.facts.insert(name.to_owned(), is);
        return Ok(());
    };
    let reading = reading(value).ok_or_else(|| format!("`{value}` is no reading"))?;
    observation.locks.push(LockEvidence { role: role.to_owned(), lock: lock.to_owned(), reading });
    Ok(())
}

fn reading(text: &str) -> Option<LockReading> {
    if text == "absent" {
        return Some(LockReading::NoObject);
    }
    let (word, tracked) = text.split_once('/')?;
    let word = match word {
        "unread" => Word::Unread,
        "free" => Word::Free,
        "self" => Word::ExclusiveSelf,
        "other" => Word::ExclusiveOther,
        "readers" => Word::Readers,
        "taken" => Word::Taken,
        _ => return None,
    };
    let tracked = match tracked {
        "none" => Tracked::None,
        "shared" => Tracked::Shared,
        "exclusive" => Tracked::Exclusive,
        _ => return None,
    };
    Some(LockReading::Read { word, tracked })
}
