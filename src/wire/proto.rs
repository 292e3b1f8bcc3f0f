//! The generated messages and services of `proto/impulse/v1`, with their canonical JSON form.

#![expect(clippy::pedantic, reason = "generated")]
#![allow(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code carries its own"
)]

include!(concat!(env!("OUT_DIR"), "/impulse.v1.rs"));
include!(concat!(env!("OUT_DIR"), "/impulse.v1.serde.rs"));

/// The compiled descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
