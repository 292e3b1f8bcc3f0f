//! Dead letters of a Kafka cluster: a topic of their own.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{Replay, Replayed, Which, show, tell};
use crate::cli::Output;
use crate::cli::exit::{self, Failure};
use crate::config::Config;
use crate::stream::kafka::{Letter, letters, put_back};

/// Columns of the table with the fields they show.
const COLUMNS: [&str; 7] = [
    "partition",
    "offset",
    "from",
    "stage",
    "reason",
    "field",
    "detail",
];

/// Which topic.
#[derive(Debug, Args)]
pub(super) struct Topic {
    /// Read the topic of a Kafka cluster instead of a server's log: where brokers are, host:port, several separated by
    /// commas.
    #[arg(long, value_name = "LIST")]
    brokers: Option<String>,
    /// Only this partition of the topic.
    #[arg(long, value_name = "P", requires = "brokers")]
    partition: Option<u32>,
    /// Settings in TOML, with the topics and the properties of section `kafka`.
    #[arg(long, value_name = "FILE", requires = "brokers")]
    config: Option<PathBuf>,
}

impl Topic {
    pub(super) fn is_given(&self) -> bool {
        self.brokers.is_some()
    }

    fn config(&self) -> Result<Arc<crate::stream::kafka::Config>, Failure> {
        let change = |config: &mut Config| {
            if let Some(brokers) = &self.brokers {
                config.kafka.brokers.clone_from(brokers);
            }
        };
        let config = Config::load(self.config.as_deref(), change)
            .map_err(|mistakes| Failure::new(exit::CONFIG, mistakes))?;
        Ok(Arc::new(config.kafka))
    }
}

pub(super) fn list(which: &Which, output: Output) -> Result<(), Failure> {
    let config = which.topic.config()?;
    let found = find(&config, which)?;
    let full = found.len() == which.limit as usize;
    let next = found.last().filter(|_| full).map(|last| {
        let (partition, from) = (last.partition, last.offset + 1);
        let brokers = &config.brokers;
        format!("impulse dlq list --brokers {brokers} --partition {partition} --from {from}")
    });
    let shown: Vec<Value> = found.iter().map(view).collect();
    show(&shown, &COLUMNS, &COLUMNS, next, output)
}

pub(super) fn replay(replay: &Replay, output: Output) -> Result<(), Failure> {
    let config = replay.which.topic.config()?;
    let found = find(&config, &replay.which)?;
    if replay.dry_run {
        let shown: Vec<Value> = found.iter().map(view).collect();
        return show(&shown, &COLUMNS, &COLUMNS, None, output);
    }
    // Of a value that was cut nothing is left to put back.
    let is_whole = |letter: &Letter| {
        let failed = letter.failed.as_ref();
        failed.is_some_and(|failed| failed.truncated_from.is_none())
    };
    let (whole, cut): (Vec<_>, Vec<_>) = found.into_iter().partition(is_whole);
    put_back(&config, &whole).map_err(|trouble| Failure::new(exit::UNAVAILABLE, trouble))?;
    let replayed = Replayed {
        accepted: whole.len(),
        refused: cut.len(),
        ..Replayed::default()
    };
    tell(replayed, output)
}

fn find(config: &Arc<crate::stream::kafka::Config>, which: &Which) -> Result<Vec<Letter>, Failure> {
    let from = i64::try_from(which.from.unwrap_or(0)).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    let take = |letter: Letter| {
        let reason = letter
            .failed
            .as_ref()
            .map_or("", |failed| failed.rejection.reason.name());
        if which.wants(reason) {
            found.push(letter);
        }
        found.len() < which.limit as usize
    };
    letters(config, which.topic.partition, from, take)
        .map_err(|trouble| Failure::new(exit::UNAVAILABLE, trouble))?;
    Ok(found)
}

fn view(letter: &Letter) -> Value {
    let failed = letter.failed.as_ref();
    let rejection = failed.map(|failed| &failed.rejection);
    json!({
        "partition": letter.partition,
        "offset": letter.offset,
        "from": failed.map(|failed| failed.source.to_string()),
        "stage": rejection.map(|rejection| rejection.stage.name()),
        "reason": rejection.map(|rejection| rejection.reason.name()),
        "field": rejection.map(|rejection| &rejection.field),
        "detail": rejection.map(|rejection| &rejection.detail),
        "key": letter.key.as_deref().map(String::from_utf8_lossy),
        "value": letter.value.as_deref().map(String::from_utf8_lossy),
    })
}
