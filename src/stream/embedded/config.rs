//! Settings of the embedded log.

use serde::{Deserialize, Serialize};

/// Settings of the embedded log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A new segment of the main log begins when this size is reached.
    pub segment_bytes: u64,
    /// What becomes of segments that no kept snapshot needs.
    pub segment_retention: SegmentRetention,
    /// The trigger log.
    pub triggers: TopicConfig,
    /// The dead-letter log.
    pub dead_letters: TopicConfig,
    /// The log of events that came too late for triggers.
    pub late: TopicConfig,
}

/// What becomes of segments of the main log that neither of the two kept snapshots needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentRetention {
    /// They are removed.
    #[default]
    Remove,
    /// They are moved to `archive/`, from where nothing of ours removes them.
    Archive,
    /// They stay where they are.
    Keep,
}

/// Settings of a topic log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicConfig {
    /// A new segment begins when this size is reached; whole segments are what retention removes.
    pub segment_bytes: u64,
    /// Records older than this may be removed.
    pub age_max_hours: u32,
    /// The oldest segments are removed while all of them take more than this.
    pub bytes_max: u64,
}

/// Smallest size of a segment that makes sense.
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest size of a segment: recovery may have to read one whole.
const SEGMENT_BYTES_MAX: u64 = 2 << 30;

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            segment_retention: SegmentRetention::default(),
            triggers: TopicConfig::default(),
            dead_letters: TopicConfig::default(),
            late: TopicConfig::default(),
        }
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            age_max_hours: 7 * 24,
            bytes_max: 1 << 30,
        }
    }
}

impl Config {
    /// Every mistake in these settings, each with the name of its field; none if they are usable.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        check_segment("segment_bytes", self.segment_bytes, &mut mistakes);
        for (name, topic) in [
            ("triggers", &self.triggers),
            ("dead_letters", &self.dead_letters),
            ("late", &self.late),
        ] {
            let field = format!("{name}.segment_bytes");
            check_segment(&field, topic.segment_bytes, &mut mistakes);
            if topic.bytes_max < topic.segment_bytes {
                mistakes.push(format!(
                    "{name}.bytes_max: {} is less than one segment ({field} is {})",
                    topic.bytes_max, topic.segment_bytes
                ));
            }
            if topic.age_max_hours == 0 {
                mistakes.push(format!("{name}.age_max_hours: must be at least 1"));
            }
        }
        mistakes
    }
}

fn check_segment(field: &str, bytes: u64, mistakes: &mut Vec<String>) {
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) {
        mistakes.push(format!(
            "{field}: {bytes} is not between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_defaults_are_usable() {
        assert_eq!(Config::default().mistakes(), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_named() {
        let mut config = Config {
            segment_bytes: 1,
            ..Config::default()
        };
        config.late.bytes_max = 10;
        config.triggers.age_max_hours = 0;
        let mistakes = config.mistakes().join("\n");
        for field in [
            "segment_bytes:",
            "late.bytes_max:",
            "triggers.age_max_hours:",
        ] {
            assert!(mistakes.contains(field), "{field} not in {mistakes}");
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        let error = serde_json::from_str::<Config>(r#"{"segment_byte": 4096}"#).unwrap_err();
        assert!(error.to_string().contains("segment_byte"), "{error}");
    }
}
