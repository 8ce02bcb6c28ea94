//! The words that the columns of the document admit, by kind of column.
//!
//! Used where layout does not say where a cell ends. A kind admits what some release has written there and what means
//! the same, nothing else: a text that only one column admits is placed by it.

/// Kinds of column, by what their cells say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// A reader-writer lock whose cells name a mode.
    Mode,
    /// A reader-writer lock whose cells name a mode in some releases and say just `yes` in others.
    ModeOrYes,
    /// A lock without modes.
    Lock,
    /// The page or folio lock.
    PageLock,
    /// Whether the op may block.
    MayBlock,
    /// Whether the op may be called in rcu-walk.
    RcuWalk,
    /// Whether the op may recurse into the file system.
    Recursion,
    /// Names of locks.
    LockNames,
    /// Remarks.
    Note,
    /// A heading that no release has.
    Unknown,
}

/// Headings of all releases with their kinds.
const HEADINGS: &[(&str, ColumnKind)] = &[
    ("rename_lock", ColumnKind::Lock),
    ("->d_lock", ColumnKind::Lock),
    ("dcache_lock", ColumnKind::Lock),
    ("may block", ColumnKind::MayBlock),
    ("rcu-walk", ColumnKind::RcuWalk),
    ("i_rwsem(inode)", ColumnKind::Mode),
    ("i_rwsem", ColumnKind::Mode),
    ("i_mutex(inode)", ColumnKind::Lock),
    ("i_mutex", ColumnKind::Lock),
    ("s_umount", ColumnKind::Mode),
    ("note", ColumnKind::Note),
    ("PageLocked(page)", ColumnKind::PageLock),
    ("folio locked", ColumnKind::PageLock),
    ("invalidate_lock", ColumnKind::Mode),
    ("inode->i_lock", ColumnKind::Lock),
    ("flc_lock", ColumnKind::Lock),
    ("file_lock_lock", ColumnKind::Lock),
    ("blocked_lock_lock", ColumnKind::Lock),
    ("bd_mutex", ColumnKind::Lock),
    ("open_mutex", ColumnKind::Lock),
    ("FS recursion", ColumnKind::Recursion),
    ("Held locks when called", ColumnKind::LockNames),
    ("mmap_sem", ColumnKind::ModeOrYes),
    ("mmap_lock", ColumnKind::ModeOrYes),
    ("BKL", ColumnKind::Lock),
    ("s_lock", ColumnKind::Lock),
];

const YES_NO: &[&str] = &["yes", "no", "maybe"];
const MODES: &[&str] = &[
    "shared",
    "exclusive",
    "read",
    "write",
    "no",
    "no or exclusive",
    "read/write",
    "maybe",
    "maybe(read)",
    "maybe-read",
    "maybe(write)",
    "maybe-write",
];
const PAGE_LOCK: &[&str] = &[
    "yes",
    "no",
    "maybe",
    "yes, unlocks",
    "yes, unlock",
    "locks the page",
    "locks the folio",
    "can return with page locked",
    "can return with folio locked",
];

impl ColumnKind {
    /// The kind of a heading.
    pub(crate) fn of(heading: &str) -> Self {
        let known = HEADINGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(heading));
        known.map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// True when columns of both kinds can be the same column of two releases.
    pub(crate) fn is_like(self, other: Self) -> bool {
        let is_lock = |kind| matches!(kind, Self::Mode | Self::ModeOrYes | Self::Lock);
        self == other || (is_lock(self) && is_lock(other))
    }

    /// True for a column whose blank cells leave nothing open.
    pub(crate) fn is_remark(self) -> bool {
        self == Self::Note
    }

    /// True when a text may be one whole cell of this kind.
    pub(crate) fn admits(self, text: &str) -> bool {
        let (base, rest) = split_base(text);
        let is_annotated = annotations(rest).is_some();
        match self {
            Self::Mode => is_annotated && MODES.contains(&base),
            Self::ModeOrYes => is_annotated && (MODES.contains(&base) || base == "yes"),
            Self::Lock | Self::MayBlock | Self::RcuWalk => is_annotated && YES_NO.contains(&base),
            Self::PageLock => is_annotated && PAGE_LOCK.contains(&base),
            Self::Recursion => rest.is_empty() && matches!(base, "yes" | "no"),
            Self::LockNames => text == "-" || is_name_list(text),
            Self::Note => is_note(text),
            Self::Unknown => !text.is_empty(),
        }
    }
}

/// True for a heading that some release has.
pub(super) fn is_heading(text: &str) -> bool {
    ColumnKind::of(text) != ColumnKind::Unknown
}

/// True for a word that some heading has.
pub(super) fn is_in_heading(word: &str) -> bool {
    HEADINGS.iter().any(|(name, _)| name.split(' ').any(|part| part.eq_ignore_ascii_case(word)))
}

/// A cell's leading words and its annotations: parentheses with a blank before them or after `)`, and footnote marks.
pub(crate) fn split_base(text: &str) -> (&str, &str) {
    let parenthesis = text.find(" (").or_else(|| if text.starts_with('(') { Some(0) } else { None });
    let footnote = text.find('[');
    let attached = text.find('(').filter(|at| *at > 0 && !text.starts_with("maybe("));
    let end = [parenthesis, footnote, attached].into_iter().flatten().min().unwrap_or(text.len());
    (text[..end].trim_end(), text[end..].trim_start())
}

/// The annotations in a cell's tail, each without its brackets; none when the tail is anything else.
pub(crate) fn annotations(tail: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = tail.trim_start();
    while !rest.is_empty() {
        let end = closing(rest)?;
        found.push(rest[1..end].trim().to_owned());
        rest = rest[end + 1..].trim_start_matches('_').trim_start();
    }
    Some(found)
}

/// Where the bracket that opens a text is closed.
fn closing(text: &str) -> Option<usize> {
    let (open, close) = match text.chars().next()? {
        '(' => ('(', ')'),
        '[' => ('[', ']'),
        _ => return None,
    };
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

fn is_note(text: &str) -> bool {
    let is_shout = text.len() > 6 && text.starts_with("!!!") && text.ends_with("!!!");
    let is_bracketed = text.starts_with('(') && annotations(text).is_some();
    is_shout || is_bracketed || text.starts_with("called from ")
}

fn is_name_list(text: &str) -> bool {
    let is_name = |name: &str| !YES_NO.contains(&name) && super::sections::is_identifier(name);
    text.split(" or ").all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_parts_into_words_and_annotations() {
        assert_eq!(split_base("exclusive (both)(see below)"), ("exclusive", "(both)(see below)"));
        assert_eq!(split_base("maybe(read) (see below)"), ("maybe(read)", "(see below)"));
        assert_eq!(split_base("maybe[1]_"), ("maybe", "[1]_"));
        assert_eq!(split_base("(namespace_sem)"), ("", "(namespace_sem)"));
        assert_eq!(split_base("yes, unlocks"), ("yes, unlocks", ""));
    }

    #[test]
    fn annotations_keep_their_order_and_lose_their_brackets() {
        assert_eq!(annotations("(both)(see below)"), Some(vec!["both".to_owned(), "see below".to_owned()]));
        assert_eq!(annotations("[1]_"), Some(vec!["1".to_owned()]));
        assert_eq!(annotations("(open"), None);
        assert_eq!(annotations("words"), None);
    }

    #[test]
    fn only_a_column_without_modes_admits_yes() {
        assert!(ColumnKind::of("->d_lock").admits("yes"));
        assert!(ColumnKind::of("mmap_lock").admits("yes"));
        assert!(!ColumnKind::of("i_rwsem").admits("yes"));
        assert!(ColumnKind::of("i_rwsem").admits("exclusive (both parents, some children) (see below)"));
    }

    #[test]
    fn notes_are_remarks_in_brackets_or_shouted() {
        let note = ColumnKind::Note;
        assert!(
            note.admits("(see below)") && note.admits("!!!inode->i_lock!!!") && note.admits("called from RCU callback")
        );
        assert!(!note.admits("no") && !note.admits("no (see below)"));
    }
}
