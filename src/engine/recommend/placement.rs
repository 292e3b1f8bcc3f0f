//! Where recommendations appear: what `topology/placements.yaml` declares for each place.

use serde::Deserialize;
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use crate::domain::{DAY_MS, Id};
use crate::engine::QueryError;
use crate::engine::recommend::recommenders::Recommender;

/// The placements an engine has when nobody declares any.
const BUILT_IN: &str = include_str!("../../../topology/placements.yaml");

/// Changes with the formulas, so that answers can be told apart; the rest of a version comes from the file.
const ALGORITHM: &str = "ddco-1";

const PLACEMENTS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 64;
/// More items than this are in no answer.
const LIMIT_MAX: u64 = 100;
const HIDDEN_DAYS_MAX: i64 = 3_650;
const SHARE_MAX: u64 = 10;

/// What every ladder ends with.
const FALLBACKS: [Recommender; 2] = [Recommender::Trending, Recommender::Newest];

/// The placements that can be asked for, in the order of their declaration.
#[derive(Clone, Debug)]
pub struct Placements {
    list: Vec<Placement>,
    version: String,
}

/// One placement.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    pub(super) name: Id,
    /// Who fills the places, best first; ends with [`FALLBACKS`] in any case.
    pub(super) ladder: Vec<Recommender>,
    pub(super) limit_max: usize,
    pub(super) hides_seen: bool,
    pub(super) hides_context: bool,
    pub(super) hides_cart: bool,
    /// How long after an order the things bought are hidden.
    pub(super) purchased_hidden_ms: i64,
    /// Places in ten for one brand; 0 for no bound.
    pub(super) brand_max: usize,
    /// Places in ten for one category; 0 for no bound.
    pub(super) category_max: usize,
}

/// Why a file of placements is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PlacementError {
    /// Line, from 1; 0 if the mistake has no place.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong there, and what is expected.
    pub message: String,
}

impl Default for Placements {
    #[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
    fn default() -> Self {
        Self::parse(BUILT_IN).expect("the built-in placements are placements")
    }
}

impl Placements {
    /// Reads a file of placements.
    ///
    /// # Errors
    ///
    /// If it is no YAML, has an unknown key, names a recommender that there is not, or a placement twice.
    pub fn parse(text: &str) -> Result<Self, PlacementError> {
        let declared: Vec<Spanned<Declaration>> =
            serde_saphyr::from_str(text).map_err(|error| {
                let place = error.location().unwrap_or(Location::UNKNOWN);
                refuse(
                    place,
                    &UserMessageFormatter.format_message(error.without_snippet()),
                )
            })?;
        if declared.is_empty() {
            return Err(refuse(Location::UNKNOWN, "no placement is declared"));
        }
        let mut list: Vec<Placement> = Vec::with_capacity(declared.len());
        for declaration in declared {
            let place = declaration.referenced;
            let placement = declaration.value.check()?;
            if list.iter().any(|known| known.name == placement.name) {
                let message = format!("placement {} is declared twice", placement.name);
                return Err(refuse(place, &message));
            }
            if list.len() >= PLACEMENTS_MAX {
                return Err(refuse(
                    place,
                    &format!("more than {PLACEMENTS_MAX} placements"),
                ));
            }
            list.push(placement);
        }
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let version = format!("{ALGORITHM}.{}", hash.get(..8).unwrap_or_default());
        Ok(Self { list, version })
    }

    /// Their names, in the order of declaration.
    pub fn names(&self) -> impl Iterator<Item = &Id> {
        self.list.iter().map(|placement| &placement.name)
    }

    /// Names the formulas and the declarations behind an answer: equal versions answer alike on equal states.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn get(&self, name: &str) -> Option<&Placement> {
        self.list.iter().find(|placement| placement.name == name)
    }

    pub(super) fn find(&self, name: &str) -> Result<&Placement, QueryError> {
        self.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.names().map(Id::as_str).collect();
            QueryError::PlacementNotFound(name.to_owned(), names.join(", "))
        })
    }
}

/// A placement as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    placement: Spanned<String>,
    recommenders: Vec<Spanned<Recommender>>,
    limit_max: Option<Spanned<u64>>,
    #[serde(default)]
    seen: Show,
    #[serde(default)]
    context: Show,
    #[serde(default)]
    in_cart: Show,
    purchased_hidden_days: Option<Spanned<i64>>,
    brand_max: Option<Spanned<u64>>,
    category_max: Option<Spanned<u64>>,
}

/// Whether something may stand in a placement.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Show {
    Show,
    #[default]
    Hide,
}

impl Declaration {
    fn check(self) -> Result<Placement, PlacementError> {
        let limit_max = whole("limit_max", self.limit_max, LIMIT_MAX, 1, LIMIT_MAX)?;
        let days = match self.purchased_hidden_days {
            Some(days) if !(0..=HIDDEN_DAYS_MAX).contains(&days.value) => {
                let message = format!(
                    "purchased_hidden_days is {}, expected 0 to {HIDDEN_DAYS_MAX}",
                    days.value
                );
                return Err(refuse(days.referenced, &message));
            }
            Some(days) => days.value,
            None => 0,
        };
        let share = |name, value, default| whole(name, value, default, 0, SHARE_MAX).map(small);
        Ok(Placement {
            name: name(&self.placement)?,
            ladder: ladder(&self.recommenders)?,
            limit_max: small(limit_max),
            hides_seen: self.seen == Show::Hide,
            hides_context: self.context == Show::Hide,
            hides_cart: self.in_cart == Show::Hide,
            purchased_hidden_ms: days * DAY_MS,
            brand_max: share("brand_max", self.brand_max, 3)?,
            category_max: share("category_max", self.category_max, 5)?,
        })
    }
}

fn name(name: &Spanned<String>) -> Result<Id, PlacementError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let text = name.value.as_str();
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(is_plain) {
        let message = format!(
            "placement is named {text:?}, expected 1 to {NAME_BYTES_MAX} of a-z, 0-9 and _"
        );
        return Err(refuse(name.referenced, &message));
    }
    Ok(Id::from(text))
}

fn ladder(declared: &[Spanned<Recommender>]) -> Result<Vec<Recommender>, PlacementError> {
    let mut ladder = Vec::with_capacity(Recommender::ALL.len());
    for recommender in declared {
        if ladder.contains(&recommender.value) {
            let message = format!("recommender {} is named twice", recommender.value.name());
            return Err(refuse(recommender.referenced, &message));
        }
        ladder.push(recommender.value);
    }
    for fallback in FALLBACKS {
        if !ladder.contains(&fallback) {
            ladder.push(fallback);
        }
    }
    Ok(ladder)
}

fn whole(
    field: &str,
    value: Option<Spanned<u64>>,
    default: u64,
    low: u64,
    high: u64,
) -> Result<u64, PlacementError> {
    match value {
        Some(found) if !(low..=high).contains(&found.value) => {
            let message = format!("{field} is {}, expected {low} to {high}", found.value);
            Err(refuse(found.referenced, &message))
        }
        Some(found) => Ok(found.value),
        None => Ok(default),
    }
}

/// What was checked to be at most a hundred or so.
fn small(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A refusal on one line, whatever the file has in it.
fn refuse(place: Location, message: &str) -> PlacementError {
    PlacementError {
        line: place.line(),
        column: place.column(),
        message: message.replace(char::is_control, " "),
    }
}

#[cfg(test)]
mod tests {
    use super::Placements;
    use crate::domain::Id;
    use crate::engine::recommend::recommenders::Recommender;

    fn refused(text: &str, line: u64, column: u64, words: &[&str]) {
        let error = Placements::parse(text).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{error}");
        for word in words {
            assert!(
                error.message.contains(word),
                "{word} is missing in: {error}"
            );
        }
    }

    #[test]
    fn the_built_in_placements_are_there() {
        let placements = Placements::default();
        let names: Vec<&str> = placements.names().map(Id::as_str).collect();
        assert_eq!(
            names,
            [
                "home",
                "product",
                "cart",
                "email",
                "cart_email",
                "next_item"
            ]
        );
        let home = placements.find("home").unwrap();
        assert_eq!(home.limit_max, 100);
        assert_eq!((home.brand_max, home.category_max), (3, 5));
        assert!(home.hides_seen && home.hides_context && home.hides_cart);
        let next_item = placements.find("next_item").unwrap();
        assert!(!next_item.hides_seen && !next_item.hides_context && !next_item.hides_cart);
    }

    #[test]
    fn every_ladder_ends_with_what_is_never_empty() {
        let placements =
            Placements::parse("- { placement: a, recommenders: [newest, history] }").unwrap();
        let ladder = &placements.find("a").unwrap().ladder;
        assert_eq!(
            ladder[..],
            [
                Recommender::Newest,
                Recommender::History,
                Recommender::Trending
            ]
        );
    }

    #[test]
    fn an_unknown_placement_names_the_known_ones() {
        let error = Placements::default().find("hoem").unwrap_err().to_string();
        assert!(
            error.contains("`hoem`") && error.contains("home, product, cart"),
            "{error}"
        );
    }

    #[test]
    fn a_mistake_is_refused_with_its_place() {
        refused(
            "- placement: home\n  recomenders: [session]\n",
            2,
            3,
            &["recomenders"],
        );
        refused(
            "- placement: home\n  recommenders: [session, histroy]\n",
            2,
            27,
            &["histroy", "history"],
        );
        refused(
            "- placement: home\n  recommenders: [trending, trending]\n",
            2,
            28,
            &["twice"],
        );
        refused(
            "- placement: Home\n  recommenders: []\n",
            1,
            14,
            &["Home", "a-z"],
        );
        refused(
            "- placement: home\n  recommenders: []\n  limit_max: 500\n",
            3,
            14,
            &["1 to 100"],
        );
        refused(
            "- placement: a\n  recommenders: []\n  seen: maybe\n",
            3,
            9,
            &["maybe", "hide"],
        );
        let twice = "- placement: a\n  recommenders: []\n- placement: a\n  recommenders: []\n";
        refused(twice, 3, 3, &["twice"]);
        refused("- placement: a\n", 1, 3, &["recommenders"]);
        assert!(
            Placements::parse("[]")
                .unwrap_err()
                .message
                .contains("no placement")
        );
        assert!(Placements::parse("- [").is_err());
    }

    #[test]
    fn the_version_follows_the_text() {
        let version = |limit| {
            let text = format!("- {{ placement: a, recommenders: [], limit_max: {limit} }}");
            Placements::parse(&text).unwrap().version().to_owned()
        };
        assert_eq!(version(3), version(3));
        assert_ne!(version(3), version(4));
    }
}
