//! Damaged files: whatever the bytes are, an import ends, keeps its promises, and says where and what to do.

use std::time::{Duration, Instant};

use vfs_audit::rules::import::broken_invariant;

use crate::layout::{flattened, kernel_documents, sample};

/// Rounds of random damage per document.
const ROUNDS: u64 = 40;
/// Step between the places where a document is cut off.
const CUT_STEP: usize = 97;

/// A seeded generator (xorshift64*), so that a failure can be replayed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() % end.max(1)
    }
}

fn documents(test: &str) -> Vec<(String, String)> {
    let samples = ["small.rst", "plain.txt"].map(|name| (name.to_owned(), sample(name)));
    let mut all: Vec<(String, String)> = samples.into_iter().chain(kernel_documents(test)).collect();
    let some = all.iter().filter(|(name, _)| ["small.rst", "plain.txt", "v5.15-seed"].contains(&name.as_str()));
    let flat: Vec<_> = some.map(|(name, text)| (format!("{name} flattened"), flattened(text))).collect();
    all.extend(flat);
    all
}

fn check(bytes: &[u8], what: &str) {
    assert_eq!(broken_invariant(bytes), None, "{what}");
}

#[test]
fn a_truncated_document_is_read_as_far_as_it_goes() {
    for (name, text) in documents("a_truncated_document_is_read_as_far_as_it_goes") {
        for end in (0..text.len()).step_by(CUT_STEP) {
            check(&text.as_bytes()[..end], &format!("{name} cut at {end}"));
        }
    }
}

#[test]
fn a_document_with_lines_deleted_or_swapped_keeps_its_promises() {
    for (name, text) in documents("a_document_with_lines_deleted_or_swapped_keeps_its_promises") {
        for seed in 1..=ROUNDS {
            let mut random = Random(seed);
            let mut lines: Vec<&str> = text.lines().collect();
            for _ in 0..=random.below(8) {
                lines.remove(random.below(lines.len()));
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(a, b);
            }
            check(lines.join("\n").as_bytes(), &format!("{name}, seed {seed}"));
        }
    }
}

#[test]
fn a_document_with_bytes_flipped_keeps_its_promises() {
    for (name, text) in documents("a_document_with_bytes_flipped_keeps_its_promises") {
        for seed in 1..=ROUNDS {
            let mut random = Random(seed);
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=random.below(32) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            check(&bytes, &format!("{name}, seed {seed}"));
        }
    }
}

#[test]
fn text_made_of_the_document_s_own_words_keeps_the_promises() {
    const WORDS: [&str; 24] = [
        "=====",
        "===== ====",
        "ops",
        "prototypes::",
        "locking rules:",
        "\t",
        "  ",
        "\n",
        "\n\n",
        "yes",
        "no",
        "exclusive",
        "(see below)",
        "[1]_",
        ".. [1]:",
        "d_iput:",
        "inode_operations",
        "---",
        "may block",
        "i_rwsem",
        "(*op)(",
        ";",
        "all",
        "\u{e9}\u{a0}",
    ];
    for seed in 1..=100 * ROUNDS {
        let mut random = Random(seed);
        let text: String = (0..random.below(300))
            .map(|_| WORDS[random.below(WORDS.len())].to_owned() + ["", " "][random.below(2)])
            .collect();
        check(text.as_bytes(), &format!("seed {seed}"));
    }
}

#[test]
fn large_hostile_files_are_read_in_seconds() {
    let shapes = [
        "inode_operations\n================\nprototypes::\n",
        "===== ====\n",
        "ops yes\nop: yes no maybe yes no maybe yes no maybe yes no maybe yes no maybe\n",
        "=== ===\nops a\n=== ===\n",
        "a_b\n===\n\t\tx\ty\tz\nop:\tyes\tno\n",
        "(*a)(\n",
        "\t",
        "= ",
        "->a() ",
        "[",
        "a_b:\n",
    ];
    for shape in shapes {
        let text = format!("a_b\n===\nprototypes::\n\n{}", shape.repeat(1_000_000 / shape.len()));
        let start = Instant::now();
        check(text.as_bytes(), shape);
        assert!(start.elapsed() < Duration::from_secs(60), "{shape:?} took {:?}", start.elapsed());
    }
}
