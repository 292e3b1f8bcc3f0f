//! Settings of the serving path.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Id;

/// Settings of the serving path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where gRPC is served.
    pub grpc_listen: SocketAddr,
    /// Where HTTP is served: API, metrics and page.
    pub http_listen: SocketAddr,
    /// Allows addresses other than loopback although nobody is asked who they are.
    pub insecure: bool,
    /// Longest time for a recommendation, an explanation or a profile, in milliseconds; a caller may ask for less.
    pub query_deadline_ms: u64,
    /// Longest time for every other call that is not a stream, in milliseconds; a caller may ask for less.
    pub request_deadline_ms: u64,
    /// Largest request, in bytes.
    pub request_bytes_max: usize,
    /// Most connections of each protocol.
    pub connections_max: usize,
    /// Most calls at once on one gRPC connection.
    pub connection_streams_max: u32,
    /// A gRPC connection is closed after this time, in milliseconds, so that load balancers can spread callers anew.
    pub connection_age_max_ms: u64,
    /// Calls on a connection that is being closed have this time to end, in milliseconds.
    pub connection_grace_ms: u64,
    /// When the server goes down, calls under way have this time to end, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// Most batches of one stream of events that wait for their acknowledgement.
    pub stream_batches_max: usize,
    /// The placement of `GET /recommendations/{userId}` when the request names none.
    pub default_placement: Id,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            grpc_listen: loopback(50_051),
            http_listen: loopback(8_080),
            insecure: false,
            query_deadline_ms: 200,
            request_deadline_ms: 10_000,
            request_bytes_max: 4 << 20,
            connections_max: 10_000,
            connection_streams_max: 1_000,
            connection_age_max_ms: 30 * 60 * 1_000,
            connection_grace_ms: 30_000,
            shutdown_grace_ms: 5_000,
            stream_batches_max: 4,
            default_placement: Id::const_new("home"),
        }
    }
}

impl Config {
    /// Everything that is wrong with these settings, one sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (name, address) in [
            ("grpc_listen", self.grpc_listen),
            ("http_listen", self.http_listen),
        ] {
            if !address.ip().is_loopback() && !self.insecure {
                mistakes.push(format!(
                    "server.{name} = {address}: callers are not asked who they are, so only loopback is allowed; \
                     use 127.0.0.1, or --insecure if a proxy guards this address"
                ));
            }
        }
        let positive = [
            ("query_deadline_ms", self.query_deadline_ms),
            ("request_deadline_ms", self.request_deadline_ms),
            ("connections_max", self.connections_max as u64),
            (
                "connection_streams_max",
                u64::from(self.connection_streams_max),
            ),
            ("connection_age_max_ms", self.connection_age_max_ms),
            ("stream_batches_max", self.stream_batches_max as u64),
        ];
        for (name, value) in positive {
            if value == 0 {
                mistakes.push(format!("server.{name} = 0: it must be at least 1"));
            }
        }
        if self.request_bytes_max < 1_024 {
            mistakes.push(format!(
                "server.request_bytes_max = {}: it must be at least 1024",
                self.request_bytes_max
            ));
        }
        mistakes
    }

    /// Longest time for a call of this sort.
    pub(super) fn deadline(&self, sort: Sort) -> Duration {
        Duration::from_millis(match sort {
            Sort::Query => self.query_deadline_ms,
            Sort::Request => self.request_deadline_ms,
        })
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A page waits for it.
    Query,
    /// Everything else that is not a stream.
    Request,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(Config::default().mistakes(), Vec::<String>::new());
    }

    #[test]
    fn an_open_address_needs_a_word() {
        let mut config = Config {
            http_listen: "0.0.0.0:8080".parse().unwrap(),
            ..Config::default()
        };
        let mistakes = config.mistakes();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].contains("server.http_listen") && mistakes[0].contains("--insecure"));
        config.insecure = true;
        assert!(config.mistakes().is_empty());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let config = Config {
            connections_max: 0,
            query_deadline_ms: 0,
            request_bytes_max: 10,
            ..Config::default()
        };
        assert_eq!(config.mistakes().len(), 3);
    }
}
