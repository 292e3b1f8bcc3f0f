//! Impulse: a streaming real-time decision engine for e-commerce.
//!
//! The modules stand in the order data walks them: words ([`domain`]), bytes to words ([`wire`]), decisions
//! ([`engine`]), then the shell that carries decisions out.

pub mod domain;
pub mod wire;
pub mod engine;
pub mod shop;
pub mod clock;
pub mod evaluate;
pub mod metrics;
pub mod stream;
pub mod pipeline;
pub mod server;
pub mod config;
pub mod app;
pub mod cli;
