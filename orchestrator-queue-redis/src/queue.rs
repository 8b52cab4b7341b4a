//! [`JobQueue`] on Redis: a sorted set of each lane, a set of the workspaces that have hints, one script that pops.
//!
//! Hints are popped and forgotten: no stream, no pending list, nothing to be acknowledged. A take runs to its end although its
//! caller went away; what it brought is offered again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use orchestrator_core::queue::{Finding, JobHint, JobQueue, QueueAway, Take};
use orchestrator_core::types::{Timestamp, WorkspaceId};
use redis::{ScriptInvocation, Value, cmd};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::check::check;
use crate::ear::{Channels, Ear};
use crate::keys::{Keys, Shard};
use crate::limits::RedisLimits;
use crate::notices::RedisNotices;
use crate::options::RedisOptions;
use crate::place::{Away, Line, Place};
use crate::scripts;
use crate::seen::RedisSeenKeys;
use crate::turns::{Popped, Turns};

/// So many hints go in one call.
const OFFERED: usize = 256;
/// So many are taken in one.
const TAKEN: usize = 512;
/// More due hints than this a lane does not hold; the reconciler brings the others when there is room.
const LANE_MOST: usize = 100_000;
/// More that wait for their time a shard does not hold.
const LATER_MOST: usize = 1_000_000;
/// One take makes so many takeable whose time has come.
const WOKEN: usize = 500;
/// One take looks at so many workspaces; the next one goes on from there.
const LOOKED_AT: usize = 1_024;
/// Shards are asked so often in one take.
const ROUNDS: usize = 3;
/// What nobody touches for so long is forgotten.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Who waits without hearing anybody looks so often.
const DEAF: (u64, u64) = (200, 500);
/// Who connects listens within this.
const LISTENS: Duration = Duration::from_secs(1);
/// Nothing is looked at more often.
const SOONEST: Duration = Duration::from_millis(1);

/// Why there is no Redis to begin with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The options cannot work: waiting does not help.
    #[error("Redis at {names}: {why}")]
    Refused {
        /// The hosts.
        names: String,
        /// One line, without a password.
        why: String,
    },
}

/// What an install has of Redis. The parts share their connections, and stop when the last of them is dropped.
#[derive(Clone)]
pub struct RedisParts {
    /// Hints of what may be ready.
    pub queue: Arc<RedisQueue>,
    /// The tokens of limits that nodes share.
    pub limits: Arc<RedisLimits>,
    /// Notices of changed configs.
    pub notices: Arc<RedisNotices>,
    /// Which idempotency keys were used lately.
    pub seen_keys: Arc<RedisSeenKeys>,
}

/// Hints in Redis.
pub struct RedisQueue {
    inner: Arc<Inner>,
    ear: Arc<Ear>,
}

struct Inner {
    place: Arc<Place>,
    keys: Keys,
    shards: Vec<Shard>,
    channels: Channels,
    turns: Mutex<Turns>,
}

impl RedisQueue {
    /// Connects. A Redis that cannot be reached is no error: everything works without it until it is there. To be called on a
    /// tokio runtime.
    ///
    /// # Errors
    /// Redis refuses the user or password, or the options cannot work.
    pub async fn connect(options: &RedisOptions) -> Result<RedisParts, ConnectError> {
        let refused = |away: Away| ConnectError::Refused { names: options.names().to_owned(), why: away.to_string() };
        let place = Arc::new(Place::new(options).map_err(refused)?);
        match place.ask::<Value>(&cmd("PING")).await {
            Ok(_) => {}
            Err(away) if away.is_refusal() => return Err(refused(away)),
            Err(away) => {
                tracing::warn!(redis = options.names(), error = %away, "Redis cannot be reached: it is done without");
            }
        }
        let keys = Keys::new(&options.prefix, &options.environment, options.shards());
        let channels = Channels::new(&keys);
        let ear = Arc::new(Ear::open(&place, channels.clone()));
        let shards = keys.shards();
        let inner = Inner {
            place: place.clone(),
            keys: keys.clone(),
            turns: Mutex::new(Turns::of(shards.len())),
            shards,
            channels: channels.clone(),
        };
        Ok(RedisParts {
            queue: Arc::new(Self { inner: Arc::new(inner), ear: ear.clone() }),
            limits: Arc::new(RedisLimits::new(place.clone(), keys.clone())),
            seen_keys: Arc::new(RedisSeenKeys::new(place.clone(), keys)),
            notices: Arc::new(RedisNotices::new(place, channels, ear)),
        })
    }
}

fn away(error: Away) -> QueueAway {
    QueueAway::new(error)
}

#[async_trait]
impl JobQueue for RedisQueue {
    async fn offer(&self, hints: &[JobHint]) -> Result<(), QueueAway> {
        self.inner.offer(hints).await.map_err(away)
    }

    async fn take(&self, take: &Take) -> Result<Vec<JobHint>, QueueAway> {
        let (until, heard) = (Instant::now() + take.wait, &self.ear.heard);
        if take.max == 0 {
            sleep(take.wait).await;
            return Ok(Vec::new());
        }
        loop {
            // Listens before it looks, so that nothing comes between.
            let mut news = std::pin::pin!(heard.hints.notified());
            news.as_mut().enable();
            let (taken, next) = self.inner.pop(take).await.map_err(away)?;
            let left = until.saturating_duration_since(Instant::now());
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            let mut longest = next.map_or(left, |next| next.max(SOONEST).min(left));
            if !heard.listens() {
                longest = longest.min(Duration::from_millis(fastrand::u64(DEAF.0..DEAF.1)));
            }
            tokio::select! {
                () = news => {}
                () = sleep(longest) => {}
            }
        }
    }

    async fn forget(&self, workspace: &WorkspaceId) -> Result<(), QueueAway> {
        self.inner.forget(workspace).await.map_err(away)
    }

    async fn depth(&self) -> Result<u64, QueueAway> {
        let counts = self.inner.shards.iter().map(|shard| async {
            let due: Option<i64> = self.inner.place.ask(cmd("GET").arg(&shard.count)).await?;
            let later: u64 = self.inner.place.ask(cmd("ZCARD").arg(&shard.later)).await?;
            Ok(u64::try_from(due.unwrap_or_default()).unwrap_or_default() + later)
        });
        Ok(try_join_all(counts).await.map_err(away)?.into_iter().sum())
    }

    async fn check(&self) -> Result<Vec<Finding>, QueueAway> {
        let listens = async {
            // Who has only just connected begins to listen in a moment.
            let news = self.ear.heard.hints.notified();
            self.ear.heard.listens() || timeout(LISTENS, news).await.is_ok() && self.ear.heard.listens()
        };
        check(&self.inner.place, &self.inner.keys, listens).await.map_err(away)
    }
}

impl Inner {
    /// Takes what there is, and says when the next one's time comes. The call runs to its end although the caller goes away.
    async fn pop(self: &Arc<Self>, take: &Take) -> Result<(Vec<JobHint>, Option<Duration>), Away> {
        let (answer, answered) = oneshot::channel();
        let (inner, take) = (self.clone(), take.clone());
        tokio::spawn(async move {
            let popped = inner.pop_all(&take).await;
            // Offered again, best effort: another node may have them at once.
            if let Err(Ok((hints, _))) = answer.send(popped)
                && let Err(error) = inner.offer(&hints).await
            {
                tracing::debug!(%error, count = hints.len(), "hints that nobody waited for are left to the reconciler");
            }
        });
        answered.await.unwrap_or(Err(Away::Late))
    }

    async fn pop_all(&self, take: &Take) -> Result<(Vec<JobHint>, Option<Duration>), Away> {
        let per_workspace = take.per_workspace.min(TAKEN);
        let mut left = Take { max: take.max.min(TAKEN), per_workspace, ..take.clone() };
        let (mut hints, mut next) = (Vec::new(), None);
        // What is known of the shards may be old: those that gave all that they were asked for are asked again.
        for round in 0..ROUNDS {
            let shares = self.turns().shares(left.max);
            let popped = self.shards.iter().zip(&shares).map(|(shard, share)| {
                let script = pop(shard, *share, &left);
                async move {
                    let answer: Vec<Value> = self.place.run(Line::Prompt, &script).await?;
                    Ok::<_, Away>(read(&answer))
                }
            });
            let (popped, failed): (Vec<_>, Vec<_>) = join_all(popped).await.into_iter().partition(Result::is_ok);
            let popped: Vec<Popped> = popped.into_iter().flatten().collect();
            if let Some(Err(error)) = failed.into_iter().next() {
                // What the other shards gave is not thrown away.
                hints.extend(popped.into_iter().flat_map(|popped| popped.hints));
                return if hints.is_empty() { Err(error) } else { Ok((hints, None)) };
            }
            self.turns().learn(&popped);
            next = popped.iter().filter_map(|popped| popped.next).min();
            let more =
                popped.iter().zip(&shares).any(|(popped, share)| popped.weight > 0 && popped.hints.len() >= *share);
            let new: Vec<_> = popped.into_iter().flat_map(|popped| popped.hints).collect();
            let idle = new.is_empty() && round > 0;
            lower(&mut left, take, &hints, &new);
            hints.extend(new);
            if self.shards.len() == 1 || left.max == 0 || idle || !more {
                break;
            }
        }
        Ok((hints, next))
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn offer(&self, hints: &[JobHint]) -> Result<(), Away> {
        let mut by_shard: Vec<Vec<&JobHint>> = vec![Vec::new(); self.shards.len()];
        for hint in hints {
            by_shard[self.keys.shard_of(&hint.workspace)].push(hint);
        }
        let offers = self.shards.iter().zip(by_shard).map(|(shard, hints)| async move {
            for some in hints.chunks(OFFERED) {
                self.place.run::<Value>(Line::Bulk, &offer(shard, &self.channels.hints, some)).await?;
            }
            Ok(())
        });
        // Each to its end: one shard that is away does not keep the others from theirs.
        join_all(offers).await.into_iter().collect()
    }

    async fn forget(&self, workspace: &WorkspaceId) -> Result<(), Away> {
        let shard = &self.shards[self.keys.shard_of(workspace)];
        let mut script = scripts::FORGET.prepare_invoke();
        script.key(&shard.turn).key(&shard.count).arg(&shard.base).arg(workspace.as_str());
        self.place.run::<Value>(Line::Bulk, &script).await?;
        let pattern = format!("{workspace}|*");
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("ZSCAN");
            scan.arg(&shard.later).arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(500);
            let (next, found): (u64, Vec<String>) = self.place.ask(&scan).await?;
            let members: Vec<_> = found.into_iter().step_by(2).collect();
            if !members.is_empty() {
                self.place.ask::<Value>(cmd("ZREM").arg(&shard.later).arg(members)).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// A lane as it is stored.
fn lane(delivery: bool, target: Option<&str>) -> String {
    format!("{}:{}", if delivery { "delivery" } else { "call" }, target.unwrap_or_default())
}

fn offer<'a>(shard: &Shard, channel: &str, hints: &[&JobHint]) -> ScriptInvocation<'a> {
    let mut script = scripts::OFFER.prepare_invoke();
    script.key(&shard.turn).key(&shard.later).key(&shard.round).key(&shard.count);
    script.arg(&shard.base).arg(channel).arg(LANE_MOST).arg(LATER_MOST).arg(KEEP.as_secs());
    for hint in hints {
        script.arg(hint.workspace.as_str()).arg(lane(hint.delivery, hint.target.as_ref().map(AsRef::as_ref)));
        script.arg(hint.job.to_string()).arg(hint.priority.min(9)).arg(hint.run_at.unix_ms().max(0));
    }
    script
}

fn pop<'a>(shard: &Shard, max: usize, take: &Take) -> ScriptInvocation<'a> {
    let mut script = scripts::TAKE.prepare_invoke();
    script.key(&shard.turn).key(&shard.later).key(&shard.round).key(&shard.count);
    script.arg(&shard.base).arg(max).arg(take.per_workspace.min(TAKEN)).arg(WOKEN).arg(LOOKED_AT).arg(KEEP.as_secs());
    script.arg(take.full.len());
    for workspace in &take.full {
        script.arg(workspace.as_str());
    }
    let name = |key: &orchestrator_core::store::LaneKey| {
        format!("{}|{}", key.workspace, lane(key.delivery, Some(key.target.as_str())))
    };
    script.arg(take.paused.len());
    for lane in &take.paused {
        script.arg(name(lane));
    }
    script.arg(take.limited.len());
    for (lane, room) in &take.limited {
        script.arg(name(lane)).arg((*room).min(TAKEN));
    }
    script.arg(take.weights.len());
    for (workspace, weight) in take.weights.iter() {
        script.arg(workspace.as_str()).arg((*weight).max(1));
    }
    script
}

/// Takes off what was taken.
fn lower(left: &mut Take, take: &Take, before: &[JobHint], new: &[JobHint]) {
    left.max -= new.len().min(left.max);
    let mut of_each: HashMap<&WorkspaceId, usize> = HashMap::new();
    for hint in before.iter().chain(new) {
        *of_each.entry(&hint.workspace).or_default() += 1;
    }
    let most = take.per_workspace.min(TAKEN);
    let full = of_each.iter().filter(|(_, count)| **count >= most).map(|(workspace, _)| (*workspace).clone());
    left.full = take.full.iter().cloned().chain(full).collect();
    left.per_workspace = most - of_each.values().copied().filter(|count| *count < most).max().unwrap_or_default();
    for (lane, room) in &mut left.limited {
        *room -= new.iter().filter(|hint| hint.lane().as_ref() == Some(lane)).count().min(*room);
    }
}

/// Scores hold the priority above the time.
const PRIORITY: u64 = 1 << 43;

/// Reads what was popped. What is no hint, whoever wrote it, is left out.
fn read(answer: &[Value]) -> Popped {
    let number = |at: usize| match answer.get(at) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let next = number(0).and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_millis);
    let weight = number(1).and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
    let hints = answer.get(2..).unwrap_or_default().chunks_exact(4).filter_map(hint).collect();
    Popped { next, weight, hints }
}

fn hint(fields: &[Value]) -> Option<JobHint> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    let [workspace, lane, job, score] = fields else { return None };
    let (lane, score) = (text(lane)?, text(score)?);
    let (kind, target) = lane.split_once(':')?;
    let target = if target.is_empty() { None } else { Some(target.parse().ok()?) };
    let score = score.parse::<f64>().ok().filter(|score| (0.0..1e15).contains(score))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range: it was looked at just above")]
    let score = score as u64;
    Some(JobHint {
        workspace: text(workspace)?.parse().ok()?,
        job: text(job)?.parse().ok()?,
        delivery: kind == "delivery",
        target,
        priority: u8::try_from(9_u64.checked_sub(score / PRIORITY)?).ok()?,
        run_at: Timestamp::from_unix_ms(i64::try_from(score % PRIORITY).ok()?),
    })
}
