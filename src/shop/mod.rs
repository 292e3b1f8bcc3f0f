//! A seeded shop: catalogue and visitors with intent, for the demo, the load tests and the simulation.
//!
//! [`Shop`] is what is sold; [`Traffic`] is what its visitors do, an endless stream of events in event-time order.
//! Both are functions of a seed: the same seed gives the same bytes on every machine. [`Funnel`] measures a stretch of
//! traffic, so that nobody has to believe that it looks like a shop's.

mod random;
mod departments;
mod catalogue;
mod season;
mod habits;
mod visitor;
mod traffic;
mod funnel;

pub use self::catalogue::{COMPANIONS_MAX, CURRENCY, Config, Product, Shop};
pub use self::funnel::Funnel;
pub use self::habits::Habits;
pub use self::season::evening_before;
pub use self::traffic::Traffic;
