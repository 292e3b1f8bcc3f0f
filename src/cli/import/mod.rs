//! `impulse import`: feeds a server, or a data directory, with the history in files.

mod offline;
mod order;
mod rejects;
mod send;
mod source;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::cli::client::Server;
use crate::cli::exit::{self, Failure};
use crate::cli::import::offline::Offline;
use crate::cli::import::rejects::Rejects;
use crate::cli::import::send::{Sender, Totals};
use crate::cli::import::source::{CHUNKS_WAITING, Order, Source};
use crate::cli::{Format as Shown, Output, Settings, serve, table};
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::domain::{Id, Input};
use crate::wire::datasets::Format;

/// Feed a server, or a data directory without one, with the history in files.
///
/// Files are read in the order given, as one history. Events must reach the server in the order of time; files that
/// are not in that order (`YooChoose` and OTTO go session by session) are sorted first, with at most 256 MiB of memory
/// and the rest in the temporary directory. Import history before live events, the oldest first, and each file once:
/// the server recognises repeated events of the last 24 hours of event time, not of years.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse import events.csv --format retailrocket\n  impulse import 2019-Oct.csv 2019-Nov.csv --format rees46 --rejects rejects.txt\n  impulse import clicks.dat --format yoochoose --data-dir impulse-data\n  impulse import - --format jsonl < events.jsonl"
)]
pub(crate) struct Import {
    /// Files in the published layout; `.zst` is decompressed, `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The files' layout.
    #[arg(long = "format", value_name = "FORMAT", value_parser = formats())]
    layout: Format,
    #[command(flatten)]
    server: Server,
    /// Write into this directory instead, which no server has open; made if it is not there.
    #[arg(long, value_name = "DIR", conflicts_with = "address")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Leave out so many events at the beginning: to go on after an import that ended early.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Keep what was refused here: a comment with place and reason, then the line as it is.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

fn formats() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).map(|name| {
        // The parser has let only names of formats through.
        Format::from_name(&name).unwrap_or(Format::Jsonl)
    })
}

/// What an import did.
#[derive(Debug)]
struct Summary {
    totals: Totals,
    order: Order,
    seconds: f64,
    /// A shopper of the last events, for the next step.
    shopper: Id,
}

pub(crate) fn run(import: &Import, output: Output) -> Result<(), Failure> {
    let source = Source {
        files: import.files.clone(),
        format: import.layout,
        bytes_read: Arc::new(AtomicU64::new(0)),
    };
    let created = Rejects::create(import.rejects.as_deref());
    let rejects = Arc::new(Mutex::new(
        created.map_err(|error| Failure::new(exit::CANNOT_CREATE, error))?,
    ));
    let progress = Progress::start(&source, output);
    let done = serve::runtime()?.block_on(transfer(import, source, &rejects, &progress));
    progress.end();
    rejects.lock().flush()?;
    report(import, &done?, &rejects.lock(), output)
}

async fn transfer(
    import: &Import,
    source: Source,
    rejects: &Arc<Mutex<Rejects>>,
    progress: &Progress,
) -> Result<Summary, Failure> {
    let watch = Stopwatch::start();
    let mut sink = Sink::open(import, Arc::clone(rejects)).await?;
    let checked = source.clone();
    let order = on_a_thread(move || checked.order()).await?;
    progress.reading(order);
    let (chunks, mut waiting) = mpsc::channel(CHUNKS_WAITING);
    let rejects = Arc::clone(rejects);
    let skip = import.skip;
    let reader = tokio::task::spawn_blocking(move || source.read(order, skip, &rejects, &chunks));
    let mut shopper = Id::default();
    while let Some(inputs) = waiting.recv().await {
        progress.update();
        if let Some(Input::Event(event)) = inputs.last() {
            shopper = event.user.clone();
        }
        match &mut sink {
            Sink::Server(sender) => sender.send(inputs).await?,
            Sink::Directory(offline) => offline.send(inputs).await?,
        }
    }
    reader
        .await
        .map_err(|error| Failure::new(exit::SOFTWARE, error))??;
    Ok(Summary {
        totals: sink.finish().await?,
        order,
        seconds: watch.seconds(),
        shopper,
    })
}

/// Where the history goes.
enum Sink {
    Server(Box<Sender>),
    Directory(Box<Offline>),
}

impl Sink {
    async fn open(import: &Import, rejects: Arc<Mutex<Rejects>>) -> Result<Self, Failure> {
        let Some(dir) = &import.data_dir else {
            let sender = Sender::connect(&import.server, import.skip, rejects).await?;
            return Ok(Self::Server(Box::new(sender)));
        };
        let config = Config::load(import.settings.config.as_deref(), |config| {
            config.data.dir.clone_from(dir);
        })
        .map_err(|mistakes| Failure::new(exit::CONFIG, mistakes))?;
        let skip = import.skip;
        let offline = on_a_thread(move || Offline::open(&config, skip, rejects)).await?;
        Ok(Self::Directory(Box::new(offline)))
    }

    async fn finish(self) -> Result<Totals, Failure> {
        match self {
            Self::Server(mut sender) => {
                sender.finish().await?;
                Ok(sender.totals)
            }
            Self::Directory(offline) => offline.finish().await,
        }
    }
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(exit::SOFTWARE, error))?
}

/// A bar on standard error, if that is a terminal.
#[derive(Debug)]
struct Progress {
    bar: ProgressBar,
    bytes_read: Arc<AtomicU64>,
    bytes: u64,
}

impl Progress {
    fn start(source: &Source, output: Output) -> Self {
        let bytes = source.bytes();
        let bar = if output.quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(bytes)
        };
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message("looking at the order");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            bytes_read: Arc::clone(&source.bytes_read),
            bytes,
        }
    }

    fn reading(&self, order: Order) {
        // The look at the order has read the files once, or a part of them.
        self.bar
            .set_length(self.bytes_read.load(Ordering::Relaxed) + self.bytes);
        self.bar.set_message(match order {
            Order::Kept => "importing",
            Order::Sorted => "sorting and importing",
        });
    }

    fn update(&self) {
        self.bar
            .set_position(self.bytes_read.load(Ordering::Relaxed));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn report(
    import: &Import,
    summary: &Summary,
    rejects: &Rejects,
    output: Output,
) -> Result<(), Failure> {
    let Summary {
        totals,
        order,
        seconds,
        ..
    } = summary;
    let rejected = rejects.total();
    let mut out = std::io::stdout().lock();
    if output.format == Shown::Json {
        let reasons: serde_json::Map<String, serde_json::Value> = rejects
            .by_reason
            .iter()
            .map(|(reason, (count, _))| (reason.clone(), (*count).into()))
            .collect();
        let line = serde_json::json!({
            "format": import.layout.name(),
            "files": import.files,
            "sorted": *order == Order::Sorted,
            "accepted": totals.accepted,
            "duplicates": totals.duplicates,
            "rejected": rejected,
            "rejectedByReason": reasons,
            "itemsUpserted": totals.items,
            "position": totals.position,
            "seconds": seconds,
        });
        writeln!(out, "{line}")?;
    } else {
        table::write(&mut out, &["", "count", ""], &rows(summary, rejects))?;
        if !output.quiet {
            hint(import, summary, rejected, &mut out)?;
        }
    }
    out.flush()?;
    if totals.accepted + totals.duplicates == 0 && rejected > 0 {
        return Err(Failure::new(exit::DATA, "nothing could be imported"));
    }
    Ok(())
}

fn rows(summary: &Summary, rejects: &Rejects) -> Vec<Vec<String>> {
    let totals = &summary.totals;
    let row = |name: &str, count: u64, note: &str| {
        vec![name.to_owned(), count.to_string(), note.to_owned()]
    };
    let sorted = match summary.order {
        Order::Kept => "",
        Order::Sorted => "the files were not in the order of time and were sorted",
    };
    let mut rows = vec![
        row("events accepted", totals.accepted, sorted),
        row("duplicates", totals.duplicates, ""),
        row("rejected", rejects.total(), ""),
    ];
    for (reason, (count, first)) in &rejects.by_reason {
        rows.push(row(
            &format!("  {reason}"),
            *count,
            &format!("first: {first}"),
        ));
    }
    rows.push(row("items upserted", totals.items, ""));
    rows.push(row("log position", totals.position, ""));
    rows
}

fn hint(
    import: &Import,
    summary: &Summary,
    rejected: u64,
    out: &mut impl std::io::Write,
) -> Result<(), Failure> {
    writeln!(out, "took {:.1} s", summary.seconds)?;
    if rejected > 0 && import.rejects.is_none() {
        writeln!(out, "to keep what was rejected, add: --rejects FILE")?;
    }
    if let Some(dir) = &import.data_dir {
        writeln!(out, "next: impulse serve --data-dir {}", dir.display())?;
    } else if !summary.shopper.is_empty() {
        writeln!(out, "next: impulse recommend --user {}", summary.shopper)?;
    }
    Ok(())
}
