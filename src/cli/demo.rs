//! `impulse demo`: a shop with visitors and everything embedded, for whoever looks for the first time.

mod board;
mod clients;
mod crowd;
mod scratch;
mod stragglers;
mod tally;
mod welcome;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::Uri;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::app::App;
use crate::cli::exit::{self, Failure};
use crate::cli::serve::{failure, runtime, stop_signal};
use crate::cli::{Format, Output, Settings};
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::domain::{DAY_MS, Event, Input, Millis};
use crate::pipeline::{Batch, EventSource, Ingest, Origin, Refused};
use crate::shop::{self, Habits, Shop, Traffic, evening_before};
use crate::stream::embedded::Repair;

use self::crowd::{Crowd, batch, entry};
use self::scratch::DataDir;
use self::stragglers::Stragglers;
use self::tally::{Summary, Tally};
use self::welcome::{Example, Welcome, reachable};

/// What visitors did before the demo begins: long enough for recommendations to be good at once.
const HISTORY_MS: i64 = 2 * DAY_MS;
/// Records of one batch of history.
const HISTORY_BATCH: usize = 1_000;
/// Mean sessions of a visitor in a day: regulars, so that the same people are seen again soon.
const SESSIONS_PER_DAY: f64 = 2.5;
/// Questions and words that may wait.
const QUEUE: usize = 256;
/// How long the visitors' last batch may take when the demo ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Open a shop with simulated visitors: everything embedded, nothing to install.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse demo\n  impulse demo --speed 30 --visitors 500\n  impulse demo --for 30s --no-browser --output json"
)]
pub(crate) struct Demo {
    #[command(flatten)]
    settings: Settings,
    /// Seed of the shop and of its visitors.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Seconds that pass in the shop in one second.
    #[arg(long, default_value_t = 90.0, value_parser = speed)]
    speed: f64,
    /// How many visitors come and go.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    visitors: u32,
    /// End after this time, as in 30s or 5m; without it on Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Open no browser.
    #[arg(long)]
    no_browser: bool,
    /// Where gRPC is served [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Where HTTP and the page are served [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// An empty directory to keep the state in; without it a temporary one that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Opens the shop, lets the visitors in, and sums up when the time is over.
pub(crate) fn run(demo: Demo, output: Output) -> Result<(), Failure> {
    let data_dir = DataDir::open(demo.data_dir.as_deref()).map_err(|error| {
        Failure::new(
            exit::CANNOT_CREATE,
            format!("no directory for the demo: {error}"),
        )
    })?;
    let config = Config::load(demo.settings.config.as_deref(), |config| {
        config.server.grpc_listen = demo.grpc_listen.unwrap_or(config.server.grpc_listen);
        config.server.http_listen = demo.http_listen.unwrap_or(config.server.http_listen);
        data_dir.path().clone_into(&mut config.data.dir);
        config.pipeline.source = EventSource::Embedded;
    })
    .map_err(|mistakes| Failure::new(exit::CONFIG, mistakes))?;
    let summary = runtime()?.block_on(play(demo, config, output))?;
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let line = serde_json::to_string(&summary).map_err(std::io::Error::from)?;
        writeln!(out, "{line}")?;
    } else {
        write!(out, "{summary}")?;
    }
    Ok(out.flush()?)
}

async fn play(demo: Demo, config: Config, output: Output) -> Result<Summary, Failure> {
    let opens = evening_before(Clock::system().now());
    let clock = Clock::virtual_from(opens, demo.speed);
    let rule = config.engine.rules.cart_abandonment();
    let stragglers = Stragglers::new(rule.map_or(0, |rule| rule.wait_ms));
    let app = App::start(config, clock.clone(), Repair::Refuse)
        .await
        .map_err(failure)?;
    let mut open = OpenShop {
        demo,
        app,
        clock,
        tally: Arc::new(Tally::default()),
        quiet: output.quiet,
    };
    let lived = match open.prepare(opens, stragglers).await {
        Ok(visitors) => open.live(visitors).await,
        Err(refused) => Err(Failure::new(exit::UNAVAILABLE, refused)),
    };
    open.app.stop().await;
    lived
}

/// Who is in the shop, and what of theirs is still on its way.
struct Visitors {
    traffic: Traffic,
    stragglers: Stragglers,
}

/// A demo that serves.
struct OpenShop {
    demo: Demo,
    app: App,
    clock: Clock,
    tally: Arc<Tally>,
    quiet: bool,
}

impl OpenShop {
    /// Fills the shelves, plays the history and says what to try.
    async fn prepare(
        &self,
        opens: Millis,
        mut stragglers: Stragglers,
    ) -> Result<Visitors, Refused> {
        let ingest = self.app.ingest();
        let shop = Shop::new(
            self.demo.seed,
            shop::Config {
                today: opens,
                ..shop::Config::default()
            },
        );
        let habits = Habits {
            sessions_per_day: SESSIONS_PER_DAY,
            ..Habits::default()
        };
        let from = opens - HISTORY_MS;
        let (seed, visitors) = (self.demo.seed, self.demo.visitors);
        let mut traffic = Traffic::with_habits(&shop, seed, visitors, from, habits);
        stock(&ingest, &shop).await?;
        let example = play_history(&ingest, &mut traffic, &mut stragglers, opens).await?;
        self.welcome(&shop, &example);
        Ok(Visitors {
            traffic,
            stragglers,
        })
    }

    fn welcome(&self, shop: &Shop, example: &Example) {
        let server = self.app.server();
        if !self.quiet {
            let (user, seen) = example.visitor().unwrap_or_default();
            let products = shop.products();
            let seen = products.iter().position(|p| p.id == seen).unwrap_or(0);
            // Something of another shelf, so that the answer has a reason to change.
            let item = products.get((seen + products.len() / 2) % products.len());
            let welcome = Welcome {
                grpc: server.grpc_address(),
                http: server.http_address(),
                user: &user,
                item: item.map_or("", |item| &item.id),
                title: item.map_or("", |item| &item.title),
                speed: self.demo.speed,
            };
            // Without standard error there is nobody to tell.
            drop(write!(std::io::stderr(), "{welcome}"));
        }
        if !self.demo.no_browser && std::io::stdout().is_terminal() {
            open_browser(&format!("http://{}/", reachable(server.http_address())));
        }
    }

    /// Lets the visitors in until the time is over or somebody interrupts.
    async fn live(&mut self, visitors: Visitors) -> Result<Summary, Failure> {
        let watch = Stopwatch::start();
        let began = self.clock.now();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = self.let_in(visitors, &stopped);
        let ended = tokio::select! {
            signalled = stop_signal() => signalled.map_err(Failure::from),
            () = time_over(self.demo.duration) => Ok(()),
            () = self.app.failed() => Err(ended_by_itself("a part of the server")),
            _ = tasks.join_next() => Err(ended_by_itself("a part of the demo")),
        };
        let (wall, shop_ms) = (watch.elapsed(), self.clock.now().since(began));
        stop.send_replace(true);
        let all_gone = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, all_gone).await.is_err() {
            tracing::warn!("some visitors did not leave in time");
            tasks.shutdown().await;
        }
        ended.map(|()| self.tally.summary(self.demo.seed, wall, shop_ms))
    }

    fn let_in(&self, visitors: Visitors, stopped: &watch::Receiver<bool>) -> JoinSet<()> {
        let (questions, asked) = mpsc::channel(QUEUE);
        let (say, words) = mpsc::channel(QUEUE);
        let ingest = self.app.ingest();
        let first = *ingest.trigger_seq().borrow() + 1;
        let channel = self.channel();
        let mut tasks = JoinSet::new();
        let crowd = Crowd {
            traffic: visitors.traffic,
            stragglers: visitors.stragglers,
            clock: self.clock.clone(),
            ingest,
            questions,
            words,
            tally: Arc::clone(&self.tally),
        };
        tasks.spawn(crowd.run(stopped.clone()));
        tasks.spawn(clients::ask(
            channel.clone(),
            asked,
            say.clone(),
            Arc::clone(&self.tally),
        ));
        tasks.spawn(clients::deliver(
            channel,
            first,
            say,
            Arc::clone(&self.tally),
            stopped.clone(),
        ));
        if !self.quiet {
            tasks.spawn(board::show(
                self.app.view(),
                self.clock.clone(),
                Arc::clone(&self.tally),
                stopped.clone(),
            ));
        }
        tasks
    }

    /// The way to our own gRPC port; connected when first used.
    fn channel(&self) -> Channel {
        let address = reachable(self.app.server().grpc_address());
        let uri = Uri::builder()
            .scheme("http")
            .authority(address.to_string())
            .path_and_query("/")
            .build();
        // An address is an authority, so the default is never used.
        Channel::builder(uri.unwrap_or_default()).connect_lazy()
    }
}

fn ended_by_itself(part: &str) -> Failure {
    Failure::new(exit::SOFTWARE, format!("{part} ended by itself"))
}

/// Puts the catalogue into the shop.
async fn stock(ingest: &Ingest, shop: &Shop) -> Result<(), Refused> {
    let patches: Vec<_> = shop.catalogue().collect();
    for part in patches.chunks(HISTORY_BATCH) {
        let entries = part
            .iter()
            .map(|patch| entry(Input::ItemUpsert(Box::new(patch.clone()))))
            .collect();
        let batch = Batch {
            origin: Origin::Demo,
            historical: true,
            entries,
        };
        submit(ingest, batch).await?;
    }
    Ok(())
}

/// What the visitors did before the shop opens today.
async fn play_history(
    ingest: &Ingest,
    traffic: &mut Traffic,
    stragglers: &mut Stragglers,
    until: Millis,
) -> Result<Example, Refused> {
    let _hold = ingest.hold_idle();
    let mut example = Example::default();
    let mut events: Vec<Event> = Vec::with_capacity(HISTORY_BATCH);
    while traffic.next_at().is_some_and(|at| at < until) {
        let Some(event) = traffic.next() else {
            break;
        };
        example.observe(&event);
        events.extend(stragglers.next(traffic.now()));
        events.extend(stragglers.pass(event));
        if events.len() >= HISTORY_BATCH - 1 {
            submit(ingest, batch(&events, true)).await?;
            events.clear();
        }
    }
    submit(ingest, batch(&events, true)).await?;
    Ok(example)
}

async fn submit(ingest: &Ingest, batch: Batch) -> Result<(), Refused> {
    loop {
        match ingest.submit(batch.clone()).await {
            Ok(_) => return Ok(()),
            Err(Refused::Overloaded) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(refused) => return Err(refused),
        }
    }
}

async fn time_over(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Shows the page, if there is a screen. The demo goes on whether or not that works: its address is printed.
fn open_browser(url: &str) {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let opener = match std::env::consts::OS {
        "macos" => "open",
        _ if has_screen => "xdg-open",
        _ => return,
    };
    let started = std::process::Command::new(opener)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if let Err(error) = started {
        tracing::debug!(%error, opener, "no browser");
    }
}

fn speed(text: &str) -> Result<f64, String> {
    /// More than this and a session is over before an answer is there.
    const SPEED_MAX: f64 = 3_600.0;
    match text.parse() {
        Ok(speed) if speed > 0.0 && speed <= SPEED_MAX => Ok(speed),
        _ => Err(format!("a number above 0 and at most {SPEED_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::speed;

    #[test]
    fn a_speed_is_a_number_in_its_range() {
        assert_eq!(speed("90"), Ok(90.0));
        assert_eq!(speed("0.5"), Ok(0.5));
        for bad in ["0", "-1", "x", "nan", "inf", "3601"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }
}
