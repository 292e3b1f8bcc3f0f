//! Which node a transaction depends on: the one that leads its partition, and the one that coordinates it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::rig::Rig;
use crate::broker::Broker;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Where Kafka keeps the state of transactions.
const TRANSACTIONS: &str = "__transaction_state";

/// Asks the cluster.
pub(crate) struct Nodes<'a> {
    rig: &'a Rig,
    committed: BaseConsumer,
    everything: BaseConsumer,
}

impl<'a> Nodes<'a> {
    pub(crate) fn of(rig: &'a Rig) -> Self {
        Self {
            rig,
            committed: rig.reader("read_committed"),
            everything: rig.reader("read_uncommitted"),
        }
    }

    /// A partition in whose log a commit record waits for the end of its transaction.
    pub(crate) fn in_transaction(&self) -> Option<i32> {
        let topic = self.rig.topic("commits");
        (0..self.rig.partitions).find(|partition| {
            let end = |reader: &BaseConsumer| {
                let ends = reader.fetch_watermarks(&topic, *partition, TIMEOUT);
                ends.ok().map(|(_, end)| end)
            };
            // While a leader is being elected nobody says.
            end(&self.committed)
                .zip(end(&self.everything))
                .is_some_and(|(committed, all)| committed < all)
        })
    }

    /// The node to which the outputs of a partition are written.
    pub(crate) fn leader(&self, partition: i32) -> i32 {
        self.leaders(&self.rig.topic("commits"))[usize::try_from(partition).unwrap()]
    }

    /// The node that ends the transactions of a partition.
    pub(crate) fn coordinator(&self, partition: i32) -> i32 {
        let leaders = self.leaders(TRANSACTIONS);
        leaders[place(&self.transactional_id(partition), leaders.len())]
    }

    /// As [`Nodes::coordinator`], by Kafka's own tool.
    pub(crate) fn coordinator_by_tool(&self, broker: &Broker, partition: i32) -> i32 {
        let id = self.transactional_id(partition);
        let bootstrap = broker.bootstrap();
        let mut command = vec!["tool", "TransactionsCommand"];
        command.extend(["--bootstrap-server", bootstrap]);
        command.extend(["describe", "--transactional-id", &id]);
        let told = broker.run(&command);
        let line = told.lines().find(|line| line.contains(&id));
        let node = line.and_then(|line| line.split_whitespace().next());
        node.unwrap_or_else(|| panic!("no node in {told}"))
            .parse()
            .unwrap()
    }

    /// As the engine names itself to the coordinator.
    fn transactional_id(&self, partition: i32) -> String {
        format!("{}-{partition}", self.rig.name)
    }

    fn leaders(&self, topic: &str) -> Vec<i32> {
        let metadata = self.everything.fetch_metadata(Some(topic), TIMEOUT);
        let metadata = metadata.unwrap();
        let mut leaders: Vec<(i32, i32)> = metadata.topics()[0]
            .partitions()
            .iter()
            .map(|partition| (partition.id(), partition.leader()))
            .collect();
        leaders.sort_unstable();
        leaders.into_iter().map(|(_, leader)| leader).collect()
    }
}

/// The partition of the transactions' topic that holds an id: Java's hash of the text, made positive.
fn place(id: &str, partitions: usize) -> usize {
    let hash = id.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    let positive = hash.checked_abs().unwrap_or(0);
    usize::try_from(positive).unwrap() % partitions
}
