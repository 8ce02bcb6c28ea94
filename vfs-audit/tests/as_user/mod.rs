//! What tests of the program share: a directory of their own, the program as a user runs it, recordings.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::process::{Command, Output};

use vfs_audit::observation::Observation;
use vfs_audit::recording::{End, Header, Writer};
use vfs_audit::report::{Addresses, KernelInfo, Loss, Source};

/// A directory of this test alone, gone when it ends.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vfs-audit-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The header of a live run.
pub(crate) fn header(release: &str) -> Header {
    Header {
        tool_version: "0.1.0".into(),
        kernel: KernelInfo {
            release: release.into(),
            version: "#1 SMP".into(),
            machine: "x86_64".into(),
            rules: "v6.12".into(),
            callback_backend: "kprobe.multi".into(),
            lock_backend: "fentry".into(),
        },
        source: Source::Live,
        command: vec!["fsstress".into(), "-n".into(), "1000".into()],
        ..Header::default()
    }
}

/// A whole recording of a live run.
pub(crate) fn recording(release: &str, observations: &[Observation], loss: Loss) -> Vec<u8> {
    let write = || {
        let mut writer = Writer::create(Vec::new(), &header(release), Addresses::Hidden)?;
        observations.iter().try_for_each(|observation| writer.push(observation))?;
        writer.finish(&End { seconds: 2.5, command_exit: Some(0), loss, ..End::default() })
    };
    write().unwrap_or_else(|error: vfs_audit::recording::Error| panic!("{error}"))
}

/// What the program does with these arguments in that directory.
pub(crate) fn vfs_audit(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfs-audit"));
    command.current_dir(&scratch.0).args(arguments).env_remove("NO_COLOR");
    command.output().unwrap_or_else(|error| panic!("{error}"))
}

/// Exit code, stdout, stderr.
pub(crate) fn run(scratch: &Scratch, arguments: &[&str]) -> (i32, String, String) {
    let output = vfs_audit(scratch, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|error| panic!("{error}"));
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// JSON as it was printed.
pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A command line, and what the error and its hint say.
pub(crate) type Refusal<'a> = (&'a [&'a str], &'a str, &'a str);

/// Each is refused: exit code 2, nothing on stdout, one clear error with what to do.
pub(crate) fn refused(scratch: &Scratch, cases: &[Refusal<'_>]) {
    for (arguments, message, hint) in cases {
        let (code, out, err) = run(scratch, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.starts_with("vfs-audit: ") && err.contains(message) && err.contains(hint), "{arguments:?}: {err}");
    }
}
