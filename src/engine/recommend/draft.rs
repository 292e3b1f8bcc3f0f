//! An answer in the making: places filled from the top of the ladder down, with room for variety.

use crate::engine::items::{Contribution, Scratch};
use crate::engine::recommend::placement::Placement;
use crate::engine::recommend::question::Question;
use crate::engine::recommend::recommenders::Recommender;
use crate::engine::state::State;

/// Items in an answer if the query does not say how many.
const LIMIT_DEFAULT: usize = 10;
/// Places for which the bounds of a placement are declared.
const BOUNDS_PER: usize = 10;
/// Candidates of one recommender that are put in order at first; most answers need no more.
const ORDERED_AT_FIRST: usize = 48;

/// An item with a place.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) item: u32,
    pub(super) recommender: Recommender,
    /// The recommender's own score, not yet comparable with another's.
    pub(super) score: f64,
    /// The category that it is popular in, if that is why it is there.
    pub(super) trending_in: Option<u32>,
    /// The terms of the score, if it is a sum over other items.
    pub(super) shares: Vec<Contribution>,
    /// Rung of the ladder, from 0.
    pub(super) rung: usize,
    pub(super) brand: Option<u32>,
    category: Option<u32>,
}

/// What a recommender says of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) item: u32,
    pub(super) score: f64,
    pub(super) trending_in: Option<u32>,
}

/// Picks so far. Invariant: no item twice in `chosen` and `reserve` together.
#[derive(Debug)]
pub(super) struct Draft {
    limit: usize,
    brand_max: usize,
    category_max: usize,
    rung: usize,
    recommender: Recommender,
    chosen: Vec<Pick>,
    /// What has to stand back for variety, in the order in which it was offered.
    reserve: Vec<Pick>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            limit: 0,
            brand_max: 0,
            category_max: 0,
            rung: 0,
            recommender: Recommender::Newest,
            chosen: Vec::new(),
            reserve: Vec::new(),
        }
    }
}

impl Pick {
    pub(super) fn new(item: u32, recommender: Recommender, score: f64) -> Self {
        Self {
            item,
            recommender,
            score,
            trending_in: None,
            shares: Vec::new(),
            rung: 0,
            brand: None,
            category: None,
        }
    }

    /// Adds the terms of the score, which from here on is their sum: the rows may have changed since it was computed.
    pub(super) fn add_shares(&mut self, question: &Question, state: &State) {
        self.shares = self.recommender.shares(self.item, question, state);
        if !self.shares.is_empty() {
            self.score = self.shares.iter().map(|share| share.contribution).sum();
        }
    }
}

impl Draft {
    /// Begins with nothing, for `limit` items, or the default number if that is 0.
    pub(super) fn begin(&mut self, limit: usize, placement: &Placement) {
        let limit = if limit == 0 { LIMIT_DEFAULT } else { limit };
        self.limit = limit.min(placement.limit_max);
        let bound = |places: usize| match places {
            0 => usize::MAX,
            places => places.max((places * self.limit).div_ceil(BOUNDS_PER)),
        };
        self.brand_max = bound(placement.brand_max);
        self.category_max = bound(placement.category_max);
        self.chosen.clear();
        self.reserve.clear();
    }

    /// From here on it is this recommender that offers.
    pub(super) fn step_down(&mut self, rung: usize, recommender: Recommender) {
        self.rung = rung;
        self.recommender = recommender;
    }

    pub(super) fn is_full(&self) -> bool {
        self.chosen.len() >= self.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// The picks, best first once [`Draft::sort`] was called.
    pub(super) fn picks(&self) -> &[Pick] {
        &self.chosen
    }

    /// Adds the terms of all scores and puts the picks in the order of their sums.
    pub(super) fn add_shares(&mut self, question: &Question, state: &State) {
        for pick in &mut self.chosen {
            pick.add_shares(question, state);
        }
        self.sort();
    }

    /// Takes an item if it may be shown and has no place yet. One that would make the answer monotonous waits.
    pub(super) fn offer(&mut self, offer: Offer, question: &Question, state: &State) {
        let Offer {
            item,
            score,
            trending_in,
        } = offer;
        let mut placed = self.chosen.iter().chain(&self.reserve);
        if self.is_full() || question.hidden(item).is_some() || placed.any(|pick| pick.item == item)
        {
            return;
        }
        let traits = state.catalog.read(item, |entry| {
            entry
                .eligible()
                .then(|| (entry.brand(), entry.categories.last().copied()))
        });
        let Some((brand, category)) = traits else {
            return;
        };
        let rung = self.rung;
        let pick = Pick {
            trending_in,
            rung,
            brand,
            category,
            ..Pick::new(item, self.recommender, score)
        };
        if self.is_varied_with(&pick) {
            self.chosen.push(pick);
        } else if self.reserve.len() < self.limit {
            self.reserve.push(pick);
        }
    }

    /// Offers the candidates of `scratch`, best first, until the answer is full.
    pub(super) fn offer_scored(
        &mut self,
        scratch: &mut Scratch,
        question: &Question,
        state: &State,
    ) {
        let mut ordered = ORDERED_AT_FIRST.max(2 * self.limit);
        let mut offered = 0;
        loop {
            // The same candidates stand in the same order however many are asked for.
            let best = scratch.top(ordered, |item| question.hidden(item).is_none());
            for candidate in best.iter().skip(offered) {
                if self.is_full() {
                    return;
                }
                let offer = Offer {
                    item: candidate.item,
                    score: candidate.score,
                    trending_in: None,
                };
                self.offer(offer, question, state);
            }
            if best.len() < ordered {
                return;
            }
            offered = ordered;
            ordered = ordered.saturating_mul(4);
        }
    }

    /// Fills what is left with the items that stood back; from here on nothing has to.
    pub(super) fn relax(&mut self) {
        let open = self
            .limit
            .saturating_sub(self.chosen.len())
            .min(self.reserve.len());
        self.chosen.extend(self.reserve.drain(..open));
        self.brand_max = usize::MAX;
        self.category_max = usize::MAX;
    }

    /// Puts the picks in order: by rung, then by score, the lower number on ties.
    pub(super) fn sort(&mut self) {
        self.chosen.sort_by(|a, b| {
            let by_score = || b.score.total_cmp(&a.score).then(a.item.cmp(&b.item));
            a.rung.cmp(&b.rung).then_with(by_score)
        });
    }

    /// Whether one more of its brand and category leaves room for others.
    fn is_varied_with(&self, pick: &Pick) -> bool {
        let same = |trait_of: fn(&Pick) -> Option<u32>| {
            trait_of(pick).map_or(0, |own| {
                self.chosen
                    .iter()
                    .filter(|other| trait_of(other) == Some(own))
                    .count()
            })
        };
        same(|pick| pick.brand) < self.brand_max && same(|pick| pick.category) < self.category_max
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{LadderStep, Query};
    use crate::engine::recommend::fixture::{Shop, query};

    /// Twelve items of one brand and category seen with `tent`, then four others that are only popular.
    fn monotonous_shop() -> Shop {
        let mut shop = Shop::new();
        shop.item("tent", &["outdoor", "camping"], "acme", 10.0);
        for n in 0..12 {
            let (category, brand) = (["camping", "climbing"][n % 2], ["acme", "zen"][n / 6]);
            shop.item(
                &format!("outdoor-{n:02}"),
                &["outdoor", category],
                brand,
                10.0,
            );
        }
        for n in 0..4 {
            shop.item(
                &format!("book-{n}"),
                &["books"],
                &format!("press-{n}"),
                10.0,
            );
        }
        for n in 0..12 {
            shop.visit(
                &format!("camper-{n}"),
                &["tent", &format!("outdoor-{n:02}")],
            );
        }
        for n in 0..4 {
            shop.visit(&format!("reader-{n}"), &[&format!("book-{n}")]);
        }
        shop.view("ann", "tent");
        shop
    }

    fn count(ids: &[String], of: impl Fn(usize) -> bool) -> usize {
        let number = |id: &str| {
            id.strip_prefix("outdoor-")
                .map(|n| n.parse::<usize>().unwrap())
        };
        ids.iter()
            .filter_map(|id| number(id))
            .filter(|n| of(*n))
            .count()
    }

    #[test]
    fn no_brand_and_no_category_fills_an_answer_while_there_are_others() {
        let shop = monotonous_shop();
        let ids = shop.ids(&query("home", "ann"));
        assert_eq!(ids.len(), 10);
        assert_eq!(count(&ids, |n| n < 6), 3, "of acme: {ids:?}");
        assert_eq!(count(&ids, |n| n >= 6), 3, "of zen: {ids:?}");
        assert!(count(&ids, |n| n % 2 == 0) <= 5, "camping: {ids:?}");
        assert_eq!(ids.iter().filter(|id| id.starts_with("book")).count(), 4);
    }

    #[test]
    fn the_bounds_give_way_when_nothing_else_is_left() {
        let mut shop = monotonous_shop();
        (0..4).for_each(|n| shop.delete(&format!("book-{n}")));
        let answer = shop.answer(&query("home", "ann"));
        assert_eq!(answer.items.len(), 10);
        assert!(
            answer
                .items
                .iter()
                .all(|found| found.step == LadderStep::Session)
        );
        assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));
    }

    #[test]
    fn a_placement_without_bounds_has_the_best_first() {
        let shop = monotonous_shop();
        let asked = Query {
            limit: 12,
            ..query("next_item", "ann")
        };
        let ids = shop.ids(&asked);
        assert_eq!(ids[0], "tent", "the item itself may come again");
        assert_eq!(
            ids.iter().filter(|id| id.starts_with("outdoor")).count(),
            11
        );
    }

    #[test]
    fn a_limit_is_what_the_placement_allows() {
        let mut shop = Shop::new();
        (0..150).for_each(|n| shop.item(&format!("item-{n}"), &[], "", 1.0));
        let length = |limit| {
            shop.ids(&Query {
                limit,
                ..query("home", "")
            })
            .len()
        };
        assert_eq!((length(0), length(7), length(1_000)), (10, 7, 100));
    }
}
