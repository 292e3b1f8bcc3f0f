//! Flags to command to exit code.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use impulse::cli::{self, Cli};
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

/// Faster than the system's allocator under many small profiles.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    log_to_stderr();
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.code != 0 && !failure.message.is_empty() {
                // Without standard error there is nobody to tell.
                drop(writeln!(std::io::stderr(), "impulse: {failure}"));
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Text on a terminal, JSON elsewhere; `RUST_LOG` chooses the level.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().init();
    }
}
