//! Checks of a request: every field that is wrong is told at once.

use crate::domain::ID_BYTES_MAX;
use crate::server::Error;
use crate::server::error::{Violation, shown};

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Check(Vec<Violation>);

impl Check {
    /// A value that must be there and be an id.
    pub(super) fn required(&mut self, field: &str, id: &str) {
        if id.is_empty() {
            self.add(field, "it is required", "MISSING_FIELD");
        } else {
            self.id(field, id);
        }
    }

    /// A value that is an id or empty.
    pub(super) fn id(&mut self, field: &str, id: &str) {
        if id.len() > ID_BYTES_MAX {
            let detail = format!("{} bytes; an id has at most {ID_BYTES_MAX}", id.len());
            self.add(field, &detail, "TOO_LONG");
        } else if id.chars().any(char::is_control) {
            let detail = format!("{} holds a control character", shown(id));
            self.add(field, &detail, "CONTROL_CHARACTER");
        }
    }

    /// A list of ids.
    pub(super) fn ids(&mut self, field: &str, ids: &[String], limit: usize) {
        if ids.len() > limit {
            let detail = format!("{} entries; there may be at most {limit}", ids.len());
            self.add(field, &detail, "TOO_MANY");
            return;
        }
        for (place, id) in ids.iter().enumerate() {
            if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
                self.required(&format!("{field}[{place}]"), id);
            }
        }
    }

    /// A number with an upper bound.
    pub(super) fn at_most(&mut self, field: &str, found: u64, limit: u64) {
        if found > limit {
            let detail = format!("{found} is above {limit}, the most there may be");
            self.add(field, &detail, "INVALID_VALUE");
        }
    }

    /// A violation found elsewhere.
    pub(super) fn push(&mut self, violation: Violation) {
        self.0.push(violation);
    }

    fn add(&mut self, field: &str, detail: &str, reason: &str) {
        self.0.push(Violation {
            field: field.to_owned(),
            detail: detail.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The end of the check.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if anything was wrong.
    pub(super) fn done(self) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named() {
        let mut check = Check::default();
        check.required("placement", "");
        check.id("user_id", "a\u{0}b");
        check.id("visitor_id", &"x".repeat(ID_BYTES_MAX + 1));
        check.ids("cart_items", &["ok".into(), String::new()], 2);
        check.ids("context_items", &["a".into(), "b".into()], 1);
        check.at_most("limit", 101, 100);
        check.id("session_id", "");
        let fields: Vec<&str> = check.0.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "placement",
                "user_id",
                "visitor_id",
                "cart_items[1]",
                "context_items",
                "limit"
            ]
        );
        assert_eq!(check.done().unwrap_err().reason(), "INVALID_REQUEST");
        assert!(Check::default().done().is_ok());
    }
}
