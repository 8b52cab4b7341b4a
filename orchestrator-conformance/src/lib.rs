//! Published behaviour suites for backends and connectors.
