//! Where Redis is, and as whom to speak to it.

use std::fmt;
use std::path::PathBuf;

use redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use url::Url;

const PORT: u16 = 6_379;
/// All keys begin so, if nothing else is said.
const PREFIX: &str = "orchestrator";
/// So many shards a cluster has: the hints of each are in one slot.
const SHARDS: u16 = 8;

/// Why options cannot be used: one line that says what to change. It names no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Redis URL {0}")]
pub struct OptionsError(String);

/// How to reach Redis. Prints no password.
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) nodes: Vec<ConnectionInfo>,
    pub(crate) certificates: Option<TlsCertificates>,
    pub(crate) cluster: bool,
    pub(crate) prefix: String,
    pub(crate) environment: String,
    names: String,
}

impl RedisOptions {
    /// From a URL: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. Several hosts, separated by commas,
    /// are nodes of a cluster, as is one with `?cluster=true`. `?prefix=` is what all keys begin with (`orchestrator` if not
    /// given); `?ca=` names a file of PEM certificates that are trusted in the place of the system's. Keys of different
    /// environments are apart.
    ///
    /// # Errors
    /// It is not such a URL.
    pub fn parse(text: &str, environment: &str) -> Result<Self, OptionsError> {
        let wrong = |why: &str| OptionsError(why.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("begins with `redis://` or `rediss://`"))?;
        if scheme != "redis" && scheme != "rediss" {
            return Err(wrong("begins with `redis://` or `rediss://`"));
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let tail = &rest[authority.len()..];
        let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let urls: Result<Vec<Url>, _> =
            hosts.split(',').map(|host| Url::parse(&format!("{scheme}://{login}{host}{tail}"))).collect();
        let urls = urls.map_err(|_| wrong("cannot be read: it is `redis://[user:password@]host[:port][/database]`"))?;
        let mut options = Self {
            nodes: Vec::new(),
            certificates: None,
            cluster: urls.len() > 1,
            prefix: PREFIX.to_owned(),
            environment: environment.to_owned(),
            names: hosts.to_owned(),
        };
        let first = urls.first().ok_or_else(|| wrong("names no host"))?;
        for (name, value) in first.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("cluster", "true") => options.cluster = true,
                ("cluster", "false") => options.cluster = false,
                ("prefix", prefix) if is_prefix(prefix) => prefix.clone_into(&mut options.prefix),
                ("prefix", _) => {
                    return Err(wrong("has a `prefix` that is not letters, digits, `-`, `_` or `.`, up to 64"));
                }
                ("ca", _) if scheme != "rediss" => {
                    return Err(wrong("has a `ca`, and no TLS: it begins with `redis://`"));
                }
                ("ca", path) => options.certificates = Some(certificates(&PathBuf::from(path))?),
                ("cluster", _) => return Err(wrong("has a `cluster` that is neither `true` nor `false`")),
                (name, _) => return Err(OptionsError(format!("has an unknown option `{}`", printable(name)))),
            }
        }
        for mut url in urls {
            url.set_query(None);
            if url.host_str().is_none_or(str::is_empty) {
                return Err(wrong("names no host"));
            }
            if url.port().is_none() {
                url.set_port(Some(PORT)).map_err(|()| wrong("has a port that is none"))?;
            }
            if options.cluster && !matches!(url.path(), "" | "/" | "/0") {
                return Err(wrong("names a database, and a cluster has only the first"));
            }
            let info = url.as_str().into_connection_info();
            let mut info = info.map_err(|_| wrong("names a database that is no number, or a host that is none"))?;
            if let Some(certificates) = &options.certificates {
                let client = Client::build_with_tls(info, certificates.clone());
                let client = client.map_err(|_| wrong("has a `ca` whose file holds no certificate"))?;
                info = client.get_connection_info().clone();
            }
            options.nodes.push(info);
        }
        Ok(options)
    }

    /// How many shards the hints are in.
    pub(crate) fn shards(&self) -> u16 {
        if self.cluster { SHARDS } else { 1 }
    }

    /// The hosts, as they were given: for messages.
    #[must_use]
    pub fn names(&self) -> &str {
        &self.names
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisOptions")
            .field("names", &self.names)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

fn is_prefix(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(sound)
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(32).collect()
}

fn certificates(path: &PathBuf) -> Result<TlsCertificates, OptionsError> {
    let read = std::fs::read(path);
    let root =
        read.map_err(|error| OptionsError(format!("has a `ca` that cannot be read: {}: {error}", path.display())))?;
    Ok(TlsCertificates { client_tls: None, root_cert: Some(root) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(text: &str) -> Result<RedisOptions, OptionsError> {
        RedisOptions::parse(text, "dev")
    }

    #[test]
    fn a_url_says_where_and_as_whom() {
        let options = parse("redis://ada:s3cret@cache.example/2").unwrap();
        let info = &options.nodes[0];
        assert_eq!(info.addr().to_string(), "cache.example:6379");
        assert_eq!(info.redis_settings().username(), Some("ada"));
        assert_eq!(info.redis_settings().password(), Some("s3cret"));
        assert_eq!((info.redis_settings().db(), options.cluster, options.shards()), (2, false, 1));
        assert_eq!(options.prefix, "orchestrator");
    }

    #[test]
    fn several_hosts_are_a_cluster() {
        let options = parse("rediss://:s3cret@one:7000,two:7001,three:7002?prefix=shop").unwrap();
        let hosts: Vec<_> = options.nodes.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(hosts, ["one:7000", "two:7001", "three:7002"]);
        assert!(options.cluster && options.prefix == "shop" && options.shards() > 1);
        assert!(options.nodes.iter().all(|info| info.redis_settings().password() == Some("s3cret")));
        assert!(parse("redis://one?cluster=true").unwrap().cluster);
    }

    #[test]
    fn what_cannot_work_is_refused_in_one_line_without_the_password() {
        let wrong = [
            "cache.example",
            "http://cache.example",
            "redis://",
            "redis://u:s3cret@",
            "redis://u:s3cret@host:99999999",
            "redis://u:s3cret@host/zero",
            "redis://u:s3cret@one,two/3",
            "redis://u:s3cret@host?shards=3",
            "redis://u:s3cret@host?cluster=perhaps",
            "redis://u:s3cret@host?prefix=a{b}",
            "redis://u:s3cret@host?ca=/nowhere",
            "rediss://u:s3cret@host?ca=/nowhere/ca.pem",
        ];
        for url in wrong {
            let said = parse(url).unwrap_err().to_string();
            assert!(said.starts_with("the Redis URL ") && !said.contains('\n') && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn inv_23_no_password_is_printed() {
        let options = parse("redis://ada:s3cret@cache.example").unwrap();
        assert!(!format!("{options:?} {}", options.names()).contains("s3cret"));
    }
}
