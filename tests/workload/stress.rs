//! A crowd: many processes that do the operations correctly, at the same time, in one shared directory.
//!
//! Each task has names of its own, on which every call must succeed, and all share a few names, on which a call may lose
//! a race in the ways that POSIX allows.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::sys;
use crate::sys::mapping::{Mapping, PAGE};

/// Names that all tasks fight over.
const SHARED_NAMES: u64 = 4;
/// How a call on a shared name may lose a race.
const LOST_RACE: [i32; 6] = [libc::ENOENT, libc::EEXIST, libc::ENOTEMPTY, libc::ENOTDIR, libc::EISDIR, libc::EINVAL];
/// How nice a crowd around a command is, which would get nothing done otherwise.
const CROWD_NICE: i32 = 15;
/// Most tasks that may be asked for.
const TASKS_MAX: u32 = 256;

/// Runs `tasks` processes below `parent` for `duration`; the number of calls that they made together.
pub(crate) fn run(parent: &Path, tasks: u32, duration: Duration) -> Result<u64> {
    ensure!((1..=TASKS_MAX).contains(&tasks), "between 1 and {TASKS_MAX} tasks, not {tasks}");
    let deadline = Instant::now() + duration;
    Crowd::gather(parent, (tasks, 0), &|| Instant::now() < deadline)?.disperse()
}

/// Runs a command while a crowd of `tasks` works below each of `parents`: its exit code, and how many calls the crowds made.
pub(crate) fn around(parents: &[PathBuf], tasks: u32, command: &[String]) -> Result<(i32, u64)> {
    let over = Mapping::anonymous(libc::MAP_SHARED, PAGE)?;
    let goes_on = || over.read(0) == 0;
    let crowds: Result<Vec<_>> =
        parents.iter().map(|parent| Crowd::gather(parent, (tasks, CROWD_NICE), &goes_on)).collect();
    let status = crowds.is_ok().then(|| Command::new(&command[0]).args(&command[1..]).status());
    over.write(0, 1);
    let calls = crowds?.into_iter().map(Crowd::disperse).sum::<Result<u64>>()?;
    let status = status.transpose().with_context(|| format!("running {}", command[0]))?;
    let code = status.and_then(|status| status.code()).context("the command was killed")?;
    Ok((code, calls))
}

/// The processes that work in one directory.
struct Crowd {
    directory: PathBuf,
    members: Vec<(libc::pid_t, File)>,
}

impl Crowd {
    /// So many tasks, with this niceness.
    fn gather(parent: &Path, (tasks, nice): (u32, i32), goes_on: &dyn Fn() -> bool) -> Result<Self> {
        let directory = parent.join("vfs-stress");
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
        }
        for name in ["", "left", "right"] {
            fs::create_dir(directory.join(name))?;
        }
        let members = (0..tasks).map(|task| start(&directory, (task, nice), goes_on)).collect::<Result<Vec<_>>>()?;
        Ok(Self { directory, members })
    }

    /// Waits for all of them; the number of calls that they made together.
    fn disperse(self) -> Result<u64> {
        let calls = self.members.into_iter().map(finish).sum::<Result<u64>>()?;
        remove_what_is_left(&self.directory)?;
        Ok(calls)
    }
}

fn start(directory: &Path, (task, nice): (u32, i32), goes_on: &dyn Fn() -> bool) -> Result<(libc::pid_t, File)> {
    let (reader, mut writer) = sys::pipe()?;
    let pid = sys::fork(|| {
        // SAFETY: only integers are passed; to be less nice than wanted does no harm.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        let mut member = Member { directory: directory.to_owned(), task, calls: 0 };
        let report = match member.work_while(goes_on) {
            Ok(()) => member.calls.to_string(),
            Err(error) => format!("{error:#}"),
        };
        // The parent takes anything that is not a number for the failure that it is.
        i32::from(writer.write_all(report.as_bytes()).is_err())
    })?;
    Ok((pid, reader))
}

fn finish((pid, mut reader): (libc::pid_t, File)) -> Result<u64> {
    let mut report = String::new();
    let read = reader.read_to_string(&mut report);
    let code = sys::wait(pid)?;
    read.with_context(|| format!("reading from task {pid}"))?;
    ensure!(code == 0, "task {pid} ended with {code}");
    match report.parse() {
        Ok(calls) => Ok(calls),
        Err(_) => bail!("task {pid}: {report}"),
    }
}

/// Every task removed its own names; only shared ones may be left.
fn remove_what_is_left(directory: &Path) -> Result<()> {
    for place in [directory.to_owned(), directory.join("left"), directory.join("right")] {
        for entry in fs::read_dir(&place)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            ensure!(
                name.starts_with("shared-") || name == "left" || name == "right",
                "{} was left in {}",
                name,
                place.display()
            );
        }
    }
    fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))
}

/// One process of the crowd.
struct Member {
    directory: PathBuf,
    task: u32,
    calls: u64,
}

impl Member {
    fn work_while(&mut self, goes_on: &dyn Fn() -> bool) -> Result<()> {
        let mut round = u64::from(self.task);
        while goes_on() {
            self.own_files()?;
            self.own_directories()?;
            self.shared_files(round)?;
            self.shared_directories(round)?;
            round += 1;
        }
        Ok(())
    }

    fn own(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}-{}", self.task))
    }

    fn call<T>(&mut self, what: &str, path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> Result<T> {
        self.calls += 1;
        call(path).with_context(|| format!("{what} {}", path.display()))
    }

    fn race<T>(&mut self, what: &str, path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> Result<()> {
        self.calls += 1;
        match call(path) {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error().is_some_and(|errno| LOST_RACE.contains(&errno)) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("{what} {}", path.display())),
        }
    }

    fn own_files(&mut self) -> Result<()> {
        let (file, link, short) = (self.own("file"), self.own("link"), self.own("symlink"));
        let (moved, renamed) = (self.own("left/moved"), self.own("left/renamed"));
        let text = format!("task {}", self.task);
        self.call("write", &file, |path| fs::write(path, &text))?;
        self.call("chmod", &file, |path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))?;
        self.call("link", &file, |path| fs::hard_link(path, &link))?;
        self.call("rename", &link, |path| fs::rename(path, &moved))?;
        self.call("rename", &moved, |path| fs::rename(path, &renamed))?;
        let found = self.call("read", &renamed, |path| fs::read_to_string(path))?;
        ensure!(found == text, "{} holds {found:?}", renamed.display());
        self.call("symlink", &short, |path| symlink(&file, path))?;
        let found = self.call("read", &short, |path| fs::read_to_string(path))?;
        ensure!(found == text, "{} leads to {found:?}", short.display());
        for path in [&short, &renamed, &file] {
            self.call("unlink", path, |path| fs::remove_file(path))?;
        }
        Ok(())
    }

    fn own_directories(&mut self) -> Result<()> {
        let (left, right) = (self.own("left/dir"), self.own("right/dir"));
        self.call("mkdir", &left, |path| fs::create_dir(path))?;
        self.call("write", &left.join("file"), |path| fs::write(path, "inside"))?;
        self.call("rename", &left, |path| fs::rename(path, &right))?;
        self.call("unlink", &right.join("file"), |path| fs::remove_file(path))?;
        self.call("mkdir", &left, |path| fs::create_dir(path))?;
        self.call("rename", &right, |path| fs::rename(path, &left))?;
        self.call("readdir", &self.directory.clone(), |path| fs::read_dir(path).map(Iterator::count))?;
        self.call("rmdir", &left, |path| fs::remove_dir(path))
    }

    fn shared_files(&mut self, round: u64) -> Result<()> {
        let name = |index: u64| format!("shared-{}", index % SHARED_NAMES);
        let (one, two) = (self.directory.join(name(round)), self.directory.join("left").join(name(round / 3)));
        self.race("create", &one, |path| File::create(path))?;
        self.race("rename", &one, |path| fs::rename(path, &two))?;
        self.race("link", &two, |path| fs::hard_link(path, &one))?;
        self.race("exchange", &one, |path| sys::rename_with_flags(path, &two, libc::RENAME_EXCHANGE))?;
        self.race("stat", &two, |path| fs::metadata(path))?;
        self.race("truncate", &one, |path| File::options().write(true).open(path)?.set_len(round % 5000))?;
        self.race("unlink", &one, |path| fs::remove_file(path))?;
        self.race("unlink", &two, |path| fs::remove_file(path))
    }

    fn shared_directories(&mut self, round: u64) -> Result<()> {
        let name = |index: u64| format!("shared-dir-{}", index % SHARED_NAMES);
        let (one, two) = (self.directory.join(name(round)), self.directory.join("right").join(name(round / 3)));
        self.race("mkdir", &one, |path| fs::create_dir(path))?;
        self.race("rename", &one, |path| fs::rename(path, &two))?;
        self.race("rmdir", &two, |path| fs::remove_dir(path))
    }
}
