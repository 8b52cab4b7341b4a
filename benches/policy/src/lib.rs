//! Nothing in here: the benchmarks are in `benches/`.
