//! Builds, wires, runs and drains the process.
