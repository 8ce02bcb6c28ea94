//! The plan of one VM run: what the host writes into the initramfs and PID 1 carries out.
//!
//! Encoded as lines of `key<TAB>value`, with backslash escapes, so that the guest needs no parser crate.

/// Where the plan lies in the guest's root.
pub const PATH: &str = "etc/vfs-audit-vm.plan";
/// Serial number of the drive that takes the archive of `/out`.
pub const OUT_DRIVE: &str = "out";
/// First bytes of the out drive, before the archive's length (8 bytes, little endian) and the archive.
pub const OUT_MAGIC: &[u8; 8] = b"VFSAOUT1";
/// Bytes before the archive on the out drive.
pub const OUT_HEADER_BYTES: u64 = 16;
/// First words that the guest's init prints on the output port, before the run's id.
pub const HELLO: &str = "vfs-audit-vm begins";
/// In the place of an exit code: the guest could not be prepared, and the command did not run.
pub const NOT_PREPARED: i32 = -1;
/// First words of the run's last line, before the run's id and the exit code.
pub const SENTINEL: &str = "vfs-audit-vm ends";

/// What the guest has to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Names this run, so that a sentinel cannot be mistaken for another's or for output of the command.
    pub run_id: String,
    /// Files of kernel modules in the guest, in the order in which to load them.
    pub modules: Vec<String>,
    /// File system types to mount under `/mnt/TYPE`; the drive of one that needs a drive has its name as serial number.
    pub filesystems: Vec<String>,
    /// The command with its arguments.
    pub command: Vec<String>,
}

impl Plan {
    /// The plan as text.
    pub fn encode(&self) -> String {
        let mut lines = vec![line("run", &self.run_id)];
        lines.extend(self.modules.iter().map(|value| line("module", value)));
        lines.extend(self.filesystems.iter().map(|value| line("fs", value)));
        lines.extend(self.command.iter().map(|value| line("arg", value)));
        lines.concat()
    }

    /// Reads a plan back.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once('\t').ok_or_else(|| format!("plan line without a tab: {line:?}"))?;
            let value = unescape(value).ok_or_else(|| format!("bad escape in the plan: {line:?}"))?;
            match key {
                "run" => plan.run_id = value,
                "module" => plan.modules.push(value),
                "fs" => plan.filesystems.push(value),
                "arg" => plan.command.push(value),
                _ => return Err(format!("unknown key in the plan: {line:?}")),
            }
        }
        Ok(plan)
    }

    /// The line with which the guest's init announces itself.
    pub fn hello(&self) -> String {
        format!("{HELLO} {}", self.run_id)
    }

    /// The last line of a run whose command ended with `code`.
    pub fn sentinel(&self, code: i32) -> String {
        format!("{SENTINEL} {} {code}", self.run_id)
    }

    /// The exit code that `line` carries, if it is this run's sentinel.
    pub fn exit_code(&self, line: &str) -> Option<i32> {
        let rest = line.trim_end().strip_prefix(SENTINEL)?.strip_prefix(' ')?;
        rest.strip_prefix(self.run_id.as_str())?.strip_prefix(' ')?.parse().ok()
    }
}

fn line(key: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    format!("{key}\t{value}\n")
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        let unescaped = match character {
            '\\' => match rest.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        };
        plain.push(unescaped);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            run_id: "4711".into(),
            modules: vec!["/lib/modules/a.ko".into(), "/lib/modules/b.ko".into()],
            filesystems: vec!["ext4".into(), "overlay".into()],
            command: vec!["sh".into(), "-c".into(), "echo 'a\tb'\nprintf '\\n\\\\' \r".into(), String::new()],
        }
    }

    #[test]
    fn a_plan_survives_encoding() {
        assert_eq!(Plan::decode(&plan().encode()), Ok(plan()));
    }

    #[test]
    fn an_unknown_key_and_a_bad_escape_are_refused() {
        assert!(Plan::decode("colour\tred\n").is_err());
        assert!(Plan::decode("arg\ta\\q\n").is_err());
        assert!(Plan::decode("arg a\n").is_err());
    }

    #[test]
    fn the_sentinel_carries_the_exit_code_of_its_own_run_only() {
        let plan = plan();
        assert_eq!(plan.exit_code(&plan.sentinel(3)), Some(3));
        assert_eq!(plan.exit_code(&format!("{}\r\n", plan.sentinel(0))), Some(0));
        let other = Plan { run_id: "471".into(), ..Plan::default() };
        assert_eq!(other.exit_code(&plan.sentinel(3)), None);
        assert_eq!(plan.exit_code("vfs-audit-vm ends 4711 "), None);
    }
}
