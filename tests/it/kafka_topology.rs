//! The topics of `topology/topics.yaml` on a real broker: what is missing is made, what would lose data is refused.

use crate::broker::{Broker, unique};

#[test]
fn the_broker_of_the_tests_takes_topics() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = unique("takes-topics");
    broker.run(&["topic", &topic, "2"]);
    let servers = broker.bootstrap();
    let listed = broker.run(&[
        "tool",
        "TopicCommand",
        "--bootstrap-server",
        servers,
        "--list",
    ]);
    assert!(listed.lines().any(|line| line == topic), "{listed}");
}
