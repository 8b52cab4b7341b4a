//! Outbound HTTP behind the egress guard: the http connector and the callback transport.
