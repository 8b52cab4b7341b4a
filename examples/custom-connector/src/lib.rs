//! A connector kind of an integrator's own: files are scanned for viruses by a ClamAV daemon (`clamd`), whose protocol is
//! not HTTP.
//!
//! It needs `orchestrator-core`, and `serde` and `schemars` for its types. `docs/connectors/writing-one.md` walks through it.
//!
//! The daemon is reached at an address that the install's program gives. A kind whose *settings* name an address must reach
//! it through the guarded client of `orchestrator-connectors`: settings are written by tenants, and could name what lies
//! inside of the install.

use std::net::SocketAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use orchestrator_core::connector::typed::{Operation, TypedKind, TypedKindError};
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, ConnectorKind, Idempotency, SecretSlots, Sent,
};
use orchestrator_core::types::{FieldError, UpstreamView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Settings: everything but secrets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The largest file that is scanned, in bytes. 1 MiB if absent.
    #[serde(default = "largest")]
    #[schemars(range(min = 1, max = 26_214_400))]
    max_bytes: u32,
}

fn largest() -> u32 {
    1 << 20
}

/// The input of `scan`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScanInput {
    /// The file, in base64.
    content_base64: String,
}

/// The output of `scan`.
#[derive(Debug, Serialize, JsonSchema)]
struct ScanOutput {
    /// Whether nothing was found.
    clean: bool,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

/// The kind `clamd`, with a daemon at this address.
///
/// # Errors
/// None, as long as the names in here are names.
pub fn kind(clamd: SocketAddr) -> Result<impl ConnectorKind, TypedKindError> {
    TypedKind::builder("clamd", "Scans files for viruses.", move |settings: Settings, _: SecretSlots| {
        Ok(Scanner { clamd, max_bytes: settings.max_bytes as usize })
    })
    .operation(
        // Looking at a file twice is as good as once.
        Operation::new("scan", "Scans one file.", Scanner::scan).check(Scanner::check).idempotency(Idempotency::Always),
    )
    .health(Scanner::ping)
    .build()
}

/// A connector of a workspace.
struct Scanner {
    clamd: SocketAddr,
    max_bytes: usize,
}

impl Scanner {
    /// What the schema cannot say.
    fn check(&self, input: &ScanInput) -> Vec<FieldError> {
        let problem = match BASE64.decode(input.content_base64.as_bytes()) {
            Err(_) => "this is not base64".to_owned(),
            Ok(bytes) if bytes.len() > self.max_bytes => format!("a file has at most {} bytes", self.max_bytes),
            Ok(_) => return Vec::new(),
        };
        vec![FieldError::new("/content_base64", problem)]
    }

    async fn scan(self: Arc<Self>, _: CallContext, input: ScanInput) -> Result<ScanOutput, CallError> {
        let unsendable = |_| CallError::new(CallErrorKind::Rejected, Sent::No, "the content is not base64");
        let file = BASE64.decode(input.content_base64.as_bytes()).map_err(unsendable)?;
        let length = u32::try_from(file.len()).unwrap_or(u32::MAX).to_be_bytes();
        // `INSTREAM`: chunks, each with its length before it; one of no length ends the file.
        let said = self.ask(&[b"zINSTREAM\0", &length, &file, &[0; 4]]).await?;
        match said.strip_prefix("stream: ") {
            Some("OK") => Ok(ScanOutput { clean: true, found: None }),
            Some(found) if found.ends_with(" FOUND") => {
                Ok(ScanOutput { clean: false, found: Some(found.trim_end_matches(" FOUND").to_owned()) })
            }
            _ => Err(refused(said)),
        }
    }

    /// Asks whether the daemon is there.
    async fn ping(self: Arc<Self>, _: CallContext) -> Result<(), CallError> {
        let said = self.ask(&[b"zPING\0"]).await?;
        if said == "PONG" { Ok(()) } else { Err(refused(said)) }
    }

    /// One connection, one question, one answer. Dropped at any point, the connection is closed.
    async fn ask(&self, question: &[&[u8]]) -> Result<String, CallError> {
        let away = |_| CallError::new(CallErrorKind::Unreachable, Sent::No, "the virus scanner was not reached");
        let broken = || CallError::new(CallErrorKind::Failed, Sent::Maybe, "the virus scanner broke off");
        let mut clamd = TcpStream::connect(self.clamd).await.map_err(away)?;
        for part in question {
            clamd.write_all(part).await.map_err(|_| broken())?;
        }
        let mut answer = Vec::new();
        // An answer is short, and ends with a zero.
        clamd.take(64 << 10).read_to_end(&mut answer).await.map_err(|_| broken())?;
        let end = answer.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
        Ok(String::from_utf8_lossy(&answer[..end]).into_owned())
    }
}

/// The daemon answered, and did not do it: what is too large stays so, everything else may pass.
fn refused(said: String) -> CallError {
    let too_large = said.contains("size limit exceeded");
    let (kind, status) = if too_large { (CallErrorKind::Rejected, 413) } else { (CallErrorKind::Failed, 500) };
    let view = UpstreamView { status, body: said.into() };
    CallError::answered(kind, view, "the virus scanner did not scan the file")
}
