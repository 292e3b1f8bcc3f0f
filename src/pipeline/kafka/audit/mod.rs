//! The audit: reads back, all the time, what the partitions of this process write, and compares it with their commit
//! records. So a broker that loses or invents records is noticed while the engine runs, not when it next starts.
//!
//! It hinders nobody: it has one thread and one consumer of its own, holds little, and if it cannot read it just waits.
//! What it finds it tells; where taking the partition over again helps, the partition does that.

mod auditor;
mod finding;
mod ledger;
mod source;
mod transaction;

use std::cell::RefCell;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::metrics::Metrics;
use crate::pipeline::run::spawn;
use crate::stream::kafka::{Config, Guarantee, Tail, Trouble};

use self::auditor::Auditor;
pub(super) use self::source::Since;

/// The way to the audit.
#[derive(Clone, Debug)]
pub(super) struct Audit(Option<Sender<Order>>);

/// What the audit is told.
#[derive(Debug)]
enum Order {
    /// A partition was taken over.
    Follow {
        partition: u32,
        since: Since,
        doubt: Doubt,
    },
    /// A partition was given up; what is not judged yet is for whoever takes it over.
    Leave { partition: u32 },
}

/// Why a partition is to be taken over again, once there is a reason.
#[derive(Clone, Debug, Default)]
struct Doubt(Arc<OnceLock<String>>);

impl Doubt {
    fn tell(&self, why: &str) {
        self.0.get_or_init(|| why.to_owned());
    }

    fn told(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Audit {
    /// Starts the audit, and its thread, which ends when all ways to it are gone. Without transactions repeats are
    /// allowed and nothing can be compared: then there is none.
    ///
    /// # Errors
    ///
    /// If the client refuses the settings.
    pub(super) fn start(
        config: &Arc<Config>,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, Option<JoinHandle<()>>), Trouble> {
        if config.guarantee != Guarantee::ExactlyOnce {
            return Ok((Self(None), None));
        }
        let (sender, orders) = mpsc::channel();
        let auditor = Auditor::new(Tail::open(config)?, orders, config, metrics);
        let thread = spawn("kafka-audit", move || auditor.run());
        Ok((Self(Some(sender)), Some(thread)))
    }

    /// The audit of one partition.
    pub(super) fn of(&self, partition: u32) -> Audited {
        Audited {
            partition,
            audit: self.clone(),
            doubt: RefCell::default(),
        }
    }

    fn tell(&self, order: Order) {
        if let Some(sender) = &self.0 {
            // It has nothing to say any more if it ended.
            drop(sender.send(order));
        }
    }
}

/// The audit of one partition, as the partition sees it. It ends with this value.
#[derive(Debug)]
pub(super) struct Audited {
    partition: u32,
    audit: Audit,
    doubt: RefCell<Doubt>,
}

impl Audited {
    /// The partition was taken over, and the log is right up to here. What was found before is forgotten.
    pub(super) fn follow(&self, since: Since) {
        let doubt = Doubt::default();
        self.doubt.replace(doubt.clone());
        self.audit.tell(Order::Follow {
            partition: self.partition,
            since,
            doubt,
        });
    }

    /// Whether the partition may go on.
    ///
    /// # Errors
    ///
    /// If what was read back since the take-over is a reason for another.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        match self.doubt.borrow().told() {
            Some(why) => Err(Trouble::Contradicted {
                detail: why.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        self.audit.tell(Order::Leave {
            partition: self.partition,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_of_the_time_before_a_take_over_is_forgotten() {
        let (sender, orders) = mpsc::channel();
        let audited = Audit(Some(sender)).of(3);
        let doubt = || match orders.try_recv().unwrap() {
            Order::Follow { doubt, .. } => doubt,
            order @ Order::Leave { .. } => panic!("{order:?}"),
        };
        audited.follow(Since::default());
        let first = doubt();
        assert_eq!(audited.check(), Ok(()));
        first.tell("a record is missing");
        first.tell("and another");
        let trouble = audited.check().unwrap_err();
        assert!(trouble.to_string().contains("a record is missing"));

        audited.follow(Since::default());
        assert_eq!(audited.check(), Ok(()));
        first.tell("too late");
        assert_eq!(audited.check(), Ok(()));
        doubt().tell("another");
        assert_eq!(audited.check().unwrap_err().name(), "contradicted");

        drop(audited);
        let order = orders.try_recv().unwrap();
        assert!(matches!(order, Order::Leave { partition: 3 }), "{order:?}");
    }
}
