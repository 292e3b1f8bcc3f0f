//! Ends a partition's transactions on a thread of its own, while the partition goes on.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use crate::clock::Stopwatch;
use crate::pipeline::run::{die, spawn};
use crate::stream::kafka::{Member, Placed, Producer, Transaction, Trouble};

/// Owns the producer of a partition; one transaction is under way at a time.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<SyncSender<Transaction>>,
    ended: Receiver<Ended>,
    thread: Option<JoinHandle<()>>,
}

/// A transaction, and what became of it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) transaction: Transaction,
    pub(super) placed: Result<Placed, Trouble>,
    pub(super) took_seconds: f64,
}

impl Committer {
    pub(super) fn start(mut producer: Producer, member: &Arc<Member>) -> Self {
        let (queue, transactions) = mpsc::sync_channel::<Transaction>(1);
        let (told, ended) = mpsc::sync_channel(1);
        let member = Arc::clone(member);
        let name = format!("kafka-commit-{}", producer.partition());
        let thread = spawn(&name, move || {
            for transaction in transactions {
                let watch = Stopwatch::start();
                let placed = producer.write(&transaction, &member);
                let ended = Ended {
                    transaction,
                    placed,
                    took_seconds: watch.seconds(),
                };
                if told.send(ended).is_err() {
                    return;
                }
            }
        });
        Self {
            queue: Some(queue),
            ended,
            thread: Some(thread),
        }
    }

    /// Begins to write a transaction; the one before it must have ended.
    pub(super) fn write(&self, transaction: Transaction) {
        let sent = self.queue.as_ref().map(|queue| queue.send(transaction));
        if !matches!(sent, Some(Ok(()))) {
            die(&"the thread that ends transactions is gone");
        }
    }

    /// The transaction under way, if it has ended.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.try_recv().ok()
    }

    /// Waits until the transaction under way has ended.
    pub(super) fn wait(&self) -> Ended {
        let ended = self.ended.recv();
        ended.unwrap_or_else(|_| die(&"the thread that ends transactions is gone"))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            die(&"the thread that ends transactions panicked");
        }
    }
}
