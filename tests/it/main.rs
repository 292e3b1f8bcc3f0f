//! All integration tests, in one binary.

mod page;
mod shop;
mod tidy;
mod wire;
