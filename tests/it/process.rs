//! The real program as a child process, for tests that kill it.

#[cfg(feature = "kafka")]
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running `impulse serve` on ports of its own. It is killed when this value goes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Its first line of output.
    pub(crate) started: serde_json::Value,
}

impl Process {
    /// Starts the server and waits until it serves.
    pub(crate) fn serve(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        Self::serve_on("127.0.0.1:0", data_dir, environment)
    }

    /// As [`Process::serve`], with gRPC on a given address.
    pub(crate) fn serve_on(grpc: &str, data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start(&mut command(grpc, data_dir, environment))
    }

    /// As [`Process::serve`], with everything it logs, and more than usual, in a file.
    #[cfg(feature = "kafka")]
    pub(crate) fn serve_logged(log: File, data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = command("127.0.0.1:0", data_dir, environment);
        Self::start(command.env("RUST_LOG", "trace").stderr(log))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe was asked for");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the program says where it serves");
        let started = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("no start line but {line:?}: {error}"));
        Self { child, started }
    }

    /// Where gRPC is served, as a client wants it.
    pub(crate) fn grpc(&self) -> String {
        format!(
            "http://{}",
            self.started["grpc"].as_str().expect("an address")
        )
    }

    /// Its number in the system.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did: the kernel's line about it, whose last number is the status that `wait` would give.
    #[cfg(feature = "kafka")]
    pub(crate) fn obituary(&self) -> String {
        let path = format!("/proc/{}/stat", self.child.id());
        std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
    }

    /// Sends a signal, as in `signal("STOP")`.
    #[cfg(feature = "kafka")]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "{name}: {sent}");
    }

    /// SIGTERM, and waits for the end, which must be a good one.
    #[cfg(feature = "kafka")]
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("a child ends");
        assert!(status.success(), "{status}");
    }

    /// kill -9, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(grpc: &str, data_dir: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_impulse"));
    command
        .args(["serve", "--grpc-listen", grpc])
        .args(["--http-listen", "127.0.0.1:0"])
        .args(["--output", "json", "--data-dir"])
        .arg(data_dir)
        .envs(environment.iter().copied())
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}
