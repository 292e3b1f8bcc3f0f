//! The servers under test, as processes of their own beside this program's file.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;

/// A server process; it is killed when this value goes.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it serves gRPC.
    pub(crate) address: String,
    /// Where it serves HTTP; empty if it does not.
    http: String,
    _data_dir: Option<TempDir>,
}

impl Server {
    /// `impulse serve` on an empty directory.
    pub(crate) fn impulse(durability: &str) -> anyhow::Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let mut command = Command::new(beside("impulse")?);
        command
            .args(["serve", "--output", "json", "--durability", durability])
            .args([
                "--grpc-listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(data_dir.path());
        Self::started(command, Some(data_dir))
    }

    /// `impulse serve` with these variables.
    pub(crate) fn impulse_with(environment: &[(String, String)]) -> anyhow::Result<Self> {
        let mut command = Command::new(beside("impulse")?);
        command
            .args(["serve", "--output", "json", "--grpc-listen", "127.0.0.1:0"])
            .args(["--http-listen", "127.0.0.1:0"])
            .envs(environment.iter().map(|(key, value)| (key, value)));
        Self::started(command, None)
    }

    fn started(command: Command, data_dir: Option<tempfile::TempDir>) -> anyhow::Result<Self> {
        let (child, line) = start(command)?;
        let started: serde_json::Value = serde_json::from_str(&line)?;
        let address = |of: &str| {
            let address = started.get(of).and_then(serde_json::Value::as_str);
            address.context("the server names no address")
        };
        Ok(Self {
            address: format!("http://{}", address("grpc")?),
            http: address("http")?.to_owned(),
            child,
            _data_dir: data_dir,
        })
    }

    /// The empty service.
    pub(crate) fn echo() -> anyhow::Result<Self> {
        let mut command = Command::new(beside("load-tests")?);
        command.args(["echo", "--listen", "127.0.0.1:0"]);
        let (child, line) = start(command)?;
        Ok(Self {
            address: format!("http://{}", line.trim()),
            http: String::new(),
            child,
            _data_dir: None,
        })
    }

    /// The whole answer to `GET path`.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.http)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.http
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Processor time used so far, in seconds: user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(f64::from(u32::try_from(ticks)?) / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start(mut command: Command) -> anyhow::Result<(Child, String)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .env("RUST_LOG", "warn");
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let stdout = child.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    anyhow::ensure!(!line.is_empty(), "{command:?} ended before it served");
    Ok((child, line))
}

fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing; build it: cargo build --release --workspace",
        path.display()
    );
    Ok(path)
}
