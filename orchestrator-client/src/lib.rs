//! Typed client of the exec and control APIs, and the product's side of callbacks.
