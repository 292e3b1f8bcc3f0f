//! Every metric: name, unit, labels and help.
