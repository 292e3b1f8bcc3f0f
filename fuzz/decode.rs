//! Events and items in JSON and protobuf, log records, and lines of published data sets.

use impulse::domain::{Event, Input, Rejection};
use impulse::wire::datasets::{Format, LINE_BYTES_MAX, ReadError};
use impulse::wire::{
    BATCH_MAX, cloudevents, connect, dead_letter, event, item, json, proto, record, trigger,
};
use prost::Message as _;

use crate::{bounded, fuzz};

#[test]
fn json() {
    fuzz("json", |bytes| {
        if let Ok(decoded) = bounded(bytes, json::events) {
            assert!(decoded.len() <= BATCH_MAX);
            for entry in decoded {
                assert!(bytes.as_ptr_range().contains(&entry.raw.as_ptr()));
                check_event(entry.value);
            }
        }
        if let Ok(decoded) = bounded(bytes, json::items) {
            for entry in decoded {
                if let Ok(patch) = check_rejection(entry.value) {
                    let message = item::patch_to_proto(&patch);
                    assert_eq!(item::from_proto(message), Ok(patch));
                }
            }
        }
        check_event(bounded(bytes, json::event));
    });
}

#[test]
fn protobuf() {
    fuzz("protobuf", |bytes| {
        let ours = bounded(bytes, event::decode);
        let known = bounded(bytes, event::id_of);
        if let Ok(message) = proto::Event::decode(bytes) {
            assert_eq!(known, message.event_id);
            assert_eq!(
                event::from_proto(message),
                ours,
                "as the generated message has it"
            );
        } else {
            assert!(ours.is_err(), "the generated message refuses it");
        }
        check_event(ours);
        let ours = bounded(bytes, item::decode);
        if let Ok(message) = proto::Item::decode(bytes) {
            assert_eq!(
                item::from_proto(message),
                ours,
                "as the generated message has it"
            );
        } else {
            assert!(ours.is_err(), "the generated message refuses it");
        }
        if let Ok(read) = record::decode(bytes) {
            let mut again = Vec::new();
            record::encode(&read, &mut again);
            assert_eq!(record::decode(&again), Ok(read));
        }
        if let Ok((read, epoch)) = trigger::decode(bytes) {
            let mut again = Vec::new();
            trigger::encode(&read, epoch, &mut again);
            assert_eq!(trigger::decode(&again), Ok((read, epoch)));
        }
        if let Ok(read) = dead_letter::decode(bytes) {
            let mut again = Vec::new();
            dead_letter::encode(&read, &mut again);
            assert_eq!(dead_letter::decode(&again), Ok(read));
        }
    });
}

#[test]
fn datasets() {
    fuzz("datasets", |bytes| {
        for format in Format::ALL {
            let inputs = bounded(bytes, |bytes| format.read(bytes).count());
            assert!(inputs <= 2 * bytes.len() + 2, "{format:?} never ends");
            for input in format.read(bytes) {
                check_input(input);
            }
        }
    });
}

/// The number of headers, each with the lengths of its name and its value, then the value of the record.
#[test]
fn cloudevents() {
    fuzz("cloudevents", |bytes| {
        let (headers, value) = split(bytes);
        match bounded(value, |value| cloudevents::decode(&headers, value)) {
            Ok(Input::Event(event)) => {
                assert_eq!(
                    cloudevents::decode_event(&headers, value),
                    Ok(event.clone())
                );
                check_event(Ok(event));
            }
            Ok(Input::ItemDelete(item)) => assert!(!item.is_empty()),
            Ok(other) => check_input(Ok(other)),
            Err(rejection) => drop(check_rejection::<()>(Err(rejection))),
        }
        if let Some(trace) = cloudevents::traceparent(&headers) {
            assert_eq!(trace.to_string().len(), 55);
        }
        if let Some(failed) = connect::decode(&headers) {
            let again = connect::encode(&failed);
            let again: Vec<(&str, &[u8])> = again
                .iter()
                .map(|(name, value)| (*name, value.as_bytes()))
                .collect();
            assert_eq!(connect::decode(&again), Some(failed));
        }
    });
}

fn split(bytes: &[u8]) -> (Vec<(&str, &[u8])>, &[u8]) {
    let (count, mut rest) = bytes
        .split_first()
        .map_or((0, bytes), |(n, rest)| (*n, rest));
    let mut headers = Vec::new();
    for _ in 0..count % 16 {
        let mut part = || -> Option<&[u8]> {
            let (length, after) = rest.split_first()?;
            let (part, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(part)
        };
        let (Some(name), Some(value)) = (part(), part()) else {
            break;
        };
        headers.push((std::str::from_utf8(name).unwrap_or_default(), value));
    }
    (headers, rest)
}

/// A mebibyte each of what costs a careless reader most.
#[test]
fn hostile_mebibytes() {
    let patterns: [&[u8]; 24] = [
        b"[",
        b"{\"a\":",
        b"{\"metadata\":",
        b"[{}",
        b"{},",
        b"0,",
        b"\"a\":1,",
        b"\x7f",
        b"\"\x7f",
        b"\\u0001",
        b"{\"item_id\":\"i\"},",
        b"\x0a\x00",
        b"\x52\x00",
        b"\x7a\x00",
        b"\xaa\x01\x00",
        b"\xaa\x01\x04\x0a\x02\x61\x62",
        b"\x92\x01\x00",
        b"\x1a\x00",
        b"\x4a\x00",
        b"\x0b",
        b"\xff",
        b"a,",
        b"\"\"",
        b"\n",
    ];
    let openings: [&[u8]; 9] = [
        b"",
        b"[",
        b"{\"events\":[",
        b"{\"kind\":\"purchase\",\"user_id\":\"u\",\"items\":[",
        b"{\"kind\":\"cart_view\",\"user_id\":\"u\",\"consent\":\"",
        b"{\"kind\":\"cart_view\",\"user_id\":\"u\",\"price\":\"",
        b"{\"specversion\":\"1.0\",\"data\":",
        b"{\"specversion\":\"1.0\",\"data_base64\":\"",
        b"{\"session\":1,\"events\":[{\"aid\":1,\"ts\":2,\"type\":\"",
    ];
    for opening in openings {
        for pattern in patterns {
            let mut bytes = opening.to_vec();
            bytes.extend(pattern.iter().cycle().take(1 << 20));
            drop(bounded(&bytes, json::events));
            drop(bounded(&bytes, json::items));
            drop(bounded(&bytes, json::event));
            drop(bounded(&bytes, |bytes| cloudevents::decode(&[], bytes)));
            bounded(&bytes, |bytes| Format::Otto.read(bytes).count());
            if opening.is_empty() {
                drop(bounded(&bytes, event::decode));
                drop(bounded(&bytes, item::decode));
                for format in Format::ALL {
                    bounded(&bytes, |bytes| format.read(bytes).count());
                }
            }
        }
    }
}

fn check_event(read: Result<Event, Rejection>) {
    if let Ok(event) = check_rejection(read) {
        let mut bytes = Vec::new();
        event::encode(&event, &mut bytes);
        assert_eq!(bytes, event::to_proto(&event).encode_to_vec());
        assert_eq!(event::decode(&bytes), Ok(event));
    }
}

fn check_input(read: Result<Input, ReadError>) {
    match read {
        Ok(Input::Event(event)) => check_event(Ok(event)),
        Ok(Input::ItemUpsert(patch)) => {
            let message = item::patch_to_proto(&patch);
            assert_eq!(item::from_proto(message), Ok(*patch));
        }
        Ok(Input::ItemDelete(_) | Input::Tick { .. }) => panic!("nobody sends such a thing"),
        Err(ReadError::Line(line)) => {
            assert!(line.raw.len() <= 2 * LINE_BYTES_MAX);
            drop(check_rejection::<()>(Err(line.rejection)));
        }
        Err(ReadError::Layout(rejection)) => drop(check_rejection::<()>(Err(rejection))),
        Err(ReadError::Io(error)) => panic!("a slice can be read: {error}"),
    }
}

/// What people are told about a refusal is a sentence, not the input.
fn check_rejection<T>(read: Result<T, Rejection>) -> Result<T, Rejection> {
    if let Err(rejection) = &read {
        assert!(!rejection.detail.is_empty());
        assert!(rejection.detail.len() < 4_096, "{}", rejection.detail.len());
        assert!(rejection.field.len() < 4_096, "{}", rejection.field.len());
    }
    read
}
