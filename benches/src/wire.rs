//! A client that costs next to nothing: requests are bytes that were made before, answers are read for their status. On two
//! cores a client that does more would be measured as well.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::AnyError;
use crate::measure::Measured;
use crate::options::Options;

/// A `POST` as it goes over the wire; `head` are further lines, each ended.
#[must_use]
pub fn request(path: &str, head: &str, body: &[u8]) -> Bytes {
    let start = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}content-length: {}\r\n\r\n", body.len());
    let mut request = BytesMut::with_capacity(start.len() + body.len());
    request.extend_from_slice(start.as_bytes());
    request.extend_from_slice(body);
    request.freeze()
}

/// A connection that is kept.
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self, AnyError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads its answer: the status, and the body.
    ///
    /// # Errors
    /// The connection ends, or the answer has no `content-length`.
    pub async fn call(&mut self, request: &[u8]) -> Result<(u16, Bytes), AnyError> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(head) = find(&self.buffer, b"\r\n\r\n") {
                let text = std::str::from_utf8(self.buffer.get(..head).unwrap_or_default())?.to_ascii_lowercase();
                let status = text.get(9..12).ok_or("no status")?.parse()?;
                let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
                let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
                let whole = head + 4 + length;
                while self.buffer.len() < whole {
                    self.more().await?;
                }
                let mut answer = self.buffer.split_to(whole).freeze();
                return Ok((status, answer.split_off(head + 4)));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), AnyError> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Has `in_flight` connections call one after the other what `next` makes; each answer must have this status.
///
/// # Errors
/// A call fails, or is answered otherwise.
pub async fn load(
    address: SocketAddr,
    in_flight: usize,
    options: &Options,
    status: u16,
    next: impl Fn() -> Result<Bytes, AnyError> + Clone + Send + 'static,
) -> Result<Measured, AnyError> {
    let from = Instant::now() + options.warm_up;
    let until = from + options.time;
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        let next = next.clone();
        callers.spawn(async move {
            let (mut wire, mut took) = (Wire::connect(address).await?, Vec::new());
            loop {
                let request = next()?;
                let began = Instant::now();
                let (answered, body) = wire.call(&request).await?;
                let ended = Instant::now();
                if answered != status {
                    return Err(format!("{answered}: {}", String::from_utf8_lossy(&body)).into());
                }
                if ended >= until {
                    return Ok::<_, AnyError>(took);
                }
                if ended >= from {
                    took.push(ended - began);
                }
            }
        });
    }
    let mut all = Vec::new();
    while let Some(took) = callers.join_next().await {
        all.extend(took??);
    }
    Ok(Measured::of(all, options.time))
}
