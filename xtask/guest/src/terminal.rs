//! The serial ports that carry the command's output: `ttyS1` its stdout, `ttyS2` its stderr.
//!
//! The kernel log has `ttyS0` to itself, so that the two never mix.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;

use crate::log;

/// Both ports, opened raw.
pub(crate) struct Ports {
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

impl Ports {
    pub(crate) fn open() -> Option<Self> {
        Some(Self { stdout: open_raw("/dev/ttyS1")?, stderr: open_raw("/dev/ttyS2")? })
    }

    /// Prints a line of the harness itself on the stdout port, on a line of its own.
    pub(crate) fn say(&self, line: &str) {
        // The leading line feed ends a last line that the command left open; the host drops it again.
        put(&self.stdout, &format!("\n{line}\n"));
    }

    /// Prints a line of the harness itself on the stderr port.
    pub(crate) fn complain(&self, line: &str) {
        put(&self.stderr, &format!("{line}\n"));
    }
}

fn put(mut port: &File, text: &str) {
    if let Err(error) = port.write_all(text.as_bytes()) {
        log(&format!("cannot write to the output port: {error}"));
    }
    // SAFETY: the descriptor is open for as long as `port` lives.
    unsafe { libc::tcdrain(port.as_raw_fd()) };
}

fn open_raw(path: &str) -> Option<File> {
    let port = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(port) => port,
        Err(error) => {
            log(&format!("cannot open {path}: {error}"));
            return None;
        }
    };
    // SAFETY: `termios` is plain data that tcgetattr fills in; the descriptor is open.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        libc::tcgetattr(port.as_raw_fd(), &raw mut settings);
        libc::cfmakeraw(&raw mut settings);
        libc::tcsetattr(port.as_raw_fd(), libc::TCSANOW, &raw const settings);
    }
    Some(port)
}
