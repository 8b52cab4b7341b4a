//! Jobs in memory: their rows with every index of them, the order in which they are taken, and the port.

mod port;
mod ready;
mod rows;
mod settle;

pub(super) use rows::Jobs;
