//! Follows the files that QEMU writes the guest's ports to, and tells the command's output from the harness's lines.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use vfs_audit_guest::plan::Plan;

/// Reads a growing file.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    file: Option<File>,
}

impl Tail {
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_path_buf(), file: None }
    }

    /// What was written since the last call; nothing while the file is not there.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

/// Splits the stdout port into the command's output and the harness's two lines.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    plan: &'a Plan,
    /// A last line without its end.
    open_line: Vec<u8>,
    /// A line feed that is passed on when it turns out not to belong to the harness.
    has_pending_end: bool,
    /// Whether the guest's init has announced itself.
    pub(crate) has_begun: bool,
    /// The command's exit code, once the sentinel was seen.
    pub(crate) code: Option<i32>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { plan, open_line: Vec::new(), has_pending_end: false, has_begun: false, code: None }
    }

    /// Takes bytes of the port and returns those of the command.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.open_line);
                self.line(&line, &mut passed);
            } else {
                self.open_line.push(*byte);
            }
        }
        passed
    }

    /// What is left when nothing more comes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = if std::mem::take(&mut self.has_pending_end) { vec![b'\n'] } else { Vec::new() };
        rest.append(&mut self.open_line);
        rest
    }

    fn line(&mut self, line: &[u8], passed: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line);
        if text.trim_end() == self.plan.hello() {
            self.has_begun = true;
            self.has_pending_end = false;
            passed.clear();
        } else if let Some(code) = self.plan.exit_code(&text) {
            self.code = Some(code);
            self.has_pending_end = false;
        } else {
            if std::mem::replace(&mut self.has_pending_end, true) {
                passed.push(b'\n');
            }
            passed.extend_from_slice(line);
        }
    }
}

/// Passes bytes on to one of our own streams; a closed one is no failure of the run.
pub(crate) fn show(bytes: &[u8], mut stream: impl Write) {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(port: &str) -> (String, Option<i32>, bool) {
        let plan = Plan { run_id: "7".into(), ..Plan::default() };
        let mut filter = Filter::new(&plan);
        let mut passed = Vec::new();
        // Byte by byte: where the reads end must not matter.
        for byte in port.as_bytes() {
            passed.extend(filter.pass(&[*byte]));
        }
        passed.extend(filter.rest());
        (String::from_utf8(passed).unwrap(), filter.code, filter.has_begun)
    }

    #[test]
    fn the_commands_output_comes_through_unchanged() {
        let port = "\nvfs-audit-vm begins 7\none\n\ntwo\n\nvfs-audit-vm ends 7 3\n";
        assert_eq!(filtered(port), ("one\n\ntwo\n".into(), Some(3), true));
        let open = "\nvfs-audit-vm begins 7\nno end\nvfs-audit-vm ends 7 0\n";
        assert_eq!(filtered(open), ("no end".into(), Some(0), true));
        assert_eq!(filtered("\nvfs-audit-vm begins 7\n\nvfs-audit-vm ends 7 0\n"), (String::new(), Some(0), true));
    }

    #[test]
    fn the_sentinel_of_another_run_is_output() {
        let port = "\nvfs-audit-vm begins 7\nvfs-audit-vm ends 8 0\n";
        assert_eq!(filtered(port), ("vfs-audit-vm ends 8 0\n".into(), None, true));
    }

    #[test]
    fn a_guest_that_never_began_has_no_code() {
        assert_eq!(filtered(""), (String::new(), None, false));
    }
}
