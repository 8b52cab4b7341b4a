//! The engine: policies, tenancy, jobs, webhooks, config versions and the ports that backends implement.

pub mod policy;
