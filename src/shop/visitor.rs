//! One visitor: taste, intent and what they do next.

use std::mem;

use crate::domain::{Consent, DAY_MS, HOUR_MS, Id, MINUTE_MS, Millis, SECOND_MS};
use crate::shop::catalogue::{COMPANIONS_MAX, Shop, numbered};
use crate::shop::habits::{Habits, Intent};
use crate::shop::random::Random;
use crate::shop::season::{MEAN_BUSYNESS, busyness};

/// Lines a visitor puts into a cart, at most.
const CART_LINES_MAX: usize = 12;

/// The shop empties a cart that nobody touched for this long.
const CART_EXPIRY_MS: i64 = 3 * DAY_MS;

/// No pause within a session is longer, so that 30 minutes of silence always end one.
const PAUSE_MAX_MS: f64 = 18.0 * 60_000.0;

/// Something a visitor does; products are places in [`Shop::products`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Consent(Consent),
    CartExpired,
    Refund(u32),
    Search { category: u32, choice: u32 },
    Filter { category: u32, choice: u32 },
    List,
    View(u32),
    Wish(u32),
    Add { product: u32, quantity: u32 },
    Cart,
    Remove { product: u32, quantity: u32 },
    Checkout,
    Identify,
    Buy(Vec<(u32, u32)>),
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    Enter,
    Filter,
    List,
    /// Chooses a product and looks at it.
    View,
    /// Looks at the product that is already chosen.
    Look,
    Wish,
    Add,
    Cart,
    Remove,
    Checkout,
    Identify,
    Pay,
    /// Takes one product after the other.
    Crawl,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Arrived,
    /// A product was looked at.
    Looked,
    /// Something was put into the cart.
    Added,
}

/// A visitor and the stream of draws that decides everything they do.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// When they do the next thing.
    pub(super) due: Millis,
    /// The visitor's number, unique over all that take the place in turn.
    pub(super) number: u64,
    /// Who they are in events: the user if known, else the anonymous visitor.
    pub(super) id: Id,
    /// The session under way, or the last one.
    pub(super) session: Id,
    /// Carts opened so far.
    pub(super) carts: u32,
    random: Random,
    known: bool,
    phase: Phase,
    intent: Intent,
    sessions: u32,
    cart: Vec<(u32, u32)>,
    cart_touched: Millis,
    now: Millis,
    progress: Progress,
    reminded: bool,
    ordered: Option<u32>,
    category: u32,
    product: u32,
    crawl_left: u32,
    favourites: [u32; 3],
    /// Where they shop between cheap (0) and dear (1).
    price_place: f32,
    brand_position: u32,
    /// Mean time between sessions.
    gap_ms: f64,
}

impl Visitor {
    /// The visitor of this number, away.
    pub(super) fn new(shop: &Shop, habits: &Habits, seed: u64, number: u64) -> Self {
        let mut random = Random::fork(seed, number);
        let main = shop.draw_category(&mut random);
        let favourites = [
            main,
            shop.draw_neighbour_category(main, &mut random),
            shop.draw_category(&mut random),
        ];
        let known = random.chance(habits.known_share);
        let bot = random.chance(f64::from(habits.bots_per_million) / 1e6);
        let activity = random.log_normal(0.72, 0.8).max(0.05);
        Self {
            due: Millis::MIN,
            number,
            id: numbered(if known { "user-" } else { "visitor-" }, number),
            session: Id::default(),
            carts: 0,
            known,
            phase: Phase::Away,
            intent: Intent::Browse,
            sessions: 0,
            cart: Vec::new(),
            cart_touched: Millis(0),
            now: Millis(0),
            progress: Progress::Arrived,
            reminded: false,
            ordered: None,
            category: main,
            product: 0,
            crawl_left: u32::from(bot),
            favourites,
            price_place: f32::from(u8::try_from(random.below(101)).unwrap_or(50)) / 100.0,
            brand_position: random.below(5),
            gap_ms: as_ms(DAY_MS) / (habits.sessions_per_day * activity).max(1e-6),
            random,
        }
    }

    /// The user id, known to the shop or not yet.
    fn user(&self) -> Id {
        numbered("user-", self.number)
    }

    /// The id before they were known.
    pub(super) fn anonymous(&self) -> Id {
        numbered("visitor-", self.number)
    }

    /// Whether a session is under way.
    pub(super) fn is_here(&self) -> bool {
        self.phase != Phase::Away
    }

    /// Whether they left something in the cart.
    pub(super) fn has_cart(&self) -> bool {
        !self.cart.is_empty()
    }

    /// Milliseconds until the next session begins.
    pub(super) fn away_ms(&mut self, now: Millis) -> i64 {
        if self.has_cart() && self.progress == Progress::Added && self.random.chance(0.3) {
            let soon = self.random.log_normal(5.0 * as_ms(HOUR_MS), 0.8);
            return held(soon, as_ms(20 * MINUTE_MS) * 2.0, as_ms(2 * DAY_MS));
        }
        // Thinning: candidates come at the rate of the busiest hour and stay with the share of the hour they fall in.
        let mean = self.gap_ms * MEAN_BUSYNESS;
        let mut wait = 2 * 20 * MINUTE_MS;
        for _ in 0..64 {
            wait += held(self.random.exponential(mean), 1.0, 1e12);
            if self.random.chance(busyness(now + wait)) {
                break;
            }
        }
        wait
    }

    /// Whether this session was the last.
    pub(super) fn leaves_for_good(&mut self, habits: &Habits) -> bool {
        !self.has_cart() && self.random.chance(habits.leaving_share)
    }

    /// A message about the cart reached them: perhaps they come for it after the returned milliseconds.
    pub(super) fn remind(&mut self) -> Option<i64> {
        if self.is_here() || !self.has_cart() || !self.random.chance(0.35) {
            return None;
        }
        self.reminded = true;
        Some(held(
            self.random.log_normal(8.0 * 60_000.0, 0.9),
            20_000.0,
            as_ms(2 * HOUR_MS),
        ))
    }

    /// Which of `count` shown products they click, if any; they then look at it next.
    pub(super) fn click(&mut self, products: &[u32]) -> Option<u32> {
        if !self.is_here() || self.phase == Phase::Crawl || !self.random.chance(0.08) {
            return None;
        }
        // People click what stands first more often.
        let first = self.random.below_len(products.len());
        let place = self.random.below_len(first + 1);
        let product = products.get(place).copied()?;
        if matches!(self.phase, Phase::View | Phase::List | Phase::Filter) {
            self.product = product;
            self.phase = Phase::Look;
        }
        Some(product)
    }

    /// What they do now, and the milliseconds until they do the next thing; `None` when the session is over.
    pub(super) fn act(&mut self, shop: &Shop, habits: &Habits, now: Millis) -> (Act, Option<i64>) {
        self.now = now;
        let act = match self.phase {
            Phase::Away => self.arrive(shop, habits),
            Phase::Enter => self.enter(shop),
            Phase::Filter => self.filter(),
            Phase::List => {
                self.phase = Phase::View;
                Act::List
            }
            Phase::View => {
                self.product = if self.progress >= Progress::Looked {
                    self.choose(shop)
                } else {
                    self.first_choice(shop, self.category)
                };
                self.look()
            }
            Phase::Look => self.look(),
            Phase::Wish => {
                self.go_on();
                Act::Wish(self.product)
            }
            Phase::Add => self.add(shop),
            Phase::Cart => self.see_cart(),
            Phase::Remove => self.remove(),
            Phase::Checkout => self.check_out(),
            Phase::Identify => {
                self.phase = Phase::Pay;
                self.known = true;
                self.id = self.user();
                Act::Identify
            }
            Phase::Pay => {
                self.phase = Phase::Away;
                self.ordered = self.cart.first().map(|&(product, _)| product);
                Act::Buy(mem::take(&mut self.cart))
            }
            Phase::Crawl => self.crawl(shop),
        };
        let wait = self.is_here().then(|| self.pause_ms(&act));
        (act, wait)
    }

    fn arrive(&mut self, shop: &Shop, habits: &Habits) -> Act {
        self.sessions += 1;
        self.session = numbered("s-", self.number);
        self.session.push_str(&numbered("-", self.sessions.into()));
        self.progress = Progress::Arrived;
        self.phase = Phase::Enter;
        if self.crawl_left > 0 {
            self.crawl_left = 300 + self.random.below(900);
            return self.crawl(shop);
        }
        self.category = if self.random.chance(0.82) {
            let favourites = self.favourites;
            self.random.pick(&favourites).unwrap_or(0)
        } else {
            shop.draw_category(&mut self.random)
        };
        self.intent = self.intend();
        if self.has_cart() && self.now.since(self.cart_touched) > CART_EXPIRY_MS {
            self.cart.clear();
            return Act::CartExpired;
        }
        if self.sessions == 1 && self.random.chance(0.08) {
            let marketing = self.random.chance(0.25);
            let personalization = self.random.chance(0.85);
            return Act::Consent(Consent {
                personalization: Some(personalization),
                marketing: Some(marketing),
            });
        }
        if let Some(product) = self.ordered.take()
            && self.random.chance(0.04)
        {
            return Act::Refund(product);
        }
        if self.random.chance(habits.rush_share) {
            self.product = habits.rush_product(shop, &mut self.random);
            return self.look();
        }
        self.enter(shop)
    }

    fn intend(&mut self) -> Intent {
        let reminded = mem::take(&mut self.reminded);
        let roll = self.random.unit();
        if self.has_cart() && (reminded || roll < 0.35) {
            return Intent::ReturnForCart;
        }
        match self.random.unit() {
            roll if roll < 0.60 => Intent::Browse,
            roll if roll < 0.885 => Intent::Research,
            _ => Intent::Buy,
        }
    }

    fn enter(&mut self, shop: &Shop) -> Act {
        if self.intent == Intent::ReturnForCart && self.has_cart() {
            return self.see_cart();
        }
        let odds = self.intent.odds();
        let filters = self.random.chance(odds.filter);
        if self.random.chance(odds.search) {
            self.phase = if filters { Phase::Filter } else { Phase::List };
            return Act::Search {
                category: self.category,
                choice: self.random.below(u32::MAX),
            };
        }
        if self.random.chance(odds.list) {
            self.phase = if filters { Phase::Filter } else { Phase::View };
            return Act::List;
        }
        self.product = self.first_choice(shop, self.category);
        self.look()
    }

    fn filter(&mut self) -> Act {
        self.phase = if self.random.chance(0.3) {
            Phase::Filter
        } else {
            Phase::View
        };
        Act::Filter {
            category: self.category,
            choice: self.random.below(u32::MAX),
        }
    }

    fn look(&mut self) -> Act {
        self.progress = self.progress.max(Progress::Looked);
        let odds = self.intent.odds();
        let full = self.cart.len() >= CART_LINES_MAX;
        if !full && self.random.chance(odds.add) {
            self.phase = Phase::Add;
        } else if self.random.chance(0.012) {
            self.phase = Phase::Wish;
        } else {
            self.go_on();
        }
        Act::View(self.product)
    }

    fn add(&mut self, shop: &Shop) -> Act {
        if self.cart.is_empty() {
            self.carts += 1;
        }
        self.progress = Progress::Added;
        self.cart_touched = self.now;
        let product = self.product;
        let quantity = if self.random.chance(0.08) { 2 } else { 1 };
        match self.cart.iter_mut().find(|(other, _)| *other == product) {
            Some((_, count)) => *count += quantity,
            None => self.cart.push((product, quantity)),
        }
        let nth = self.random.below(COMPANIONS_MAX);
        match shop.companion(product, nth) {
            // What goes with it comes to mind, or is shown beside the cart.
            Some(companion) if self.random.chance(0.5) => {
                self.product = companion;
                let taken = self.cart.len() < CART_LINES_MAX && self.random.chance(0.45);
                self.phase = if taken { Phase::Add } else { Phase::Look };
            }
            Some(_) | None => self.go_on(),
        }
        Act::Add { product, quantity }
    }

    /// After a product: another one, the cart, or home.
    fn go_on(&mut self) {
        let odds = self.intent.odds();
        let roll = self.random.unit();
        self.phase = if self.random.chance(odds.go_on) {
            if roll < 0.1 { Phase::List } else { Phase::View }
        } else if self.progress == Progress::Added && self.has_cart() && roll < odds.see_cart {
            Phase::Cart
        } else {
            Phase::Away
        };
    }

    fn see_cart(&mut self) -> Act {
        let odds = self.intent.odds();
        self.phase = if self.random.chance(0.14) {
            Phase::Remove
        } else if self.random.chance(odds.checkout) {
            Phase::Checkout
        } else if self.random.chance(0.15) {
            Phase::View
        } else {
            Phase::Away
        };
        Act::Cart
    }

    fn remove(&mut self) -> Act {
        let line = self.random.below_len(self.cart.len());
        if self.cart.is_empty() {
            self.phase = Phase::Away;
            return Act::Cart;
        }
        let (product, quantity) = self.cart.remove(line);
        self.cart_touched = self.now;
        let odds = self.intent.odds();
        self.phase = if self.has_cart() && self.random.chance(odds.checkout) {
            Phase::Checkout
        } else if self.random.chance(0.2) {
            Phase::View
        } else {
            Phase::Away
        };
        Act::Remove { product, quantity }
    }

    fn check_out(&mut self) -> Act {
        self.cart_touched = self.now;
        let pays = self.random.chance(self.intent.odds().pay);
        let identifies = !self.known && self.random.chance(0.7);
        self.phase = match (identifies, pays) {
            (true, true) => Phase::Identify,
            (false, true) => Phase::Pay,
            (_, false) => Phase::Away,
        };
        Act::Checkout
    }

    fn crawl(&mut self, shop: &Shop) -> Act {
        self.crawl_left -= 1;
        self.phase = Phase::Crawl;
        if self.crawl_left == 0 {
            // One view stays, so that the next session is a bot's too.
            self.crawl_left = 1;
            self.phase = Phase::Away;
        }
        self.product = match shop.product(self.product + 1) {
            Some(_) => self.product + 1,
            None => 0,
        };
        Act::View(self.product)
    }

    /// The next product of a session: mostly near the current one, sometimes what goes with it.
    fn choose(&mut self, shop: &Shop) -> u32 {
        let current = self.product;
        let category = shop
            .product(current)
            .map_or(self.category, |product| product.category_index);
        match self.random.below(100) {
            0..=31 => self.similar(shop, category, current),
            32..=46 => {
                let nth = self.random.below(COMPANIONS_MAX);
                shop.companion(current, nth).unwrap_or(current)
            }
            47..=53 => {
                self.category = shop.draw_neighbour_category(category, &mut self.random);
                self.first_choice(shop, self.category)
            }
            54..=59 => current,
            _ => self.first_choice(shop, self.category),
        }
    }

    /// A product of about the same price.
    fn similar(&mut self, shop: &Shop, category: u32, current: u32) -> u32 {
        let Some(own) = shop.category(category) else {
            return current;
        };
        let step = 1 + self.random.below(4);
        let last = own.first + own.count - 1;
        if self.random.chance(0.5) {
            (current + step).min(last)
        } else {
            current.saturating_sub(step).max(own.first)
        }
    }

    /// The better of two popular products, by their taste.
    fn first_choice(&mut self, shop: &Shop, category: u32) -> u32 {
        let one = self.popular(shop, category);
        let two = self.popular(shop, category);
        if self.distance(shop, one) <= self.distance(shop, two) {
            one
        } else {
            two
        }
    }

    fn popular(&mut self, shop: &Shop, category: u32) -> u32 {
        if self.random.chance(0.14) {
            shop.draw_trending(category, self.now, &mut self.random)
        } else {
            shop.draw_product(category, &mut self.random)
        }
    }

    /// How far a product is from their taste.
    fn distance(&self, shop: &Shop, product: u32) -> f32 {
        let Some(found) = shop.product(product) else {
            return f32::MAX;
        };
        let Some(own) = shop.category(found.category_index) else {
            return f32::MAX;
        };
        let place = ratio(product - own.first, own.count);
        let brand = found.brand_position.abs_diff(self.brand_position);
        (place - self.price_place).abs() + 0.2 * ratio(brand, 1)
    }

    fn pause_ms(&mut self, act: &Act) -> i64 {
        let median = match act {
            Act::CartExpired | Act::Identify => 3.0,
            Act::Consent(_) | Act::Refund(_) | Act::Wish(_) => 6.0,
            Act::Search { .. } | Act::Filter { .. } | Act::List => 11.0,
            Act::View(_) if self.phase == Phase::Crawl => {
                return 90 + i64::from(self.random.below(180));
            }
            Act::View(_) if self.intent == Intent::Research => 38.0,
            Act::View(_) => 24.0,
            Act::Add { .. } | Act::Remove { .. } => 9.0,
            Act::Cart => 20.0,
            Act::Checkout | Act::Buy(_) => 70.0,
        };
        let pause = self.random.log_normal(median * as_ms(SECOND_MS), 0.85);
        held(pause, 300.0, PAUSE_MAX_MS)
    }
}

/// `ms` cut to whole milliseconds between two limits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both limits are far below 2^53"
)]
fn held(ms: f64, least: f64, most: f64) -> i64 {
    ms.clamp(least, most) as i64
}

#[expect(clippy::cast_precision_loss, reason = "callers pass some days at most")]
const fn as_ms(ms: i64) -> f64 {
    ms as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "both are places in a list; the share needs few digits"
)]
const fn ratio(part: u32, whole: u32) -> f32 {
    part as f32 / whole as f32
}
