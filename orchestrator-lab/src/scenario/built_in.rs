//! The scenarios that come with the lab.

/// Name and document.
pub(super) const DOCUMENTS: [(&str, &str); 8] = [
    ("steady", include_str!("../../scenarios/steady.json")),
    ("upstream-down", include_str!("../../scenarios/upstream-down.json")),
    ("thirty-percent-failing", include_str!("../../scenarios/thirty-percent-failing.json")),
    ("slow", include_str!("../../scenarios/slow.json")),
    ("flapping", include_str!("../../scenarios/flapping.json")),
    ("recovering", include_str!("../../scenarios/recovering.json")),
    ("load-doubling", include_str!("../../scenarios/load-doubling.json")),
    ("client-retry-storm", include_str!("../../scenarios/client-retry-storm.json")),
];
