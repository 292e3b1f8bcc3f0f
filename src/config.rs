//! Gathers the settings of all parts: defaults, then the file, then the environment, then the command line.
//!
//! Every part owns its settings and knows what is wrong with them; this file finds them, refuses keys that nobody
//! owns, and reports every mistake at once.

#[cfg(feature = "kafka")]
use std::collections::BTreeMap;
#[cfg(feature = "kafka")]
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine;
use crate::engine::recommend::Placements;
use crate::engine::triggers::Rules;
use crate::pipeline;
use crate::server;
use crate::stream::embedded;
#[cfg(feature = "kafka")]
use crate::stream::kafka;

/// Variables `IMPULSE__SECTION__KEY` override the file.
const ENVIRONMENT: &str = "IMPULSE__";
/// After that prefix, `SASL_PASSWORD` is the property `sasl.password` of librdkafka: no name of one has an underscore.
#[cfg(feature = "kafka")]
const PROPERTIES: &str = "KAFKA__PROPERTIES__";
/// Names of the sections, one a part.
const SECTIONS: &[&str] = &[
    "data",
    "engine",
    #[cfg(feature = "kafka")]
    "kafka",
    "log",
    "pipeline",
    "server",
    "topology",
];

/// All settings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Config {
    /// Where the state lives.
    pub data: Data,
    /// What the engine decides by.
    pub engine: engine::Config,
    /// Events from Kafka.
    #[cfg(feature = "kafka")]
    pub kafka: kafka::Config,
    /// The embedded log.
    pub log: embedded::Config,
    /// From arrival to acknowledgement.
    pub pipeline: pipeline::Config,
    /// The serving path.
    pub server: server::Config,
    /// Where the declarations are.
    pub topology: Topology,
}

/// Where the state lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The data directory; it is made if it is not there.
    pub dir: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("impulse-data"),
        }
    }
}

/// Where the declarations are. A file that is not there means the built-in declarations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// When to speak to a shopper.
    pub triggers: PathBuf,
    /// Where recommendations appear.
    pub placements: PathBuf,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            triggers: PathBuf::from("topology/triggers.yaml"),
            placements: PathBuf::from("topology/placements.yaml"),
        }
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Reads the settings: from `file` if one is given, and from the environment. `change` puts the command line over
    /// them before they are checked.
    ///
    /// # Errors
    ///
    /// Every mistake there is, each with its key, and its file and line where it has one.
    pub fn load(file: Option<&Path>, change: impl FnOnce(&mut Self)) -> Result<Self, Mistakes> {
        let mut found = Found::read(file);
        let mut config = Self {
            data: found.section("data"),
            engine: found.section("engine"),
            #[cfg(feature = "kafka")]
            kafka: found.section("kafka"),
            log: found.section("log"),
            pipeline: found.section("pipeline"),
            server: found.section("server"),
            topology: found.section("topology"),
        };
        change(&mut config);
        config.read_topology(&mut found.mistakes);
        let of = |section: &str, mistakes: Vec<String>| {
            mistakes
                .into_iter()
                .map(|mistake| prefixed(section, &mistake))
                .collect::<Vec<_>>()
        };
        found
            .mistakes
            .extend(of("engine", config.engine.mistakes()));
        #[cfg(feature = "kafka")]
        found.mistakes.extend(of("kafka", config.kafka.mistakes()));
        found.mistakes.extend(of("log", config.log.mistakes()));
        found
            .mistakes
            .extend(of("pipeline", config.pipeline.mistakes()));
        found
            .mistakes
            .extend(of("server", config.server.mistakes()));
        if found.mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Mistakes(found.mistakes))
        }
    }

    fn read_topology(&mut self, mistakes: &mut Vec<String>) {
        if let Some(text) = read_if_there(&self.topology.triggers, mistakes) {
            match Rules::parse(&text) {
                Ok(rules) => self.engine.rules = rules,
                Err(error) => {
                    mistakes.push(format!("{}: {error}", self.topology.triggers.display()));
                }
            }
        }
        if let Some(text) = read_if_there(&self.topology.placements, mistakes) {
            match Placements::parse(&text) {
                Ok(placements) => self.engine.placements = placements,
                Err(error) => {
                    mistakes.push(format!("{}: {error}", self.topology.placements.display()));
                }
            }
        }
    }
}

/// The settings as found, and what is wrong with them so far.
#[derive(Debug)]
struct Found {
    figment: Figment,
    path: Option<PathBuf>,
    text: String,
    mistakes: Vec<String>,
}

impl Found {
    fn read(file: Option<&Path>) -> Self {
        let mut found = Self {
            figment: Figment::from(Serialized::defaults(Config::default())),
            path: file.map(Path::to_owned),
            text: String::new(),
            mistakes: Vec::new(),
        };
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    found.figment = found.figment.merge(Toml::string(&text));
                    found.text = text;
                }
                Err(error) => found.mistakes.push(format!("{}: {error}", path.display())),
            }
        }
        found.merge_environment();
        found.refuse_unknown_sections();
        found
    }

    #[cfg(not(feature = "kafka"))]
    fn merge_environment(&mut self) {
        let figment = std::mem::take(&mut self.figment);
        self.figment = figment.merge(Env::prefixed(ENVIRONMENT).split("__"));
    }

    #[cfg(feature = "kafka")]
    fn merge_environment(&mut self) {
        let settings = Env::prefixed(ENVIRONMENT)
            .filter(|key| !key.starts_with(PROPERTIES))
            .split("__");
        let figment = std::mem::take(&mut self.figment).merge(settings);
        let properties = properties(std::env::vars_os());
        self.figment = figment.merge(Serialized::default("kafka.properties", properties));
    }

    fn refuse_unknown_sections(&mut self) {
        match self.figment.extract::<toml::Table>() {
            Err(error) => self.push("", error),
            Ok(table) => {
                let unknown = table.keys().filter(|key| !SECTIONS.contains(&key.as_str()));
                let mistakes: Vec<String> = unknown
                    .map(|key| {
                        let place = self.place(key);
                        format!(
                            "{place}{key}: no such section; there are {}",
                            SECTIONS.join(", ")
                        )
                    })
                    .collect();
                self.mistakes.extend(mistakes);
            }
        }
    }

    fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        match self.figment.extract_inner(name) {
            Ok(section) => section,
            Err(error) => {
                self.push(name, error);
                T::default()
            }
        }
    }

    /// Notes what is wrong in a section. The path of an error ends with the section it was looked for in.
    fn push(&mut self, section: &str, errors: figment::Error) {
        for mut error in errors {
            if error.path.last().is_some_and(|last| last == section) {
                error.path.rotate_right(1);
            }
            let key = error.path.join(".");
            let place = self.place(&key);
            let mistake = format!("{place}{key}: {}", error.kind);
            if !self.mistakes.contains(&mistake) {
                self.mistakes.push(mistake);
            }
        }
    }

    /// `file:line: ` of a key, if the file names it.
    fn place(&self, key: &str) -> String {
        let Some(path) = &self.path else {
            return String::new();
        };
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut current = String::new();
        for (number, line) in (1..).zip(self.text.lines().map(str::trim)) {
            if let Some(header) = line
                .strip_prefix('[')
                .and_then(|rest| rest.split(']').next())
            {
                header.clone_into(&mut current);
                if header == key {
                    return format!("{}:{number}: ", path.display());
                }
            }
            let here = line.split('=').next().map_or("", str::trim);
            if current == section && here == name {
                return format!("{}:{number}: ", path.display());
            }
        }
        format!("{}: ", path.display())
    }
}

/// Properties of librdkafka among the variables of the environment. Their values stay text, since a password of digits
/// is no number.
#[cfg(feature = "kafka")]
fn properties(variables: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    let prefix = format!("{ENVIRONMENT}{PROPERTIES}");
    variables
        .filter_map(|(key, value)| {
            let name = key.to_str()?.strip_prefix(&prefix)?;
            let property = name.to_lowercase().replace('_', ".");
            Some((property, value.to_string_lossy().into_owned()))
        })
        .collect()
}

fn prefixed(section: &str, mistake: &str) -> String {
    if mistake.starts_with(section) {
        mistake.to_owned()
    } else {
        format!("{section}.{mistake}")
    }
}

fn read_if_there(path: &Path, mistakes: &mut Vec<String>) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            mistakes.push(format!("{}: {error}", path.display()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::Config;

    fn load(text: &str) -> Result<Config, Vec<String>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::load(Some(file.path()), |_| {}).map_err(|mistakes| mistakes.0)
    }

    #[test]
    fn the_defaults_are_right_and_a_file_changes_what_it_names() {
        let config = load("[pipeline]\ndurability = \"os\"\n[engine.items]\nwindow = 5\n").unwrap();
        assert_eq!(config.pipeline.durability, crate::pipeline::Durability::Os);
        assert_eq!(config.engine.items.window, 5);
        assert_eq!(config.engine.session_gap_ms, 30 * 60_000);
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_line() {
        let text = "[engine]\nsession_gap_ms = -1\n\n[pipeline]\nqueue_records_mix = 3\n[colour]\nred = 1\n";
        let mistakes = load(text).unwrap_err().join("\n");
        for part in [
            ":5: pipeline.queue_records_mix",
            "engine.session_gap_ms",
            ":6: colour",
        ] {
            assert!(mistakes.contains(part), "{part} not in:\n{mistakes}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_key() {
        let mistakes = load("[server]\nconnections_max = \"many\"\n")
            .unwrap_err()
            .join("\n");
        assert!(
            mistakes.contains(":2: server.connections_max"),
            "{mistakes}"
        );
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn a_variable_names_a_property_with_underscores_and_its_value_stays_text() {
        let variables = [
            ("IMPULSE__KAFKA__PROPERTIES__SASL_PASSWORD", "007"),
            ("IMPULSE__KAFKA__PROPERTIES__SSL_CA_LOCATION", "/ca.pem"),
            ("IMPULSE__KAFKA__GROUP", "impulse"),
        ];
        let variables = variables.map(|(key, value)| (key.into(), value.into()));
        let found = super::properties(variables.into_iter());
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            found,
            [("sasl.password", "007"), ("ssl.ca.location", "/ca.pem")]
        );
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn properties_of_a_file_keep_the_dots_in_their_names() {
        let config = load("[kafka.properties]\n\"sasl.password\" = 7\n").unwrap();
        assert_eq!(config.kafka.properties["sasl.password"], "7");
    }
}
