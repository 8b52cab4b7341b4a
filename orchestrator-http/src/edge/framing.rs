//! Where requests begin and end on a connection, told strictly.
//!
//! The server library is lenient where two readings are possible: of `Content-Length` beside `Transfer-Encoding` it
//! keeps one, a repeated length it folds, a bare line feed ends a line. A proxy before us may read the same bytes the
//! other way, and the difference is a smuggled request. So bytes pass through here first, and whatever has two readings
//! does not pass at all.

/// The bytes of a connection, followed from message to message.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    line: Vec<u8>,
    after_cr: bool,
    head: Head,
}

/// What the head read so far says about the body.
#[derive(Debug, Default)]
struct Head {
    started: bool,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Lines of a head.
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line with the size of a chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The empty line after a chunk.
    ChunkEnd,
    /// Lines after the last chunk.
    Trailers,
}

/// The bytes can be read in two ways, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

const MAX_LINE: usize = 64 * 1024;
const MAX_CHUNK_LINE: usize = 256;
const MAX_TRAILER_LINE: usize = 4 * 1024;

impl Framing {
    pub(super) fn new() -> Self {
        Self { state: State::Head, line: Vec::new(), after_cr: false, head: Head::default() }
    }

    /// Follows the next bytes. `Err` says how many of them are sound.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            match &mut self.state {
                State::Body(rest) | State::Chunk(rest) => {
                    let here = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    *rest -= here as u64;
                    match self.state {
                        State::Body(0) => self.next_message(),
                        State::Chunk(0) => self.state = State::ChunkEnd,
                        _ => {}
                    }
                }
                _ => match self.plain(&bytes[at..]) {
                    0 => {
                        self.byte(bytes[at]).map_err(|Ambiguous| at)?;
                        at += 1;
                    }
                    plain => at += plain,
                },
            }
        }
        Ok(())
    }

    /// Takes the bytes before the next that means something, if the line has room for them. Answers how many.
    fn plain(&mut self, bytes: &[u8]) -> usize {
        let plain = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)).unwrap_or(bytes.len());
        if self.after_cr || self.line.len() + plain > self.limit() {
            return 0;
        }
        self.line.extend_from_slice(&bytes[..plain]);
        plain
    }

    /// How long the line may be.
    fn limit(&self) -> usize {
        match self.state {
            State::ChunkSize | State::ChunkEnd => MAX_CHUNK_LINE,
            State::Trailers => MAX_TRAILER_LINE,
            _ => MAX_LINE,
        }
    }

    /// One byte of a line.
    fn byte(&mut self, byte: u8) -> Result<(), Ambiguous> {
        match (byte, self.after_cr) {
            (b'\n', true) => {
                self.after_cr = false;
                let line = std::mem::take(&mut self.line);
                self.line_ended(&line)?;
                // The buffer is used again for the next line.
                self.line = line;
                self.line.clear();
                Ok(())
            }
            (b'\n', false) | (_, true) | (0, _) => Err(Ambiguous),
            (b'\r', false) => {
                self.after_cr = true;
                Ok(())
            }
            _ if self.line.len() >= self.limit() => Err(Ambiguous),
            _ => {
                self.line.push(byte);
                Ok(())
            }
        }
    }

    fn line_ended(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        match self.state {
            State::Head if !self.head.started => {
                // An empty line before a request is left over from the one before it; everybody skips it.
                self.head.started = !line.is_empty();
                let sound = line.is_empty() || line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
                sound.then_some(()).ok_or(Ambiguous)
            }
            State::Head if line.is_empty() => {
                match (self.head.length, self.head.chunked) {
                    (_, true) => self.state = State::ChunkSize,
                    (Some(length), false) if length > 0 => self.state = State::Body(length),
                    _ => self.next_message(),
                }
                Ok(())
            }
            State::Head => self.head.field(line),
            State::ChunkSize => {
                self.state = match chunk_size(line).ok_or(Ambiguous)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
                Ok(())
            }
            State::ChunkEnd => {
                self.state = State::ChunkSize;
                line.is_empty().then_some(()).ok_or(Ambiguous)
            }
            State::Trailers if line.is_empty() => {
                self.next_message();
                Ok(())
            }
            State::Trailers => field(line).map(|_| ()).ok_or(Ambiguous),
            State::Body(_) | State::Chunk(_) => Ok(()),
        }
    }

    fn next_message(&mut self) {
        self.state = State::Head;
        self.head = Head::default();
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let (name, value) = field(line).ok_or(Ambiguous)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
            if self.length.is_some() || self.chunked || !digits {
                return Err(Ambiguous);
            }
            self.length = Some(number(value, 10).ok_or(Ambiguous)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.length.is_some() || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
            self.chunked = true;
        }
        Ok(())
    }
}

/// Name and value of a header line. A line that begins with white space continues the one before it, for some.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (!name.is_empty() && name.iter().all(token)).then(|| (name, value.trim_ascii()))
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let digits = &line[..end];
    let sound = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    if sound { number(digits, 16) } else { None }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Takes `text` in pieces of each size: where the pieces end must not matter.
    fn follow(text: &str) -> Result<State, usize> {
        let mut all = Vec::new();
        for size in 1..=text.len() {
            let (mut framing, mut done) = (Framing::new(), 0);
            let mut outcome = Ok(());
            for piece in text.as_bytes().chunks(size) {
                outcome = framing.take(piece).map_err(|at| done + at);
                done += piece.len();
                if outcome.is_err() {
                    break;
                }
            }
            all.push(outcome.map(|()| framing.state));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{text:?} depends on how it is cut: {all:?}");
        all.pop().unwrap()
    }

    #[test]
    fn sound_requests_follow_one_another() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:3 \r\n\r\n\n\n\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\na\nb\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(follow(text), Ok(State::Head), "{text:?}");
        }
        assert_eq!(follow("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"), Ok(State::Body(3)));
    }

    #[test]
    fn inv_41_whatever_has_two_readings_does_not_pass() {
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHo\0st: a\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET /\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n X: y\r\n\r\n",
        ] {
            assert!(follow(text).is_err(), "{text:?} passed");
        }
    }
}
