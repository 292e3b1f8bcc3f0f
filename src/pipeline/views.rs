//! The readers' side of all shards: finds the one that knows a shopper.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::{Answer, EpisodeView, Explanation, Item, Millis, Position, ProfileView, Query};
use crate::engine::{Engine, QueryError, Stats, View};
use crate::stream::partitioner::partition_of;

/// The views of the shards of this process. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Views(Arc<ArcSwap<Table>>);

#[derive(Clone, Debug)]
struct Table {
    /// One place a partition; empty where another process owns it, or nobody yet.
    shards: Vec<Option<View>>,
    /// Answers while no shard is here.
    nobody: View,
}

/// A shopper's partition is not in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// The partition.
    pub partition: u32,
}

impl From<View> for Views {
    /// The view of the only shard there is.
    fn from(view: View) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Table {
            nobody: view.clone(),
            shards: vec![Some(view)],
        })))
    }
}

impl Views {
    /// Places for shards that are not there yet; `empty` answers until then.
    pub fn empty(empty: &Engine) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Table {
            nobody: empty.view(),
            shards: Vec::new(),
        })))
    }

    /// From now on there are this many partitions; the views of those before stay.
    pub fn resize(&self, partitions: u32) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            table.shards.resize(partitions as usize, None);
            table
        });
    }

    /// Puts a shard's view in its place, or takes it out.
    pub fn set(&self, partition: u32, view: Option<&View>) {
        self.0.rcu(|table| {
            let mut table = Table::clone(table);
            if let Some(place) = table.shards.get_mut(partition as usize) {
                *place = view.cloned();
            }
            table
        });
    }

    /// Answers a query: from the shopper's shard, else from any other, which does not know them.
    ///
    /// # Errors
    ///
    /// As [`View::recommend`].
    pub fn recommend(&self, query: &Query) -> Result<Answer, QueryError> {
        let table = self.0.load();
        table
            .of(&query.user)
            .unwrap_or_else(|_| table.any())
            .recommend(query)
    }

    /// As [`View::explain`], from the shard that [`Views::recommend`] asks.
    ///
    /// # Errors
    ///
    /// As [`View::recommend`].
    pub fn explain(&self, query: &Query, item: &str) -> Result<Option<Explanation>, QueryError> {
        let table = self.0.load();
        table
            .of(&query.user)
            .unwrap_or_else(|_| table.any())
            .explain(query, item)
    }

    /// Names the formulas and the placements behind the answers.
    pub fn model_version(&self) -> String {
        self.0.load().nobody.model_version().to_owned()
    }

    /// What is known of a shopper; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// If the shopper's partition is not here.
    pub fn profile(&self, user: &str) -> Result<Option<ProfileView>, Away> {
        Ok(self.0.load().of(user)?.profile(user))
    }

    /// One item; `None` if no shard here has seen it.
    pub fn item(&self, item: &str) -> Option<Item> {
        self.0.load().here().find_map(|view| view.item(item))
    }

    /// Open episodes of all shards here, soonest deadline first.
    pub fn episodes(&self, limit: usize) -> Vec<EpisodeView> {
        let table = self.0.load();
        let mut episodes: Vec<EpisodeView> =
            table.here().flat_map(|view| view.episodes(limit)).collect();
        episodes.sort_by(|a, b| (a.deadline, &a.user).cmp(&(b.deadline, &b.user)));
        episodes.truncate(limit);
        episodes
    }

    /// Records applied so far by all shards here.
    pub fn position(&self) -> Position {
        self.0.load().here().map(View::position).sum()
    }

    /// Event time up to which every shard here is complete.
    pub fn watermark(&self) -> Millis {
        let table = self.0.load();
        table
            .here()
            .map(View::watermark)
            .min()
            .unwrap_or(Millis::MIN)
    }

    /// Sizes, of all shards here together.
    pub fn stats(&self) -> Stats {
        let table = self.0.load();
        table
            .here()
            .map(View::stats)
            .fold(Stats::default(), |sum, one| Stats {
                profiles: sum.profiles + one.profiles,
                items: sum.items.max(one.items),
                pairs: sum.pairs + one.pairs,
                episodes_open: sum.episodes_open + one.episodes_open,
                profile_bytes: sum.profile_bytes + one.profile_bytes,
                item_bytes: sum.item_bytes + one.item_bytes,
            })
    }
}

impl Table {
    fn here(&self) -> impl Iterator<Item = &View> {
        self.shards.iter().flatten()
    }

    fn any(&self) -> &View {
        self.here().next().unwrap_or(&self.nobody)
    }

    /// The shard of a shopper; any for nobody in particular.
    fn of(&self, user: &str) -> Result<&View, Away> {
        if user.is_empty() {
            return Ok(self.any());
        }
        let partitions = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let partition = match partitions {
            0 | 1 => 0,
            several => partition_of(user.as_bytes(), several),
        };
        self.shards
            .get(partition as usize)
            .and_then(Option::as_ref)
            .ok_or(Away { partition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, EventKind, Input, Record};
    use crate::engine::{Config, Outbox};

    fn knowing(user: &str) -> Engine {
        let mut engine = Engine::new(Config::default());
        let record = Record {
            received: Millis(1_700_000_000_000),
            input: Input::Event(Event {
                kind: EventKind::ProductView,
                id: "e".into(),
                user: user.into(),
                session: "".into(),
                item: "shoe".into(),
                quantity: 0,
                price: None,
                created: None,
                sent: None,
                details: None,
            }),
        };
        engine.apply(&record, &mut Outbox::default());
        engine
    }

    #[test]
    fn a_shopper_is_looked_for_where_their_events_go() {
        let views = Views::empty(&Engine::new(Config::default()));
        views.resize(4);
        let home = partition_of(b"alice", 4);
        assert_eq!(views.profile("alice"), Err(Away { partition: home }));

        let engine = knowing("alice");
        views.set(home, Some(&engine.view()));
        assert!(views.profile("alice").unwrap().is_some());
        assert_eq!(views.position(), 1);
        let stranger = ["bob", "carol", "dave", "erin", "frank"]
            .into_iter()
            .find(|user| partition_of(user.as_bytes(), 4) != home)
            .unwrap();
        assert!(views.profile(stranger).is_err());
        assert!(
            views.item("shoe").is_some(),
            "items are found in every shard"
        );

        views.set(home, None);
        assert!(views.profile("alice").is_err());
    }

    #[test]
    fn a_single_shard_knows_everybody() {
        let views = Views::from(knowing("alice").view());
        assert!(views.profile("alice").unwrap().is_some());
        assert_eq!(views.profile("bob"), Ok(None));
    }
}
