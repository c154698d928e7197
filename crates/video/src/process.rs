//! Runs another program, reads what it prints, and ends it when it takes too long.
//!
//! Separate because time limits and the reading of two streams at once are easy to get wrong.

use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::VideoError;

/// The most bytes of a program's messages that are kept.
const MESSAGE_BYTES: u64 = 4096;

/// Passes what a program prints to `read`; a program that fails gives its last message as an error.
pub(crate) fn run<T>(
    command: &mut Command,
    limit: Duration,
    read: impl FnOnce(ChildStdout) -> Result<T, VideoError>,
) -> Result<T, VideoError> {
    let mut child = start(command)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else { unreachable!("both streams are pipes") };
    let child = Mutex::new(child);
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let messages = scope.spawn(move || messages(stderr));
        let child = &child;
        let watch = scope.spawn(move || {
            let late = ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            // Also ends a program whose output nobody reads any more.
            let killed = lock(child).kill();
            late && killed.is_ok()
        });
        let output = read(stdout);
        let status = output.as_ref().ok().map(|_| wait(child));
        drop(done);
        let late = watch.join().unwrap_or(false);
        let status = status.unwrap_or_else(|| lock(child).wait());
        let messages = messages.join().unwrap_or_default();
        if late {
            return Err(VideoError::TimeLimit { limit });
        }
        match (output, status?.success()) {
            (output, true) => output,
            // An output that ends early is explained by the program's message, if there is one.
            (Err(error), false) if messages.trim().is_empty() || !is_early_end(&error) => Err(error),
            (_, false) => Err(VideoError::Damaged { reason: last_line(&messages) }),
        }
    })
}

fn is_early_end(error: &VideoError) -> bool {
    matches!(error, VideoError::Io { .. } | VideoError::LostFrames { .. } | VideoError::NoFrames)
}

fn start(command: &mut Command) -> Result<Child, VideoError> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        match source.kind() {
            io::ErrorKind::NotFound => VideoError::NoProgram { program },
            _ => VideoError::Program { program, source },
        }
    })
}

/// Waits without holding the lock, so that the program can be ended meanwhile.
fn wait(child: &Mutex<Child>) -> io::Result<std::process::ExitStatus> {
    loop {
        if let Some(status) = lock(child).try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last bytes that a program writes to its standard error, which is read to its end so that it never blocks.
fn messages(mut stderr: impl Read) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(n @ 1..) = stderr.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..n]);
        let surplus = kept.len().saturating_sub(MESSAGE_BYTES as usize);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last line that says something, without the `[mov @ 0x…]` in front of it.
fn last_line(messages: &str) -> String {
    let line = messages
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("failed without a message");
    let said = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, said)| said);
    // Lists have one line per file, in quotation marks.
    said.chars().filter(|c| !c.is_control() && *c != '"').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String, VideoError> {
        run(Command::new("sh").args(["-c", script]), limit, |mut stdout| {
            let mut text = String::new();
            stdout.read_to_string(&mut text)?;
            Ok(text)
        })
    }

    #[test]
    fn output_is_read_and_failures_are_told_by_their_last_line() {
        let limit = Duration::from_secs(60);
        assert_eq!(sh("echo a; echo b >&2", limit).unwrap(), "a\n");
        let error =
            sh("echo first >&2; echo '[mov @ 0x5] moov atom \"not\" found' >&2; echo >&2; exit 1", limit);
        assert_eq!(error.unwrap_err().to_string(), "moov atom not found");
        assert_eq!(sh("exit 3", limit).unwrap_err().to_string(), "failed without a message");
        // More than a pipe holds, on both streams.
        let text = sh("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero | tr '\\0' x", limit).unwrap();
        assert_eq!(text.len(), 300_000);
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        for script in ["exec sleep 1000", "exec >&-; exec sleep 1000"] {
            let started = std::time::Instant::now();
            let error = sh(script, Duration::from_millis(300)).unwrap_err();
            assert!(matches!(error, VideoError::TimeLimit { .. }), "{script}: {error}");
            assert!(started.elapsed() < Duration::from_secs(60));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let run = run(&mut Command::new("no-such-program"), Duration::from_secs(1), |_| Ok(()));
        assert!(
            matches!(run.unwrap_err(), VideoError::NoProgram { program } if program == "no-such-program")
        );
    }
}
