//! Benchmarks: whole loads as ratios.
