//! Apache Kafka: events from it, triggers to it, each output together with the input position that caused it.
//!
//! Every partition has its own transactional producer and its own reader. One consumer, the [`Member`], belongs to
//! the group and says which partitions are ours; it reads nothing itself.

mod admin;
mod client;
mod commit;
mod config;
mod feed;
mod guarantee;
mod letters;
mod member;
mod output;
mod producer;
mod properties;
mod reader;
mod snapshot;
mod tail;
mod transaction;
mod trouble;

pub use self::admin::{Admin, AdminError};
pub use self::commit::{CommitRecord, Tick, chain};
pub use self::config::{Config, Guarantee, Start, Topics};
pub use self::feed::{Feed, FeedRecord, FeedTopic};
pub use self::guarantee::{Level, Reason, Safeguards, Verdict, Version, judge, safeguards};
pub use self::letters::{Letter, letters, put_back};
pub use self::member::{Change, Member};
pub use self::output::{
    IDENTITY_HEADER, Output, OutputTopic, SEQ_HEADER, TRANSACTION_HEADER, text_header,
};
pub use self::producer::{Placed, Producer};
pub use self::properties::Properties;
pub use self::reader::{Extent, Layout, Polled, Reader, layout};
pub use self::snapshot::{CHUNK_BYTES, Manifest, SnapshotKey, Stored, framed};
pub use self::tail::{Tail, Tailed};
pub use self::transaction::{SnapshotPart, Transaction};
pub use self::trouble::Trouble;
