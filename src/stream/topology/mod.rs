//! The topics that a cluster needs, as `topology/topics.yaml` declares them, and what a broker lacks of them.
//!
//! Nothing here asks a broker: what it has is a [`Cluster`], and what is to be done about it a list of [`Difference`]s.

mod spec;
mod declaration;
mod plan;

pub use self::declaration::TopicsError;
pub use self::plan::{Cluster, Difference, Found, Step, compare};
pub use self::spec::{Cleanup, Retention, Role, Topic, Topology};
