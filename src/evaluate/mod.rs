//! Offline evaluation of rankers on recorded sessions.
