//! Every metric: name, unit, labels and help.
//!
//! [`Metrics`] is a value: whoever counts is given it. Base units; `_total` on counters; labels come from small closed
//! sets and are never an id.

use std::sync::{Arc, OnceLock};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::domain::{EventKind, Input, TriggerKind, TriggerReason};

/// Edges of what a query takes, with one at each objective: 1, 2, 5 and 10 ms.
const REQUEST_SECONDS: &[f64] = &[
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0,
];
/// Edges of a part of a query.
const STAGE_SECONDS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_03, 0.000_06, 0.000_15, 0.000_5, 0.001, 0.005, 0.025, 0.1,
];
/// Edges of receipt to servable, with one at each objective: 10 ms and 1 s.
const SERVABLE_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Edges of due to committed, with one at each objective: 10 ms, 20 ms and 60 s.
const TRIGGER_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.05, 0.15, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0,
];
/// Edges of a write to disk.
const FSYNC_SECONDS: &[f64] = &[
    0.0001, 0.0003, 0.001, 0.002, 0.004, 0.008, 0.016, 0.05, 0.1, 0.5, 2.0,
];
/// Edges of a transaction, with one at the objective: 150 ms.
const TRANSACTION_SECONDS: &[f64] = &[
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.5, 1.0, 2.0, 5.0,
];
/// Edges of work on the whole state, with one at each objective: 300 ms and 1 s.
const STATE_SECONDS: &[f64] = &[
    0.001, 0.01, 0.05, 0.1, 0.3, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0,
];

/// Declares [`Metrics`] and its constructor from one list of
/// `field: type = make("name", "help", labels or edges);` lines.
macro_rules! metrics {
    ($($field:ident: $kind:ty = $make:ident($name:literal, $help:literal $(, $rest:expr)* $(,)?);)+) => {
        /// Every metric of the process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind,)+
        }

        impl Metrics {
            /// All metrics at zero, in a registry of their own.
            pub fn new() -> Self {
                let registry = Registry::new();
                $(let $field = $make(&registry, $name, $help $(, $rest)*);)+
                Self { registry, $($field,)+ }
            }
        }
    };
}

metrics! {
    // Intake, in the order of the data path.
    events: IntCounterVec = counters("impulse_events_total", "Input records by kind, way in and what became of them.", &["kind", "source", "result"]);
    events_rejected: IntCounterVec = counters("impulse_events_rejected_total", "Input records that were refused, by reason.", &["reason"]);
    dead_letters: IntCounterVec = counters("impulse_dead_letters_total", "Records written to the dead-letter log, by reason.", &["reason"]);
    event_to_servable: HistogramVec = histograms("impulse_event_to_servable_seconds", "Time from receipt of an event until answers show it.", &["source"], SERVABLE_SECONDS);
    intake_refused: IntCounterVec = counters("impulse_intake_refused_total", "Batches that were not taken and not acknowledged, by reason.", &["reason"]);
    intake_queue_records: IntGauge = gauge("impulse_intake_queue_records", "Records that wait for the writer.");
    limits_reached: IntCounterVec = counters("impulse_limits_reached_total", "How often a configured limit was reached, by limit.", &["limit"]);

    // Event time.
    watermark_delay: Gauge = float_gauge("impulse_watermark_delay_seconds", "Wall time minus watermark.");
    idle_hold: IntGauge = gauge("impulse_idle_hold_active", "1 while silence does not advance event time.");

    // Serving.
    grpc_requests: IntCounterVec = counters("impulse_grpc_requests_total", "gRPC calls by service, method and code.", &["service", "method", "code"]);
    grpc_request_seconds: HistogramVec = histograms("impulse_grpc_request_seconds", "Time spent on a gRPC call until its answer begins.", &["service", "method", "code"], REQUEST_SECONDS);
    http_requests: IntCounterVec = counters("impulse_http_requests_total", "HTTP requests by route, method and status.", &["route", "method", "status"]);
    http_request_seconds: HistogramVec = histograms("impulse_http_request_seconds", "Time spent on an HTTP request until its answer begins.", &["route", "method", "status"], REQUEST_SECONDS);
    connections_open: IntGaugeVec = gauges("impulse_connections_open", "Connections that are open, by protocol.", &["protocol"]);
    panics: IntCounterVec = counters("impulse_panics_total", "Requests that hit a bug and were answered INTERNAL, by protocol.", &["protocol"]);
    stream_missed: IntCounter = counter("impulse_stream_missed_total", "Records that readers of the page's stream were too slow for.");

    // Recommendations.
    recommendations: IntCounterVec = counters("impulse_recommendations_total", "Answers by placement, first ladder step and use of the shopper's own behaviour.", &["placement", "step", "personalized"]);
    recommendation_empty: IntCounterVec = counters("impulse_recommendation_empty_total", "Answers without an item, by placement.", &["placement"]);
    recommendation_stage_seconds: HistogramVec = histograms("impulse_recommendation_stage_seconds", "Time spent on a part of an answer: wait for the position, engine, encode.", &["stage"], STAGE_SECONDS);

    // Triggers.
    triggers: IntCounterVec = counters("impulse_triggers_total", "Records of the trigger log by rule and kind.", &["rule", "kind"]);
    triggers_suppressed: IntCounterVec = counters("impulse_triggers_suppressed_total", "Episodes that ended without a FIRE, by rule and reason.", &["rule", "reason"]);
    trigger_delay: HistogramVec = histograms("impulse_trigger_delay_seconds", "Time from the step that made a trigger due until its record is committed.", &["rule"], TRIGGER_SECONDS);
    episodes_open: IntGauge = gauge("impulse_episodes_open", "Episodes that wait for their deadline.");

    // State.
    state_bytes: IntGaugeVec = gauges("impulse_state_bytes", "Estimated bytes of state, by class.", &["class"]);
    profiles: IntGauge = gauge("impulse_profiles", "Shoppers known.");
    items: IntGauge = gauge("impulse_items", "Items known.");
    pairs: IntGauge = gauge("impulse_pairs", "Entries in co-occurrence and transition rows.");
    position: IntGauge = gauge("impulse_log_position", "Input records applied.");

    // Log, snapshots and recovery.
    log_fsync_seconds: Histogram = histogram("impulse_log_fsync_seconds", "Time of one fdatasync of the log.", FSYNC_SECONDS);
    log_bytes: IntGauge = gauge("impulse_log_bytes", "Bytes appended to the log since the start.");
    log_truncated: IntCounter = counter("impulse_log_truncated_total", "Torn last frames that were cut off at start.");
    snapshot_age: Gauge = float_gauge("impulse_snapshot_age_seconds", "Age of the newest valid snapshot.");
    snapshot_seconds: Histogram = histogram("impulse_snapshot_seconds", "Time to take a snapshot.", STATE_SECONDS);
    restore_progress: Gauge = float_gauge("impulse_restore_progress_ratio", "Part of the log that has been read at start, 0 to 1.");
    restore_seconds: Histogram = histogram("impulse_restore_seconds", "Time from start until the state was restored.", STATE_SECONDS);
    replay_divergence: IntCounter = counter("impulse_replay_divergence_total", "Outputs that replay computed differently from the log.");

    // Kafka.
    consumer_lag_records: IntGaugeVec = gauges("impulse_consumer_lag_records", "Records left to read: behind the applied position, which is at most one transaction ahead of the committed one, or behind the latter while the partition is not followed.", &["topic", "partition"]);
    consumer_lag_seconds: GaugeVec = float_gauges("impulse_consumer_lag_seconds", "Age of the last applied record while there is a lag, at most since nothing was left; grows while the broker does not say.", &["topic", "partition"]);
    kafka_transaction_seconds: Histogram = histogram("impulse_kafka_transaction_seconds", "Time from the begin of a transaction until it is committed.", TRANSACTION_SECONDS);
    kafka_outputs: IntCounterVec = counters("impulse_kafka_outputs_total", "Records written and committed, by topic.", &["topic"]);
    kafka_take_overs: IntCounter = counter("impulse_kafka_take_overs_total", "Partitions taken over, with their state read from the topics.");
    kafka_renewals: IntCounter = counter("impulse_kafka_renewals_total", "Partitions that went on after trouble with the state they had.");
    kafka_troubles: IntCounterVec = counters("impulse_kafka_troubles_total", "Times that a partition or the group could not go on, by reason.", &["reason"]);
    kafka_partitions_live: IntGauge = gauge("impulse_kafka_partitions_live", "Partitions that this process follows.");
    kafka_misrouted: IntCounter = counter("impulse_kafka_misrouted_total", "Events outside the partition of their shopper: keyed by something else, or by another partitioner.");
    kafka_skipped_records: IntCounter = counter("impulse_kafka_skipped_records_total", "Offsets that retention removed before they were read.");
    kafka_audited_transactions: IntCounter = counter("impulse_kafka_audited_transactions_total", "Transactions that were read back and found whole.");
    kafka_audit_findings: IntCounterVec = counters("impulse_kafka_audit_findings_total", "What was read back and is not what was written, by kind.", &["kind"]);
    txn_torn: IntCounter = counter("impulse_txn_torn_total", "Outputs found without their transaction, which are not written twice.");
    txn_lost_repaired: IntCounter = counter("impulse_txn_lost_repaired_total", "Outputs missing from their transaction, which were written again.");
    txn_repeated: IntCounter = counter("impulse_txn_repeated_total", "Outputs found more than once.");

    // What is running.
    guarantee_info: IntGaugeVec = gauges("impulse_guarantee_info", "1 for the delivery guarantee in force, with the reason for its level.", &["level", "reason"]);
    build_info: IntGaugeVec = gauges("impulse_build_info", "1 for the running build.", &["version", "commit"]);
}

impl Metrics {
    /// All metrics in the text format that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // The encoder fails only on a family without metrics, which `gather` leaves out.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        text
    }

    /// Counts that a limit was reached; `limit` is the name of its setting.
    pub fn limit_reached(&self, limit: &'static str) {
        self.limits_reached.with_label_values(&[limit]).inc();
    }

    /// Counts a record of the trigger log.
    pub fn count_trigger(&self, rule: &str, kind: TriggerKind, reason: TriggerReason) {
        self.triggers.with_label_values(&[rule, kind.name()]).inc();
        if kind == TriggerKind::Suppressed {
            let labels = [rule, reason.name()];
            self.triggers_suppressed.with_label_values(&labels).inc();
        }
    }

    /// Counters of one way in, for a writer that counts every record.
    pub fn intake(self: &Arc<Self>, source: &'static str) -> IntakeCounters {
        IntakeCounters {
            metrics: Arc::clone(self),
            source,
            cells: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of an input record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeResult {
    /// Part of the log and of the state.
    Applied,
    /// Known before.
    Duplicate,
    /// Part of the log, too late for triggers.
    Late,
    /// In the dead-letter log.
    Rejected,
}

impl IntakeResult {
    const COUNT: usize = 4;

    const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Rejected => "rejected",
        }
    }
}

/// What kind of input record it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeKind {
    /// A shopper's event.
    Event(EventKind),
    /// An item was added or changed.
    ItemUpsert,
    /// An item was taken out.
    ItemDelete,
    /// The owner's clock.
    Tick,
    /// It could not be read.
    Unknown,
}

impl IntakeKind {
    const COUNT: usize = EventKind::ALL.len() + 4;

    const fn name(self) -> &'static str {
        match self {
            Self::Event(kind) => kind.name(),
            Self::ItemUpsert => "item_upsert",
            Self::ItemDelete => "item_delete",
            Self::Tick => "tick",
            Self::Unknown => "unknown",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Tick => 1,
            Self::ItemDelete => 2,
            Self::ItemUpsert => 3,
            Self::Event(kind) => 4 + kind as usize,
        }
    }
}

impl From<&Input> for IntakeKind {
    fn from(input: &Input) -> Self {
        match input {
            Input::Event(event) => Self::Event(event.kind),
            Input::ItemUpsert(_) => Self::ItemUpsert,
            Input::ItemDelete(_) => Self::ItemDelete,
            Input::Tick { .. } => Self::Tick,
        }
    }
}

/// `impulse_events_total` of one way in, with the label look-up done once a series.
#[derive(Debug)]
pub struct IntakeCounters {
    metrics: Arc<Metrics>,
    source: &'static str,
    cells: [OnceLock<IntCounter>; IntakeKind::COUNT * IntakeResult::COUNT],
}

impl IntakeCounters {
    /// Counts one record.
    pub fn count(&self, kind: IntakeKind, result: IntakeResult) {
        let cell = kind.index() * IntakeResult::COUNT + result as usize;
        if let Some(cell) = self.cells.get(cell) {
            cell.get_or_init(|| {
                self.metrics
                    .events
                    .with_label_values(&[kind.name(), self.source, result.name()])
            })
            .inc();
        }
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::new(name, help))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn float_gauge(registry: &Registry, name: &str, help: &str) -> Gauge {
    registered(registry, Gauge::new(name, help))
}

fn float_gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(registry, GaugeVec::new(Opts::new(name, help), labels))
}

fn histogram(registry: &Registry, name: &str, help: &str, edges: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(edges.to_vec());
    registered(registry, Histogram::with_opts(options))
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    edges: &[f64],
) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(edges.to_vec());
    registered(registry, HistogramVec::new(options, labels))
}

#[expect(
    clippy::expect_used,
    reason = "names, labels and edges are constants of this file; its tests build every one"
)]
fn registered<C>(registry: &Registry, metric: prometheus::Result<C>) -> C
where
    C: prometheus::core::Collector + Clone + 'static,
{
    let metric = metric.expect("a valid metric");
    registry
        .register(Box::new(metric.clone()))
        .expect("a name of its own");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_and_renders() {
        let metrics = Metrics::new();
        metrics.limit_reached("events_max");
        metrics
            .build_info
            .with_label_values(&["0.1.0", "unknown"])
            .set(1);
        let text = metrics.render();
        assert!(text.contains("impulse_limits_reached_total{limit=\"events_max\"} 1"));
        assert!(text.contains("# TYPE impulse_log_fsync_seconds histogram"));
        assert!(text.contains("impulse_build_info{commit=\"unknown\",version=\"0.1.0\"} 1"));
    }

    #[test]
    fn intake_counts_each_kind_and_result_in_its_own_series() {
        let metrics = Arc::new(Metrics::new());
        let intake = metrics.intake("grpc");
        for kind in EventKind::ALL {
            intake.count(IntakeKind::Event(kind), IntakeResult::Applied);
        }
        intake.count(IntakeKind::Unknown, IntakeResult::Rejected);
        intake.count(IntakeKind::Unknown, IntakeResult::Rejected);
        intake.count(IntakeKind::ItemUpsert, IntakeResult::Applied);
        let text = metrics.render();
        for kind in EventKind::ALL {
            let series = format!(
                "impulse_events_total{{kind=\"{}\",result=\"applied\",source=\"grpc\"}} 1",
                kind.name()
            );
            assert!(text.contains(&series), "{series}\n{text}");
        }
        assert!(text.contains(
            "impulse_events_total{kind=\"unknown\",result=\"rejected\",source=\"grpc\"} 2"
        ));
        assert!(text.contains(
            "impulse_events_total{kind=\"item_upsert\",result=\"applied\",source=\"grpc\"} 1"
        ));
    }

    #[test]
    fn names_follow_the_rules() {
        let source = include_str!("metrics.rs");
        let mut names = Vec::new();
        for line in source.lines().filter(|line| line.starts_with("    ")) {
            let Some((declaration, rest)) = line.split_once("(\"impulse_") else {
                continue;
            };
            let name = rest.split('"').next().unwrap();
            let counter = declaration.ends_with("= counter") || declaration.ends_with("= counters");
            assert_eq!(counter, name.ends_with("_total"), "{name}");
            assert!(
                !declaration.contains("histogram") || name.ends_with("_seconds"),
                "{name}"
            );
            names.push(name);
        }
        assert!(names.len() > 30, "{names:?}");
    }
}
