//! Who ends a server when the test's process is gone.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Remembers the ids of the last line until there are no more lines. Then whoever still runs is let go on, told to end, and
/// after five seconds killed; the folder is removed, for which the last of the server's own children may have to be
/// waited for.
const KEEP: &str = r#"
trap '' INT TERM HUP
pids=
while read -r line; do pids=$line; done
# One that nobody waits for any more is there for good, and has ended.
runs() { kill -0 "$1" && ! grep -q '^State:.Z' "/proc/$1/status"; }
end() {
  if [ -n "$pids" ]; then
    kill -CONT $pids
    kill -"$2" ${pids%% *}
    rounds=0
    while runs ${pids%% *} && [ $rounds -lt 100 ]; do sleep 0.05; rounds=$((rounds + 1)); done
    kill -KILL $pids
  fi
  rounds=0
  until rm -rf "$1" || [ $rounds -ge 100 ]; do sleep 0.05; rounds=$((rounds + 1)); done
}
end "$@" 2>/dev/null
"#;

/// A process that ends others when the test's is gone, however it went, and removes their folder. It sits in a process group of its own: what ends a terminal's programs does not end it.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    lines: Mutex<Option<ChildStdin>>,
}

impl Keeper {
    /// Starts one that removes `folder` at the end, and ends the first of the processes by `signal` (`QUIT`).
    ///
    /// # Errors
    /// There is no shell.
    pub fn start(folder: &Path, signal: &str) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", KEEP, "sh"]).arg(folder).arg(signal).process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let lines = Mutex::new(child.stdin.take());
        Ok(Self { child, lines })
    }

    /// These are the processes now: children of this one, that nobody waits for in vain. The first of them is told to end,
    /// the others are killed once it has. None: all have ended.
    ///
    /// # Errors
    /// The keeper was ended by somebody else.
    pub fn keep(&self, pids: &[u32]) -> io::Result<()> {
        let line: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.as_mut().map_or(Ok(()), |pipe| writeln!(pipe, "{}", line.join(" ")))
    }
}

impl Drop for Keeper {
    /// Ends what is kept, and waits for it.
    fn drop(&mut self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        // It ends by itself, in seconds at most.
        let _ = self.child.wait();
    }
}
