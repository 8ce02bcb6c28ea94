//! What is wrong with rule files: every fault with its place, its line and a remedy.

use std::{fmt, io, ops::Range, path::PathBuf};

use thiserror::Error;

use super::release::Release;

/// A rule file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Name to show (`rules/inode_operations.toml`).
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Why a catalogue could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is no such release.
    #[error("there is no rule set `{0}`; known: {known}", known = Release::names())]
    UnknownRelease(String),
    /// The directory or a file in it could not be read.
    #[error("reading rules from {path}")]
    Unreadable {
        /// What was being read.
        path: PathBuf,
        /// Why it could not be.
        #[source]
        source: io::Error,
    },
    /// The directory has no rule file.
    #[error("there is no rule file (`*.toml`) in {0}")]
    NoFiles(PathBuf),
    /// All faults of all files, by file and place.
    #[error("{} in the rule files\n\n{}", plural(.0.len()), listed(.0))]
    Faulty(Vec<Fault>),
}

fn plural(count: usize) -> String {
    if count == 1 { "1 fault".to_owned() } else { format!("{count} faults") }
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// The line as it stands in the file.
    pub source: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let margin = " ".repeat(self.line.to_string().len());
        let (indent, caret) = (" ".repeat(self.column - 1), "^".repeat(self.width));
        writeln!(formatter, "error: {}", self.problem)?;
        writeln!(formatter, "{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(formatter, "{margin} |")?;
        writeln!(formatter, "{} | {}", self.line, self.source.replace('\t', " "))?;
        writeln!(formatter, "{margin} | {indent}{caret}")?;
        writeln!(formatter, "{margin} = {}", self.problem.remedy())
    }
}

/// Kinds of fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message says what it is and what its fields are")]
pub enum Problem {
    #[error("not TOML: {0}")]
    Syntax(String),
    #[error("unknown key `{key}` in {within}")]
    UnknownKey { key: String, within: &'static str, known: Vec<&'static str> },
    #[error("{within} has no `{key}`")]
    MissingKey { key: &'static str, within: &'static str },
    #[error("`{key}` must be {expected}")]
    WrongType { key: String, expected: &'static str },
    #[error("`{0}` is empty")]
    Empty(String),
    #[error("unknown release `{0}`")]
    UnknownRelease(String),
    #[error("`until` {until} comes before `since` {since}")]
    ReachInverted { since: Release, until: Release },
    #[error("two lock classes are called `{0}`")]
    LockTwice(String),
    #[error("`{rule}` cites the blank cell `{column}` in {release}")]
    CitesBlankCell { rule: String, column: String, release: Release },
    #[error("rule `{0}` cites no column and no sentence")]
    CitesNothing(String),
    #[error("`{role}.{lock}` is asked of role `{role}`, but {hint}")]
    WrongRoleForLock { role: String, lock: String, hint: &'static str },
    #[error("{what} `{name}` stands twice in {release}")]
    Duplicate { what: &'static str, name: String, release: Release },
    #[error("`{0}` is no name")]
    BadName(String),
    #[error("`{0}` is no role expression")]
    BadRole(String),
    #[error("`{0}` is no fact expression")]
    BadFact(String),
    #[error("`{0}` is no condition")]
    BadCondition(String),
    #[error("`{0}` is no requirement")]
    BadRequirement(String),
    #[error("`{0}` is no demand on a lock")]
    BadDemand(String),
    #[error("unknown point `{0}`")]
    BadPoint(String),
    #[error("unknown standing `{0}`")]
    BadStanding(String),
    #[error("unknown lock kind `{0}`")]
    BadKind(String),
    #[error("`{op}` has no role `{name}`")]
    UnknownRole { op: String, name: String, known: Vec<String> },
    #[error("`{op}` has no fact `{name}`")]
    UnknownFact { op: String, name: String, known: Vec<String> },
    #[error("unknown lock `{0}`")]
    UnknownLock(String),
    #[error("unknown constant `{0}`")]
    UnknownConstant(String),
    #[error("`{value}` does not fit in {bits} bits")]
    NumberTooLarge { value: String, bits: u8 },
    #[error("unknown rule `{0}`")]
    UnknownRule(String),
    #[error("unknown op `{0}`")]
    UnknownOp(String),
    #[error("rule `{rule}` demands `{role}.{lock}` twice under the same conditions")]
    LockDemandedTwice { rule: String, role: String, lock: String },
    #[error("rule `{rule}` asks for the fact `{fact}` at entry, but it is known only at exit")]
    FactKnownAtExit { rule: String, fact: String },
    #[error("the conditions of rule `{rule}` contradict each other on `{fact}`")]
    ContradictoryConditions { rule: String, fact: String },
    #[error("rule `{0}` neither requires anything nor says why not")]
    NothingToJudge(String),
    #[error("rule `{0}` requires something and also says why it is not judged")]
    JudgedAndNot(String),
    #[error("`{op}` reads {count} {what} in {release}; the kernel side has room for {max}")]
    TooMany { op: String, what: &'static str, count: usize, max: usize, release: Release },
    #[error("the path of role `{role}` has {count} steps; the kernel side takes {max}")]
    PathTooLong { role: String, count: usize, max: usize },
    #[error("`{op}` has no cell for column `{column}` in {release}")]
    MissingCell { op: String, column: String, release: Release },
    #[error("`{op}` has two sets of cells in {release}")]
    CellsTwice { op: String, release: Release },
    #[error("there is no column `{column}` in {release}")]
    UnknownColumn { column: String, release: Release },
    #[error("no rule of `{op}` speaks of its cell `{column}` = `{text}` in {release}")]
    CellWithoutRule { op: String, column: String, text: String, release: Release },
    #[error("`{0}` has no rule in {1}")]
    OpWithoutRule(String, Release),
    #[error("two tables are called `{0}`")]
    TableTwice(String),
    #[error("a lock of kind `gone` needs `became`, and only such a lock")]
    GoneWithoutReason,
}

impl Problem {
    /// Whether two problems are the same but for the release they were found in.
    pub(super) fn is_same_but_for_release(&self, other: &Self) -> bool {
        let mut here = self.clone();
        if let (Some(release), Some(theirs)) = (here.release_mut(), other.clone().release_mut()) {
            *release = *theirs;
        }
        here == *other
    }

    fn release_mut(&mut self) -> Option<&mut Release> {
        if let Self::Duplicate { release, .. }
        | Self::TooMany { release, .. }
        | Self::MissingCell { release, .. }
        | Self::CellsTwice { release, .. }
        | Self::UnknownColumn { release, .. }
        | Self::CellWithoutRule { release, .. }
        | Self::CitesBlankCell { release, .. }
        | Self::OpWithoutRule(_, release) = self
        {
            return Some(release);
        }
        None
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Syntax(_) => "correct the TOML here".to_owned(),
            Self::UnknownKey { known, .. } => format!("known keys: {}", known.join(", ")),
            Self::MissingKey { key, .. } => format!("add `{key} = …`"),
            Self::WrongType { expected, .. } => format!("write {expected}"),
            Self::Empty(key) => format!("say something in `{key}`, or leave the entry out"),
            Self::UnknownRelease(_) => format!("known releases: {}", Release::names()),
            Self::ReachInverted { .. } => "swap the two, or drop one".to_owned(),
            Self::Duplicate { what: "rule", .. } => {
                "give one of them another `aspect`, or keep their releases apart with `since` and `until`".to_owned()
            }
            Self::Duplicate { .. } => "rename one, or keep their releases apart with `since` and `until`".to_owned(),
            Self::LockTwice(_) => "keep one; other names of a class belong in its `also`".to_owned(),
            Self::CitesBlankCell { .. } => "end the rule's releases before this one, or cite another column".to_owned(),
            Self::CitesNothing(_) => "add `cites = [\"COLUMN\"]` or `sentence = \"where it stands\"`".to_owned(),
            Self::WrongRoleForLock { .. } => "name the lock's own role".to_owned(),
            Self::BadName(_) => "use small and capital letters, digits and `_` only".to_owned(),
            Self::BadRole(_) => "write `TYPE#N.member.member` for the Nth argument of a type, or `role.member`".to_owned(),
            Self::BadFact(_) => "write one of: `a != b`, `present(role)`, `directory(role)`, `TYPE#N & CONSTANT`, \
                `role.member & CONSTANT`, `role.member == CONSTANT`, `result < 0`, `error(result)`, `result == CONSTANT`, \
                `result & CONSTANT`, `called(f)`, `order(f, g)`, `acquired(role.lock)`, `released(role.lock)`, \
                `eventually_released(role.lock)`, `eventually_called(f)`, `called_from(f)`, `in_syscall(name)`, \
                `overlaps(role)`, `slept`, `atomic`, `in_interrupt`, `in_rcu_callback`"
                .to_owned(),
            Self::BadCondition(_) => "write `fact` or `not fact`".to_owned(),
            Self::BadRequirement(_) => "write `role.lock DEMAND`, `fact` or `not fact`, with ` or ` between choices and \
                ` if fact and not fact` at the end"
                .to_owned(),
            Self::BadDemand(_) => {
                "demands: shared, exclusive, held, not held, never shared, not promised".to_owned()
            }
            Self::BadPoint(_) => "points: entry, exit".to_owned(),
            Self::BadStanding(_) => "standings: undocumented, permissive, advice, informational, obsolete".to_owned(),
            Self::BadKind(_) => "kinds: rwsem, mutex, spinlock, seqlock, page_lock, buffer_lock, percpu_rwsem, rcu, gone"
                .to_owned(),
            Self::UnknownRole { known, .. } => format!("known roles: {}", known.join(", ")),
            Self::UnknownFact { known, .. } if known.is_empty() => "define it in the op's `facts`".to_owned(),
            Self::UnknownFact { known, .. } => format!("known facts: {}", known.join(", ")),
            Self::UnknownLock(_) => "define it in locks.toml, or correct its name".to_owned(),
            Self::UnknownConstant(_) => "define it under [constants] in locks.toml, or write a number".to_owned(),
            Self::NumberTooLarge { bits, .. } => format!("use a value of at most {bits} bits"),
            Self::UnknownRule(_) => "`vfs-audit rules list` shows every rule id".to_owned(),
            Self::UnknownOp(_) => "name an op of this file".to_owned(),
            Self::LockDemandedTwice { .. } => "keep the stricter one".to_owned(),
            Self::FactKnownAtExit { .. } => "set `point = \"exit\"`".to_owned(),
            Self::ContradictoryConditions { .. } => "drop one of the two conditions".to_owned(),
            Self::NothingToJudge(_) => "add `requires`, or `standing` and `why_not_judged`".to_owned(),
            Self::JudgedAndNot(_) => "drop `requires`, or `standing` and `why_not_judged`".to_owned(),
            Self::TooMany { .. } => "let some rules share what they read, or split the op's rules by release".to_owned(),
            Self::PathTooLong { .. } => "go by way of another role".to_owned(),
            Self::MissingCell { .. } => "write the cell as the document has it, \"\" for a blank one; `row = false` if \
                the document has no row"
                .to_owned(),
            Self::CellsTwice { .. } => "keep their releases apart with `since` and `until`".to_owned(),
            Self::UnknownColumn { .. } => "name a `[[column]]` of this file that reaches into this release".to_owned(),
            Self::CellWithoutRule { .. } => "add a rule that `cites` the column; a blank cell needs none".to_owned(),
            Self::OpWithoutRule(..) => "add an `[[op.rule]]`; a statement that cannot be judged has an entry too".to_owned(),
            Self::TableTwice(_) => "merge the two files, or rename one".to_owned(),
            Self::GoneWithoutReason => "say in `became` what replaced it and when".to_owned(),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the files.
    pub(super) file: usize,
    /// Bytes.
    pub(super) span: Range<usize>,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// The place.
    pub(super) place: Place,
}

/// The fault of a problem at a place.
pub(super) fn fault(files: &[SourceFile], place: &Place, problem: Problem) -> Fault {
    let (name, text) = files.get(place.file).map_or(("", ""), |file| (file.name.as_str(), file.text.as_str()));
    let start = floor(text, place.span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let end = floor(text, place.span.end).clamp(start, line_end);
    Fault {
        file: name.to_owned(),
        line: text[..start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        width: text[start..end].chars().count().max(1),
        source: text[line_start..line_end].trim_end().to_owned(),
        problem,
    }
}

/// The nearest character boundary at or below a byte offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
