//! The simulated shop looks like a shop, hides what recommenders are to find, and never differs for one seed.

use std::collections::{BTreeMap, BTreeSet};

use impulse::domain::{
    DAY_MS, Event, EventKind, Id, Input, MINUTE_MS, Millis, Outcome, Record, TimeRule, TriggerKind,
    TriggerReason,
};
use impulse::engine::{self, Engine, Outbox};
use impulse::shop::{Config, Funnel, Habits, Shop, Traffic};

const START: Millis = Millis(1_767_225_600_000);

fn shop() -> Shop {
    Shop::new(42, Config::default())
}

fn events(seed: u64, visitors: u32, count: usize) -> Vec<Event> {
    Traffic::new(&shop(), seed, visitors, START)
        .take(count)
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let first = events(7, 500, 20_000);
    assert_eq!(first, events(7, 500, 20_000));
    assert_ne!(first, events(8, 500, 20_000));
}

#[test]
fn the_events_of_a_seed_are_the_same_on_every_machine() {
    // A change here changes every demo, load test and simulation with a fixed seed: change it on purpose.
    let events = events(7, 500, 5_000);
    let first: Vec<String> = events.iter().take(4).map(short).collect();
    assert_eq!(first, FIRST);
    let mut digest = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for byte in events
        .iter()
        .flat_map(|event| format!("{event:?}").into_bytes())
    {
        digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    assert_eq!(digest, DIGEST, "the digest is {digest:#018x}");
}

const FIRST: [&str; 4] = [
    "2975808 12ae3023-1 visitor-106 consent_change ",
    "2977422 12ae3023-2 visitor-106 product_list_view ",
    "2996897 12ae3023-3 visitor-106 product_view sku-10323",
    "3017059 12ae3023-4 visitor-106 add_to_cart sku-10323",
];

const DIGEST: u64 = 0xc5d5_f348_7029_5d01;

fn short(event: &Event) -> String {
    let after = event.created.map_or(-1, |at| at.since(START));
    let kind = event.kind.name();
    format!("{after} {} {} {kind} {}", event.id, event.user, event.item)
}

#[test]
fn events_come_in_order_with_ids_of_their_own() {
    let events = events(3, 2_000, 100_000);
    let mut ids = BTreeSet::new();
    for pair in events.windows(2) {
        assert!(pair[0].created <= pair[1].created);
    }
    for event in &events {
        assert!(ids.insert(event.id.clone()), "{} twice", event.id);
        assert!(event.id.len() <= 24 && !event.id.is_heap_allocated());
        assert!(!event.user.is_empty() && !event.session.is_empty());
    }
}

#[test]
fn the_funnel_is_a_shop_s() {
    let events = events(11, 20_000, 400_000);
    let funnel = Funnel::of(&events);
    let text = funnel.to_string();
    assert!(
        text.contains("abandonment 6") || text.contains("abandonment 7"),
        "{text}"
    );
    within("events a session", funnel.events_per_session(), 4.0, 12.0);
    within("adds per view", funnel.adds_per_view(), 0.06, 0.08);
    within("abandonment", funnel.abandonment(), 0.66, 0.74);
    within("conversion", funnel.conversion(), 0.02, 0.08);
    let minutes = f64::from(u32::try_from(funnel.session_ms_median() / 1_000).unwrap()) / 60.0;
    within("median session, minutes", minutes, 1.5, 8.0);
    within("views", funnel.share(EventKind::ProductView), 0.55, 0.80);
    within("searches", funnel.share(EventKind::SearchQuery), 0.02, 0.12);
    within(
        "filters",
        funnel.share(EventKind::FilterSelection),
        0.01,
        0.10,
    );
    within(
        "removals",
        funnel.share(EventKind::RemoveFromCart),
        0.001,
        0.02,
    );
    assert!(funnel.bot_sessions() > 0);
    assert!(funnel.bot_sessions() < funnel.sessions() / 500);
}

#[test]
fn every_required_field_is_there() {
    let mut seen = BTreeSet::new();
    for event in events(5, 3_000, 150_000) {
        seen.insert(event.kind);
        let details = event.details.as_deref();
        match event.kind {
            EventKind::ProductView | EventKind::WishlistAdd => assert!(!event.item.is_empty()),
            EventKind::AddToCart | EventKind::RemoveFromCart | EventKind::Refund => {
                assert!(!event.item.is_empty());
                assert!(event.quantity > 0 && event.price.is_some());
                assert_eq!(details.unwrap().currency, "EUR");
            }
            EventKind::SearchQuery => assert!(!details.unwrap().query.is_empty()),
            EventKind::FilterSelection => assert!(!details.unwrap().filters.is_empty()),
            EventKind::Purchase => {
                let details = details.unwrap();
                assert!(!details.lines.is_empty() && !details.order_id.is_empty());
                assert!(details.revenue.is_some() && details.currency == "EUR");
            }
            EventKind::Identify => {
                assert!(event.user.starts_with("user-"));
                assert!(details.unwrap().visitor.starts_with("visitor-"));
            }
            EventKind::ProductListView
            | EventKind::ProductClick
            | EventKind::CartView
            | EventKind::CartUpdate
            | EventKind::CheckoutStart
            | EventKind::RecommendationImpression
            | EventKind::RecommendationClick
            | EventKind::TriggerDelivered
            | EventKind::ConsentChange => {}
        }
    }
    assert_eq!(seen.len(), 14, "{seen:?}");
}

#[test]
fn what_is_bought_together_follows_the_planted_companions() {
    let shop = shop();
    let place: BTreeMap<&Id, u32> = shop.products().iter().map(|p| &p.id).zip(0..).collect();
    let planted: BTreeSet<(u32, u32)> = (0..)
        .take(place.len())
        .flat_map(|a| shop.companions(a).map(move |b| (a.min(b), a.max(b))))
        .collect();
    let mut pairs: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for event in Traffic::new(&shop, 13, 20_000, START).take(400_000) {
        if event.kind != EventKind::Purchase {
            continue;
        }
        let details = event.details.unwrap();
        let order: Vec<u32> = details.lines.iter().map(|line| place[&line.item]).collect();
        for (i, &a) in order.iter().enumerate() {
            for &b in &order[i + 1..] {
                *pairs.entry((a.min(b), a.max(b))).or_default() += 1;
            }
        }
    }
    let total: u32 = pairs.values().sum();
    let found: u32 = pairs
        .iter()
        .filter(|(p, _)| planted.contains(p))
        .map(|(_, n)| n)
        .sum();
    // If orders ignored the plan, its share of the pairs would be its share of all possible pairs.
    let items = number(place.len());
    let expected = number(planted.len()) / (items * (items - 1.0) / 2.0);
    let share = f64::from(found) / f64::from(total);
    assert!(total > 2_000);
    assert!(
        share > 20.0 * expected,
        "{share:.3}, by chance {expected:.4}"
    );
    // The pairs bought most often are nearly all planted.
    let mut most: Vec<_> = pairs.iter().collect();
    most.sort_by_key(|&(pair, n)| (std::cmp::Reverse(*n), *pair));
    let top = most
        .iter()
        .take(50)
        .filter(|(p, _)| planted.contains(*p))
        .count();
    assert!(top >= 40, "{top} of 50");
}

#[test]
fn the_engine_takes_every_event_and_finds_abandoned_carts() {
    let shop = shop();
    let mut engine = Engine::new(engine::Config::default());
    let mut outbox = Outbox::default();
    for patch in shop.catalogue() {
        let record = Record {
            received: START,
            input: Input::ItemUpsert(Box::new(patch)),
        };
        let outcome = engine.apply(&record, &mut outbox);
        assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    }
    let events = Traffic::new(&shop, 37, 4_000, START).take(60_000);
    for event in events {
        let record = Record {
            received: event.created.unwrap(),
            input: Input::Event(event),
        };
        let outcome = engine.apply(&record, &mut outbox);
        let applied = Outcome::Applied {
            time_rule: TimeRule::Created,
            late: false,
        };
        assert_eq!(outcome, applied, "{record:?}");
    }
    let fired = outbox
        .triggers
        .iter()
        .filter(|t| t.kind == TriggerKind::Fire)
        .count();
    let bought = outbox
        .triggers
        .iter()
        .filter(|t| t.reason == TriggerReason::Purchased)
        .count();
    let share = number(fired) / number(fired + bought);
    within("carts left alone", share, 0.55, 0.85);
    assert_eq!(engine.view().stats().items, 480);
}

#[test]
fn few_products_get_most_of_the_attention() {
    let mut views: BTreeMap<Id, u32> = BTreeMap::new();
    for event in events(17, 5_000, 100_000) {
        if event.kind == EventKind::ProductView {
            *views.entry(event.item).or_default() += 1;
        }
    }
    let mut counts: Vec<u32> = views.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let all: u32 = counts.iter().sum();
    let top: u32 = counts.iter().take(counts.len() / 5).sum();
    within(
        "share of the top fifth",
        f64::from(top) / f64::from(all),
        0.35,
        0.8,
    );
}

#[test]
fn trends_move_attention_within_days() {
    let shop = shop();
    let mut views = [BTreeMap::<Id, u32>::new(), BTreeMap::new()];
    for event in Traffic::new(&shop, 19, 20_000, START) {
        let age = event.created.unwrap().since(START);
        let period = match age / DAY_MS {
            0 => 0,
            6 => 1,
            7.. => break,
            _ => continue,
        };
        if event.kind == EventKind::ProductView {
            *views[period].entry(event.item).or_default() += 1;
        }
    }
    let top = |views: &BTreeMap<Id, u32>| -> BTreeSet<Id> {
        let mut all: Vec<_> = views.iter().collect();
        all.sort_by_key(|&(id, n)| (std::cmp::Reverse(*n), id.clone()));
        all.into_iter().take(40).map(|(id, _)| id.clone()).collect()
    };
    let stayed = top(&views[0]).intersection(&top(&views[1])).count();
    assert!((8..36).contains(&stayed), "{stayed} of 40 stayed");
}

#[test]
fn a_sale_draws_its_share_to_few_products() {
    let habits = Habits {
        rush_share: 0.8,
        rush_items: 5,
        ..Habits::default()
    };
    let mut first_views: BTreeMap<Id, u32> = BTreeMap::new();
    let mut sessions = BTreeSet::new();
    for event in Traffic::with_habits(&shop(), 23, 3_000, START, habits).take(40_000) {
        if sessions.insert(event.session) && event.kind == EventKind::ProductView {
            *first_views.entry(event.item).or_default() += 1;
        }
    }
    let mut counts: Vec<u32> = first_views.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let share = f64::from(counts.iter().take(5).sum::<u32>()) / number(sessions.len());
    within("sessions that begin in the sale", share, 0.6, 0.9);
}

#[test]
fn bots_view_hundreds_of_products_a_minute() {
    let habits = Habits {
        bots_per_million: 1_000_000,
        ..Habits::default()
    };
    let events: Vec<Event> = Traffic::with_habits(&shop(), 29, 20, START, habits)
        .take(5_000)
        .collect();
    assert!(
        events
            .iter()
            .all(|event| event.kind == EventKind::ProductView)
    );
    let one: Vec<&Event> = events.iter().filter(|e| e.user == events[0].user).collect();
    let minute = one
        .iter()
        .filter(|e| e.created.unwrap().since(one[0].created.unwrap()) < MINUTE_MS)
        .count();
    assert!((200..700).contains(&minute), "{minute}");
}

#[test]
fn visitors_answer_to_what_they_are_shown_and_told() {
    let shop = shop();
    let mut traffic = Traffic::new(&shop, 31, 3_000, START);
    let items: Vec<Id> = shop
        .products()
        .iter()
        .take(8)
        .map(|p| p.id.clone())
        .collect();
    let (mut shown, mut clicks, mut told) = (0, 0, 0);
    let mut ids = BTreeSet::new();
    for _ in 0..60_000 {
        let event = traffic.next().unwrap();
        let at = event.created.unwrap();
        ids.insert(event.id.clone());
        if event.kind == EventKind::ProductView {
            let placement = Id::const_new("product");
            let answered = traffic.show(&event.user, &items, &placement, &Id::default(), at);
            shown += usize::from(!answered.is_empty());
            clicks += answered
                .iter()
                .filter(|event| event.kind == EventKind::RecommendationClick)
                .count();
            for event in answered {
                assert!(ids.insert(event.id.clone()), "{} twice", event.id);
            }
        }
        if event.kind == EventKind::AddToCart {
            told += usize::from(
                traffic
                    .remind(&event.user, Id::const_new("t"), at)
                    .is_some(),
            );
        }
    }
    assert!(shown > 10_000 && told > 1_000);
    within(
        "clicks of those shown",
        number(clicks) / number(shown),
        0.03,
        0.12,
    );
    assert!(traffic.remind("nobody", Id::default(), START).is_none());
    assert!(
        traffic
            .show("user-x", &items, &Id::default(), &Id::default(), START)
            .is_empty()
    );
}

fn within(what: &str, found: f64, least: f64, most: f64) {
    assert!(
        (least..=most).contains(&found),
        "{what}: {found:.4}, expected {least} to {most}"
    );
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
