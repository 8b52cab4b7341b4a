//! What happened in a run, line by line, in words that are the same in each run of a seed: ids, which are not, are numbered in the
//! order of their coming.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex};

use crate::time::Truth;

/// The trace of a run. Clones are the same.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>, Arc<Truth>);

#[derive(Default)]
struct Lines {
    text: String,
    names: BTreeMap<String, usize>,
}

impl Trace {
    pub fn new(truth: Arc<Truth>) -> Self {
        Self(Arc::default(), truth)
    }

    /// The name of a thing here.
    pub fn name(&self, id: impl Display) -> String {
        let mut lines = self.0.lock().unwrap();
        let (next, id) = (lines.names.len(), id.to_string());
        // What is no id of ours is a worker's.
        let kind = id.split_once('_').map_or("worker", |(kind, _)| kind).to_owned();
        format!("{kind}{}", lines.names.entry(id).or_insert(next))
    }

    pub fn say(&self, line: impl Display) {
        let at = self.1.elapsed();
        writeln!(self.0.lock().unwrap().text, "{at:>7} {line}").unwrap();
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().text.clone()
    }
}
