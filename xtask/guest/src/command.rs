//! Runs the command and reaps whatever it leaves behind.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::log;
use crate::terminal::Ports;

const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin";
/// What a shell says when a command cannot be run.
const NOT_RUN: i32 = 127;
/// Characters that make a single argument a shell line.
const SHELL_SYNTAX: &[char] = &[' ', '\t', '\n', ';', '&', '|', '<', '>', '$', '`', '(', ')', '*', '?', '"', '\''];

/// Runs the command to its end and returns its exit code, or 128 + the signal that ended it.
pub(crate) fn run(command: &[String], ports: &Ports) -> i32 {
    let spawned = start(command, ports);
    match spawned {
        Ok(pid) => reap_until(pid),
        Err(error) => {
            ports.complain(&format!("cannot run {command:?}: {error}"));
            NOT_RUN
        }
    }
}

fn start(command: &[String], ports: &Ports) -> std::io::Result<i32> {
    let (program, arguments) = shape(command);
    // Command searches the parent's PATH, not the child's; nothing else runs in this process yet.
    let child = Command::new(search(&program))
        .args(arguments)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("HOME", "/root")
        .env("TERM", "dumb")
        .env("RUST_BACKTRACE", "1")
        .current_dir("/root")
        .stdin(File::open("/dev/null")?)
        .stdout(Stdio::from(ports.stdout.try_clone()?))
        .stderr(Stdio::from(ports.stderr.try_clone()?))
        .spawn()?;
    Ok(child.id().cast_signed())
}

/// Turns a single argument with shell syntax into a shell line; leaves everything else as it is.
fn shape(command: &[String]) -> (String, Vec<String>) {
    match command {
        [line] if line.contains(SHELL_SYNTAX) && Path::new("/bin/sh").exists() => {
            ("/bin/sh".into(), vec!["-c".into(), line.clone()])
        }
        [program, arguments @ ..] => (program.clone(), arguments.to_vec()),
        [] => ("/bin/true".into(), Vec::new()),
    }
}

fn search(program: &str) -> String {
    if program.contains('/') {
        return program.to_owned();
    }
    let candidates = SEARCH_PATH.split(':').map(|directory| format!("{directory}/{program}"));
    candidates.into_iter().find(|path| Path::new(path).exists()).unwrap_or_else(|| program.to_owned())
}

/// As PID 1: waits for every child until `pid` ends.
fn reap_until(pid: i32) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let ended = unsafe { libc::wait(&raw mut status) };
        if ended == pid {
            let status = ExitStatus::from_raw(status);
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if ended < 0 && std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            log("the command is gone");
            return NOT_RUN;
        }
    }
}

/// Ends what the command left running, so that file systems can be unmounted, and says what that was.
pub(crate) fn end_all_others() {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for pid in entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
        let has_image = fs::read_link(format!("/proc/{pid}/exe")).is_ok();
        if pid > 1 && has_image {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            log(&format!("ending what the command left running: {} ({pid})", name.trim()));
            // SAFETY: only a signal is sent.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
    // SAFETY: a null status is allowed; the loop ends when there is no child left.
    while unsafe { libc::wait(std::ptr::null_mut()) } > 0 {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(command: &[&str]) -> (String, Vec<String>) {
        shape(&command.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn one_argument_with_shell_syntax_goes_to_the_shell() {
        assert_eq!(shaped(&["exit 3"]), ("/bin/sh".into(), vec!["-c".into(), "exit 3".into()]));
    }

    #[test]
    fn a_plain_command_is_run_as_it_is() {
        assert_eq!(shaped(&["true"]), ("true".into(), vec![]));
        assert_eq!(shaped(&["echo", "a b"]), ("echo".into(), vec!["a b".into()]));
    }
}
