//! What Redis runs in one step. Each script is known by its hash, and sent again where the server does not know it.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));
    };
}

script!(OFFER, "offer.lua");
script!(TAKE, "take.lua");
script!(FORGET, "forget.lua");
script!(LEASE, "lease.lua");
script!(BEAT, "beat.lua");
