//! Properties of librdkafka from the settings: passed on as they are, and shown without their secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Words in the names of properties whose values are secrets.
const SECRETS: [&str; 5] = ["password", "secret", "pem", "token", "oauthbearer"];
/// What is shown in the place of a secret.
const HIDDEN: &str = "***";

/// Whether the value of a property may be a secret.
pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.iter().any(|word| key.contains(word))
}

/// What librdkafka says of a property, without its value if that may be a secret.
pub(super) fn without_secret(said: &str, key: &str, value: &str) -> String {
    if is_secret(key) && !value.is_empty() {
        said.replace(value, HIDDEN)
    } else {
        said.to_owned()
    }
}

/// Properties by name. Neither `Debug` nor `Serialize` shows a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| {
            let shown = if is_secret(key) { HIDDEN } else { value };
            (key.as_str(), shown)
        })
    }
}

impl Deref for Properties {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Properties {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<const N: usize> From<[(String, String); N]> for Properties {
    fn from(properties: [(String, String); N]) -> Self {
        Self(properties.into())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.shown())
    }
}

/// librdkafka takes text; a number or a flag in a file means its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Flag(bool),
    Number(i64),
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let found = BTreeMap::<String, Value>::deserialize(from)?;
        let text = |value| match value {
            Value::Text(text) => text,
            Value::Flag(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
        };
        let texts = found.into_iter().map(|(key, value)| (key, text(value)));
        Ok(Self(texts.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let properties = Properties::from([
            ("sasl.password".to_owned(), "hunter2".to_owned()),
            ("sasl.username".to_owned(), "impulse".to_owned()),
        ]);
        for shown in [
            serde_json::to_string(&properties).unwrap(),
            format!("{properties:?}"),
        ] {
            assert!(
                !shown.contains("hunter2") && shown.contains("\"impulse\""),
                "{shown}"
            );
        }
        for key in [
            "sasl.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
        ] {
            let said = without_secret("no hunter2 here", key, "hunter2");
            assert!(!said.contains("hunter2"), "{said}");
        }
        assert_eq!(without_secret("not soon", "linger.ms", "soon"), "not soon");
        assert_eq!(without_secret("empty", "sasl.password", ""), "empty");
    }

    #[test]
    fn a_number_means_its_text_and_a_list_is_refused_without_its_content() {
        let file = "\"socket.timeout.ms\" = 1000\n\"sasl.password\" = 12345\n\"socket.keepalive.enable\" = true\n";
        let read: Properties = toml::from_str(file).unwrap();
        assert_eq!(read["sasl.password"], "12345");
        assert_eq!(read["socket.timeout.ms"], "1000");
        assert_eq!(read["socket.keepalive.enable"], "true");
        let wrong: Result<Properties, _> =
            serde_json::from_str("{\"sasl.password\": [\"hunter2\"]}");
        let error = wrong.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
