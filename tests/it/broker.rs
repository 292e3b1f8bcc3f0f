//! Real Kafka brokers for tests, started by `topology/kafka/broker` and gone with the test process, however it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Exit code with which the script says that Java, Maven or Kafka cannot be had here.
const MISSING: i32 = 69;
/// Below the ports that the system hands out by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// A node takes two ports of ten, or four with further listeners, and there are at most three.
const PORTS_A_CLUSTER: u16 = 30;

/// A cluster of one node or three on loopback. Its data goes with this value, or with the process.
#[derive(Debug)]
pub(crate) struct Broker {
    script: Child,
    /// The script ends the nodes when this end of its pipe closes: by `drop`, or by the end of the process.
    hold: Option<ChildStdin>,
    home: PathBuf,
    bootstrap: String,
}

impl Broker {
    /// The one node that all tests of this process share; `None`, and a SKIPPED line, where none can be started.
    /// Topics and groups of different tests are kept apart by [`unique`].
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::try_start(1, |_| String::new()));
        shared.as_ref().map_err(|reason| skip(reason)).ok()
    }

    /// A cluster of its own, for a test that kills nodes; `settings` are further ones of the broker, `key=value`
    /// separated by blanks. `None`, and a SKIPPED line, where none can be started.
    #[cfg(feature = "kafka")]
    pub(crate) fn start(nodes: u8, settings: &str) -> Option<Self> {
        Self::try_start(nodes, |_| settings.to_owned())
            .map_err(|reason| skip(&reason))
            .ok()
    }

    /// One node with settings that know the first of the ports it may take; the two behind the next are free
    /// for further listeners. The reason instead, where none can be started.
    #[cfg(feature = "kafka")]
    pub(crate) fn with_listeners(settings: impl Fn(u16) -> String) -> Result<Self, String> {
        Self::try_start(1, settings)
    }

    /// What clients take as `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Runs another command of the script on this cluster, such as `["kill", "2"]`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        script(&self.home)
            .args(arguments)
            .output()
            .expect("the script starts")
    }

    /// As [`Broker::command`], which must succeed; its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("the script writes UTF-8")
    }

    /// The reason instead, where a part is missing. A broker that should start and does not is a failure.
    fn try_start(nodes: u8, settings: impl Fn(u16) -> String) -> Result<Self, String> {
        let port = free_ports();
        let home = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("kafka-{}-{port}", std::process::id()));
        let mut script = script(&home)
            .args(["run", &nodes.to_string()])
            .env("KAFKA_PORT", port.to_string())
            .env("KAFKA_SETTINGS", settings(port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("bash: {error}"))?;
        let hold = script.stdin.take();
        let stdout = script.stdout.take().expect("a pipe was asked for");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        // The last line that it prints: from then on it only waits.
        if lines.any(|line| line.starts_with("ends when")) {
            let bootstrap = bootstrap(port, nodes);
            return Ok(Self {
                script,
                hold,
                home,
                bootstrap,
            });
        }
        let mut said = String::new();
        let mut stderr = script.stderr.take().expect("a pipe was asked for");
        stderr
            .read_to_string(&mut said)
            .expect("the script writes UTF-8");
        let status = script.wait().expect("a child ends");
        assert_eq!(
            status.code(),
            Some(MISSING),
            "no broker on port {port}: {said}"
        );
        Err(said.trim().to_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.hold.take());
        drop(self.script.wait());
    }
}

/// A name that no other test uses, nor an earlier run: `unique("events")`.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{number}", std::process::id())
}

/// Says that a test is skipped.
pub(crate) fn skip(reason: &str) {
    println!("SKIPPED Kafka: {reason}");
}

fn script(home: &Path) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("bash");
    command
        .arg(root.join("topology/kafka/broker"))
        .env("KAFKA_HOME", home)
        .env_remove("KAFKA_PORT")
        .env_remove("KAFKA_SETTINGS");
    command
}

fn bootstrap(port: u16, nodes: u8) -> String {
    let all: Vec<String> = (0..u16::from(nodes))
        .map(|node| format!("127.0.0.1:{}", port + 10 * node))
        .collect();
    all.join(",")
}

/// The first of as many ports as a cluster takes. Where the search begins depends on the process, so that test runs
/// side by side seldom meet.
fn free_ports() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let clusters = u32::from((PORTS.end - PORTS.start) / PORTS_A_CLUSTER);
    for _ in 0..clusters {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id();
        let slot = u16::try_from(number % clusters).expect("fewer than there are ports");
        let port = PORTS.start + slot * PORTS_A_CLUSTER;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (0..3).all(|node| (0..4).all(|place| is_free(port + 10 * node + place))) {
            return port;
        }
    }
    panic!("no free ports in {PORTS:?}");
}
