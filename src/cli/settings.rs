//! `impulse config`: checks the settings, or shows what is in force.

use std::io::Write as _;

use clap::Subcommand;

use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, Settings};
use crate::config::Config;

/// Check or show the settings.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  impulse config check --config impulse.toml\n  impulse config print"
)]
pub(crate) enum Action {
    /// List every mistake, with file and line; exits with 78 if there is one.
    Check(Settings),
    /// Show the settings in force: defaults, file and environment together.
    Print(Settings),
}

pub(crate) fn run(action: Action, output: Output) -> Result<(), Failure> {
    let (Action::Check(settings) | Action::Print(settings)) = &action;
    let config = Config::load(settings.config.as_deref(), |_| {})
        .map_err(|mistakes| Failure::new(exit::CONFIG, mistakes))?;
    let mut out = std::io::stdout().lock();
    match (action, output.format) {
        (Action::Check(_), Format::Json) => writeln!(out, "{{\"mistakes\":[]}}")?,
        (Action::Check(_), Format::Table) => {
            writeln!(out, "the settings are right; next: impulse serve")?;
        }
        (Action::Print(_), Format::Json) => {
            let text = serde_json::to_string_pretty(&config);
            writeln!(
                out,
                "{}",
                text.map_err(|error| Failure::new(exit::SOFTWARE, error))?
            )?;
        }
        (Action::Print(_), Format::Table) => {
            let text = toml::to_string_pretty(&config);
            write!(
                out,
                "{}",
                text.map_err(|error| Failure::new(exit::SOFTWARE, error))?
            )?;
        }
    }
    Ok(())
}
