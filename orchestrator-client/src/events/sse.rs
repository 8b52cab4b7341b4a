//! Reads `text/event-stream` (WHATWG HTML, 9.2). Pure: bytes go in, frames come out. Fields that nobody here needs are passed over.

use std::collections::VecDeque;

/// What one blank line ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// The last `id` so far, of this frame or an earlier one.
    pub(super) id: Option<String>,
    /// Its `data` lines, joined; none if it had none.
    pub(super) data: Option<String>,
}

/// A frame grew past the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Oversized;

/// What was read so far of what is not complete yet.
pub(super) struct Parser {
    limit: usize,
    line: Vec<u8>,
    after_return: bool,
    begun: bool,
    id: Option<String>,
    data: Option<String>,
    touched: bool,
    frames: VecDeque<Frame>,
}

impl Parser {
    /// Frames and lines of up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            begun: false,
            id: None,
            data: None,
            touched: false,
            frames: VecDeque::new(),
        }
    }

    /// The next complete frame.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// Reads on. A line may end in CR, LF or both, and a chunk anywhere.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), Oversized> {
        for byte in chunk {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    self.end_line()?;
                }
                other => {
                    self.after_return = false;
                    if self.line.len() >= self.limit {
                        return Err(Oversized);
                    }
                    self.line.push(*other);
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Oversized> {
        let line = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&line).into_owned();
        if !std::mem::replace(&mut self.begun, true) && line.starts_with('\u{feff}') {
            line.remove(0);
        }
        if line.is_empty() {
            if std::mem::take(&mut self.touched) {
                self.frames.push_back(Frame { id: self.id.clone(), data: self.data.take() });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                let grown = self.data.as_ref().map_or(0, |data| data.len() + 1) + value.len();
                if grown > self.limit {
                    return Err(Oversized);
                }
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
                self.touched = true;
            }
            "id" if !value.contains('\0') => {
                self.id = Some(value.to_owned()).filter(|id| !id.is_empty());
                self.touched = true;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn frames(chunks: &[&[u8]]) -> Vec<(Option<String>, Option<String>)> {
        let mut parser = Parser::new(64);
        for chunk in chunks {
            parser.feed(chunk).unwrap();
        }
        std::iter::from_fn(|| parser.frame()).map(|frame| (frame.id, frame.data)).collect()
    }

    fn frame(id: Option<&str>, data: Option<&str>) -> (Option<String>, Option<String>) {
        (id.map(str::to_owned), data.map(str::to_owned))
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let text =
            "\u{feff}: hello\nid: 1\nevent: x\ndata: a\r\ndata:b\r\rretry: 5\n\nid:2\ndata: c\n\nid\n\ndata: é\n\n"
                .as_bytes();
        let whole = frames(&[text]);
        assert_eq!(
            whole,
            [frame(Some("1"), Some("a\nb")), frame(Some("2"), Some("c")), frame(None, None), frame(None, Some("é"))]
        );
        for at in 0..text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(frames(&[head, tail]), whole, "cut at {at}");
        }
    }

    #[test]
    fn what_no_blank_line_ended_is_no_frame() {
        assert_eq!(frames(&[b"id: 1\ndata: a\n"]), []);
        assert_eq!(frames(&[b": only a heartbeat\n\n"]), []);
    }

    #[test]
    fn a_line_or_frame_without_end_is_refused() {
        let mut parser = Parser::new(8);
        assert_eq!(parser.feed(b"123456789"), Err(Oversized));
        let mut parser = Parser::new(8);
        assert_eq!(parser.feed(b"data:aaa\ndata:bbb\ndata:ccc\n"), Err(Oversized));
    }
}
