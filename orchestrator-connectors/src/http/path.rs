//! Where a call goes: a path below the base URL, and nowhere else.
//!
//! A path is refused if any reader along the way (a proxy, a router, a file system; one that decodes once more than it
//! should) could take it for another one. What is meant literally can be percent-encoded once.

use url::Url;

/// Longer paths are refused.
const LONGEST: usize = 8_192;
/// How often a path is decoded to see what it becomes; one that still changes then is refused.
const DECODINGS: usize = 4;

/// What is wrong with a path or a base URL.
pub(crate) type Problem = &'static str;

const ELSEWHERE: Problem =
    "the path must begin with a single `/`: it is joined to the base URL and cannot lead elsewhere";
const DOTS: Problem = "the path has a `.` or `..` segment, plain or encoded";
const SEPARATOR: Problem = "the path has an encoded `/` or `\\`";
const CONTROL: Problem = "the path has a space, or a control character, plain or encoded";

/// The URL that every call of a connector lies under.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl(Url);

impl BaseUrl {
    /// Parses it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let Ok(url) = Url::parse(text) else {
            return Err(vec!["this is not an absolute URL"]);
        };
        let mut problems = Vec::new();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            problems.push("the URL must begin with `http://` or `https://` and a host");
        }
        // The parser forgives these; whoever wrote them meant something else.
        if text.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == '\\') {
            problems.push("the URL has a space, a control character or a backslash");
        }
        let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
        let userinfo = !url.username().is_empty() || url.password().is_some();
        if userinfo || authority.is_some_and(|authority| authority.contains('@')) {
            problems.push("the URL has a user or password in it: fill the secret slots instead");
        }
        if url.query().is_some() {
            problems.push("the URL has a query: give it with each call");
        }
        if url.fragment().is_some() {
            problems.push("the URL has a fragment, which is never sent");
        }
        if let Err(problem) = check_path(url.path()) {
            problems.push(problem);
        }
        if problems.is_empty() { Ok(Self(url)) } else { Err(problems) }
    }

    /// The URL of a path below the base; what follows its first `?` is the query. An empty path is the base itself.
    ///
    /// # Errors
    /// The path leads, or may be taken to lead, elsewhere.
    pub(crate) fn join(&self, path_and_query: &str) -> Result<Url, Problem> {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        check_path(path)?;
        let mut url = self.0.clone();
        if !path.is_empty() {
            url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        }
        if let Some(query) = query {
            if query.chars().any(|letter| letter == '#' || letter.is_control() || letter.is_whitespace()) {
                return Err("the query has a `#`, a space or a control character: encode it, or use `query`");
            }
            url.set_query(Some(query));
        }
        if self.holds(&url) { Ok(url) } else { Err(ELSEWHERE) }
    }

    /// Whether a URL lies under the base: the last word, however it was made.
    pub(crate) fn holds(&self, url: &Url) -> bool {
        let (base, path) = (self.0.path().trim_end_matches('/'), url.path());
        let below = path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        below && url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none()
    }
}

/// Checks a path of segments; an empty one is sound.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_path(path: &str) -> Result<(), Problem> {
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > LONGEST {
        return Err("the path is longer than 8,192 bytes");
    }
    if path.contains('\\') {
        return Err("the path has a backslash");
    }
    if path.contains('#') {
        return Err("the path has a fragment, which is never sent");
    }
    if path.contains('@') {
        return Err("the path has an `@`: write `%40` where it is meant literally");
    }
    if path.contains(' ') {
        return Err(CONTROL);
    }
    let Some(segments) = path.strip_prefix('/') else {
        return Err(ELSEWHERE);
    };
    let last = segments.matches('/').count();
    for (place, segment) in segments.split('/').enumerate() {
        if segment.is_empty() && place < last {
            return Err("the path has an empty segment (`//`)");
        }
        check_segment(segment)?;
    }
    Ok(())
}

/// Checks one segment: what it is, and what it becomes when it is decoded again and again.
fn check_segment(segment: &str) -> Result<(), Problem> {
    if !well_encoded(segment) {
        return Err("the path has a `%` that begins no percent-encoding: write `%25`");
    }
    let mut text = segment.to_owned();
    for _ in 0..DECODINGS {
        check_decoded(&text)?;
        let Ok(decoded) = String::from_utf8(decode(&text)) else {
            return Err("the path does not decode to UTF-8");
        };
        if decoded == text {
            return Ok(());
        }
        text = decoded;
    }
    Err("the path is encoded several times over")
}

fn check_decoded(segment: &str) -> Result<(), Problem> {
    if segment.contains(['/', '\\']) {
        return Err(SEPARATOR);
    }
    // Some readers drop what follows a `;`.
    let name = segment.split(';').next().unwrap_or_default().trim();
    if name == "." || name == ".." {
        return Err(DOTS);
    }
    if segment.chars().any(|letter| letter.is_control() || (letter.is_whitespace() && letter != ' ')) {
        return Err(CONTROL);
    }
    Ok(())
}

fn well_encoded(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| hex_pair(bytes, at + 1).is_some())
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match hex_pair(bytes, at + 1).filter(|_| *byte == b'%') {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

fn hex_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_path_is_joined_below_the_base() {
        let table = [
            ("https://api.example", "/v1/refunds", "https://api.example/v1/refunds"),
            ("https://api.example/", "/v1/refunds/", "https://api.example/v1/refunds/"),
            ("https://api.example/base", "/v1", "https://api.example/base/v1"),
            ("https://api.example/base/", "/v1?a=b&c=%2F..", "https://api.example/base/v1?a=b&c=%2F.."),
            ("https://api.example/base", "", "https://api.example/base"),
            ("https://api.example/base", "/", "https://api.example/base/"),
            ("http://api.example:8080/b", "/a%20b/caf\u{e9}", "http://api.example:8080/b/a%20b/caf%C3%A9"),
            ("https://api.example", "/users/bob%40mail.example", "https://api.example/users/bob%40mail.example"),
            ("https://api.example", "/100%25/a.b/...", "https://api.example/100%25/a.b/..."),
            ("https://api.example", "/v1/things:batch;v=2", "https://api.example/v1/things:batch;v=2"),
        ];
        for (base, path, joined) in table {
            assert_eq!(BaseUrl::parse(base).unwrap().join(path).unwrap().as_str(), joined);
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let base = BaseUrl::parse("https://api.example/base").unwrap();
        for path in [
            "v1",
            "evil.example",
            "@evil.example/",
            ":80@evil.example",
            ".evil.example",
            "//evil.example/x",
            "///evil",
            "/a//b",
            "https://evil.example/",
            "http:/evil",
            "\\\\evil.example",
            "/\\evil.example",
            "/a\\b",
            "/..",
            "/../x",
            "/a/../../x",
            "/a/..",
            "/./a",
            "/a/.",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e/x",
            "/a/%2e",
            "/%252e%252e/x",
            "/%25252e%25252e/x",
            "/a%2fb",
            "/a%2Fb",
            "/..%2fx",
            "/a%5cb",
            "/a%255cb",
            "/a%252fb",
            "/..;/x",
            "/..;a=b/x",
            "/%2e%2e;/x",
            "/..%3b/x",
            "/..%20/x",
            "/%20../x",
            "/a%00b",
            "/a%0d%0aHost:evil",
            "/a\r\nHost: evil",
            "/a b",
            "/a\tb",
            "/a\u{0}",
            "/a%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/%c0%ae%c0%ae/x",
            "/%ff",
            "/a#b",
            "/user@evil.example/",
            "/a?b#c",
            "/a?b c",
            "/a?b\r\nc",
            "/%2525252525252e",
            "\u{a0}/a",
            "/a%c2%85b",
            "/a\u{2028}b",
        ] {
            assert!(base.join(path).is_err(), "{path:?} became {:?}", base.join(path));
        }
        assert!(base.join(&format!("/{}", "a".repeat(LONGEST))).is_err());
    }

    #[test]
    fn a_base_url_tells_all_that_is_wrong_with_it() {
        for bad in [
            "",
            "api.example",
            "/v1",
            "ftp://api.example",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://",
            "https://user@api.example",
            "https://user:pass@api.example",
            "https://@api.example",
            "https://api.example/?a=b",
            "https://api.example/?",
            "https://api.example/#a",
            "https://api.example\\@evil",
            " https://api.example",
            "https://api.exa\nmple",
            "https://api.example/a%2fb",
            "https://[fe80::1%25eth0]/",
            "https:api.example@x",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(BaseUrl::parse("ftp://user@api.example/?a#b").unwrap_err().len(), 4);
    }
}
