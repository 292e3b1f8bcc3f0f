//! What the shop sells: named products with prices, makers, stock and companions, all drawn from the seed.

use std::sync::Arc;

use crate::domain::{DAY_MS, Id, ItemPatch, Millis, Money};
use crate::shop::departments::{BRAND_PRICE, COLOURS, DEPARTMENTS, Department, Leaf, SERIES};
use crate::shop::random::{Alias, Random, exp, ln, mix};

/// Code of every amount.
pub const CURRENCY: Id = Id::const_new("EUR");

/// Companions of a product, at most.
pub const COMPANIONS_MAX: u32 = 4;

/// Number of the first product.
pub(super) const FIRST_PRODUCT: u64 = 10_001;

/// Exponent of the popularity of products within their category.
const ZIPF: f64 = 1.05;

/// Settings of a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many products, at least 1.
    pub items: u32,
    /// The products came into the shop in the two years before this day.
    pub today: Millis,
}

impl Default for Config {
    /// 480 products, on 2026-01-01.
    fn default() -> Self {
        Self {
            items: 480,
            today: Millis(1_767_225_600_000),
        }
    }
}

/// A shop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shop {
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    seed: u64,
    /// By category, within a category by price.
    products: Vec<Product>,
    categories: Vec<Category>,
    /// Categories by the interest of the shop's visitors.
    interest: Alias,
}

/// One product.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// The shop's id, `sku-` and a number.
    pub id: Id,
    /// Maker, line and what it is.
    pub title: String,
    /// First level of its categories.
    pub department: &'static str,
    /// Second level of its categories.
    pub category: &'static str,
    /// The maker.
    pub brand: &'static str,
    /// Its colour.
    pub colour: &'static str,
    /// Price of one.
    pub price: Money,
    /// How many are left.
    pub stock: u64,
    /// When it came into the shop.
    pub created: Millis,
    /// Place of `category` in the shop.
    pub(super) category_index: u32,
    /// Place of `brand` among the makers of the department, from the cheapest.
    pub(super) brand_position: u32,
}

/// A category of the second level, with what the visitors need to know of it.
#[derive(Debug)]
pub(super) struct Category {
    /// Place of its department.
    pub(super) department: u32,
    /// Its first product.
    pub(super) first: u32,
    /// How many products it has, at least 1.
    pub(super) count: u32,
    /// Categories bought along with it.
    pub(super) complements: Vec<u32>,
    /// What visitors search for when they want something of it.
    pub(super) queries: Vec<Id>,
    /// What they choose in its filters.
    pub(super) filters: Vec<Id>,
    popularity: Alias,
}

impl Shop {
    /// The shop of this seed.
    pub fn new(seed: u64, config: Config) -> Self {
        let wanted = allot(config.items.max(1));
        let mut products = Vec::with_capacity(config.items as usize);
        let mut categories: Vec<Category> = Vec::with_capacity(wanted.len());
        for (department, leaf, count) in &wanted {
            let index = small(categories.len());
            let mut random = Random::fork(seed, u64::from(index));
            let first = small(products.len());
            let shelf = Shelf {
                department,
                leaf,
                index,
            };
            products.extend(shelf.fill(first, *count, config.today, &mut random));
            categories.push(shelf.category(first, *count, &wanted, &mut random));
        }
        let interest: Vec<f64> = wanted
            .iter()
            .map(|(department, leaf, _)| department.interest * leaf.share_of(department))
            .collect();
        Self {
            plan: Arc::new(Plan {
                seed,
                products,
                categories,
                interest: Alias::new(&interest),
            }),
        }
    }

    /// The products, by category and price; events name them by their ids.
    pub fn products(&self) -> &[Product] {
        &self.plan.products
    }

    /// The whole catalogue as changes, in the order of the products.
    pub fn catalogue(&self) -> impl ExactSizeIterator<Item = ItemPatch> + '_ {
        self.plan.products.iter().map(Product::patch)
    }

    /// The price and stock changes of a round, for about one product in twenty: a round of some minutes in a shop
    /// whose stock system sends what changed. Rounds differ; the same round is always the same.
    pub fn refresh(&self, round: u64) -> impl Iterator<Item = ItemPatch> + '_ {
        let seed = mix(self.plan.seed ^ round);
        self.plan
            .products
            .iter()
            .zip(0..)
            .filter_map(move |(product, index)| {
                let mut random = Random::fork(seed, index);
                random
                    .chance(0.05)
                    .then(|| product.change(0.8 + 0.3 * random.unit(), random.below(60).into()))
            })
    }

    /// Products that visitors buy along with this one, by their places in [`Shop::products`]: what recommenders
    /// are meant to find. At most [`COMPANIONS_MAX`].
    pub fn companions(&self, product: u32) -> impl Iterator<Item = u32> + '_ {
        (0..COMPANIONS_MAX).filter_map(move |nth| self.companion(product, nth))
    }

    /// The companion of this number: of a category that goes with the product's, at about the same place between
    /// cheap and dear.
    pub(super) fn companion(&self, product: u32, nth: u32) -> Option<u32> {
        let own = self.product(product)?;
        let category = self.category(own.category_index)?;
        let complements = &category.complements;
        let choice = nth as usize % complements.len().max(1);
        let other = self.category(*complements.get(choice)?)?;
        let scatter = mix(self.plan.seed ^ (u64::from(product) << 8) ^ u64::from(nth));
        let reach = u64::from(other.count / 8 + 1);
        let place = u64::from(product - category.first) * u64::from(other.count)
            / u64::from(category.count)
            + scatter % reach;
        let found = other.first + small64(place).min(other.count - 1);
        (found != product).then_some(found)
    }

    /// The product at this place.
    pub(super) fn product(&self, index: u32) -> Option<&Product> {
        self.plan.products.get(index as usize)
    }

    /// The category at this place.
    pub(super) fn category(&self, index: u32) -> Option<&Category> {
        self.plan.categories.get(index as usize)
    }

    /// A category by the interest of all visitors.
    pub(super) fn draw_category(&self, random: &mut Random) -> u32 {
        self.plan.interest.draw(random)
    }

    /// Another category of the same department, or the same.
    pub(super) fn draw_neighbour_category(&self, category: u32, random: &mut Random) -> u32 {
        let Some(own) = self.category(category) else {
            return category;
        };
        let same = |other: &&Category| other.department == own.department;
        let before = self.plan.categories.iter().take(category as usize);
        let first = category - small(before.rev().take_while(same).count());
        let after = self.plan.categories.iter().skip(first as usize);
        first + random.below(small(after.take_while(same).count()))
    }

    /// A product of the category by its popularity.
    pub(super) fn draw_product(&self, category: u32, random: &mut Random) -> u32 {
        self.category(category).map_or(0, |category| {
            category.first + category.popularity.draw(random)
        })
    }

    /// One of the three products everybody talks about in the category at this time. They change every two days,
    /// not in all categories at once.
    pub(super) fn draw_trending(&self, category: u32, now: Millis, random: &mut Random) -> u32 {
        let Some(own) = self.category(category) else {
            return 0;
        };
        let phase = now.0 + i64::from(category) * 7_919_000;
        let season = phase.div_euclid(2 * DAY_MS).unsigned_abs();
        let pick = u64::from(random.below(3));
        let scatter = mix(self.plan.seed ^ (season << 20) ^ (u64::from(category) << 3) ^ pick);
        own.first + small64(scatter % u64::from(own.count))
    }
}

impl Product {
    /// Everything about it, as a change of the catalogue.
    pub fn patch(&self) -> ItemPatch {
        ItemPatch {
            title: Some(self.title.clone()),
            categories: vec![Id::const_new(self.department), Id::const_new(self.category)],
            brand: Some(Id::const_new(self.brand)),
            currency: Some(CURRENCY),
            attributes: vec![(Id::const_new("colour"), self.colour.to_owned())],
            created: Some(self.created),
            ..self.change(1.0, self.stock)
        }
    }

    fn change(&self, price_factor: f64, stock: u64) -> ItemPatch {
        ItemPatch {
            id: self.id.clone(),
            price: Some(shelf_price(self.price.units() * price_factor)),
            available: Some(stock > 0),
            stock: Some(stock),
            ..ItemPatch::default()
        }
    }
}

/// A category while it is being filled.
struct Shelf {
    department: &'static Department,
    leaf: &'static Leaf,
    index: u32,
}

impl Shelf {
    /// `count` products by price, the first of them product number `first` of the shop.
    fn fill(&self, first: u32, count: u32, today: Millis, random: &mut Random) -> Vec<Product> {
        let series = random.below_len(SERIES.len());
        let mut products: Vec<Product> = (0..count as usize)
            .map(|nth| self.product(nth, series + nth / self.leaf.nouns.len(), today, random))
            .collect();
        // Stable, so that products of one price keep the order they were drawn in.
        products.sort_by_key(|product| product.price);
        for (product, number) in products.iter_mut().zip(first..) {
            product.id = numbered("sku-", u64::from(number) + FIRST_PRODUCT);
        }
        products
    }

    fn product(&self, nth: usize, series: usize, today: Millis, random: &mut Random) -> Product {
        let brand_position = random.below(5);
        let position = brand_position as usize;
        let brand = self.department.brands.get(position).copied().unwrap_or("");
        let noun = self
            .leaf
            .nouns
            .get(nth % self.leaf.nouns.len())
            .copied()
            .unwrap_or("");
        let line = SERIES.get(series % SERIES.len()).copied().unwrap_or("");
        let generation = nth / (SERIES.len() * self.leaf.nouns.len());
        let title = if generation == 0 {
            format!("{brand} {line} {noun}")
        } else {
            format!("{brand} {line} {} {noun}", generation + 1)
        };
        let factor = BRAND_PRICE.get(position).copied().unwrap_or(1.0);
        let price = shelf_price(random.log_normal(self.leaf.price * factor, 0.35));
        let sold_out = random.chance(0.03);
        let stock = whole(random.log_normal(40.0, 0.9));
        let age_days = if random.chance(0.06) { 30 } else { 730 };
        let age_ms = i64::from(random.below(age_days * 24)) * (DAY_MS / 24);
        Product {
            id: Id::default(),
            title,
            department: self.department.name,
            category: self.leaf.name,
            brand,
            colour: random.pick(&COLOURS).unwrap_or("black"),
            price,
            stock: if sold_out { 0 } else { stock },
            created: today - age_ms,
            category_index: self.index,
            brand_position,
        }
    }

    fn category(
        &self,
        first: u32,
        count: u32,
        wanted: &[(&'static Department, &'static Leaf, u32)],
        random: &mut Random,
    ) -> Category {
        let mut ranks: Vec<u32> = (1..=count).collect();
        for last in (1..ranks.len()).rev() {
            ranks.swap(last, random.below_len(last + 1));
        }
        let weights: Vec<f64> = ranks
            .iter()
            .map(|&rank| exp(-ZIPF * ln(f64::from(rank))))
            .collect();
        let place = |name: &str| wanted.iter().position(|(_, leaf, _)| leaf.name == name);
        let departments = DEPARTMENTS.iter();
        let brands = self.department.brands;
        let queries = self.leaf.nouns.into_iter().chain([self.leaf.name]);
        let filters = brands
            .iter()
            .map(|brand| Id::from(format!("brand:{brand}")));
        let colours = COLOURS
            .iter()
            .map(|colour| Id::from(format!("colour:{colour}")));
        Category {
            department: small(
                departments
                    .take_while(|other| other.name != self.department.name)
                    .count(),
            ),
            first,
            count,
            complements: self
                .leaf
                .complements
                .iter()
                .filter_map(|name| place(name).map(small))
                .collect(),
            queries: queries.map(Id::const_new).collect(),
            filters: filters.chain(colours).collect(),
            popularity: Alias::new(&weights),
        }
    }
}

/// How many products each category gets: an even share, none empty unless there are fewer products than categories.
fn allot(items: u32) -> Vec<(&'static Department, &'static Leaf, u32)> {
    let all: Vec<_> = DEPARTMENTS
        .iter()
        .flat_map(|department| department.leaves.iter().map(move |leaf| (department, leaf)))
        .collect();
    let shares = small(all.len());
    (0..shares)
        .zip(all)
        .map(|(index, (department, leaf))| {
            let count = items / shares + u32::from(index < items % shares);
            (department, leaf, count)
        })
        .filter(|(_, _, count)| *count > 0)
        .collect()
}

/// A price as shops write it: 19.95 below a hundred, 219.00 above.
fn shelf_price(units: f64) -> Money {
    let nice = if units < 100.0 {
        units.floor().max(1.0) + 0.95
    } else {
        (units / 5.0).floor() * 5.0 + 4.0
    };
    Money::from_units(nice).unwrap_or(Money::MAX)
}

/// `prefix` and a decimal number, without the machinery of formatting.
pub(super) fn numbered(prefix: &str, number: u64) -> Id {
    let mut digits = [0_u8; 20];
    let mut rest = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let mut id = Id::const_new("");
    id.push_str(prefix);
    for digit in digits.iter().skip(digits.len() - used) {
        id.push(char::from(*digit));
    }
    id
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the shop has fewer than 2^32 of anything"
)]
pub(super) const fn small(count: usize) -> u32 {
    count as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "callers pass a place within a list of at most 2^32"
)]
const fn small64(place: u64) -> u32 {
    place as u32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers pass a positive draw of at most some thousands"
)]
const fn whole(amount: f64) -> u64 {
    amount as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Config, Shop, numbered};

    fn shop(items: u32) -> Shop {
        let config = Config {
            items,
            ..Config::default()
        };
        Shop::new(42, config)
    }

    #[test]
    fn the_same_seed_gives_the_same_catalogue() {
        let first: Vec<_> = shop(480).catalogue().collect();
        let again: Vec<_> = shop(480).catalogue().collect();
        assert_eq!(first, again);
        let other = Shop::new(43, Config::default());
        assert_ne!(first, other.catalogue().collect::<Vec<_>>());
    }

    #[test]
    fn every_product_has_its_own_id_and_title() {
        for items in [1, 7, 480, 20_000] {
            let shop = shop(items);
            assert_eq!(shop.products().len(), items as usize);
            let ids: BTreeSet<_> = shop.products().iter().map(|p| &p.id).collect();
            let titles: BTreeSet<_> = shop
                .products()
                .iter()
                .map(|p| (p.category, &p.title))
                .collect();
            assert_eq!(ids.len(), items as usize);
            assert_eq!(titles.len(), items as usize);
        }
    }

    #[test]
    fn prices_spread_and_rise_within_a_category() {
        let shop = shop(2_000);
        let prices: Vec<f64> = shop.products().iter().map(|p| p.price.units()).collect();
        assert!(prices.iter().all(|&price| price > 1.0 && price < 10_000.0));
        assert!(prices.iter().any(|&price| price < 10.0));
        assert!(prices.iter().any(|&price| price > 500.0));
        for pair in shop.products().windows(2) {
            assert!(pair[0].category != pair[1].category || pair[0].price <= pair[1].price);
        }
    }

    #[test]
    fn companions_are_of_another_category_or_another_product() {
        let shop = shop(480);
        for (index, product) in (0..).zip(shop.products()) {
            for other in shop.companions(index) {
                assert_ne!(other, index);
                let other = &shop.products()[other as usize];
                assert!(other.category != product.category || product.category == "novels");
            }
        }
        assert!(shop.companions(0).count() >= 2);
    }

    #[test]
    fn a_refresh_changes_a_few_products() {
        let shop = shop(2_000);
        let first: Vec<_> = shop.refresh(1).collect();
        assert!((60..140).contains(&first.len()), "{}", first.len());
        assert_eq!(first, shop.refresh(1).collect::<Vec<_>>());
        assert_ne!(first, shop.refresh(2).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_are_written_in_full() {
        assert_eq!(numbered("a-", 0), "a-0");
        assert_eq!(numbered("", 1_234_567_890_123), "1234567890123");
        assert_eq!(numbered("x", u64::MAX), "x18446744073709551615");
    }
}
