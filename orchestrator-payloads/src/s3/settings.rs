//! What is known of the bucket.

use orchestrator_core::secrets::Secret;

/// A bucket, and how to reach it.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What all keys begin with; may be empty.
    pub prefix: String,
    /// The region; AWS's own variables say if it is absent.
    pub region: Option<String>,
    /// The address of a service that is not AWS, as `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// The id of the access key, and its secret; AWS's own variables say if they are absent.
    pub credentials: Option<(String, Secret)>,
}

/// Why a bucket cannot be used. Shows no setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The URL is none of a bucket.
    #[error("s3://<bucket>/<prefix> is expected")]
    Url,
    /// The prefix is no path of an object.
    #[error("the prefix is no path of an object")]
    Prefix,
    /// The client cannot be set up.
    #[error("the client of the bucket cannot be set up: look at its region, endpoint and credentials")]
    Client,
}

impl S3Settings {
    /// The bucket of `s3://bucket/prefix`.
    ///
    /// # Errors
    /// The URL is none of a bucket.
    pub fn of_url(url: &str) -> Result<Self, SettingsError> {
        let rest = url.strip_prefix("s3://").ok_or(SettingsError::Url)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
        let prefix = prefix.trim_matches('/');
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(sound) {
            return Err(SettingsError::Url);
        }
        if !prefix.bytes().all(within)
            || prefix.split('/').any(|part| matches!(part, "." | ".."))
            || prefix.contains("//")
        {
            return Err(SettingsError::Prefix);
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self { bucket, prefix, region: None, endpoint: None, credentials: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_by_its_url() {
        for (url, bucket, prefix) in [
            ("s3://payloads", "payloads", ""),
            ("s3://payloads/", "payloads", ""),
            ("s3://acme.payloads/orchestrator/dev/", "acme.payloads", "orchestrator/dev"),
        ] {
            let found = S3Settings::of_url(url).map(|settings| (settings.bucket, settings.prefix));
            assert_eq!(found, Ok((bucket.to_owned(), prefix.to_owned())));
        }
        for url in
            ["s3://", "s3://ab", "s3:///x", "s3://Upper", "s3://key:secret@bucket/x", "s4://bucket", "s3://b?x=1"]
        {
            assert_eq!(S3Settings::of_url(url).map(drop), Err(SettingsError::Url), "{url}");
        }
        for url in ["s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/a b"] {
            assert_eq!(S3Settings::of_url(url).map(drop), Err(SettingsError::Prefix), "{url}");
        }
    }
}
