//! Writing to a bucket: in one request if it is small, else part by part.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use orchestrator_core::payload::{ByteStream, ObjectError};

use super::timely;

/// So much is held and sent at once. A bucket takes 10,000 parts.
const PART: usize = 8 * 1024 * 1024;

/// Stores an object where none is.
pub(super) async fn put(bucket: &AmazonS3, place: &Path, mut body: ByteStream) -> Result<u64, ObjectError> {
    let (first, ended) = part(&mut body).await?;
    if ended {
        let (size, options) = (first.len() as u64, PutOptions::from(PutMode::Create));
        timely(bucket.put_opts(place, PutPayload::from(first), options)).await?;
        return Ok(size);
    }
    match timely(bucket.head(place)).await {
        Err(ObjectError::NotFound) => {}
        Ok(_) => return Err(ObjectError::Exists),
        Err(error) => return Err(error),
    }
    let upload = timely(bucket.put_multipart(place)).await?;
    let mut upload = Abandoned(Some(upload));
    match parts(&mut upload, first, body).await {
        Ok(size) => {
            upload.0 = None;
            Ok(size)
        }
        Err(error) => {
            if let Some(mut begun) = upload.0.take() {
                // What stays is the bucket's to expire: it can be read by nobody.
                let _ = timely(begun.abort()).await;
            }
            Err(error)
        }
    }
}

/// An upload that is aborted if whoever began it goes away.
struct Abandoned(Option<Box<dyn MultipartUpload>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(mut begun) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { timely(begun.abort()).await });
        }
    }
}

async fn parts(upload: &mut Abandoned, first: Bytes, mut body: ByteStream) -> Result<u64, ObjectError> {
    let Some(begun) = &mut upload.0 else { return Ok(0) };
    let (mut next, mut ended, mut size) = (first, false, 0);
    loop {
        size += next.len() as u64;
        timely(begun.put_part(PutPayload::from(next))).await?;
        if ended {
            break;
        }
        (next, ended) = part(&mut body).await?;
        if next.is_empty() {
            break;
        }
    }
    timely(begun.complete()).await?;
    Ok(size)
}

/// The next part, and whether it is the last.
async fn part(body: &mut ByteStream) -> Result<(Bytes, bool), ObjectError> {
    let mut waiting = BytesMut::new();
    while waiting.len() < PART {
        match body.next().await {
            Some(Ok(piece)) => waiting.extend_from_slice(&piece),
            Some(Err(broken)) => return Err(ObjectError::Source(broken)),
            None => return Ok((waiting.freeze(), true)),
        }
    }
    Ok((waiting.freeze(), false))
}
