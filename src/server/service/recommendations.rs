//! What to show, and why.

use crate::clock::Stopwatch;
use crate::domain::{Answer, Id, LadderStep, Millis};
use crate::server::Error;
use crate::server::limits::Call;
use crate::wire::{LINES_MAX, answer, item, proto};

use super::Context;
use super::check::Check;
use super::fields::Fields;

/// Most items that a page shows, and most that are left out.
const CONTEXT_ITEMS_MAX: usize = 200;
const EXCLUDE_ITEMS_MAX: usize = 1_000;

impl Context {
    /// Answers a request for recommendations.
    ///
    /// # Errors
    ///
    /// If a field is wrong, the placement is unknown, or the state is not there, too old or too far behind.
    pub(in crate::server) async fn recommend(
        &self,
        request: proto::RecommendRequest,
        call: Call,
    ) -> Result<proto::RecommendResponse, Error> {
        let fields = check_request(&request, "")?;
        self.admit(&request, &call).await?;

        let query = answer::query_from_proto(&request);
        let engine = Stopwatch::start();
        let found = self
            .view
            .recommend(&query)
            .map_err(|error| Error::query(&error))?;
        self.observe_stage("engine", engine);

        let encode = Stopwatch::start();
        self.count(&query.placement, &found);
        let mut response = answer::to_proto(&found);
        if !fields.is_empty() {
            for (place, recommended) in response.items.iter_mut().zip(&found.items) {
                place.item = self
                    .view
                    .item(&recommended.item)
                    .map(|found| fields.select(item::to_proto(&found)));
            }
        }
        response.attribution_token =
            attribution_token(&query.placement, found.position, self.clock.now());
        response.model_version = self.view.model_version();
        response.set_freshness(self.health.freshness());
        self.observe_stage("encode", encode);
        response.took_us = call.started.micros();
        self.answer_times.observe(response.took_us);
        Ok(response)
    }

    /// Shows the arithmetic behind an item.
    ///
    /// # Errors
    ///
    /// As [`Context::recommend`], or if nothing is known of the item.
    pub(in crate::server) async fn explain(
        &self,
        request: proto::ExplainRequest,
        call: Call,
    ) -> Result<proto::ExplainResponse, Error> {
        let mut check = Check::default();
        check.required("item_id", &request.item_id);
        let question = request.request.unwrap_or_default();
        check_into(&question, "request.", &mut check);
        check.done()?;
        self.admit(&question, &call).await?;

        let query = answer::query_from_proto(&question);
        let position = self.view.position();
        let found = self
            .view
            .explain(&query, &request.item_id)
            .map_err(|error| Error::query(&error))?
            .ok_or_else(|| Error::item_not_found(&request.item_id))?;
        let mut response = answer::explanation_to_proto(&found);
        response.position = position;
        response.set_freshness(self.health.freshness());
        response.took_us = call.started.micros();
        Ok(response)
    }

    async fn admit(&self, request: &proto::RecommendRequest, call: &Call) -> Result<(), Error> {
        self.health.admit()?;
        self.health
            .admit_age(self.clock.now(), request.max_staleness_ms)?;
        if request.min_position > 0 {
            let wait = Stopwatch::start();
            self.reach(request.min_position, call).await?;
            self.observe_stage("wait", wait);
        }
        Ok(())
    }

    fn observe_stage(&self, stage: &'static str, time: Stopwatch) {
        self.metrics
            .recommendation_stage_seconds
            .with_label_values(&[stage])
            .observe(time.seconds());
    }

    fn count(&self, placement: &str, answer: &Answer) {
        let step = answer.items.first().map_or("none", |item| match item.step {
            LadderStep::Session => "session",
            LadderStep::History => "history",
            LadderStep::CategoryTrending => "category_trending",
            LadderStep::Affinity => "affinity",
            LadderStep::Trending => "trending",
            LadderStep::Newest => "newest",
        });
        let personalized = if answer.personalized { "true" } else { "false" };
        // The engine knows the placement, so the label comes from the configuration.
        self.metrics
            .recommendations
            .with_label_values(&[placement, step, personalized])
            .inc();
        if answer.items.is_empty() {
            self.metrics
                .recommendation_empty
                .with_label_values(&[placement])
                .inc();
        }
    }
}

fn check_request(request: &proto::RecommendRequest, prefix: &str) -> Result<Fields, Error> {
    let mut check = Check::default();
    let fields = check_into(request, prefix, &mut check);
    check.done()?;
    Ok(fields)
}

fn check_into(request: &proto::RecommendRequest, prefix: &str, check: &mut Check) -> Fields {
    let field = |name: &str| format!("{prefix}{name}");
    check.required(&field("placement"), &request.placement);
    check.id(&field("user_id"), &request.user_id);
    check.id(&field("visitor_id"), &request.visitor_id);
    check.ids(
        &field("context_items"),
        &request.context_items,
        CONTEXT_ITEMS_MAX,
    );
    check.ids(&field("cart_items"), &request.cart_items, LINES_MAX);
    check.ids(
        &field("exclude_items"),
        &request.exclude_items,
        EXCLUDE_ITEMS_MAX,
    );
    check.at_most(
        &field("limit"),
        request.limit.into(),
        answer::LIMIT_MAX as u64,
    );
    match Fields::parse(&request.return_fields) {
        Ok(fields) => fields,
        Err(mut violation) => {
            violation.field = field(&violation.field);
            check.push(violation);
            Fields::default()
        }
    }
}

/// What ties an impression or a click to the answer it came from: the placement, the position of the state and the
/// time of the answer. Callers treat it as opaque. It is not signed: whoever sends events can write one, as they can
/// write any other field of an event.
fn attribution_token(placement: &Id, position: u64, now: Millis) -> String {
    format!("a1.{position:x}.{:x}.{placement}", now.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_of_a_request_is_told_with_its_prefix() {
        let request = proto::RecommendRequest {
            user_id: "u\u{0}".into(),
            limit: 101,
            return_fields: vec!["colour".into()],
            ..proto::RecommendRequest::default()
        };
        let error = check_request(&request, "request.").unwrap_err();
        let json = error.to_json();
        let violations = json["error"]["details"][1]["fieldViolations"]
            .as_array()
            .unwrap();
        let fields: Vec<&str> = violations
            .iter()
            .map(|v| v["field"].as_str().unwrap())
            .collect();
        assert_eq!(
            fields,
            [
                "request.placement",
                "request.user_id",
                "request.limit",
                "request.return_fields[0]"
            ]
        );
    }

    #[test]
    fn a_token_says_where_and_when() {
        let token = attribution_token(&"home".into(), 17, Millis(1_700_000_000_000));
        assert_eq!(token, "a1.11.18bcfe56800.home");
    }
}
