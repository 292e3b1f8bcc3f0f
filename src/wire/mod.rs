//! Bytes to words and back: every format that comes in or goes out.
//!
//! Whatever comes from outside passes the gates of one place and leaves as a value of [`crate::domain`] or as a
//! [`Rejection`](crate::domain::Rejection) that names the field.

mod protobuf;
mod time;
mod check;
mod draft;
pub mod event;
pub mod item;
pub mod record;
pub mod json;
pub mod trigger;
pub mod cloudevents;
pub mod answer;
pub mod profile;
pub mod dead_letter;
pub mod connect;
pub mod datasets;
pub mod proto;
pub mod traceparent;

pub use self::check::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, BATCH_MAX, CATEGORIES_MAX, CONTEXT_MAX, FILTERS_MAX,
    LINES_MAX, QUANTITY_MAX, TEXT_BYTES_MAX,
};
