//! Bodies that are put in parts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{MultipartUpload, PutPayload, PutResult};
use orchestrator_core::payload::{PayloadError, PayloadStream};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long taking back an upload may take that came to nothing.
const TAKE_BACK: Duration = Duration::from_secs(5);

/// Why an upload came to nothing.
#[derive(Debug)]
pub(super) enum Broken {
    /// What was to be put could not be read.
    Content(PayloadError),
    /// A request did not succeed.
    Store(object_store::Error),
}

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

    /// Puts what comes in parts of a size, one after the other, and makes the object of them once all of it has come. Holds
    /// one part.
    ///
    /// # Errors
    /// It broke off, or one of the requests did not succeed: there is no object then.
    pub(super) async fn put(mut self, mut pieces: PayloadStream, part: usize) -> Result<(PutResult, u32), Broken> {
        let mut upload = self.upload.clone().lock_owned().await;
        let (mut parts, mut held, mut waiting) = (0, 0, Vec::<Bytes>::new());
        while let Some(piece) = pieces.next().await {
            let mut piece = piece.map_err(Broken::Content)?;
            while !piece.is_empty() {
                let next = piece.split_to(piece.len().min(part - held));
                held += next.len();
                waiting.push(next);
                if held == part {
                    upload.put_part(PutPayload::from_iter(waiting.drain(..))).await.map_err(Broken::Store)?;
                    (parts, held) = (parts + 1, 0);
                }
            }
        }
        if held > 0 {
            upload.put_part(PutPayload::from_iter(waiting)).await.map_err(Broken::Store)?;
            parts += 1;
        }
        let put = upload.complete().await.map_err(Broken::Store)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures_util::stream;
    use object_store::UploadPart;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;

    /// Tells what it is asked.
    #[derive(Debug)]
    struct Told(UnboundedSender<String>);

    #[async_trait::async_trait]
    impl MultipartUpload for Told {
        fn put_part(&mut self, data: PutPayload) -> UploadPart {
            self.0.send(format!("part {}", data.content_length())).unwrap();
            Box::pin(async { Ok(()) })
        }

        async fn complete(&mut self) -> object_store::Result<PutResult> {
            self.0.send("complete".to_owned()).unwrap();
            Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
        }

        async fn abort(&mut self) -> object_store::Result<()> {
            self.0.send("abort".to_owned()).unwrap();
            Ok(())
        }
    }

    fn pieces(lengths: &[usize], end: Option<PayloadError>) -> PayloadStream {
        let pieces: Vec<_> = lengths.iter().map(|length| Ok(Bytes::from(vec![7; *length]))).collect();
        stream::iter(pieces.into_iter().chain(end.map(Err))).boxed()
    }

    #[tokio::test]
    async fn parts_have_the_size_that_was_asked_for_however_the_pieces_come() {
        let (told, mut seen) = unbounded_channel();
        let (_, parts) = Upload::new(Box::new(Told(told))).put(pieces(&[3, 25, 0, 2, 1], None), 10).await.unwrap();
        assert_eq!(parts, 4);
        for wanted in ["part 10", "part 10", "part 10", "part 1", "complete"] {
            assert_eq!(seen.recv().await.unwrap(), wanted);
        }
        assert_eq!(seen.recv().await, None, "nothing is taken back");
    }

    #[tokio::test]
    async fn a_payload_that_is_lost_midway_makes_no_object() {
        let (told, mut seen) = unbounded_channel();
        let put = Upload::new(Box::new(Told(told))).put(pieces(&[15], Some(PayloadError::Lost)), 10).await;
        assert!(matches!(put, Err(Broken::Content(PayloadError::Lost))), "{put:?}");
        assert_eq!((seen.recv().await.unwrap(), seen.recv().await.unwrap()), ("part 10".into(), "abort".into()));
        assert_eq!(seen.recv().await, None);
    }
}
