//! Where records come from and go to.

pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod partitioner;
pub mod topology;
