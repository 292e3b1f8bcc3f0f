//! All integration tests, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod datasets;
mod demo;
mod evaluate;
mod golden;
mod import;
mod kill;
mod log_crash;
mod log_faults;
mod log_model;
mod log_readers;
mod page;
mod process;
mod shop;
mod sim_disk;
mod tidy;
mod wire;
