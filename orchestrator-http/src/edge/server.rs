//! The accept loop: `axum::serve` has neither timers nor caps nor a strict framing, so this is our own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::connections::{Connections, PeerAddress};
use super::guarded::Guarded;
use super::limits::EdgeLimits;
use super::pace::Paced;
use super::trace::Detached;

/// Beyond the largest head, so that the parser sees all of it before the buffer counts as full.
const BUFFER_SLACK: usize = 8 * 1024;
const MAX_HEADERS: usize = 128;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves `router` on `listener` until `shutdown`, then takes no new connection and lets the running requests end, for
/// at most `limits.drain`. Work that was detached from its connection is waited for as well.
///
/// Dropping the future closes the listener and leaves open connections running; cancel `shutdown` instead.
pub async fn serve(listener: TcpListener, router: Router, limits: EdgeLimits, shutdown: CancellationToken) {
    let connections = Connections::new(&limits);
    let (tracker, limits) = (TaskTracker::new(), Arc::new(limits));
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the peer has gone already: neither ends the listener.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(counted) = connections.admit(peer) else {
            // Whatever of it fits into the socket's buffer: a newcomer at the bound is not waited for.
            stream.try_write(FULL).ok();
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            limits: limits.clone(),
            detached: Detached(tracker.clone()),
            peer,
            shutdown: shutdown.clone(),
        };
        let cut = cut.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = connection.serve(stream) => {}
                () = cut.cancelled() => {}
            }
            drop(counted);
        });
    }
    drop(listener);
    tracker.close();
    if timeout(limits.drain, tracker.wait()).await.is_err() {
        tracing::warn!(open = tracker.len(), "requests were still running at the end of the drain");
        cut.cancel();
    }
}

struct Connection {
    router: Router,
    limits: Arc<EdgeLimits>,
    detached: Detached,
    peer: SocketAddr,
    shutdown: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let shutdown = self.shutdown.clone();
        let limits = self.limits.clone();
        let service = service_fn(move |request| self.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(MAX_HEADERS)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes + BUFFER_SLACK)
            .serve_connection(TokioIo::new(Guarded::new(stream)), service);
        tokio::pin!(connection);
        tokio::select! {
            outcome = connection.as_mut() => return ended(outcome),
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        ended(connection.await);
    }

    fn answer(
        &self,
        request: http::Request<Incoming>,
    ) -> impl Future<Output = Result<axum::response::Response, Infallible>> + use<> {
        let mut request = request.map(|body| Body::new(Paced::new(body, &self.limits)));
        request.extensions_mut().insert(PeerAddress(self.peer));
        request.extensions_mut().insert(self.detached.clone());
        self.router.clone().oneshot(request)
    }
}

/// How connections end is their peers' affair: crooked ones are many, and each would be a line of log.
fn ended(outcome: hyper::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
