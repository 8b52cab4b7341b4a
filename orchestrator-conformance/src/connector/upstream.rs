//! An upstream on a socket of this machine, as far as all of them are the same: what it is told, what it has seen, and what
//! it holds. What it says on the wire is the harness's.

#![allow(clippy::expect_used, reason = "a harness that cannot listen on its own machine proves nothing")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::{Seen, Told};

/// An upstream that does as it is told.
pub struct ToldUpstream {
    told: Mutex<Told>,
    seen: Mutex<Vec<Seen>>,
    held: watch::Sender<usize>,
    address: SocketAddr,
    /// Bound and not listening: connecting is refused, and nobody else gets the port.
    nobody: TcpSocket,
}

/// A call that the upstream holds, as long as this lives.
pub struct Held<'a>(&'a ToldUpstream);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}

impl ToldUpstream {
    /// Listens, and hands each connection to `serve`, on a task of its own. It is told to succeed.
    pub async fn start<F>(serve: impl Fn(Arc<Self>, TcpStream) -> F + Send + 'static) -> Arc<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let nobody = TcpSocket::new_v4().expect("a socket");
        nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let (told, seen, held) = (Mutex::new(Told::Succeed), Mutex::default(), watch::Sender::new(0));
        let upstream = Arc::new(Self { told, seen, held, address, nobody });
        tokio::spawn({
            let upstream = upstream.clone();
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(upstream.clone(), socket));
                }
            }
        });
        upstream
    }

    /// Where it listens; where nobody does, if it is told to be away.
    pub fn address(&self) -> SocketAddr {
        match self.told() {
            Told::BeAway => self.nobody.local_addr().expect("a bound socket has an address"),
            _ => self.address,
        }
    }

    /// Tells it what to do from now on.
    pub fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    /// What it was told last.
    pub fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, and holds it until what is answered is dropped.
    pub fn take(&self, seen: Seen) -> Held<'_> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        self.held.send_modify(|held| *held += 1);
        Held(self)
    }

    /// Every call that it has seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it holds just so many calls.
    pub async fn until_held(&self, calls: usize) {
        let held = self.held.subscribe().wait_for(|held| *held == calls).await.map(drop);
        held.expect("the upstream lives as long as it is borrowed");
    }
}
