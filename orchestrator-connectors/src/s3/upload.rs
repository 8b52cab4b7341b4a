//! Bodies that are put in parts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::{MultipartUpload, PutResult};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long taking back an upload may take that came to nothing.
const TAKE_BACK: Duration = Duration::from_secs(5);

/// An upload that is under way. One that does not come to its end is taken back, so that its parts are not kept (and paid
/// for): also if its future is dropped, by a task of at most 5 s.
pub(super) struct Upload {
    upload: Arc<Mutex<Box<dyn MultipartUpload>>>,
    done: bool,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>) -> Self {
        Self { upload: Arc::new(Mutex::new(upload)), done: false }
    }

    /// Puts the body in parts of a size, one after the other, and makes the object of them.
    ///
    /// # Errors
    /// One of the requests did not succeed.
    pub(super) async fn put(mut self, mut body: Bytes, part: usize) -> object_store::Result<(PutResult, u32)> {
        let mut upload = self.upload.clone().lock_owned().await;
        let mut parts = 0;
        while !body.is_empty() {
            let next = body.split_to(part.min(body.len()));
            upload.put_part(next.into()).await?;
            parts += 1;
        }
        let put = upload.complete().await?;
        self.done = true;
        Ok((put, parts))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Outside of a runtime nothing can be sent any more.
        let (false, Ok(runtime)) = (self.done, Handle::try_current()) else { return };
        let upload = self.upload.clone();
        runtime.spawn(async move {
            let _ = timeout(TAKE_BACK, async { upload.lock().await.abort().await }).await;
        });
    }
}
