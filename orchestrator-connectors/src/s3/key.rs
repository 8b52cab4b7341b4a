//! Keys of objects: what calls name, and what stands in the bucket.

use object_store::path::Path;

/// The longest key of S3, in bytes.
const LONGEST: usize = 1_024;

/// What each key of a connector begins with in the bucket: empty, or ending in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix(String);

impl Prefix {
    /// # Errors
    /// It cannot begin a key.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        check(text)?;
        Ok(Self(format!("{text}/")))
    }

    /// The place of a key in the bucket.
    ///
    /// # Errors
    /// It is not a key, or too long.
    pub(super) fn path(&self, key: &str) -> Result<Path, &'static str> {
        check(key)?;
        if self.0.len() + key.len() > LONGEST {
            return Err("a key has at most 1,024 bytes, the prefix of the settings included");
        }
        Path::parse(format!("{}{key}", self.0)).map_err(|_| "this is not a key")
    }

    /// The beginning of keys in the bucket that begin with `start`.
    pub(super) fn beginning(&self, start: &str) -> Option<String> {
        let beginning = format!("{}{start}", self.0);
        (!beginning.is_empty()).then_some(beginning)
    }

    /// The key of a place, as calls name it; `None` if it lies elsewhere.
    pub(super) fn key<'a>(&self, place: &'a str) -> Option<&'a str> {
        place.strip_prefix(&self.0)
    }
}

/// A key is passed on as it is, so what `object_store` or a proxy would make another of is refused.
fn check(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("a key is not empty");
    }
    if key.chars().any(char::is_control) {
        return Err("a key has no control characters");
    }
    if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("a key neither begins nor ends with `/`, and none of its segments is empty, `.` or `..`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_key_stays_below_its_prefix_and_comes_back_as_it_was() {
        let prefix = Prefix::parse("tenants/a/").unwrap();
        assert_eq!(prefix, Prefix::parse("tenants/a").unwrap());
        for key in ["x", "x/y.pdf", "caf\u{e9} 1+2%20?#.txt", "a:b", "x~y"] {
            let path = prefix.path(key).unwrap();
            assert_eq!(path.as_ref(), format!("tenants/a/{key}"));
            assert_eq!(prefix.key(path.as_ref()), Some(key));
        }
        for key in ["", "/", "/x", "x/", "x//y", "../b", "x/../../b", ".", "x/./y", "a\nb", "a\0"] {
            assert!(prefix.path(key).is_err(), "{key:?}");
        }
        assert!(prefix.path(&"x".repeat(LONGEST)).is_err());
        assert_eq!(prefix.key("tenants/b/x"), None);
    }

    #[test]
    fn without_a_prefix_every_key_is_reached() {
        let prefix = Prefix::parse("").unwrap();
        assert_eq!(prefix.path("x").unwrap().as_ref(), "x");
        assert_eq!((prefix.beginning(""), prefix.beginning("a")), (None, Some("a".to_owned())));
        assert!(
            Prefix::parse("/").is_err()
                && Prefix::parse("/a").is_err()
                && Prefix::parse("a//b").is_err()
                && Prefix::parse("..").is_err()
        );
    }
}
