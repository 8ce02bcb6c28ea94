//! Command lines that are taken, and such as are not.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn times_are_numbers_with_units() {
    for (text, millis) in [("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("250ms", 250), ("7", 7_000)] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
    }
    for text in ["", "s", "0", "0s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999h", "18446744073709551615h"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn a_command_comes_after_two_dashes() {
    let parsed = Arguments::try_parse_from(["vfs-audit", "run", "--fs", "ext4", "--", "make", "--for"]).unwrap();
    let Command::Run(run) = parsed.command else { panic!("not run") };
    assert_eq!(run.extent.command, ["make", "--for"]);
    assert_eq!(run.filters.fs, ["ext4"]);
    assert!(Arguments::try_parse_from(["vfs-audit", "run", "make"]).is_err());
}

#[test]
fn several_rules_can_be_required_at_once() {
    let parsed = Arguments::try_parse_from(["vfs-audit", "run", "--require", "a.*", "b", "--strict"]).unwrap();
    let Command::Run(run) = parsed.command else { panic!("not run") };
    assert_eq!(run.judging.require, ["a.*", "b"]);
    assert!(run.judging.strict);
}
