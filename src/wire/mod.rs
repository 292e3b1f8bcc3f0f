//! Bytes to words and back: every format that comes in or goes out.

pub mod proto;
