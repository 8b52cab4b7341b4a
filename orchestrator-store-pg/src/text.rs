//! Free text. Postgres stores any text but one with a NUL in it, so a NUL is escaped on its way in and restored on its way
//! out: what a caller sent comes back byte for byte.

use std::borrow::Cow;

/// Announces an escape. Rare in texts, and escaped itself.
const ESCAPE: char = '\u{1a}';

/// A text as it is stored.
pub(crate) fn stored(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == 0 || byte == 0x1a) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, '1']),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// A text as it was before it was stored.
pub(crate) fn restored(text: &str) -> String {
    if !text.contains(ESCAPE) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            ESCAPE => match chars.next() {
                Some('0') => '\0',
                _ => ESCAPE,
            },
            other => other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{restored, stored};

    #[test]
    fn a_text_comes_back_as_it_was() {
        for text in ["", "plain", "\0", "a\0b", "\u{1a}", "\u{1a}0", "\0\u{1a}1\0", "\u{10ffff}\0"] {
            let kept = stored(text);
            assert!(!kept.contains('\0'));
            assert_eq!(restored(&kept), text);
        }
    }
}
