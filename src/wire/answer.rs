//! Answers of the serving path as protobuf messages.

use crate::domain::{
    Answer, Explanation, Id, LadderStep, Query, Reason, ReasonCode, Recommendation,
};
use crate::wire::event::watermark;
use crate::wire::proto;

/// Items of an answer when the request says nothing.
pub const LIMIT_DEFAULT: usize = 10;
/// Most items of an answer.
pub const LIMIT_MAX: usize = 100;

/// The query of a request: the user id if given, else the visitor id; the limit held to 1..=100, 10 if absent.
pub fn query_from_proto(request: &proto::RecommendRequest) -> Query {
    let ids = |ids: &[String]| ids.iter().map(Id::from).collect();
    let user = if request.user_id.is_empty() {
        &request.visitor_id
    } else {
        &request.user_id
    };
    Query {
        placement: request.placement.as_str().into(),
        user: user.as_str().into(),
        context_items: ids(&request.context_items),
        cart_items: ids(&request.cart_items),
        limit: match usize::try_from(request.limit) {
            Ok(0) => LIMIT_DEFAULT,
            Ok(limit) => limit.min(LIMIT_MAX),
            Err(_) => LIMIT_MAX,
        },
        exclude_items: ids(&request.exclude_items),
    }
}

/// The part of a response that the engine answers; token, version, freshness and time spent are the server's.
pub fn to_proto(answer: &Answer) -> proto::RecommendResponse {
    let step = answer
        .items
        .first()
        .map_or(proto::LadderStep::Unspecified, |item| {
            step_to_proto(item.step)
        });
    proto::RecommendResponse {
        items: (1..).zip(&answer.items).map(item_to_proto).collect(),
        as_of: watermark(answer.as_of),
        position: answer.position,
        step: step.into(),
        missing_ids: answer.missing.iter().map(ToString::to_string).collect(),
        personalized: answer.personalized,
        ..proto::RecommendResponse::default()
    }
}

/// The arithmetic behind an item; the time spent is the server's.
pub fn explanation_to_proto(explanation: &Explanation) -> proto::ExplainResponse {
    proto::ExplainResponse {
        item_id: explanation.item.to_string(),
        rank: explanation.rank,
        score: explanation.score,
        reasons: explanation.reasons.iter().map(reason_to_proto).collect(),
        terms: explanation
            .terms
            .iter()
            .map(|term| proto::ScoreTerm {
                source_item: term.source.to_string(),
                position_weight: term.position_weight,
                co_occurrence: term.co_occurrence,
                source_sessions: term.source_sessions,
                candidate_sessions: term.candidate_sessions,
                contribution: term.contribution,
            })
            .collect(),
        filtered: explanation.filtered.unwrap_or_default().to_owned(),
        as_of: watermark(explanation.as_of),
        ..proto::ExplainResponse::default()
    }
}

fn item_to_proto((rank, item): (u32, &Recommendation)) -> proto::RecommendedItem {
    proto::RecommendedItem {
        item_id: item.item.to_string(),
        score: item.score,
        rank,
        recommender: item.recommender.to_owned(),
        reasons: item.reasons.iter().map(reason_to_proto).collect(),
        item: None,
    }
}

fn reason_to_proto(reason: &Reason) -> proto::Reason {
    proto::Reason {
        code: reason_code_to_proto(reason.code).into(),
        because_item: reason.because_item.to_string(),
        support: reason.support,
        contribution: reason.contribution,
        text: reason.text.clone(),
    }
}

fn reason_code_to_proto(code: ReasonCode) -> proto::ReasonCode {
    match code {
        ReasonCode::CoPurchased => proto::ReasonCode::CoPurchased,
        ReasonCode::CoViewed => proto::ReasonCode::CoViewed,
        ReasonCode::SessionSimilar => proto::ReasonCode::SessionSimilar,
        ReasonCode::Trending => proto::ReasonCode::Trending,
        ReasonCode::Affinity => proto::ReasonCode::Affinity,
        ReasonCode::ColdStart => proto::ReasonCode::ColdStart,
    }
}

fn step_to_proto(step: LadderStep) -> proto::LadderStep {
    match step {
        LadderStep::Session => proto::LadderStep::Session,
        LadderStep::History => proto::LadderStep::History,
        LadderStep::CategoryTrending => proto::LadderStep::CategoryTrending,
        LadderStep::Affinity => proto::LadderStep::Affinity,
        LadderStep::Trending => proto::LadderStep::Trending,
        LadderStep::Newest => proto::LadderStep::Newest,
    }
}
