//! `impulse topology diff` and `apply`: the part that asks a cluster.

use std::io::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Declared;
use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, Settings, serve, table};
use crate::config::Config;
use crate::stream::kafka::{Admin, AdminError};
use crate::stream::topology::{Cluster, Difference, Step, Topology, compare};

/// Which cluster, and how to reach it.
#[derive(Debug, Args)]
pub(crate) struct Brokers {
    /// Where brokers are: host:port, several separated by commas.
    #[arg(long = "brokers", value_name = "LIST", env = "IMPULSE__KAFKA__BROKERS")]
    list: String,
    #[command(flatten)]
    settings: Settings,
    /// A property of librdkafka, for TLS or SASL say, before those of the settings (`kafka.properties`); may be given
    /// many times.
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// How long a question may take.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Compare the topics with those of a cluster; exits with 1 if they differ.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the same, 1 different, 69 no broker answers or it will not, 78 the file of topics is wrong.\n\nExamples:\n  impulse topology diff --brokers 127.0.0.1:9092\n  impulse topology diff --brokers 127.0.0.1:9092 --replication 1 --output json"
)]
pub(crate) struct Diff {
    #[command(flatten)]
    cluster: Brokers,
    #[command(flatten)]
    declared: Declared,
}

/// Create what is missing and change what can be changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 65 refused, 69 no broker answers or it will not, 78 the file of topics is wrong.\n\nExamples:\n  impulse topology apply --brokers 127.0.0.1:9092 --replication 1\n  impulse topology apply --brokers kafka:9093 -X security.protocol=SSL -X ssl.ca.location=/etc/kafka/ca.pem"
)]
pub(crate) struct Apply {
    #[command(flatten)]
    cluster: Brokers,
    #[command(flatten)]
    declared: Declared,
    /// Change what is kept, though records may be lost with it: a shorter retention, another cleanup.
    #[arg(long)]
    force: bool,
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE, such as security.protocol=SASL_SSL".to_owned()),
    }
}

impl Brokers {
    fn admin(&self) -> Result<Admin, Failure> {
        let config = Config::load(self.settings.config.as_deref(), |_| {})
            .map_err(|mistakes| Failure::new(exit::CONFIG, mistakes))?;
        let mut properties = config.kafka.properties;
        properties.extend(self.properties.iter().cloned());
        Admin::new(&self.list, &properties, self.timeout).map_err(failure)
    }

    /// The flags that lead to the same cluster; of the properties, which may be secret, only that there were some.
    fn flags(&self, declared: &Declared) -> String {
        let settings = self.settings.config.iter();
        let file = declared.file.iter();
        let copies = declared.replication.iter();
        let mut flags = vec![format!("--brokers {}", self.list)];
        flags.extend(settings.map(|file| format!("--config {}", file.display())));
        flags.extend(file.map(|file| format!("--file {}", file.display())));
        flags.extend(copies.map(|copies| format!("--replication {copies}")));
        if !self.properties.is_empty() {
            flags.push("-X ...".to_owned());
        }
        flags.join(" ")
    }
}

pub(super) fn diff(diff: &Diff, output: Output) -> Result<(), Failure> {
    let topology = diff.declared.read()?;
    let admin = diff.cluster.admin()?;
    let cluster = serve::runtime()?
        .block_on(admin.observe(&topology))
        .map_err(failure)?;
    let differences = compare(&topology, &cluster, false);
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let document = json!({ "same": differences.is_empty(), "differences": list(&differences) });
        writeln!(out, "{document}")?;
    } else if differences.is_empty() {
        writeln!(out, "{}", agree(&topology, &cluster))?;
    } else {
        describe(&mut out, &differences)?;
        if !output.quiet {
            let flags = diff.cluster.flags(&diff.declared);
            writeln!(out, "\nnext: impulse topology apply {flags}")?;
        }
    }
    out.flush()?;
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Failure::silent(exit::DIFFERENT))
    }
}

pub(super) fn apply(apply: &Apply, output: Output) -> Result<(), Failure> {
    let topology = apply.declared.read()?;
    let admin = apply.cluster.admin()?;
    let runtime = serve::runtime()?;
    let cluster = runtime
        .block_on(admin.observe(&topology))
        .map_err(failure)?;
    let differences = compare(&topology, &cluster, apply.force);
    let is_refused = |difference: &&Difference| matches!(difference.step, Step::Refuse { .. });
    let refused = differences.iter().filter(is_refused).count();
    if refused == 0 {
        runtime
            .block_on(admin.apply(&topology, &cluster, &differences))
            .map_err(failure)?;
    }
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let document = json!({ "applied": refused == 0, "steps": list(&differences) });
        writeln!(out, "{document}")?;
    } else if differences.is_empty() {
        writeln!(out, "{}: nothing to do", agree(&topology, &cluster))?;
    } else {
        describe(&mut out, &differences)?;
    }
    if refused > 0 {
        out.flush()?;
        let message = format!(
            "nothing was done: {refused} of {} refused",
            differences.len()
        );
        return Err(Failure::new(exit::DATA, message));
    }
    if output.format == Format::Table && !output.quiet {
        let flags = apply.cluster.flags(&apply.declared);
        writeln!(out, "\nnext: impulse topology diff {flags}")?;
    }
    out.flush()?;
    Ok(())
}

fn agree(topology: &Topology, cluster: &Cluster) -> String {
    let (topics, brokers) = (topology.topics().len(), cluster.brokers);
    format!("{topics} topics on {brokers} broker(s) are as declared")
}

fn describe(out: &mut impl std::io::Write, differences: &[Difference]) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = differences
        .iter()
        .map(|difference| {
            vec![
                difference.topic.clone(),
                difference.setting.clone(),
                difference.wanted.clone(),
                difference.found.clone().unwrap_or_else(|| "missing".into()),
                difference.step.name().to_owned(),
            ]
        })
        .collect();
    let head = ["topic", "what", "declared", "cluster", "step"];
    table::write(out, &head, &rows)?;
    for difference in differences {
        if let Step::Refuse { why, instead } = &difference.step {
            let Difference { topic, setting, .. } = difference;
            writeln!(out, "\n{topic}, {setting}: {why}\n  instead: {instead}")?;
        }
    }
    Ok(())
}

fn list(differences: &[Difference]) -> Vec<serde_json::Value> {
    let one = |difference: &Difference| {
        let (why, instead) = match &difference.step {
            Step::Refuse { why, instead } => (Some(why), Some(instead)),
            Step::Create | Step::Grow | Step::Set => (None, None),
        };
        json!({
            "topic": difference.topic,
            "what": difference.setting,
            "declared": difference.wanted,
            "cluster": difference.found,
            "step": difference.step.name(),
            "why": why,
            "instead": instead,
        })
    };
    differences.iter().map(one).collect()
}

fn failure(error: AdminError) -> Failure {
    match &error {
        AdminError::Property { .. } => {
            let hint = if cfg!(feature = "kafka-tls") {
                ""
            } else {
                "; TLS, SCRAM and OAUTHBEARER need a build with --features kafka-tls"
            };
            Failure::new(exit::CONFIG, format!("{error}{hint}"))
        }
        AdminError::Unreachable { .. } => Failure::new(
            exit::UNAVAILABLE,
            format!("{error}; start a broker of your own with: topology/kafka/broker up"),
        ),
        AdminError::Distrusted { .. } | AdminError::Refused { .. } => {
            Failure::new(exit::UNAVAILABLE, error)
        }
    }
}
