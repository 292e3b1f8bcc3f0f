//! All integration tests, in one binary.

mod log_crash;
mod page;
mod shop;
mod sim_disk;
mod tidy;
mod wire;
