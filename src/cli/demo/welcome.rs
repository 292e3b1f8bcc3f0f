//! What to try next, with ids that exist.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::domain::{Event, EventKind, Id};

/// Looks for a visitor and an item worth showing while the history goes by.
#[derive(Debug, Default)]
pub(super) struct Example {
    views: BTreeMap<Id, (u32, Id)>,
}

impl Example {
    /// Takes one event of the history.
    pub(super) fn observe(&mut self, event: &Event) {
        if event.kind == EventKind::ProductView && event.user.starts_with("user-") {
            let (count, last) = self.views.entry(event.user.clone()).or_default();
            *count += 1;
            last.clone_from(&event.item);
        }
    }

    /// A known visitor with as much history as people have, and the item they saw last.
    pub(super) fn visitor(&self) -> Option<(Id, Id)> {
        // Whoever looked at more than this in so few days is hardly a person.
        const PERSON_MAX: u32 = 150;
        self.views
            .iter()
            .filter(|(_, (count, _))| *count <= PERSON_MAX)
            .max_by(|(a, (of_a, _)), (b, (of_b, _))| of_a.cmp(of_b).then_with(|| b.cmp(a)))
            .map(|(user, (_, item))| (user.clone(), item.clone()))
    }
}

/// The first words of the demo.
#[derive(Debug)]
pub(super) struct Welcome<'a> {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) user: &'a str,
    /// An item that the visitor has not seen last.
    pub(super) item: &'a str,
    pub(super) title: &'a str,
    pub(super) speed: f64,
}

impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (http, grpc) = (reachable(self.http), reachable(self.grpc));
        let Self {
            user, item, title, ..
        } = self;
        let speed = self.speed;
        write!(
            f,
            "\n  The shop is open, and an hour passes in {:.0} s.\n\n  \
             Look     http://{http}/\n\n  \
             Ask      curl -s 'http://{http}/recommendations/{user}?limit=3'\n  \
             Act      curl -s http://{http}/track-event -H 'content-type: application/json' \\\n             \
             -d '{{\"userId\":\"{user}\",\"eventType\":\"product_view\",\"metadata\":{{\"itemId\":\"{item}\"}}}}'\n           \
             which is {user} looking at {title}; then ask again\n  \
             gRPC     grpcurl -plaintext -d '{{\"placement\":\"home\",\"userId\":\"{user}\",\"limit\":3}}' \\\n             \
             {grpc} impulse.v1.RecommendationService/Recommend\n  \
             Follow   curl -sN http://{http}/v1/stream\n\n",
            3_600.0 / speed
        )
    }
}

/// An address to call a server by that listens everywhere.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let ip = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::{Example, Welcome, reachable};
    use crate::domain::Millis;
    use crate::shop::{Config, Shop, Traffic};

    #[test]
    fn the_example_is_a_known_person_with_a_history() {
        let shop = Shop::new(1, Config::default());
        let mut example = Example::default();
        for event in Traffic::new(&shop, 1, 300, Millis(1_767_225_600_000)).take(5_000) {
            example.observe(&event);
        }
        let (user, item) = example.visitor().unwrap();
        assert!(user.starts_with("user-"));
        assert!(item.starts_with("sku-"));
    }

    #[test]
    fn commands_can_be_copied_as_they_are() {
        let welcome = Welcome {
            grpc: "0.0.0.0:50051".parse().unwrap(),
            http: "127.0.0.1:8080".parse().unwrap(),
            user: "user-17",
            item: "sku-10002",
            title: "Chef's knife",
            speed: 90.0,
        };
        let text = welcome.to_string();
        assert!(text.contains("http://127.0.0.1:8080/recommendations/user-17?limit=3"));
        assert!(text.contains("127.0.0.1:50051 impulse.v1.RecommendationService/Recommend"));
        let body = text
            .split("-d '")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["metadata"]["itemId"], "sku-10002");
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
    }
}
