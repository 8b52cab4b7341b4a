//! A product that takes callbacks: it reads each request whole and answers 204, and counts. It costs as little as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::AnyError;

/// A product that listens until the process ends.
pub struct Product {
    /// Where.
    pub url: String,
    /// How many requests it has answered.
    pub delivered: Arc<AtomicU64>,
}

impl Product {
    /// One on a free port.
    ///
    /// # Errors
    /// There is no port.
    pub async fn listen() -> Result<Self, AnyError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/callbacks", listener.local_addr()?);
        let delivered = Arc::<AtomicU64>::default();
        let count = delivered.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, count.clone()));
            }
        });
        Ok(Self { url, delivered })
    }
}

async fn serve(mut stream: TcpStream, count: Arc<AtomicU64>) {
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        while let Some(whole) = request(&buffer) {
            buffer.advance(whole);
            count.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
                return;
            }
        }
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// How long the first request is, if it is there whole.
fn request(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(buffer.get(..head)?).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let whole = head + 4 + length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
    (buffer.len() >= whole).then_some(whole)
}
