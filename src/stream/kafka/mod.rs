//! Apache Kafka: events from it, triggers to it.

mod admin;

pub use self::admin::{Admin, AdminError};
