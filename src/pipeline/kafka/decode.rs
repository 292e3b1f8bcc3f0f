//! From a Kafka record to an input.

use rdkafka::message::{BorrowedMessage, Message as _};

use crate::domain::{Id, Input, Millis, Rejection, RejectionReason, Stage};
use crate::stream::kafka::text_header;
use crate::wire;

/// `ce_type` of a change of an item.
pub(in crate::pipeline) const ITEM_UPSERT: &str = "impulse.item.upsert.v1";
/// `ce_type` of an item that is taken out.
pub(in crate::pipeline) const ITEM_DELETE: &str = "impulse.item.delete.v1";
/// `ce_type` of an event.
pub(in crate::pipeline) const EVENT: &str = "impulse.event.v1";

/// What a record says: an event or an item, in JSON unless `content-type` says protobuf.
pub(super) fn decode(message: &BorrowedMessage<'_>, bytes_max: usize) -> Result<Input, Rejection> {
    let Some(value) = message.payload() else {
        return Err(Rejection {
            stage: Stage::Parse,
            reason: RejectionReason::MissingField,
            field: String::new(),
            detail: "the record has no value".to_owned(),
        });
    };
    if value.len() > bytes_max {
        return Err(Rejection {
            stage: Stage::Limit,
            reason: RejectionReason::TooLong,
            field: String::new(),
            detail: format!(
                "the record has {} bytes; the limit is {bytes_max}",
                value.len()
            ),
        });
    }
    let media = text_header(message, "content-type").unwrap_or_default();
    let kind = text_header(message, "ce_type").unwrap_or_default();
    read(kind, media.contains("protobuf"), value)
}

fn read(kind: &str, protobuf: bool, value: &[u8]) -> Result<Input, Rejection> {
    match (kind, protobuf) {
        (ITEM_UPSERT, true) => wire::item::decode(value).map(upsert),
        (ITEM_UPSERT, false) => wire::json::item(value).map(upsert),
        (ITEM_DELETE, _) => id(value).map(Input::ItemDelete),
        (_, true) => wire::event::decode(value).map(Input::Event),
        (_, false) => wire::json::event(value).map(Input::Event),
    }
}

fn upsert(patch: crate::domain::ItemPatch) -> Input {
    Input::ItemUpsert(Box::new(patch))
}

fn id(value: &[u8]) -> Result<Id, Rejection> {
    std::str::from_utf8(value)
        .ok()
        .filter(|id| !id.is_empty() && id.len() <= crate::domain::ID_BYTES_MAX)
        .map(Id::from)
        .ok_or_else(|| Rejection {
            stage: Stage::Value,
            reason: RejectionReason::InvalidValue,
            field: "item_id".to_owned(),
            detail: "the value is no id of an item".to_owned(),
        })
}

/// When the record arrived, by its own timestamp: the same whoever reads it.
pub(super) fn received(message: &BorrowedMessage<'_>) -> Millis {
    Millis(message.timestamp().to_millis().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_says_what_a_record_is() {
        let json = br#"{"kind":"product_view","userId":"u","itemId":"i"}"#;
        assert!(matches!(read("", false, json), Ok(Input::Event(_))));
        assert!(matches!(read(EVENT, false, json), Ok(Input::Event(_))));
        let item = br#"{"itemId":"i","title":"Shoe"}"#;
        assert!(matches!(
            read(ITEM_UPSERT, false, item),
            Ok(Input::ItemUpsert(_))
        ));
        assert_eq!(
            read(ITEM_DELETE, false, b"i"),
            Ok(Input::ItemDelete("i".into()))
        );
        assert!(read(ITEM_DELETE, false, b"").is_err());
        assert!(read("", false, b"not json").is_err());
    }
}
