//! A seeded shop: catalogue and visitors with intent, for the demo, the load tests and the simulation.
