//! Benchmarks: the policy stack, and whole loads as ratios.
