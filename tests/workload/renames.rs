//! Every way to rename: within and across directories, over what exists, exchanges, whiteouts, and what must be refused.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use libc::{RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT};

use crate::session::{Session, expect_eq};
use crate::sys;

/// All of them, between the directories `a` and `b`.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    for name in ["a", "b"] {
        let path = session.path(name);
        session.call("mkdir", &path, |path| fs::create_dir(path))?;
    }
    plain(session)?;
    over_existing(session)?;
    directories(session)?;
    exchanges(session)?;
    not_replacing(session)?;
    whiteout(session)?;
    for name in ["a", "b"] {
        let path = session.path(name);
        session.call("rmdir", &path, |path| fs::remove_dir(path))?;
    }
    Ok(())
}

fn write(session: &mut Session, name: &str) -> Result<()> {
    let path = session.path(name);
    session.call("create", &path, |path| fs::write(path, name))
}

fn make_directory(session: &mut Session, name: &str) -> Result<()> {
    let path = session.path(name);
    session.call("mkdir", &path, |path| fs::create_dir(path))
}

fn rename(session: &mut Session, from: &str, to: &str) -> Result<()> {
    let to = session.path(to);
    let from = session.path(from);
    session.call("rename", &from, |from| fs::rename(from, &to))
}

/// The file at `name` is the one that was written as `written_as`.
fn expect_written(session: &mut Session, name: &str, written_as: &str) -> Result<()> {
    let path = session.path(name);
    let data = session.call("read", &path, |path| fs::read_to_string(path))?;
    expect_eq(&format!("what lies at {name}"), &data, &written_as.to_owned())
}

fn remove_file(session: &mut Session, name: &str) -> Result<()> {
    let path = session.path(name);
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn remove_directory(session: &mut Session, name: &str) -> Result<()> {
    let path = session.path(name);
    session.call("rmdir", &path, |path| fs::remove_dir(path))
}

fn plain(session: &mut Session) -> Result<()> {
    write(session, "a/one")?;
    rename(session, "a/one", "a/two")?;
    rename(session, "a/two", "b/three")?;
    expect_written(session, "b/three", "a/one")?;
    let gone = session.path("a/two");
    session.call_fails("lookup", &gone, &[libc::ENOENT], |path| fs::metadata(path))?;
    session.call_fails("rename", &gone, &[libc::ENOENT], |from| fs::rename(from, from.with_extension("new")))?;
    remove_file(session, "b/three")
}

fn over_existing(session: &mut Session) -> Result<()> {
    for (from, to) in [("a/one", "a/two"), ("a/one", "b/two")] {
        write(session, from)?;
        write(session, to)?;
        rename(session, from, to)?;
        expect_written(session, to, from)?;
        remove_file(session, to)?;
    }
    for (from, to) in [("a/dir", "a/empty"), ("a/dir", "b/empty")] {
        make_directory(session, from)?;
        make_directory(session, to)?;
        rename(session, from, to)?;
        remove_directory(session, to)?;
    }
    Ok(())
}

/// A directory changes parent; into itself and over a full one it must not go.
fn directories(session: &mut Session) -> Result<()> {
    make_directory(session, "a/dir")?;
    write(session, "a/dir/file")?;
    rename(session, "a/dir", "a/same-parent")?;
    rename(session, "a/same-parent", "b/dir")?;
    expect_written(session, "b/dir/file", "a/dir/file")?;
    let (directory, inside) = (session.path("b/dir"), session.path("b/dir/inside"));
    session.call_fails("rename", &directory, &[libc::EINVAL], |from| fs::rename(from, &inside))?;
    make_directory(session, "a/other")?;
    let other = session.path("a/other");
    // POSIX allows either; xfs says the latter.
    session.call_fails("rename", &other, &[libc::ENOTEMPTY, libc::EEXIST], |from| fs::rename(from, &directory))?;
    remove_directory(session, "a/other")?;
    remove_file(session, "b/dir/file")?;
    remove_directory(session, "b/dir")
}

fn exchange(session: &mut Session, from: &str, to: &str) -> Result<bool> {
    let (from, to) = (session.path(from), session.path(to));
    let done = session.call_if_offered("exchange", &from, |from| sys::rename_with_flags(from, &to, RENAME_EXCHANGE))?;
    Ok(done.is_some())
}

/// File and file, directory and directory, file and directory; in one directory and across.
fn exchanges(session: &mut Session) -> Result<()> {
    for to in ["a", "b"] {
        let (file, directory) = (format!("{to}/file"), format!("{to}/dir"));
        write(session, "a/one")?;
        make_directory(session, "a/sub")?;
        write(session, &file)?;
        make_directory(session, &directory)?;
        if exchange(session, "a/one", &file)? {
            expect_written(session, "a/one", &file)?;
            expect_written(session, &file, "a/one")?;
            exchange(session, "a/sub", &directory)?;
            exchange(session, "a/one", &directory)?;
            let (one, moved) = (session.path("a/one"), session.path(&directory));
            ensure!(session.call("stat", &one, |path| fs::metadata(path))?.is_dir(), "the directory did not move");
            ensure!(session.call("stat", &moved, |path| fs::metadata(path))?.is_file(), "the file did not move");
            exchange(session, "a/one", &directory)?;
        }
        remove_file(session, "a/one")?;
        remove_directory(session, "a/sub")?;
        remove_file(session, &file)?;
        remove_directory(session, &directory)?;
    }
    Ok(())
}

fn not_replacing(session: &mut Session) -> Result<()> {
    write(session, "a/one")?;
    write(session, "b/two")?;
    let (one, two, three) = (session.path("a/one"), session.path("b/two"), session.path("b/three"));
    let no_replace = |from: &Path, to: &Path| sys::rename_with_flags(from, to, RENAME_NOREPLACE);
    session.call_fails("noreplace", &one, &[libc::EEXIST], |from| no_replace(from, &two))?;
    session.call("noreplace", &one, |from| no_replace(from, &three))?;
    expect_written(session, "b/three", "a/one")?;
    remove_file(session, "b/two")?;
    remove_file(session, "b/three")
}

/// The source leaves a whiteout (character device 0, 0) behind.
fn whiteout(session: &mut Session) -> Result<()> {
    write(session, "a/one")?;
    let (one, two) = (session.path("a/one"), session.path("b/two"));
    let done = session.call_if_offered("whiteout", &one, |from| sys::rename_with_flags(from, &two, RENAME_WHITEOUT))?;
    if done.is_some() {
        expect_written(session, "b/two", "a/one")?;
        remove_file(session, "b/two")?;
    }
    remove_file(session, "a/one")
}
