//! Engines and brokers that are killed, frozen and joined while events stream in: whatever happens, the topics must
//! say exactly what the events oblige them to.
//!
//! `LOOPS` and `IMPULSE_SEED` choose how long and which way. A table at the end says what was done and what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::checker::{Observed, judge};
use super::nodes::Nodes;
use super::report::Report;
use super::rig::{Random, Rig, Shop, metric, ready};
use crate::broker::Broker;
use crate::process::Process;

/// Longer than the session and the transaction of a frozen process last.
const BEYOND_SESSION: Duration = Duration::from_secs(8);
/// As long as what a frozen engine sent may still be on its way.
const UNDER_WAY: Duration = Duration::from_millis(50);
/// A transaction is open for a few milliseconds of its interval, so it takes some tries to meet one.
const TRIES: u32 = 500;
/// The broker decides how short a session may be.
const SETTINGS: &str = "group.min.session.timeout.ms=1000";

/// What happens to whom.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// kill -9 of the engine, and a start.
    Crash,
    /// SIGTERM of the engine, and a start.
    Restart,
    /// The engine stands still beyond its session; another takes over; it wakes up.
    Zombie,
    /// The engine stands still, but not that long.
    Nap,
    /// Another engine joins, works and leaves.
    Join,
    /// Another engine joins and is killed with -9.
    JoinAndCrash,
    /// kill -9 of a broker, and a start.
    BrokerCrash,
    /// A broker stands still for a while.
    BrokerNap,
    /// kill -9, in a running transaction, of the broker that leads its partition.
    LeaderCrash,
    /// kill -9, in a running transaction, of its coordinator.
    CoordinatorCrash,
    /// kill -9 of both.
    LeaderAndCoordinatorCrash,
}

impl Fault {
    const ONE_NODE: [Self; 8] = [
        Self::Crash,
        Self::Zombie,
        Self::BrokerCrash,
        Self::Join,
        Self::Restart,
        Self::Nap,
        Self::JoinAndCrash,
        Self::BrokerNap,
    ];
    /// Begins with what one node cannot suffer.
    const THREE_NODES: [Self; 9] = [
        Self::LeaderCrash,
        Self::CoordinatorCrash,
        Self::LeaderAndCoordinatorCrash,
        Self::Crash,
        Self::BrokerNap,
        Self::Zombie,
        Self::BrokerCrash,
        Self::Join,
        Self::JoinAndCrash,
    ];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trigger_is_lost_repeated_or_invented_on_one_node() {
    let Some(broker) = Broker::start(1, SETTINGS) else {
        return;
    };
    run(&broker, 1, loops(10), &Fault::ONE_NODE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trigger_is_lost_repeated_or_invented_when_leaders_die() {
    let Some(broker) = Broker::start(3, SETTINGS) else {
        return;
    };
    run(&broker, 3, loops(3), &Fault::THREE_NODES).await;
}

fn loops(default: u64) -> u64 {
    let set = std::env::var("LOOPS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The faults one after the other, then judgement.
async fn run(broker: &Broker, nodes: u64, loops: u64, faults: &[Fault]) {
    let seed = std::env::var("IMPULSE_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(7);
    println!("IMPULSE_SEED={seed} LOOPS={loops}");
    let rig = Rig::new(broker, 4).await;
    let traffic = Traffic::start(rig.shop(seed));
    let title = format!("faults on {nodes} node(s), LOOPS={loops} IMPULSE_SEED={seed}");
    let mut field = Field {
        report: Report::new(title),
        engine: serve(&rig, "engine-0"),
        engines: 0,
        rig,
        broker,
        nodes,
        random: Random(seed),
        positions: Vec::new(),
    };
    ready(&field.engine).await;
    assert!(metric(&field.engine, guarantee(nodes)) > 0.0);
    for number in 0..loops {
        ready(&field.engine).await;
        field.pause(300, 1_500).await;
        let fault = faults[usize::try_from(number).unwrap() % faults.len()];
        println!("loop {number}: {fault:?} at {:?}", field.positions);
        field.suffer(fault).await;
        field.report.fault(format!("{fault:?}"));
        field.look_at_positions();
    }
    traffic.end();
    ready(&field.engine).await;
    field.rig.settled().await;
    field.report.last_words(&field.engine);
    if nodes > 1 {
        let nodes = Nodes::of(&field.rig);
        let coordinator = nodes.coordinator(0);
        assert_eq!(coordinator, nodes.coordinator_by_tool(broker, 0));
    }
    // It has nothing more to do, and the judgement of a long run takes a while.
    field.engine.terminate();
    let judged = judge(&Observed::of(&field.rig));
    field.report.judged(judged.clone());
    let judged = judged.unwrap();
    assert!(judged.triggers > 100, "there was something to judge");
    assert!(
        field.report.divergences() < 1.0,
        "replay agrees with the log"
    );
}

/// How far the guarantee goes on so many nodes, as the metric says it.
fn guarantee(nodes: u64) -> &'static str {
    if nodes < 3 {
        "impulse_guarantee_info{level=\"weakened\",reason=\"kafka_one_copy\"}"
    } else {
        "impulse_guarantee_info{level=\"exactly_once\",reason=\"kafka_three_copies\"}"
    }
}

fn serve(rig: &Rig, instance: &str) -> Process {
    rig.serve(&[
        ("IMPULSE__KAFKA__INSTANCE", instance),
        ("IMPULSE__KAFKA__SESSION_TIMEOUT_MS", "5000"),
        ("IMPULSE__KAFKA__TRANSACTION_TIMEOUT_MS", "4000"),
        ("IMPULSE__KAFKA__MESSAGE_TIMEOUT_MS", "3000"),
    ])
}

/// Where faults happen.
struct Field<'a> {
    report: Report,
    rig: Rig,
    broker: &'a Broker,
    nodes: u64,
    engine: Process,
    /// Names of engines that were frozen and not used again.
    engines: u32,
    random: Random,
    positions: Vec<i64>,
}

impl Field<'_> {
    async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Crash => {
                self.report.last_words(&self.engine);
                self.engine.kill();
                self.engine = serve(&self.rig, &self.name());
            }
            Fault::Restart => {
                self.report.last_words(&self.engine);
                self.engine.terminate();
                self.engine = serve(&self.rig, &self.name());
            }
            Fault::Nap => {
                self.engine.signal("STOP");
                self.pause(500, 3_000).await;
                self.engine.signal("CONT");
            }
            Fault::Zombie => {
                self.engines += 1;
                let heir = serve(&self.rig, &self.name());
                self.engine.signal("STOP");
                tokio::time::sleep(BEYOND_SESSION).await;
                ready(&heir).await;
                self.engine.signal("CONT");
                self.pause(1_000, 3_000).await;
                // The heir goes on alone, the other comes back later or never.
                let mut zombie = std::mem::replace(&mut self.engine, heir);
                self.report.last_words(&zombie);
                zombie.kill();
            }
            Fault::Join => {
                let mut other = serve(&self.rig, "other");
                self.pause(2_000, 5_000).await;
                self.report.last_words(&other);
                other.terminate();
            }
            Fault::JoinAndCrash => {
                let mut other = serve(&self.rig, "other");
                self.pause(2_000, 5_000).await;
                self.report.last_words(&other);
                other.kill();
            }
            Fault::BrokerCrash => {
                let node = (self.random.below(self.nodes) + 1).to_string();
                self.broker.run(&["kill", &node]);
                self.pause(200, 3_000).await;
                self.broker.run(&["start", &node]);
            }
            Fault::BrokerNap => {
                let node = (self.random.below(self.nodes) + 1).to_string();
                self.broker.run(&["pause", &node]);
                self.pause(1_000, 6_000).await;
                self.broker.run(&["cont", &node]);
            }
            Fault::LeaderCrash => self.crash_in_transaction(true, false).await,
            Fault::CoordinatorCrash => self.crash_in_transaction(false, true).await,
            Fault::LeaderAndCoordinatorCrash => self.crash_in_transaction(true, true).await,
        }
    }

    /// The engine goes on with its transaction only after the nodes that it needs for it are dead.
    async fn crash_in_transaction(&mut self, leader: bool, coordinator: bool) {
        let victims = {
            let nodes = Nodes::of(&self.rig);
            let partition = self.freeze_in_transaction(&nodes).await;
            let mut victims = BTreeSet::new();
            if leader {
                victims.insert(nodes.leader(partition));
            }
            if coordinator {
                victims.insert(nodes.coordinator(partition));
            }
            victims
        };
        for node in &victims {
            self.broker.run(&["kill", &node.to_string()]);
        }
        self.engine.signal("CONT");
        self.pause(200, 3_000).await;
        for node in &victims {
            self.broker.run(&["start", &node.to_string()]);
        }
    }

    /// The engine stands still, and the partition given has a transaction that has not ended.
    async fn freeze_in_transaction(&self, nodes: &Nodes<'_>) -> i32 {
        for _ in 0..TRIES {
            self.engine.signal("STOP");
            tokio::time::sleep(UNDER_WAY).await;
            if let Some(partition) = nodes.in_transaction() {
                return partition;
            }
            self.engine.signal("CONT");
            // So long that the moment differs from try to try.
            tokio::time::sleep(UNDER_WAY * 3).await;
        }
        panic!("no transaction was met in {TRIES} tries");
    }

    fn name(&self) -> String {
        format!("engine-{}", self.engines)
    }

    /// A position never goes back.
    fn look_at_positions(&mut self) {
        let positions = self.rig.positions();
        for (partition, (before, now)) in self.positions.iter().zip(&positions).enumerate() {
            assert!(
                now >= before,
                "partition {partition} went from {before} to {now}"
            );
        }
        if !positions.is_empty() {
            self.positions = positions;
        }
    }

    async fn pause(&mut self, least_ms: u64, most_ms: u64) {
        let ms = least_ms + self.random.below(most_ms - least_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// A shop that is open while other things happen.
pub(super) struct Traffic {
    open: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Traffic {
    pub(super) fn start(mut shop: Shop) -> Self {
        let open = Arc::new(AtomicBool::new(true));
        let still_open = Arc::clone(&open);
        let thread = std::thread::spawn(move || {
            while still_open.load(Ordering::Acquire) {
                shop.send(20);
                std::thread::sleep(Duration::from_millis(20));
            }
            shop.flush();
        });
        Self { open, thread }
    }

    pub(super) fn end(self) {
        self.open.store(false, Ordering::Release);
        self.thread.join().unwrap();
    }
}
