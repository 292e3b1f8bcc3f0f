//! All integration tests, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "a test that cannot go on has failed, and what it found is printed"
)]

mod abandonment;
mod broker;
mod datasets;
mod dashboards;
mod dead_letters;
mod demo;
mod evaluate;
mod golden;
mod grpc;
mod hostile_items;
mod http;
mod import;
#[cfg(feature = "kafka")]
mod kafka;
mod kafka_topology;
mod kill;
mod log_crash;
mod log_faults;
mod log_model;
mod log_readers;
mod oracle;
mod page;
mod process;
mod serving;
mod shop;
mod sim_disk;
mod tidy;
mod traces;
mod wire;
