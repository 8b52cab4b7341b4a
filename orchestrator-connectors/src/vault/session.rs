//! The session with a vault: one login at a time, renewed ahead of its end.
//!
//! ```text
//!   none ── login ──► open ── two thirds of its life ──► renewed ──► open …
//!    ▲  └── failed: left alone for a while                └── refused, or not to be renewed: login
//!    └───────────── ended, or found revoked ◄── open
//! ```

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::secrets::Secret;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until};

use super::VaultAuth;
use super::api::{Api, VaultError};
use super::backoff::Backoff;
use super::login::{Login, login};

/// A token that ends sooner is not used for another call; of a short life, a tenth of it.
const MARGIN: Duration = Duration::from_secs(1);
/// How long the keeper waits when there is nothing to be kept.
const IDLE: Duration = Duration::from_secs(60);

/// A session.
pub(super) struct Session {
    pub(super) token: Secret,
    /// Counts logins, so that who finds a session revoked ends that one and no later one.
    number: u64,
    renewable: bool,
    life: Duration,
    /// When it is to be renewed, and when it is used last; never, if its token has no end.
    times: Option<(Instant, Instant)>,
}

impl Session {
    fn new(login: Login, number: u64, now: Instant) -> Self {
        let life = Duration::from_secs(login.ttl);
        // Not all nodes at once.
        let renewed = life.mul_f64(0.6 + fastrand::f64() * 0.06);
        let times = (login.ttl > 0).then(|| (now + renewed, now + life - MARGIN.min(life / 10)));
        Self { token: login.token, number, renewable: login.renewable, life, times }
    }

    fn is_open(&self, now: Instant) -> bool {
        self.times.is_none_or(|(_, last)| now < last)
    }
}

/// The session that all reads share.
pub(super) struct Sessions {
    pub(super) api: Api,
    auth: VaultAuth,
    state: Mutex<State>,
    /// A login: the keeper looks when it has to renew.
    opened: Notify,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    opened: u64,
    /// The vault is left alone.
    away: Backoff,
    /// Logging in is left alone: what was refused once is so the next moment.
    logins: Backoff,
    last: Option<VaultError>,
}

impl Sessions {
    pub(super) fn new(api: Api, auth: VaultAuth) -> Self {
        Self { api, auth, state: Mutex::default(), opened: Notify::new() }
    }

    /// The open session, logging in if there is none. Who waits for another's login shares its outcome.
    pub(super) async fn session(&self) -> Result<Arc<Session>, VaultError> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if state.away.is_on(now) {
            return Err(state.last.unwrap_or(VaultError::Away));
        }
        if let Some(session) = state.session.as_ref().filter(|session| session.is_open(now)) {
            return Ok(session.clone());
        }
        if state.logins.is_on(now) {
            return Err(state.last.unwrap_or(VaultError::Refused));
        }
        // Its life is counted from before it was asked for: an answer that was long under way must not seem young.
        let session = login(&self.api, &self.auth).await;
        state.note(session.as_ref().err().copied(), true);
        let session = Arc::new(Session::new(session?, state.opened + 1, now));
        state.opened += 1;
        state.session = Some(session.clone());
        self.opened.notify_one();
        Ok(session)
    }

    /// Notes how a read ended.
    pub(super) async fn note(&self, error: Option<VaultError>) {
        self.state.lock().await.note(error, false);
    }

    /// Looks whether a session that was refused something was revoked; ends it if so, and answers that.
    pub(super) async fn was_revoked(&self, session: &Session) -> Result<bool, VaultError> {
        match self.api.lookup(&session.token).await {
            Ok(_) => Ok(false),
            Err(VaultError::Refused) => {
                self.end(session).await;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn end(&self, session: &Session) {
        let mut state = self.state.lock().await;
        if state.session.as_ref().is_some_and(|current| current.number == session.number) {
            tracing::info!("the vault has ended our session");
            state.session = None;
        }
    }

    /// Renews the session ahead of its end, for ever.
    pub(super) async fn keep(&self) {
        loop {
            // Its outcome is noted; reads log in by themselves too.
            let kept = self.session().await.ok();
            let now = Instant::now();
            let next = match &kept {
                Some(session) => match session.times {
                    Some((renewal, _)) if renewal <= now => {
                        self.renew(session).await;
                        self.next_try().await
                    }
                    Some((renewal, _)) => renewal,
                    None => now + IDLE,
                },
                None => self.next_try().await,
            };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.opened.notified() => {}
            }
        }
    }

    async fn next_try(&self) -> Instant {
        let (state, soon) = (self.state.lock().await, Instant::now() + MARGIN);
        state.away.over(soon).max(state.logins.over(soon))
    }

    /// Renews it, or logs in anew where that is not to be had. Nobody waits: the token is good meanwhile.
    async fn renew(&self, session: &Session) {
        let asked = Instant::now();
        let renewed = if session.renewable { self.api.renew(&session.token).await } else { Err(VaultError::Refused) };
        let login = match renewed {
            // One that has reached its last day is renewed for no longer than that day: then it is time for another.
            Ok(grant) if Duration::from_secs(grant.lease_duration) * 2 > session.life || grant.lease_duration == 0 => {
                let token = Secret::new(grant.client_token);
                Ok(Login { token, ttl: grant.lease_duration, renewable: grant.renewable })
            }
            Ok(_) | Err(VaultError::Refused) => login(&self.api, &self.auth).await,
            Err(error) => Err(error),
        };
        let mut state = self.state.lock().await;
        state.note(login.as_ref().err().copied(), true);
        let is_current = state.session.as_ref().is_some_and(|current| current.number == session.number);
        if let (Ok(login), true) = (login, is_current) {
            state.opened += 1;
            state.session = Some(Arc::new(Session::new(login, state.opened, asked)));
        }
    }
}

impl State {
    /// Notes how a call ended.
    fn note(&mut self, error: Option<VaultError>, is_login: bool) {
        let now = Instant::now();
        match error {
            Some(error) if error.is_of_the_vault() || is_login => {
                if self.last != Some(error) {
                    tracing::warn!(cause = error.cause(), is_login, "{error}");
                }
                self.last = Some(error);
                let backoff = if error.is_of_the_vault() { &mut self.away } else { &mut self.logins };
                backoff.failed(now, fastrand::f64());
            }
            _ => {
                let (was_away, was_refused) = (self.away.succeeded(), is_login && self.logins.succeeded());
                if was_away || was_refused {
                    tracing::info!("the vault answers again");
                    self.last = None;
                }
            }
        }
    }
}
