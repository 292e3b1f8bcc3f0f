//! `/openapi.json`: made from the list of routes and the descriptors of the protos, so that it says what is there.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorSet, MessageOptions,
};
use serde_json::{Map, Value, json};

use crate::domain::EventKind;
use crate::wire::proto::FILE_DESCRIPTOR_SET;

/// One route as the document describes it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) path: &'static str,
    pub(super) method: Method,
    summary: &'static str,
    query: Vec<(&'static str, &'static str)>,
    body: Option<&'static str>,
    answer: Answer,
}

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Delete,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Json(&'static str),
    Text,
    EventStream,
}

impl Operation {
    fn new(method: Method, path: &'static str, summary: &'static str) -> Self {
        Self {
            path,
            method,
            summary,
            query: Vec::new(),
            body: None,
            answer: Answer::Text,
        }
    }

    pub(super) fn get(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Get, path, summary)
    }

    pub(super) fn post(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Post, path, summary)
    }

    pub(super) fn delete(path: &'static str, summary: &'static str) -> Self {
        Self::new(Method::Delete, path, summary)
    }

    /// A parameter of the query string.
    pub(super) fn query(mut self, name: &'static str, text: &'static str) -> Self {
        self.query.push((name, text));
        self
    }

    /// The schema of the body.
    pub(super) fn body(mut self, schema: &'static str) -> Self {
        self.body = Some(schema);
        self
    }

    /// The schema of the answer.
    pub(super) fn answers(mut self, schema: &'static str) -> Self {
        self.answer = Answer::Json(schema);
        self
    }

    /// The answer is text.
    pub(super) fn text(mut self) -> Self {
        self.answer = Answer::Text;
        self
    }

    /// The answer is a stream of server-sent events.
    pub(super) fn streams(mut self) -> Self {
        self.answer = Answer::EventStream;
        self
    }

    fn to_json(&self) -> Value {
        let content = match self.answer {
            Answer::Json(schema) => json!({"application/json": {"schema": reference(schema)}}),
            Answer::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
            Answer::EventStream => json!({"text/event-stream": {"schema": {"type": "string"}}}),
        };
        let body = self.body.map(|schema| {
            json!({
                "required": true,
                "content": {"application/json": {"schema": reference(schema)}},
            })
        });
        let mut operation = json!({
            "summary": self.summary,
            "parameters": self.parameters(),
            "requestBody": body,
            "responses": {
                "200": {"description": "The answer", "content": content},
                "default": {
                    "description": "Why there is none",
                    "content": {"application/json": {"schema": reference("Error")}},
                },
            },
        });
        if let Some(fields) = operation.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        operation
    }

    fn parameters(&self) -> Vec<Value> {
        let in_path = self.path.split('/').filter_map(|part| {
            let name = part.strip_prefix('{')?.strip_suffix('}')?;
            Some(json!({
                "name": name, "in": "path", "required": true, "schema": {"type": "string"},
            }))
        });
        let in_query = self.query.iter().map(|(name, text)| {
            json!({"name": name, "in": "query", "description": text, "schema": {"type": "string"}})
        });
        in_path.chain(in_query).collect()
    }
}

/// The document of these routes.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let method = match operation.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        };
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        path[method] = operation.to_json();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Impulse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Recommendations, triggers and profiles from one event log. Field names are read in \
                            camelCase and snake_case. The gRPC interface offers the same functions.",
        },
        "paths": paths,
        "components": {"schemas": schemas()},
    })
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// The messages of the protos, and what only this interface has.
fn schemas() -> Map<String, Value> {
    let mut schemas = own_schemas();
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    for file in files
        .file
        .iter()
        .filter(|file| file.package() == "impulse.v1")
    {
        for message in &file.message_type {
            schemas.insert(message.name().to_owned(), message_schema(message));
        }
        for one in &file.enum_type {
            schemas.insert(one.name().to_owned(), enum_schema(one));
        }
    }
    // Events come in with short kinds; `eventType` and `metadata` are for trackers of the brief.
    let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    schemas.insert(
        "EventKind".to_owned(),
        json!({"type": "string", "enum": kinds}),
    );
    schemas
}

fn own_schemas() -> Map<String, Value> {
    let text = || json!({"type": "string"});
    let list = |schema: &str| json!({"type": "array", "items": reference(schema)});
    let number = || json!({"type": "integer", "format": "int64", "minimum": 0});
    let batch = |one: &str, name: &str| {
        let mut fields = Map::new();
        fields.insert(name.to_owned(), list(one));
        json!({"oneOf": [
            reference(one),
            list(one),
            {"type": "object", "required": [name], "properties": fields},
        ]})
    };
    let page = |name: &str, one: &str| {
        let mut fields = Map::new();
        fields.insert(name.to_owned(), list(one));
        fields.insert("next".to_owned(), number());
        fields.insert("newest".to_owned(), number());
        json!({"type": "object", "properties": fields})
    };
    let status = json!({"type": "string", "enum": ["ACCEPTED", "DUPLICATE", "REJECTED"]});
    let own = [
        ("EventBatch", batch("Event", "events")),
        ("ItemBatch", batch("Item", "items")),
        (
            "EventResults",
            json!({"type": "object", "properties": {
                "results": {"type": "array", "items": {"type": "object", "properties": {
                    "eventId": text(), "status": status, "reason": text(), "field": text(),
                    "detail": text(),
                }}},
                "position": number(),
            }}),
        ),
        (
            "TrackedEvent",
            json!({"type": "object", "required": ["userId", "eventType"], "properties": {
                "userId": text(), "eventType": reference("EventKind"), "metadata": {"type": "object"},
            }}),
        ),
        (
            "Tracked",
            json!({"type": "object", "properties": {"status": text()}}),
        ),
        ("RecommendedItems", list("RecommendedItem")),
        ("TriggerPage", page("triggers", "Trigger")),
        ("DeadLetterPage", page("deadLetters", "DeadLetter")),
        (
            "Health",
            json!({"type": "object", "properties": {
                "status": text(), "why": text(), "freshness": text(), "behind": text(),
            }}),
        ),
        (
            "Error",
            json!({"type": "object", "properties": {"error": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"}, "message": text(), "status": text(),
                    "details": {"type": "array", "items": {"type": "object"}},
                },
            }}}),
        ),
    ];
    own.into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn message_schema(message: &DescriptorProto) -> Value {
    let mut properties = Map::new();
    for field in &message.field {
        let entry = map_entry(message, field);
        let schema = match entry {
            Some(entry) => {
                let value = entry.field.iter().find(|field| field.name() == "value");
                let values = value.map_or_else(|| json!({}), field_schema);
                json!({"type": "object", "additionalProperties": values})
            }
            None if field.label() == Label::Repeated => {
                json!({"type": "array", "items": field_schema(field)})
            }
            None => field_schema(field),
        };
        properties.insert(camel_case(field.name()), schema);
    }
    json!({"type": "object", "properties": properties})
}

/// The nested message of a map field.
fn map_entry<'a>(
    message: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<&'a DescriptorProto> {
    let name = field.type_name().rsplit('.').next()?;
    message.nested_type.iter().find(|nested| {
        nested.name() == name
            && nested
                .options
                .as_ref()
                .is_some_and(MessageOptions::map_entry)
    })
}

fn field_schema(field: &FieldDescriptorProto) -> Value {
    match field.r#type() {
        Type::Bool => json!({"type": "boolean"}),
        Type::Double | Type::Float => json!({"type": "number"}),
        Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Fixed32 | Type::Sfixed32 => {
            json!({"type": "integer"})
        }
        // The canonical form writes 64 bits as text and reads both.
        Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64 => {
            json!({"type": ["string", "integer"], "format": "int64"})
        }
        Type::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Type::String => json!({"type": "string"}),
        Type::Enum | Type::Message | Type::Group => match field.type_name() {
            ".google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            name => reference(name.rsplit('.').next().unwrap_or_default()),
        },
    }
}

fn enum_schema(one: &EnumDescriptorProto) -> Value {
    let names: Vec<&str> = one
        .value
        .iter()
        .map(EnumValueDescriptorProto::name)
        .collect();
    json!({"type": "string", "enum": names})
}

fn camel_case(snake: &str) -> String {
    let mut camel = String::with_capacity(snake.len());
    let mut upper = false;
    for letter in snake.chars() {
        if letter == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            camel.push(letter.to_ascii_uppercase());
        } else {
            camel.push(letter);
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let ("$ref", Value::String(target)) = (name.as_str(), value) {
                        found.push(target.clone());
                    }
                    references(value, found);
                }
            }
            Value::Array(all) => all.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_has_a_schema() {
        let document = document(&super::super::routes().operations);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for target in found {
            let pointer = target.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn messages_have_the_names_of_their_json_form() {
        let schemas = schemas();
        let item = &schemas["Item"]["properties"];
        assert_eq!(item["imageUrl"]["type"], "string");
        assert_eq!(item["createdAt"]["format"], "date-time");
        assert_eq!(item["attributes"]["additionalProperties"]["type"], "string");
        assert_eq!(item["categories"]["items"]["type"], "string");
        assert_eq!(
            schemas["RecommendResponse"]["properties"]["position"]["format"],
            "int64"
        );
    }
}
