//! What a view costs the item rows, and what a session's recommendations cost to read: prints a report.
//!
//! `cargo bench --bench items`, on a machine with nothing else to do. The log is made from a fixed seed: sessions interleave,
//! keep to one category for most of their views, and items are as unequal in popularity as in a shop.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unchecked_time_subtraction,
    reason = "a report over a log of its own making"
)]

use std::time::Duration;

use impulse::domain::{DAY_MS, Millis};
use impulse::engine::items::{Config, Items, Scratch};
use mimalloc::MiMalloc;
use rustix::time::{ClockId, clock_gettime};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Items in the shop.
const ITEMS: u32 = 100_000;
/// Views in the log.
const VIEWS: usize = 1_000_000;
/// Sessions open at a time.
const OPEN: usize = 2_000;
/// Views timed together.
const GROUP: usize = 1_000;
/// Items of a category.
const CATEGORY: u32 = 200;

fn main() {
    println!("{ITEMS} items, {VIEWS} views, {OPEN} sessions open at a time, processor time");
    let log = log(6);
    for window in [5, 10] {
        updates(window, &log);
    }
    queries(&log);
}

/// A view with the session before it.
struct View {
    session: u32,
    item: u32,
}

/// Sessions that end after `mean` views on average.
fn log(mean: u32) -> Vec<View> {
    let mut random = Random(7);
    let mut sessions: Vec<(u32, u32)> = Vec::new();
    let mut next = 0;
    let mut views = Vec::with_capacity(VIEWS);
    while views.len() < VIEWS {
        if sessions.len() < OPEN {
            sessions.push((next, random.zipf(ITEMS / CATEGORY)));
            next += 1;
        }
        let index = random.below(sessions.len() as u32) as usize;
        let (session, category) = sessions[index];
        let item = if random.below(10) < 8 {
            category * CATEGORY + random.zipf(CATEGORY)
        } else {
            random.zipf(ITEMS)
        };
        views.push(View { session, item });
        if random.below(mean) == 0 {
            sessions.swap_remove(index);
        }
    }
    views
}

/// Applies the log; reports on its second half, and on those views in it whose window is full.
fn updates(window: u32, log: &[View]) {
    let items = Items::new(Config {
        window,
        ..Config::default()
    });
    items.ensure(ITEMS);
    let mut viewed = sessions(log);
    let (mut full, mut partial) = (Vec::new(), Vec::new());
    for (index, group) in log.chunks(GROUP).enumerate() {
        // The sessions are gathered first: looking after them is not the rows' work.
        let mut gathered: Vec<(u32, Vec<u32>)> = Vec::new();
        for view in group {
            let session = &mut viewed[view.session as usize];
            gathered.push((
                view.item,
                session[session.len().saturating_sub(200)..].to_vec(),
            ));
            session.push(view.item);
        }
        let (complete, rest): (Vec<_>, Vec<_>) = gathered
            .into_iter()
            .partition(|(_, earlier)| earlier.len() >= window as usize);
        for (views, times) in [(rest, &mut partial), (complete, &mut full)] {
            let start = processor_time();
            for (item, earlier) in &views {
                items.view(earlier, *item, at(index * GROUP));
            }
            let spent = processor_time() - start;
            if index * GROUP * 2 >= log.len() {
                times.push((spent.as_nanos() as u64, views.len() as u64));
            }
        }
    }
    report(window, "window full", &full);
    report(window, "window not full", &partial);
    println!("{} entries, {} MB", items.entries(), items.bytes() >> 20);
}

/// Times of groups of views, with their sizes.
fn report(window: u32, name: &str, groups: &[(u64, u64)]) {
    let views: u64 = groups.iter().map(|(_, views)| views).sum();
    let time: u64 = groups.iter().map(|(time, _)| time).sum();
    let mut each: Vec<u64> = groups
        .iter()
        .map(|(time, views)| time / views.max(&1))
        .collect();
    each.sort_unstable();
    let percentile = |percent: usize| each[(each.len() - 1) * percent / 100];
    println!(
        "view, {name} ({window}): p10 {} ns, p50 {} ns, mean {} ns over {views} views",
        percentile(10),
        percentile(50),
        time / views
    );
}

/// An empty list for every session.
fn sessions(log: &[View]) -> Vec<Vec<u32>> {
    let sessions = log
        .iter()
        .map(|view| view.session)
        .max()
        .unwrap_or_default();
    vec![Vec::new(); sessions as usize + 1]
}

fn queries(log: &[View]) {
    let items = Items::new(Config::default());
    items.ensure(ITEMS);
    let sessions = log
        .iter()
        .map(|view| view.session)
        .max()
        .unwrap_or_default() as usize
        + 1;
    let mut viewed: Vec<Vec<u32>> = vec![Vec::new(); sessions];
    for (index, view) in log.iter().enumerate() {
        let session = &mut viewed[view.session as usize];
        items.view(session, view.item, at(index));
        session.push(view.item);
    }
    let mut scratch = Scratch::new();
    let mut sources = Vec::new();
    let mut times = Vec::new();
    let mut found = 0;
    let mut random = Random(11);
    let now = at(log.len());
    for _ in 0..50_000 {
        let session = &viewed[random.below(viewed.len() as u32) as usize];
        let start = processor_time();
        items.session_sources(session, &mut sources);
        items.score_session(&sources, now, &mut scratch);
        found += scratch.top(20, |_| true).len();
        times.push((processor_time() - start).as_nanos() as u64);
    }
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100] as f64 / 1e3;
    println!(
        "query, 20 best: p50 {:.1} us, p99 {:.1} us, {:.1} found on average",
        percentile(50),
        percentile(99),
        found as f64 / times.len() as f64
    );
}

/// Time that this thread had a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A day's worth of views.
fn at(index: usize) -> Millis {
    Millis(1_800_000_000_000 + index as i64 * DAY_MS / VIEWS as i64)
}

/// A linear congruence: the same log on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    fn below(&mut self, limit: u32) -> u32 {
        (self.next() % u64::from(limit)) as u32
    }

    /// Below `limit`, `n` about as often as 1 / n.
    fn zipf(&mut self, limit: u32) -> u32 {
        let uniform = self.next() as f64 / 4_294_967_296.0;
        let rank = f64::from(limit).powf(uniform);
        (rank as u32).min(limit) - 1
    }
}
