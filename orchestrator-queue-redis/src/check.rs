//! What a look at Redis finds: a line each, and of what is not good what to do.

use std::time::{Duration, Instant};

use orchestrator_core::queue::{Finding, Level};
use redis::{Value, cmd};

use crate::keys::Keys;
use crate::place::{Away, Line, Place};
use crate::scripts;

/// Slower answers are told.
const SLOW: Duration = Duration::from_millis(10);
/// The oldest version that is served.
const VERSION: u32 = 7;
const ASKED: usize = 5;
/// Of what may be used.
const ALMOST_FULL: f64 = 0.9;

pub(crate) async fn check(
    place: &Place,
    keys: &Keys,
    listens: impl Future<Output = bool>,
) -> Result<Vec<Finding>, Away> {
    let mut found = Vec::new();
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let asked = Instant::now();
        place.ask::<Value>(&cmd("PING")).await?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    found.push(latency(times[ASKED / 2]));
    match place.ask::<Value>(&cmd("INFO")).await {
        Ok(told) => texts(&told, &mut |node| about(node, &mut found)),
        Err(error) => found.push(warning(format!("Redis does not say what it is ({error}): allow this user `INFO`"))),
    }
    found.push(writes(place, keys).await);
    if !listens.await {
        found.push(warning(
            "nothing is heard of other nodes (SUBSCRIBE): jobs that they accept start up to half a second later"
                .to_owned(),
        ));
    }
    Ok(found)
}

fn good(line: String) -> Finding {
    Finding { level: Level::Good, line }
}

fn warning(line: String) -> Finding {
    Finding { level: Level::Warning, line }
}

fn latency(median: Duration) -> Finding {
    let told = format!("Redis answers in {:.1} ms", median.as_secs_f64() * 1e3);
    if median <= SLOW { good(told) } else { warning(format!("{told}: put it nearer to the nodes")) }
}

/// Every text in an answer: a cluster answers one of each node.
fn texts(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::BulkString(bytes) => each(&String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) => each(text),
        Value::VerbatimString { text, .. } => each(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, each)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| texts(value, each)),
        _ => {}
    }
}

/// What a node says of itself.
fn about(info: &str, found: &mut Vec<Finding>) {
    let field = |name: &str| {
        let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        lines.into_iter().find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    };
    let Some(version) = field("redis_version") else { return };
    let at = field("tcp_port").map(|port| format!(" at port {port}")).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
    found.push(if major >= VERSION {
        good(format!("Redis {}{at}", printable(version)))
    } else {
        warning(format!("Redis {}{at} is older than {VERSION}: upgrade it", printable(version)))
    });
    if field("role").is_some_and(|role| role == "slave") {
        found.push(warning(format!("the Redis{at} is a replica: name the primary")));
    }
    match field("maxmemory_policy") {
        Some("noeviction") | None => {}
        Some(policy) => found.push(warning(format!(
            "the Redis{at} evicts keys when it is full (`maxmemory-policy` is `{}`): set it to `noeviction`, or limits may be \
             exceeded and jobs start late",
            printable(policy)
        ))),
    }
    let bytes = |name| field(name).and_then(|bytes| bytes.parse::<f64>().ok()).unwrap_or_default();
    let (used, most) = (bytes("used_memory"), bytes("maxmemory"));
    if most > 0.0 && used > most * ALMOST_FULL {
        let percent = used / most * 100.0;
        found.push(warning(format!("the Redis{at} has used {percent:.0} % of its `maxmemory`: give it more")));
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(40).collect()
}

/// Whether it can be written to, and runs scripts.
async fn writes(place: &Place, keys: &Keys) -> Finding {
    let mut script = scripts::BEAT.prepare_invoke();
    script.key(keys.install("check")).arg("check").arg(1_000);
    match place.run::<Value>(Line::Prompt, &script).await {
        Ok(_) => good("Redis takes writes and runs scripts".to_owned()),
        Err(error) => Finding { level: Level::Bad, line: format!("Redis takes no writes: {error}") },
    }
}
