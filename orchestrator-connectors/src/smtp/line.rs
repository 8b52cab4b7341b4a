//! The connection below the dialogue: bounded, and made TLS before anything but `STARTTLS` is said.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The most that a server may say before it is spoken to again.
const ANSWER: usize = 64 << 10;
/// What the dialogue is told in place of the greeting that came before TLS.
const GREETED: &[u8] = b"220 ready\r\n";

/// Why `STARTTLS` came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoStartTls {
    /// The connection broke, or what came was no reply.
    Broken,
    /// The server answered with this code.
    Refused(u16),
    /// It does not offer it.
    NotOffered,
    /// More came than was asked for: somebody on the way may have put it there, to be believed after TLS.
    Injected,
}

/// Says hello and `STARTTLS`, so that the next bytes are TLS. Has no deadline of its own.
///
/// # Errors
/// The server does not do it.
pub(super) async fn start_tls(stream: &mut TcpStream, hello: &ClientId) -> Result<(), NoStartTls> {
    let mut read = Vec::new();
    expect(stream, &mut read, 220).await?;
    say(stream, &format!("EHLO {hello}\r\n")).await?;
    let offers = expect(stream, &mut read, 250).await?;
    if !offers.iter().skip(1).any(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(NoStartTls::NotOffered);
    }
    say(stream, "STARTTLS\r\n").await?;
    expect(stream, &mut read, 220).await?;
    if read.is_empty() { Ok(()) } else { Err(NoStartTls::Injected) }
}

async fn say(stream: &mut TcpStream, line: &str) -> Result<(), NoStartTls> {
    stream.write_all(line.as_bytes()).await.map_err(|_| NoStartTls::Broken)
}

/// Reads a reply, which must have the code; what came after it stays in `read`.
async fn expect(stream: &mut TcpStream, read: &mut Vec<u8>, code: u16) -> Result<Vec<String>, NoStartTls> {
    let mut lines = Vec::new();
    loop {
        while let Some(end) = read.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = read.drain(..end + 2).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            let (said, more) = parse(&line).ok_or(NoStartTls::Broken)?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            match more {
                true if lines.len() < 256 => {}
                true => return Err(NoStartTls::Broken),
                false if said == code => return Ok(lines),
                false => return Err(NoStartTls::Refused(said)),
            }
        }
        let room = ANSWER.saturating_sub(read.len());
        if room == 0 || stream.take(room as u64).read_buf(read).await.map_err(|_| NoStartTls::Broken)? == 0 {
            return Err(NoStartTls::Broken);
        }
    }
}

/// The code of a reply's line, and whether more lines follow.
fn parse(line: &str) -> Option<(u16, bool)> {
    let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    match line.as_bytes().get(3) {
        None | Some(b' ') => Some((code, false)),
        Some(b'-') => Some((code, true)),
        Some(_) => None,
    }
}

/// A connection as the dialogue reads and writes it.
#[derive(Debug)]
pub(super) struct Line {
    transport: Transport,
    /// A greeting that is read before anything of the connection.
    greeting: &'static [u8],
    unasked: usize,
}

#[derive(Debug)]
enum Transport {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// One in clear, whose server has not greeted yet.
    pub(super) fn clear(stream: TcpStream) -> Self {
        Self { transport: Transport::Clear(stream), greeting: &[], unasked: 0 }
    }

    /// One in TLS; `greeted` if the greeting came before it.
    pub(super) fn tls(stream: TlsStream<TcpStream>, greeted: bool) -> Self {
        let greeting = if greeted { GREETED } else { &[] };
        Self { transport: Transport::Tls(Box::new(stream)), greeting, unasked: 0 }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.greeting.is_empty() {
            let (now, rest) = self.greeting.split_at(into.remaining().min(self.greeting.len()));
            into.put_slice(now);
            self.greeting = rest;
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let read = match &mut self.transport {
            Transport::Clear(stream) => Pin::new(stream).poll_read(context, into),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, into),
        };
        self.unasked += into.filled().len() - before;
        if self.unasked > ANSWER {
            return Poll::Ready(Err(io::Error::other("the server says more than it was asked")));
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unasked = 0;
        match &mut self.transport {
            Transport::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Clear(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl AsyncTokioStream for Line {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.transport {
            Transport::Clear(stream) => stream.peer_addr(),
            Transport::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }
}
