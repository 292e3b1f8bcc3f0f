//! `impulse recommend`, `explain` and `profile get`: what a running server answers.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::client::{Server, refused};
use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, serve, table};
use crate::wire::proto;
use crate::wire::proto::profile_service_client::ProfileServiceClient;
use crate::wire::proto::recommendation_service_client::RecommendationServiceClient;

/// Ask for recommendations.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse recommend --user alice\n  impulse recommend --placement product --item sku-1 --limit 5 --output json"
)]
pub(crate) struct Recommend {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    question: Question,
    /// How many.
    #[arg(long, default_value_t = 10)]
    limit: u32,
}

/// For whom and where.
#[derive(Debug, Args)]
struct Question {
    /// The shopper; without one the answer is for a stranger.
    #[arg(long, default_value = "")]
    user: String,
    /// The placement.
    #[arg(long, default_value = "home")]
    placement: String,
    /// What the page shows; may be given more than once.
    #[arg(long = "item", value_name = "ITEM")]
    items: Vec<String>,
}

impl Question {
    fn request(&self, limit: u32) -> proto::RecommendRequest {
        proto::RecommendRequest {
            placement: self.placement.clone(),
            user_id: self.user.clone(),
            context_items: self.items.clone(),
            limit,
            return_fields: vec!["title".to_owned()],
            ..proto::RecommendRequest::default()
        }
    }
}

/// Why an item would be recommended, with the arithmetic.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  impulse explain sku-7 --user alice")]
pub(crate) struct Explain {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    question: Question,
    /// The item to explain.
    item_id: String,
}

/// What is known of a shopper.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  impulse profile get alice\n  impulse profile get alice --output json"
)]
pub(crate) enum Profile {
    /// Show the profile.
    Get {
        #[command(flatten)]
        server: Server,
        /// The shopper.
        user_id: String,
    },
}

pub(crate) fn recommend(command: &Recommend, output: Output) -> Result<(), Failure> {
    let answer = serve::runtime()?.block_on(async {
        let mut server = RecommendationServiceClient::new(command.server.connect().await?);
        let request = command.question.request(command.limit);
        server
            .recommend(request)
            .await
            .map_err(|status| refused(&status))
    })?;
    let answer = answer.into_inner();
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        return print_json(&mut out, &answer);
    }
    let rows: Vec<Vec<String>> = answer
        .items
        .iter()
        .map(|item| {
            let title = item
                .item
                .as_ref()
                .and_then(|item| item.title.clone())
                .unwrap_or_default();
            let reason = item
                .reasons
                .first()
                .map(|reason| reason.text.clone())
                .unwrap_or_default();
            vec![
                item.rank.to_string(),
                item.item_id.clone(),
                title,
                format!("{:.4}", item.score),
                reason,
            ]
        })
        .collect();
    table::write(
        &mut out,
        &["rank", "item", "title", "score", "because"],
        &rows,
    )?;
    if let (false, Some(first)) = (output.quiet, answer.items.first()) {
        let user = &command.question.user;
        let whom = if user.is_empty() {
            String::new()
        } else {
            format!(" --user {user}")
        };
        writeln!(
            out,
            "answered in {} us; next: impulse explain {}{whom}",
            answer.took_us, first.item_id
        )?;
    }
    Ok(())
}

pub(crate) fn explain(command: &Explain, output: Output) -> Result<(), Failure> {
    let answer = serve::runtime()?.block_on(async {
        let mut server = RecommendationServiceClient::new(command.server.connect().await?);
        let request = proto::ExplainRequest {
            request: Some(command.question.request(10)),
            item_id: command.item_id.clone(),
        };
        server
            .explain(request)
            .await
            .map_err(|status| refused(&status))
    })?;
    let answer = answer.into_inner();
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        return print_json(&mut out, &answer);
    }
    writeln!(
        out,
        "{}: rank {}, score {:.6}",
        answer.item_id, answer.rank, answer.score
    )?;
    if !answer.filtered.is_empty() {
        writeln!(out, "not shown: {}", answer.filtered)?;
    }
    let terms: Vec<Vec<String>> = answer
        .terms
        .iter()
        .map(|term| {
            let numbers = [
                term.position_weight,
                term.co_occurrence,
                term.source_sessions,
                term.candidate_sessions,
                term.contribution,
            ];
            let cells = numbers.iter().map(|number| format!("{number:.6}"));
            std::iter::once(term.source_item.clone())
                .chain(cells)
                .collect()
        })
        .collect();
    let head = [
        "source",
        "position",
        "co-occurrence",
        "source sessions",
        "item sessions",
        "contribution",
    ];
    table::write(&mut out, &head, &terms)?;
    for reason in &answer.reasons {
        writeln!(out, "{:>10.6}  {}", reason.contribution, reason.text)?;
    }
    Ok(())
}

pub(crate) fn profile(command: &Profile, output: Output) -> Result<(), Failure> {
    let Profile::Get { server, user_id } = command;
    let answer = serve::runtime()?.block_on(async {
        let mut client = ProfileServiceClient::new(server.connect().await?);
        let request = proto::GetProfileRequest {
            user_id: user_id.clone(),
            min_position: 0,
        };
        client
            .get_profile(request)
            .await
            .map_err(|status| refused(&status))
    })?;
    let answer = answer.into_inner();
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        return print_json(&mut out, &answer);
    }
    let profile = answer.profile.unwrap_or_default();
    let cart = profile.cart.unwrap_or_default();
    let lines = [
        ("user", profile.user_id),
        ("categories", profile.preferred_categories.join(", ")),
        ("brands", profile.preferred_brands.join(", ")),
        ("price range", profile.avg_price_range),
        ("last viewed", profile.last_viewed.join(", ")),
        (
            "cart",
            format!(
                "{} items, {:.2} {}",
                cart.items.len(),
                cart.value,
                cart.currency
            ),
        ),
        (
            "orders",
            format!("{}, {:.2} in all", profile.orders, profile.revenue),
        ),
        ("loyalty", format!("{} of 100", profile.loyalty_score)),
        (
            "events",
            format!("{} in {} sessions", profile.events, profile.sessions),
        ),
    ];
    for (name, value) in lines {
        writeln!(
            out,
            "{name:<12} {}",
            if value.is_empty() {
                "-"
            } else {
                value.as_str()
            }
        )?;
    }
    if !output.quiet {
        writeln!(out, "next: impulse recommend --user {user_id}")?;
    }
    Ok(())
}

/// One JSON value, in the canonical form of its message.
pub(crate) fn print_json(
    out: &mut impl std::io::Write,
    value: &impl Serialize,
) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(exit::SOFTWARE, error))?;
    writeln!(out, "{text}")?;
    Ok(())
}
