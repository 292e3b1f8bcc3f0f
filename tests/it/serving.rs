//! A whole server for the tests of both protocols: real engine, pipeline, log and ports.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use impulse::clock::Clock;
use impulse::domain::Millis;
use impulse::engine;
use impulse::engine::triggers::Rules;
use impulse::metrics::Metrics;
use impulse::pipeline::{self, Durability, Pipeline};
use impulse::server::{self, Health, Logs, Parts, Server};
use impulse::stream::embedded::{self, Repair};
use tempfile::TempDir;
use tokio::sync::broadcast;
use tonic::transport::Channel;

/// Where the clock of every test stands.
pub(crate) const NOW: Millis = Millis(1_700_000_000_000);

/// A running server and what it works with.
pub(crate) struct Serving {
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    server: Server,
    pipeline: Pipeline,
    _dir: TempDir,
}

impl Serving {
    pub(crate) async fn start() -> Self {
        Self::with(server::Config::default()).await
    }

    /// Starts with these settings, on free ports.
    pub(crate) async fn with(mut config: server::Config) -> Self {
        config.grpc_listen = "127.0.0.1:0".parse().unwrap();
        config.http_listen = "127.0.0.1:0".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let pipeline = start_pipeline(dir.path(), &metrics);
        let health = Health::starting("restoring the state");
        let (events, pipeline) = pipeline;
        let parts = Parts {
            view: pipeline.view().into(),
            ingest: pipeline.ingest(),
            events,
            logs: Some(Logs {
                triggers: pipeline.triggers(),
                dead_letters: pipeline.dead_letters(),
            }),
            health: health.clone(),
            metrics: Arc::clone(&metrics),
            clock: Clock::manual(NOW),
        };
        let listeners = server::bind(&config).await.unwrap();
        let server = server::start(config, listeners, parts).unwrap();
        health.set_ready();
        Self {
            health,
            metrics,
            grpc: server.grpc_address(),
            http: server.http_address(),
            server,
            pipeline,
            _dir: dir,
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn connection(&self) -> Connection {
        Connection::open(self.http).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.connection().await.ask(method, path, body).await
    }

    /// How many samples of a counter or gauge `/metrics` shows, summed over series that contain every one of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.metrics
            .render()
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    pub(crate) async fn stop(self) {
        self.health.set_draining();
        self.server.stop().await;
        let pipeline = self.pipeline;
        tokio::task::spawn_blocking(move || pipeline.stop())
            .await
            .unwrap();
    }
}

fn start_pipeline(
    dir: &Path,
    metrics: &Arc<Metrics>,
) -> (broadcast::Sender<Arc<impulse::domain::Event>>, Pipeline) {
    let rules = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/triggers.yaml"),
    );
    let engine = engine::Config {
        rules: Rules::parse(&rules.unwrap()).unwrap(),
        ..engine::Config::default()
    };
    let recovered = pipeline::recover(
        dir,
        &embedded::Config::default(),
        &engine,
        Repair::Refuse,
        metrics,
        |_| {},
    );
    let config = pipeline::Config {
        durability: Durability::Os,
        ..pipeline::Config::default()
    };
    let (events, _) = broadcast::channel(1_024);
    let pipeline = pipeline::start(
        recovered.unwrap(),
        &config,
        &Clock::manual(NOW),
        Arc::clone(metrics),
        events.clone(),
    );
    (events, pipeline)
}

pub(crate) use self::http1::{Connection, Reply};

/// A small client of HTTP/1.1 that shows what is on the wire.
mod http1 {
    use std::net::SocketAddr;
    use std::time::Duration;

    use serde_json::Value;
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpStream;

    /// A test that waits this long would wait forever.
    const HANGS_AFTER: Duration = Duration::from_mins(2);

    /// One connection, kept alive.
    pub(crate) struct Connection(BufReader<TcpStream>);

    /// An answer.
    #[derive(Debug)]
    pub(crate) struct Reply {
        pub(crate) status: u16,
        pub(crate) head: String,
        pub(crate) body: Vec<u8>,
    }

    impl Connection {
        pub(crate) async fn open(address: SocketAddr) -> Self {
            let stream = TcpStream::connect(address).await.unwrap();
            // Head and body are sent apart, and the second write is not to wait for the first one's receipt.
            stream.set_nodelay(true).unwrap();
            Self(BufReader::new(stream))
        }

        pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
            self.ask_with(method, path, "", body).await
        }

        /// Asks with more headers, each ended by CRLF.
        pub(crate) async fn ask_with(
            &mut self,
            method: &str,
            path: &str,
            headers: &str,
            body: &[u8],
        ) -> Reply {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n",
                body.len()
            );
            self.send(head.as_bytes()).await;
            self.send(body).await;
            self.reply().await
        }

        pub(crate) async fn send(&mut self, bytes: &[u8]) {
            self.0.get_mut().write_all(bytes).await.unwrap();
        }

        /// The status line and the headers, their names in lower case; empty if the connection was closed instead.
        pub(crate) async fn head(&mut self) -> String {
            let mut head = String::new();
            loop {
                let mut line = String::new();
                let read = self.0.read_line(&mut line).await.unwrap();
                if read == 0 || line == "\r\n" {
                    return head;
                }
                let name = line.find(':').unwrap_or(0);
                head.push_str(&line[..name].to_ascii_lowercase());
                head.push_str(&line[name..]);
            }
        }

        /// The next line; there must be one.
        pub(crate) async fn line(&mut self) -> String {
            self.line_if_open()
                .await
                .expect("the connection was closed")
        }

        /// The next line; `None` once the connection is closed.
        pub(crate) async fn line_if_open(&mut self) -> Option<String> {
            let mut line = String::new();
            let read = self.0.read_line(&mut line);
            let read = tokio::time::timeout(HANGS_AFTER, read)
                .await
                .expect("it hangs");
            (read.unwrap() > 0).then(|| line.trim_end().to_owned())
        }

        pub(crate) async fn reply(&mut self) -> Reply {
            let head = self.head().await;
            let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map(|length| length.trim().parse::<usize>().unwrap());
            let body = match length {
                Some(length) => self.exactly(length).await,
                None if head.contains("transfer-encoding: chunked") => self.chunks().await,
                None => Vec::new(),
            };
            Reply { status, head, body }
        }

        async fn exactly(&mut self, length: usize) -> Vec<u8> {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            body
        }

        async fn chunks(&mut self) -> Vec<u8> {
            let mut body = Vec::new();
            loop {
                let length = usize::from_str_radix(&self.line().await, 16).unwrap();
                body.extend(self.exactly(length).await);
                self.line().await;
                if length == 0 {
                    return body;
                }
            }
        }
    }

    impl Reply {
        pub(crate) fn text(&self) -> &str {
            std::str::from_utf8(&self.body).unwrap()
        }

        pub(crate) fn json(&self) -> Value {
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
        }

        /// The status of a gRPC call that failed before its answer began.
        pub(crate) fn grpc_status(&self) -> tonic::Status {
            let mut headers = http::HeaderMap::new();
            for (name, value) in self.head.lines().filter_map(|line| line.split_once(": ")) {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.insert(name, value.parse().unwrap());
            }
            tonic::Status::from_header_map(&headers).unwrap()
        }

        /// The reason of an error, after a look at its form.
        #[track_caller]
        pub(crate) fn reason(&self) -> String {
            let json = self.json();
            let error = &json["error"];
            assert_eq!(error["code"], self.status, "{json}");
            assert!(!error["message"].as_str().unwrap().is_empty(), "{json}");
            let details = error["details"].as_array().unwrap();
            let infos: Vec<_> = details
                .iter()
                .filter(|detail| detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo")
                .collect();
            assert_eq!(infos.len(), 1, "{json}");
            assert_eq!(infos[0]["domain"], impulse::server::ERROR_DOMAIN);
            infos[0]["reason"].as_str().unwrap().to_owned()
        }

        /// The fields that an error names.
        pub(crate) fn fields(&self) -> Vec<String> {
            let json = self.json();
            let details = json["error"]["details"].as_array().unwrap();
            let violations = details
                .iter()
                .filter_map(|detail| detail["fieldViolations"].as_array())
                .flatten();
            violations
                .map(|violation| violation["field"].as_str().unwrap().to_owned())
                .collect()
        }
    }
}
