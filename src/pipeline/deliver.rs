//! The deliverer thread: makes frames durable, then acknowledges them and hands on what they hold.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::clock::Stopwatch;
use crate::domain::{Event, Seq};
use crate::metrics::Metrics;
use crate::pipeline::Durability;
use crate::pipeline::run::die;
use crate::pipeline::writer::Ack;
use crate::stream::embedded::{AppendError, FrameBuilder, SyncHandle, Topics};

/// How long the deliverer waits before it tries a full disk again.
const DISK_FULL_PAUSE: Duration = Duration::from_millis(100);
/// The longest that acknowledged data stays only with the operating system when durability is `os`.
const OS_SYNC_INTERVAL: Duration = Duration::from_millis(200);

/// A frame that is in the log but perhaps not yet on disk.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) builder: FrameBuilder,
    pub(super) acks: Vec<Ack>,
    pub(super) live: Vec<Arc<Event>>,
}

/// The deliverer's own things.
#[derive(Debug)]
pub(super) struct Deliverer {
    pub(super) sync: SyncHandle,
    pub(super) topics: Topics,
    pub(super) durability: Durability,
    pub(super) metrics: Arc<Metrics>,
    pub(super) trigger_seq: watch::Sender<Seq>,
    pub(super) spare: Sender<FrameBuilder>,
    pub(super) events: broadcast::Sender<Arc<Event>>,
}

impl Deliverer {
    /// Runs until the writer ends; one fdatasync serves all frames that wait.
    pub(super) fn run(mut self, written: &Receiver<Written>) {
        let mut frames = Vec::new();
        while let Ok(first) = written.recv() {
            frames.push(first);
            frames.extend(written.try_iter());
            if self.durability == Durability::Sync {
                make_durable(&self.sync, &self.metrics);
            }
            for frame in frames.drain(..) {
                self.deliver(frame);
            }
        }
        make_durable(&self.sync, &self.metrics);
        if let Err(error) = self.topics.sync() {
            die(&error);
        }
    }

    fn deliver(
        &mut self,
        Written {
            builder,
            acks,
            live,
        }: Written,
    ) {
        while let Err(error) = self.topics.append(&builder.frame()) {
            let AppendError::DiskFull { .. } = error else {
                die(&error)
            };
            std::thread::sleep(DISK_FULL_PAUSE);
        }
        let (before, after) = (builder.before().trigger, builder.after().trigger);
        if after > before {
            self.trigger_seq.send_replace(after);
        }
        for ack in acks {
            // A caller who no longer waits has no use for the answer.
            drop(ack.reply.send(Ok(ack.receipt)));
        }
        for event in live {
            // Whoever listened may be gone.
            drop(self.events.send(event));
        }
        drop(self.spare.send(builder));
    }
}

/// Makes the log durable every so often while acknowledgements do not wait for it.
pub(super) fn sync_in_background(sync: &SyncHandle, stop: &Receiver<()>, metrics: &Metrics) {
    while stop.recv_timeout(OS_SYNC_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        make_durable(sync, metrics);
    }
}

fn make_durable(sync: &SyncHandle, metrics: &Metrics) {
    let watch = Stopwatch::start();
    if let Err(error) = sync.sync() {
        die(&error);
    }
    metrics.log_fsync_seconds.observe(watch.seconds());
}
