//! Gathers the settings of all parts.
