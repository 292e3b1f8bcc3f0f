//! The demo's clients: a shop's backend that asks for recommendations, and a marketing system that follows the triggers.
//! Both go through the gRPC port, as anybody's would.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::clock::Stopwatch;
use crate::domain::{Id, Seq};
use crate::wire::proto;
use crate::wire::proto::recommendation_service_client::RecommendationServiceClient;
use crate::wire::proto::trigger_service_client::TriggerServiceClient;

use super::crowd::{Question, Word};
use super::tally::Tally;

/// Questions under way at once.
const QUESTIONS_AT_ONCE: usize = 8;
/// Items of a product page's shelf.
const SHELF: u32 = 6;
/// After a broken connection.
const RECONNECT: Duration = Duration::from_millis(500);

/// Asks what the visitors' pages ask, and tells the visitors what they were shown. Ends with the questions.
pub(super) async fn ask(
    channel: Channel,
    questions: mpsc::Receiver<Question>,
    words: mpsc::Sender<Word>,
    tally: Arc<Tally>,
) {
    let client = RecommendationServiceClient::new(channel);
    ReceiverStream::new(questions)
        .for_each_concurrent(QUESTIONS_AT_ONCE, |question| {
            let mut client = client.clone();
            let (words, tally) = (words.clone(), Arc::clone(&tally));
            async move {
                let watch = Stopwatch::start();
                let request = proto::RecommendRequest {
                    placement: "product".to_owned(),
                    user_id: question.user.to_string(),
                    context_items: vec![question.item.to_string()],
                    limit: SHELF,
                    ..proto::RecommendRequest::default()
                };
                let Ok(answer) = client.recommend(request).await else {
                    tally.not_answered();
                    return;
                };
                let answer = answer.into_inner();
                tally.answered(answer.took_us, watch.elapsed());
                let shown = Word::Shown {
                    user: question.user,
                    items: answer
                        .items
                        .iter()
                        .map(|item| Id::from(item.item_id.as_str()))
                        .collect(),
                    attribution_token: Id::from(answer.attribution_token),
                };
                // Without visitors nobody looks any more.
                let _gone = words.send(shown).await;
            }
        })
        .await;
}

/// Follows the trigger log from `from` on and delivers its messages, until told to stop.
pub(super) async fn deliver(
    channel: Channel,
    mut from: Seq,
    words: mpsc::Sender<Word>,
    tally: Arc<Tally>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow_and_update() {
        tokio::select! {
            () = follow(channel.clone(), &mut from, &words, &tally) => {}
            _ = stop.changed() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            _ = stop.changed() => return,
        }
    }
}

/// One subscription, until it ends.
async fn follow(channel: Channel, from: &mut Seq, words: &mpsc::Sender<Word>, tally: &Tally) {
    let request = proto::SubscribeRequest {
        from_seq: *from,
        no_follow: false,
    };
    let Ok(stream) = TriggerServiceClient::new(channel).subscribe(request).await else {
        return;
    };
    let mut stream = stream.into_inner();
    while let Ok(Some(record)) = stream.message().await {
        let Some(trigger) = record.trigger else {
            continue;
        };
        *from = trigger.seq + 1;
        tally.triggered(trigger.kind(), &trigger.reason);
        if trigger.kind() == proto::TriggerKind::Fire {
            let reminded = Word::Reminded {
                user: Id::from(trigger.user_id),
                trigger_id: Id::from(trigger.trigger_id),
            };
            if words.send(reminded).await.is_err() {
                return;
            }
        }
    }
}
