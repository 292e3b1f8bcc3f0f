//! Picks in words: reasons whose contributions add up to the score, and scores that go down from place to place.

use crate::domain::{Id, Reason, ReasonCode, Recommendation};
use crate::engine::items::Contribution;
use crate::engine::recommend::draft::Pick;
use crate::engine::recommend::question::Question;
use crate::engine::recommend::recommenders::Recommender;
use crate::engine::state::State;

/// Reasons of one item; what is beyond is one reason together.
const REASONS_MAX: usize = 5;
/// Fewer sessions than this behind a reason could be told apart: their number is kept back (k-anonymity).
const SUPPORT_MIN: u32 = 5;
/// The best of one recommender scores at most this share of the last of the one before.
const NEXT_RUNG_SHARE: f64 = 0.5;

/// Ids and titles of items, each looked up once an answer.
#[derive(Debug)]
pub(super) struct Titles<'a> {
    state: &'a State,
    known: Vec<(u32, Id, String)>,
}

impl<'a> Titles<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            known: Vec::new(),
        }
    }

    /// Id and title, which is the id where none is known.
    fn get(&mut self, item: u32) -> (Id, &str) {
        let place = self.known.iter().position(|(known, _, _)| *known == item);
        let place = place.unwrap_or_else(|| {
            let id = self.state.items.name(item);
            let title = self.state.catalog.title(item, &id);
            self.known.push((item, id, title));
            self.known.len() - 1
        });
        self.known
            .get(place)
            .map_or_else(Default::default, |(_, id, title)| (id.clone(), &**title))
    }
}

/// The picks as recommendations. `picks` are in order; their shares have been added.
///
/// Scores of different recommenders measure different things: a sum of co-occurrences, a share of a popularity. Within
/// one recommender they are kept in proportion; each recommender's scores are multiplied by one factor, at most 1, that
/// puts its best at half of the last score of the one before. The first recommender's are its own.
pub(super) fn recommendations(
    picks: &[Pick],
    question: &Question,
    state: &State,
) -> Vec<Recommendation> {
    let mut titles = Titles::new(state);
    let mut recommendations: Vec<Recommendation> = Vec::with_capacity(picks.len());
    let mut rung = None;
    let mut scale = 1.0;
    for pick in picks {
        if let Some(last) = recommendations.last()
            && rung != Some(pick.rung)
        {
            scale = (NEXT_RUNG_SHARE * last.score / pick.score).min(1.0);
        }
        rung = Some(pick.rung);
        recommendations.push(Recommendation {
            item: state.items.name(pick.item),
            score: pick.score * scale,
            recommender: pick.recommender.name(),
            step: pick.recommender.step(),
            reasons: reasons(pick, scale, question, &mut titles),
        });
    }
    recommendations
}

/// The reasons of a pick, largest first; their contributions add up to `scale` times its score.
pub(super) fn reasons(
    pick: &Pick,
    scale: f64,
    question: &Question,
    titles: &mut Titles<'_>,
) -> Vec<Reason> {
    if pick.shares.is_empty() {
        let (code, text) = pick.recommender.reason(pick, question, titles.state);
        let contribution = pick.score * scale;
        return vec![Reason {
            code,
            because_item: Id::default(),
            support: 0,
            contribution,
            text,
        }];
    }
    let mut shares: Vec<&Contribution> = pick.shares.iter().collect();
    shares.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
    let told = if shares.len() > REASONS_MAX {
        REASONS_MAX - 1
    } else {
        shares.len()
    };
    let (told, rest) = shares.split_at(told);
    let mut reasons: Vec<Reason> = Vec::with_capacity(told.len() + 1);
    reasons.extend(told.iter().map(|share| reason(pick, share, scale, titles)));
    if !rest.is_empty() {
        let contribution = rest.iter().map(|share| share.contribution * scale).sum();
        let place = reasons.partition_point(|reason| reason.contribution >= contribution);
        reasons.insert(
            place,
            Reason {
                code: ReasonCode::SessionSimilar,
                because_item: Id::default(),
                support: 0,
                contribution,
                text: format!("seen with {} more items", rest.len()),
            },
        );
    }
    reasons
}

/// One term in words.
fn reason(pick: &Pick, share: &Contribution, scale: f64, titles: &mut Titles<'_>) -> Reason {
    let (because_item, title) = titles.get(share.source);
    let (code, text) = if pick.recommender == Recommender::BoughtTogether {
        (ReasonCode::CoPurchased, ["bought with ", title].concat())
    } else if share.source == pick.item {
        (ReasonCode::SessionSimilar, "looked at before".to_owned())
    } else {
        (ReasonCode::CoViewed, ["seen with ", title].concat())
    };
    Reason {
        code,
        because_item,
        support: if share.support >= SUPPORT_MIN {
            share.support
        } else {
            0
        },
        contribution: share.contribution * scale,
        text,
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::ReasonCode;
    use crate::engine::recommend::fixture::{Shop, query};

    #[test]
    fn few_sessions_are_not_counted_aloud() {
        let mut shop = Shop::new();
        shop.view("ann", "a");
        for n in 0..5 {
            assert!(
                shop.answer(&query("home", "ann"))
                    .items
                    .iter()
                    .all(|found| { found.reasons.iter().all(|reason| reason.support == 0) })
            );
            shop.visit(&format!("visitor-{n}"), &["a", "b"]);
        }
        let answer = shop.answer(&query("home", "ann"));
        assert_eq!(answer.items[0].reasons[0].support, 5);
    }

    #[test]
    fn five_reasons_at_most_and_nothing_is_lost() {
        let mut shop = Shop::new();
        let sources = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for n in 0..3 {
            for source in sources {
                shop.visit(&format!("{source}-{n}"), &[source, "z"]);
            }
        }
        shop.visit("ann", &sources);
        let answer = shop.answer(&query("home", "ann"));
        let first = &answer.items[0];
        assert_eq!((&*first.item, first.reasons.len()), ("z", 5));
        let sum: f64 = first.reasons.iter().map(|reason| reason.contribution).sum();
        assert!((sum - first.score).abs() < 1e-9 * first.score);
        assert_eq!(
            first.reasons[0].because_item, "h",
            "seen last, so it weighs most"
        );
        let rest = first
            .reasons
            .iter()
            .find(|reason| reason.code == ReasonCode::SessionSimilar);
        assert_eq!(rest.unwrap().text, "seen with 4 more items");
    }

    #[test]
    fn an_item_recommended_again_says_so() {
        let mut shop = Shop::new();
        shop.view("ann", "a");
        let answer = shop.answer(&query("next_item", "ann"));
        let reason = &answer.items[0].reasons[0];
        assert_eq!(
            (reason.code, &*reason.text),
            (ReasonCode::SessionSimilar, "looked at before")
        );
        assert_eq!(reason.because_item, "a");
    }
}
