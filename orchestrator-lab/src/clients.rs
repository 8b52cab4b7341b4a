//! The clients: when they come, and what one does until it has its answer or gives up.

use std::time::Duration;

use orchestrator_core::policy::backoff::{Exponential, Schedule};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;
use tower::{BoxError, Service, ServiceExt};

use crate::call::{Call, Ending, retry_after};
use crate::measure::Shared;
use crate::scenario::{Arrivals, ClientRetry, Phase, Scenario};

/// No client waits longer before it calls again.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// When requests come, in nanoseconds since the start.
struct Coming {
    random: fastrand::Rng,
}

impl Coming {
    /// How long after the last one the next one comes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    fn gap(&mut self, phase: &Phase) -> u64 {
        let share = match phase.arrivals {
            // In (0, 1]: the logarithm of zero is none.
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln(),
            Arrivals::Uniform => 1.0,
        };
        (share / phase.per_second * 1e9) as u64
    }
}

/// Plays the scenario: begins each phase at its time, sends the clients, and waits until the last has its answer.
pub(crate) async fn play<S>(scenario: &Scenario, service: S, shared: &Shared, seed: u64)
where
    S: Service<Call, Response = (), Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut seeds = fastrand::Rng::with_seed(seed);
    let mut coming = Coming { random: seeds.fork() };
    let mut kinds = seeds.fork();
    let clients = &scenario.clients;
    let retry = clients.retry.as_ref().map(Habit::new);
    let start = shared.lock().measure.start();
    let running = TaskTracker::new();
    for (index, (from, to, phase)) in scenario.spans().enumerate() {
        sleep_until(start + Duration::from_secs(from)).await;
        {
            let mut world = shared.lock();
            let now = world.measure.nanos();
            world.measure.enter(index);
            world.answering.becomes(&phase.upstream, now);
        }
        let (mut at, end) = (nanos(from), nanos(to));
        let mut now = Instant::now();
        loop {
            // Nobody comes at a rate of zero: the distance is endless.
            at = at.saturating_add(coming.gap(phase));
            if at >= end {
                break;
            }
            let comes = start + Duration::from_nanos(at);
            if comes > now {
                sleep_until(comes).await;
                now = Instant::now();
            }
            let call = Call {
                idempotent: kinds.f64() < clients.idempotent,
                timeout: clients.timeout_ms.map(Duration::from_millis),
            };
            running.spawn(request(service.clone(), call, retry, seeds.fork(), shared.clone()));
        }
    }
    running.close();
    running.wait().await;
}

fn nanos(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000_000)
}

/// How a client calls again.
#[derive(Clone, Copy)]
struct Habit {
    attempts: u32,
    schedule: Exponential,
    heed_retry_after: bool,
}

impl Habit {
    fn new(retry: &ClientRetry) -> Self {
        Self {
            attempts: retry.attempts,
            schedule: Exponential {
                initial: Duration::from_millis(retry.wait_ms),
                max: LONGEST_WAIT,
                multiplier: retry.multiplier,
                jitter: retry.jitter,
            },
            heed_retry_after: retry.heed_retry_after,
        }
    }
}

/// What a client wants, until it has it or gives up.
async fn request<S>(service: S, call: Call, retry: Option<Habit>, mut random: fastrand::Rng, shared: Shared)
where
    S: Service<Call, Response = (), Error = BoxError> + Clone,
{
    let wanted = shared.lock().measure.request_begins();
    let (mut number, mut waited) = (1, Duration::ZERO);
    let succeeded = loop {
        let began = shared.lock().measure.call_begins();
        let result = service.clone().oneshot(call).await;
        let ending = Ending::of(&result);
        shared.lock().measure.call_ends(began, ending);
        if ending == Ending::Succeeded {
            break true;
        }
        let Some(habit) = retry.filter(|habit| number < habit.attempts) else { break false };
        waited = habit.schedule.delay(number, waited, &mut random);
        if habit.heed_retry_after {
            waited = waited.max(retry_after(&result).unwrap_or_default().min(LONGEST_WAIT));
        }
        sleep(waited).await;
        number += 1;
    };
    shared.lock().measure.request_ends(wanted, succeeded);
}
