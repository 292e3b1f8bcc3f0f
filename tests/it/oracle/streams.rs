//! Seeded random streams: a shop of few shoppers and few items where everything happens that may happen to a log.

use std::collections::BTreeSet;

use impulse::domain::{
    Consent, DAY_MS, Event, EventDetails, EventKind, HOUR_MS, Id, Input, ItemPatch, LineItem,
    MINUTE_MS, Millis, Money, Record, SECOND_MS, Traceparent,
};

use super::journal::{Journal, Verdict};
use super::random::Random;

/// What a stream is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Shoppers.
    pub(crate) users: usize,
    /// Items.
    pub(crate) items: usize,
    /// Records at least and at most.
    pub(crate) records: (i64, i64),
    /// Whether events may come behind the watermark.
    pub(crate) overdue: bool,
    /// Whether two cart events of one shopper may have one event time.
    pub(crate) ties: bool,
    /// Whether every event says when it was created, so that its event time does not depend on its arrival.
    pub(crate) created_only: bool,
    /// Whether ticks come as the pipeline writes them, before an event when the last is a second old.
    pub(crate) steady_ticks: bool,
    /// Whether event ids may be missing.
    pub(crate) nameless: bool,
    /// Whether values are strange but valid.
    pub(crate) odd: bool,
    /// Whether shoppers say what they allow.
    pub(crate) consent: bool,
    /// Whether items are added, changed and taken out.
    pub(crate) catalog: bool,
    /// Whether there are hardly any long silences.
    pub(crate) rushed: bool,
    /// How many of a hundred events are about one of the first three items.
    pub(crate) hot_items_percent: u64,
    /// How many of a hundred events begin a new session of the tracker.
    pub(crate) new_session_percent: u64,
    /// Kinds of events with their weights.
    pub(crate) kinds: Vec<(u64, EventKind)>,
}

impl Plan {
    /// A shop in order: every event comes before the watermark passes it.
    pub(crate) fn timely(random: &mut Random) -> Self {
        Self {
            users: 1 + random.below(5),
            items: 1 + random.below(9),
            records: (10, 160),
            overdue: false,
            ties: false,
            created_only: false,
            steady_ticks: random.percent(85),
            nameless: random.percent(15),
            odd: random.percent(15),
            consent: true,
            catalog: random.percent(70),
            rushed: false,
            hot_items_percent: 0,
            new_session_percent: 4,
            kinds: every_kind(),
        }
    }

    /// As [`Plan::timely`], with events that come late or far too late.
    pub(crate) fn overdue(random: &mut Random) -> Self {
        // Some streams are all about carts, or what hangs on the order of several late events would never be seen.
        let kinds = if random.percent(30) {
            cart_kinds()
        } else {
            every_kind()
        };
        Self {
            overdue: true,
            kinds,
            ..Self::timely(random)
        }
    }

    /// Carts and nothing else, with event times that do not depend on the arrival.
    pub(crate) fn carts(random: &mut Random) -> Self {
        Self {
            created_only: true,
            nameless: false,
            odd: false,
            kinds: cart_kinds(),
            ..Self::timely(random)
        }
    }

    /// So many items that rows of a hundred neighbours overflow.
    pub(crate) fn crowded(random: &mut Random) -> Self {
        Self {
            users: 2 + random.below(6),
            items: 150 + random.below(150),
            records: (1200, 1500),
            rushed: true,
            hot_items_percent: 20,
            catalog: false,
            kinds: vec![(1, EventKind::ProductView)],
            ..Self::timely(random)
        }
    }
}

/// Kinds as a shop sends them.
fn every_kind() -> Vec<(u64, EventKind)> {
    let mut kinds: Vec<(u64, EventKind)> =
        EventKind::ALL.into_iter().map(|kind| (2, kind)).collect();
    kinds.extend([
        (40, EventKind::ProductView),
        (16, EventKind::AddToCart),
        (6, EventKind::RemoveFromCart),
        (5, EventKind::Purchase),
        (3, EventKind::CartView),
    ]);
    kinds
}

/// Kinds that carts and their episodes depend on.
fn cart_kinds() -> Vec<(u64, EventKind)> {
    vec![
        (10, EventKind::ProductView),
        (20, EventKind::AddToCart),
        (8, EventKind::RemoveFromCart),
        (5, EventKind::CartView),
        (4, EventKind::CartUpdate),
        (4, EventKind::CheckoutStart),
        (5, EventKind::Purchase),
        (8, EventKind::ConsentChange),
    ]
}

/// The records of a seed.
pub(crate) fn stream(seed: u64, plan: impl Fn(&mut Random) -> Plan) -> Vec<Record> {
    let mut random = Random::new(seed);
    let plan = plan(&mut random);
    let mut shop = Shop::new(random, plan);
    let (least, most) = shop.plan.records;
    let wanted = usize::try_from(shop.random.between(least, most)).unwrap();
    if shop.plan.catalog {
        for item in 0..shop.plan.items {
            if shop.random.percent(80) {
                shop.upsert(item);
            }
        }
    }
    while shop.records.len() < wanted {
        shop.step();
    }
    shop.settle();
    shop.records
}

/// The stream so far and what the next record depends on.
struct Shop {
    random: Random,
    plan: Plan,
    records: Vec<Record>,
    journal: Journal,
    now: Millis,
    lag: bool,
    next_id: u64,
    /// Cart events that must not share an event time.
    taken: BTreeSet<(Id, Millis)>,
    /// Whether a shopper's tracker sends session ids.
    sends_session: Vec<bool>,
    /// The number of a shopper's session.
    session: Vec<u32>,
}

impl Shop {
    fn new(mut random: Random, plan: Plan) -> Self {
        let sends_session = (0..plan.users).map(|_| random.percent(40)).collect();
        Self {
            now: Millis(1_700_000_000_000 + random.between(0, DAY_MS)),
            lag: random.percent(30),
            session: vec![0; plan.users],
            sends_session,
            random,
            plan,
            records: Vec::new(),
            journal: Journal::default(),
            next_id: 1,
            taken: BTreeSet::new(),
        }
    }

    /// Time goes on and something happens.
    fn step(&mut self) {
        self.now = self.now + self.pause_ms();
        if self.random.percent(4) {
            self.lag = !self.lag;
        }
        let since_tick = self
            .journal
            .last_tick()
            .map_or(i64::MAX, |tick| self.now.since(tick));
        if self.plan.steady_ticks && since_tick >= SECOND_MS {
            self.tick();
        }
        let catalog = u64::from(self.plan.catalog);
        match self
            .random
            .weighted(&[(80, 0), (6, 1), (6, 2), (5 * catalog, 3), (catalog, 4)])
        {
            0 => self.event(),
            1 => self.repeat(),
            2 => self.tick(),
            3 => {
                let item = self.random.below(self.plan.items);
                self.upsert(item);
            }
            _ => {
                let item = self.random.below(self.plan.items);
                self.push(Input::ItemDelete(item_id(item)));
            }
        }
    }

    /// How long nothing happens.
    fn pause_ms(&mut self) -> i64 {
        let rare = u64::from(!self.plan.rushed);
        let (low, high) = self.random.weighted(&[
            (8, (0, 0)),
            (40, (1, 2 * SECOND_MS)),
            (25, (2 * SECOND_MS, MINUTE_MS)),
            (12 * rare, (MINUTE_MS, 29 * MINUTE_MS)),
            (1 + 7 * rare, (30 * MINUTE_MS, 100 * MINUTE_MS)),
            (3 * rare, (2 * HOUR_MS, 30 * HOUR_MS)),
            (rare, (DAY_MS, 40 * DAY_MS)),
        ]);
        self.random.between(low, high)
    }

    /// Lets everything that waits fall due, in most streams.
    fn settle(&mut self) {
        if self.random.percent(80) {
            for _ in 0..self.random.between(1, 4) {
                self.now = self.now + self.random.between(SECOND_MS, 3 * HOUR_MS);
                self.lag = false;
                self.tick();
            }
        }
    }

    fn tick(&mut self) {
        let caught_up = !self.lag;
        self.push(Input::Tick {
            wall: self.now,
            caught_up,
        });
    }

    fn upsert(&mut self, item: usize) {
        let number = i64::try_from(item).unwrap();
        let patch = ItemPatch {
            id: item_id(item),
            title: Some(format!("Item {item}")),
            categories: vec![category(item)],
            brand: Some(brand(item)),
            price: Some(Money(1_000_000 * (1 + number * 7 % 40))),
            currency: Some("EUR".into()),
            available: self.random.percent(20).then(|| self.random.percent(50)),
            stock: self.random.percent(20).then(|| self.random.next() % 3),
            attributes: Vec::new(),
            image_url: None,
            created: None,
        };
        self.push(Input::ItemUpsert(Box::new(patch)));
    }

    /// An earlier event comes once more, as it was or received anew.
    fn repeat(&mut self) {
        let events: Vec<&Record> = self
            .records
            .iter()
            .filter(|record| matches!(record.input, Input::Event(_)))
            .collect();
        if events.is_empty() {
            return;
        }
        let recent = events.len().saturating_sub(20);
        let mut record = events[recent + self.random.below(events.len() - recent)].clone();
        if self.random.percent(70) {
            record.received = self.now;
        }
        match self.journal.judge(&record) {
            Verdict::Duplicate | Verdict::TooOld => self.push_record(record),
            Verdict::Applied { .. } if self.fits(&record) => self.push_record(record),
            Verdict::Applied { .. } | Verdict::MayBeDuplicate { .. } => {}
        }
    }

    /// A shopper does something.
    fn event(&mut self) {
        for _ in 0..8 {
            let event = self.draft();
            let record = Record {
                received: self.now,
                input: Input::Event(event),
            };
            if self.fits(&record) {
                self.next_id += 1;
                self.push_record(record);
                return;
            }
        }
    }

    /// Whether the plan allows this record here.
    fn fits(&mut self, record: &Record) -> bool {
        let Input::Event(event) = &record.input else {
            return true;
        };
        let Verdict::Applied { time, .. } = self.journal.judge(record) else {
            return true;
        };
        let ahead = self
            .journal
            .watermark()
            .is_none_or(|watermark| time > watermark);
        if !self.plan.overdue && !ahead {
            return false;
        }
        let key = (event.user.clone(), time);
        self.plan.ties || !changes_cart(event.kind) || self.taken.insert(key)
    }

    fn push(&mut self, input: Input) {
        self.push_record(Record {
            received: self.now,
            input,
        });
    }

    fn push_record(&mut self, record: Record) {
        let verdict = self.journal.judge(&record);
        if let Verdict::Applied { .. } = verdict {
            self.journal.accept(&record, &verdict);
        }
        self.records.push(record);
    }

    /// An event of now or of a while ago.
    fn draft(&mut self) -> Event {
        let user = if self.random.percent(40) {
            0
        } else {
            self.random.below(self.plan.users)
        };
        let kind = self.random.weighted(&self.plan.kinds.clone());
        let (created, sent) = self.device_times();
        if self.random.percent(self.plan.new_session_percent) {
            self.session[user] += 1;
        }
        let session = if self.sends_session[user] {
            Id::from(format!("s{user}.{}", self.session[user]))
        } else {
            Id::default()
        };
        let nameless = self.plan.nameless && self.random.percent(50);
        let id = if nameless {
            Id::default()
        } else {
            Id::from(format!("e{}", self.next_id))
        };
        let hot = self.random.percent(self.plan.hot_items_percent);
        let item = self.random.below(if hot { 3 } else { self.plan.items });
        let mut event = Event {
            kind,
            id,
            user: Id::from(format!("u{user}")),
            session,
            item: if wants_item(kind) {
                item_id(item)
            } else {
                Id::default()
            },
            quantity: self.quantity(),
            price: self.price(item),
            created,
            sent,
            details: None,
        };
        self.fill(&mut event);
        event
    }

    /// What the device says of its times.
    fn device_times(&mut self) -> (Option<Millis>, Option<Millis>) {
        let ago = self.ago_ms();
        if self.plan.created_only {
            return (Some(self.now - ago), None);
        }
        match self
            .random
            .weighted(&[(40, 0), (20, 1), (20, 2), (4, 3), (6, 4), (2, 5)])
        {
            0 => (Some(self.now - ago), None),
            1 => {
                let wrong_by = self.random.between(-400 * DAY_MS, 400 * DAY_MS);
                let sent = self.now + wrong_by;
                (Some(sent - ago), Some(sent))
            }
            2 => (None, None),
            3 => (None, Some(self.now)),
            // A clock that is ahead: a little, past the skew, past what is believed.
            4 => (Some(self.now + self.random.between(1, 6 * MINUTE_MS)), None),
            _ => {
                let wrong_by = self.random.between(-60 * DAY_MS, 400 * DAY_MS);
                (
                    Some(self.now + wrong_by),
                    self.random.percent(30).then_some(self.now),
                )
            }
        }
    }

    /// How long before its arrival an event happened.
    fn ago_ms(&mut self) -> i64 {
        let (low, high) = if self.plan.overdue {
            self.random.weighted(&[
                (60, (0, 4_999)),
                (20, (5 * SECOND_MS, 2 * MINUTE_MS)),
                (10, (2 * MINUTE_MS, 11 * MINUTE_MS)),
                (6, (10 * MINUTE_MS, 3 * HOUR_MS)),
                (2, (3 * HOUR_MS, 35 * DAY_MS)),
            ])
        } else {
            self.random
                .weighted(&[(40, (0, 0)), (59, (0, 4_999)), (1, (0, 40 * DAY_MS))])
        };
        self.random.between(low, high)
    }

    fn quantity(&mut self) -> u32 {
        if self.plan.odd && self.random.percent(10) {
            *self.random.pick(&[1_000_000, u32::MAX])
        } else {
            *self.random.pick(&[0, 0, 1, 1, 1, 2, 3])
        }
    }

    fn price(&mut self, item: usize) -> Option<Money> {
        if self.plan.odd && self.random.percent(10) {
            return Some(*self.random.pick(&[Money::ZERO, Money(1), Money::MAX]));
        }
        let number = i64::try_from(item).unwrap();
        let price = Money(1_000_000 * (1 + number * 7 % 40) + self.random.between(0, 3) * 250_000);
        self.random.percent(70).then_some(price)
    }

    /// The fields that the kind of the event needs.
    fn fill(&mut self, event: &mut Event) {
        let mut details = EventDetails::default();
        match event.kind {
            EventKind::CartUpdate | EventKind::Purchase | EventKind::Refund => {
                self.fill_order(event, &mut details);
            }
            EventKind::ConsentChange if self.plan.consent => {
                details.consent = Consent {
                    personalization: self.random.percent(30).then(|| self.random.percent(60)),
                    marketing: self.random.percent(90).then(|| self.random.percent(60)),
                };
            }
            EventKind::SearchQuery => details.query = "shoes".into(),
            EventKind::FilterSelection => details.filters = vec!["color:red".into()],
            EventKind::Identify => details.visitor = format!("v{}", event.id).into(),
            EventKind::ProductView
            | EventKind::ProductListView
            | EventKind::ProductClick
            | EventKind::AddToCart
            | EventKind::RemoveFromCart
            | EventKind::CartView
            | EventKind::CheckoutStart
            | EventKind::WishlistAdd
            | EventKind::RecommendationImpression
            | EventKind::RecommendationClick
            | EventKind::TriggerDelivered
            | EventKind::ConsentChange => {}
        }
        // Trackers send what holds with whatever else they send.
        if self.plan.consent && self.random.percent(2) {
            details.consent.marketing = Some(self.random.percent(60));
        }
        let told = (0..self.plan.items).find(|item| item_id(*item) == event.item);
        if let Some(item) = told.filter(|_| !self.plan.catalog) {
            details.category = category(item);
            details.brand = brand(item);
        }
        details.traceparent = trace(self.next_id);
        if details != EventDetails::default() {
            event.details = Some(Box::new(details));
        }
    }

    /// Lines and totals of a cart or an order.
    fn fill_order(&mut self, event: &mut Event, details: &mut EventDetails) {
        let cart = event.kind == EventKind::CartUpdate;
        let mut items: Vec<usize> = (0..self.plan.items)
            .filter(|_| self.random.percent(25))
            .collect();
        items.truncate(20);
        if items.is_empty() && !cart {
            items.push(self.random.below(self.plan.items));
        }
        if !cart && items.len() == 1 {
            event.item = item_id(items[0]);
        } else {
            details.lines = items
                .into_iter()
                .map(|item| LineItem {
                    item: item_id(item),
                    quantity: self.quantity().max(1),
                    price: self.price(item),
                })
                .collect();
        }
        if !cart {
            details.order_id = format!("o{}", self.next_id).into();
            details.revenue = self
                .random
                .percent(40)
                .then(|| Money(self.random.between(1, 90) * 500_000));
        }
    }
}

/// The trace of the event of this number; every second event is of none.
fn trace(number: u64) -> Option<Traceparent> {
    let mut random = Random::new(number);
    let trace = Traceparent {
        trace_id: u128::from(random.next()).to_be_bytes(),
        span_id: number.to_be_bytes(),
        flags: 1,
    };
    random.percent(50).then_some(trace)
}

/// Whether nothing in a log depends on more than its model can say: every event comes before the watermark passes it,
/// and no two cart events of a shopper have one event time.
pub(crate) fn is_timely(records: &[Record]) -> bool {
    let mut journal = Journal::default();
    let mut taken = BTreeSet::new();
    for record in records {
        let verdict = journal.judge(record);
        let Verdict::Applied { time, .. } = verdict else {
            continue;
        };
        if let Input::Event(event) = &record.input {
            let overdue = journal
                .watermark()
                .is_some_and(|watermark| time <= watermark);
            let tied = changes_cart(event.kind) && !taken.insert((event.user.clone(), time));
            if overdue || tied {
                return false;
            }
        }
        journal.accept(record, &verdict);
    }
    true
}

/// Name of the item of this number.
pub(crate) fn item_id(item: usize) -> Id {
    format!("i{item}").into()
}

fn category(item: usize) -> Id {
    format!("c{}", item % 3).into()
}

fn brand(item: usize) -> Id {
    format!("b{}", item % 2).into()
}

/// Kinds whose order decides what a cart holds and when it is abandoned.
pub(crate) fn changes_cart(kind: EventKind) -> bool {
    cart_kinds().iter().any(|(_, other)| *other == kind) && kind != EventKind::ProductView
}

fn wants_item(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::ProductView
            | EventKind::ProductClick
            | EventKind::AddToCart
            | EventKind::RemoveFromCart
            | EventKind::WishlistAdd
            | EventKind::RecommendationImpression
            | EventKind::RecommendationClick
    )
}
