//! The serving path: gRPC and HTTP over the same functions.

pub mod page;
