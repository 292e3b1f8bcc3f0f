//! The partitions of this process: follows the group, starts a thread for each partition that becomes ours and ends
//! those that are taken away.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Deadline, Stopwatch};
use crate::pipeline::run::{die, spawn};
use crate::stream::kafka::{Change, Layout, Member, Trouble, layout};

use super::assurance::Assurance;
use super::lag::Lag;
use super::shard::{Common, Control, Order, Shard};

/// Pause between attempts to reach the brokers or to join the group.
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause while the brokers refuse us: only somebody can change that, and brokers lock out who insists.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest pause of a member that was fenced again and again.
const FENCED_PAUSE_MAX: Duration = Duration::from_mins(5);
/// How long one look at the group takes.
const LOOK: Duration = Duration::from_millis(100);
/// How often the number of partitions is checked.
const CHECK: Duration = Duration::from_secs(10);
/// How long trouble of the member is told after it was last heard.
const TROUBLE: Duration = Duration::from_secs(3);
/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(8);

/// The partitions of this process.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) common: Common,
    /// How many partitions there are; 0 until the brokers say.
    pub(super) partitions: Arc<AtomicU32>,
    pub(super) assurance: RefCell<Assurance>,
    pub(super) stop: Receiver<()>,
}

#[derive(Debug)]
struct Running {
    control: Control,
    thread: JoinHandle<()>,
}

/// A membership under way.
#[derive(Debug)]
struct Crew {
    member: Arc<Member>,
    changes: Receiver<Change>,
    polling: Option<JoinHandle<()>>,
    leaving: Arc<AtomicBool>,
    shards: BTreeMap<u32, Running>,
    partitions: u32,
}

impl Fleet {
    /// Runs until it is told to stop.
    pub(super) fn run(self) {
        let mut pause = RETRY;
        while !self.is_stopped() {
            let watch = Stopwatch::start();
            let followed = self.look_up().and_then(|count| {
                self.common.board.trouble(None);
                self.follow(count)
            });
            let Err(trouble) = followed else {
                return;
            };
            report(&self.common, &trouble);
            let longest = pause_max(&trouble);
            if watch.elapsed() > longest {
                pause = RETRY;
            }
            self.pause(pause.min(longest));
            pause = (pause * 2).min(longest);
        }
    }

    fn look_up(&self) -> Result<u32, Trouble> {
        let known = self.partitions.load(Ordering::Acquire);
        let Layout {
            partitions: count,
            replicas,
        } = layout(&self.common.config, (known > 0).then_some(known))?;
        let mut assurance = self.assurance.borrow_mut();
        assurance.check(&self.common.config, replicas, &self.common.metrics)?;
        self.partitions.store(count, Ordering::Release);
        self.common.views.resize(count);
        Ok(count)
    }

    /// Joins the group and follows it until the process stops, the membership is lost for good, or the topics change.
    fn follow(&self, partitions: u32) -> Result<(), Trouble> {
        let (sender, changes) = mpsc::channel();
        let member = Arc::new(Member::join(&self.common.config, sender)?);
        let leaving = Arc::new(AtomicBool::new(false));
        let polling = {
            let (member, leaving) = (Arc::clone(&member), Arc::clone(&leaving));
            let common = self.common.clone();
            spawn("kafka-member", move || poll(&member, &leaving, &common))
        };
        let mut crew = Crew {
            member,
            changes,
            polling: Some(polling),
            leaving,
            shards: BTreeMap::new(),
            partitions,
        };
        let ended = self.watch(&mut crew);
        crew.leave(&self.common);
        ended
    }

    fn watch(&self, crew: &mut Crew) -> Result<(), Trouble> {
        let mut checked = Stopwatch::start();
        loop {
            if self.is_stopped() {
                return Ok(());
            }
            match crew.changes.recv_timeout(LOOK) {
                Ok(change) => crew.change(change, &self.common),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if crew.polling.as_ref().is_none_or(JoinHandle::is_finished) {
                crew.give_up_all(Order::Drop);
                return Err(Trouble::Fenced {
                    detail:
                        "the group knows another member of this kafka.instance; if there is another process with it, end one of them"
                            .to_owned(),
                });
            }
            if checked.elapsed() >= CHECK {
                checked = Stopwatch::start();
                if let Err(
                    changed @ (Trouble::Partitions { .. }
                    | Trouble::Uneven { .. }
                    | Trouble::BrokerTooOld { .. }),
                ) = self.look_up()
                {
                    crew.give_up_all(Order::Release);
                    return Err(changed);
                }
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.try_recv() != Err(TryRecvError::Empty)
    }

    fn pause(&self, pause: Duration) {
        let since = Stopwatch::start();
        while since.elapsed() < pause && !self.is_stopped() {
            std::thread::sleep(LOOK);
        }
    }
}

/// How long the pause between attempts may become. A member whose broker hung may have fenced itself: the answer that
/// named it anew was lost. So it comes back; but ever later, lest two that were given one name fence each other for ever.
fn pause_max(trouble: &Trouble) -> Duration {
    match trouble {
        Trouble::Fenced { .. } => FENCED_PAUSE_MAX,
        Trouble::Authentication { .. }
        | Trouble::Authorization { .. }
        | Trouble::Tls { .. }
        | Trouble::BrokerTooOld { .. } => REFUSED_PAUSE_MAX,
        Trouble::Unreachable { .. }
        | Trouble::TopicMissing { .. }
        | Trouble::Partitions { .. }
        | Trouble::Uneven { .. }
        | Trouble::Transaction { .. }
        | Trouble::Damaged { .. }
        | Trouble::Poisoned { .. }
        | Trouble::Settings { .. }
        | Trouble::Contradicted { .. }
        | Trouble::GivenUp
        | Trouble::Unready { .. } => RETRY,
    }
}

/// Counts what is in the way, and tells it once.
fn report(common: &Common, trouble: &Trouble) {
    let why = Some(trouble.to_string());
    if common.board.told() != why {
        tracing::warn!(%trouble, "Kafka cannot be followed for now");
    }
    common
        .metrics
        .kafka_troubles
        .with_label_values(&[trouble.name()])
        .inc();
    common.board.trouble(why);
}

impl Crew {
    fn change(&mut self, change: Change, common: &Common) {
        match change {
            Change::Assigned(partitions) => {
                common.board.joined();
                for partition in partitions {
                    self.start(partition, common);
                }
            }
            Change::Revoked {
                partitions,
                lost,
                done,
            } => {
                let order = if lost { Order::Drop } else { Order::Release };
                self.give_up(&partitions, order);
                // Whoever waited may have ended.
                done.send(()).unwrap_or_default();
            }
        }
    }

    fn start(&mut self, partition: u32, common: &Common) {
        if self.shards.contains_key(&partition) {
            return;
        }
        common.board.restoring(partition, "waiting for its turn");
        let control = Control::default();
        let shard = Shard {
            partition,
            partitions: self.partitions,
            member: Arc::clone(&self.member),
            control: control.clone(),
            lag: Lag::new(common, partition),
            audited: common.audit.of(partition),
            common: common.clone(),
        };
        let thread = spawn(&format!("shard-{partition}"), move || shard.run());
        self.shards.insert(partition, Running { control, thread });
    }

    fn give_up(&mut self, partitions: &[u32], order: Order) {
        let ending: Vec<Running> = partitions
            .iter()
            .filter_map(|partition| self.shards.remove(partition))
            .collect();
        for shard in &ending {
            shard.control.set(order);
        }
        for shard in ending {
            if shard.thread.join().is_err() {
                die(&"a thread of a partition panicked");
            }
        }
    }

    fn give_up_all(&mut self, order: Order) {
        let all: Vec<u32> = self.shards.keys().copied().collect();
        self.give_up(&all, order);
    }

    /// Leaves the group: what is ours is finished and given up first.
    fn leave(mut self, common: &Common) {
        self.leaving.store(true, Ordering::Release);
        self.member.leave();
        let end = Deadline::after(LEAVE);
        while self
            .polling
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
            && !end.has_passed()
        {
            if let Ok(change) = self.changes.recv_timeout(LOOK) {
                self.change(change, common);
            }
        }
        self.give_up_all(Order::Release);
        // A member that still waits for an answer gets none any more, and ends.
        drop(self.changes);
        if let Some(thread) = self.polling.take()
            && thread.join().is_err()
        {
            die(&"the member's thread panicked");
        }
    }
}

/// Follows the group until it is left, or for good lost.
fn poll(member: &Member, leaving: &AtomicBool, common: &Common) {
    let mut trouble: Option<Stopwatch> = None;
    // A right that is missing is told once, however often the client asks again.
    let mut lasts = false;
    let end = std::cell::OnceCell::new();
    loop {
        match member.poll(LOOK) {
            Ok(()) if lasts && member.is_out() => {}
            Ok(()) if trouble.is_some_and(|since| since.elapsed() > TROUBLE) => {
                trouble = None;
                common.board.trouble(None);
            }
            Ok(()) => {}
            Err(found) => {
                report(common, &found);
                if matches!(found, Trouble::Fenced { .. }) {
                    return;
                }
                lasts = matches!(found, Trouble::Authorization { .. });
                trouble = Some(Stopwatch::start());
            }
        }
        if leaving.load(Ordering::Acquire) {
            let end = end.get_or_init(|| Deadline::after(LEAVE));
            if member.is_out() || end.has_passed() {
                return;
            }
        }
    }
}
