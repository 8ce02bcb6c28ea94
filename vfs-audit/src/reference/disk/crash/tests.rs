//! The crash checker passes the store and catches each mutant of it.

use super::*;

#[test]
fn scratch() {
    let outcome = run(std::env::var("S").map_or(0, |s| s.parse().unwrap()), std::env::var("N").map_or(100, |s| s.parse().unwrap()), None);
    println!("{outcome:#?}");
    if let Some(f) = &outcome.failure { println!("{f}"); }
    assert!(outcome.failure.is_none());
}
#[test]
fn scratch_mutants() {
    for m in Mutant::ALL {
        let outcome = run(0, 2000, Some(m));
        println!("{} {} {}", m.name(), outcome.runs, outcome.failure.map_or("NOT CAUGHT".into(), |f| f.to_string()));
    }
}
