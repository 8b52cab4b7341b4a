//! The audit chain: each record carries the hash of the one before it, so that editing, removing, inserting or
//! reordering one is found. That the tail was not cut is seen by the head, which is also logged.

mod service;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use orchestrator_types::{AuditRecord, AuditVerification, Timestamp};

use crate::store::{NewAudit, Owner};

pub use service::Audit;

/// The hash before the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The record that follows `previous` (number and hash of the last one; `None` at the beginning).
#[must_use]
pub fn chain(owner: &Owner, previous: Option<(u64, &str)>, new: NewAudit, now: Timestamp) -> AuditRecord {
    let (number, previous_hash) = previous.map_or((1, GENESIS), |(number, hash)| (number + 1, hash));
    let mut record = AuditRecord {
        id: new.id,
        number,
        workspace: owner.workspace().cloned(),
        actor: new.actor,
        via: new.via,
        action: new.action.to_owned(),
        target: new.target,
        reason: new.reason,
        before: new.before,
        after: new.after,
        time: now,
        trace_id: new.trace_id.to_string(),
        previous_hash: previous_hash.to_owned(),
        hash: String::new(),
    };
    record.hash = hash(&record);
    record
}

/// Walks a chain record by record.
#[derive(Debug)]
pub struct Verifier {
    records: u64,
    head: String,
    broken_at: Option<u64>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { records: 0, head: GENESIS.to_owned(), broken_at: None }
    }
}

impl Verifier {
    /// Takes the next record.
    pub fn take(&mut self, record: &AuditRecord) {
        let fits =
            record.number == self.records + 1 && record.previous_hash == self.head && record.hash == hash(record);
        if !fits && self.broken_at.is_none() {
            self.broken_at = Some(record.number);
        }
        self.records += 1;
        self.head.clone_from(&record.hash);
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> AuditVerification {
        AuditVerification {
            intact: self.broken_at.is_none(),
            records: self.records,
            head: self.head,
            broken_at: self.broken_at,
        }
    }
}

/// SHA-256 over every field but the hash itself, each with its length, so that no two records read the same.
fn hash(record: &AuditRecord) -> String {
    let mut text = Vec::with_capacity(512);
    let mut field = |part: &[u8]| {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    };
    let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string).unwrap_or_default();
    field(record.previous_hash.as_bytes());
    field(record.id.to_string().as_bytes());
    field(&record.number.to_be_bytes());
    field(record.workspace.as_ref().map_or("", |workspace| workspace.as_str()).as_bytes());
    field(record.actor.as_bytes());
    field(record.via.as_deref().unwrap_or_default().as_bytes());
    field(record.action.as_bytes());
    field(record.target.as_bytes());
    field(record.reason.as_deref().unwrap_or_default().as_bytes());
    field(json(&record.before).as_bytes());
    field(json(&record.after).as_bytes());
    field(&record.time.unix_ms().to_be_bytes());
    field(record.trace_id.as_bytes());
    HEXLOWER.encode(digest(&SHA256, &text).as_ref())
}

#[cfg(test)]
mod tests {
    use orchestrator_types::{AuditId, TraceId};
    use serde_json::json;

    use super::*;

    fn records() -> Vec<AuditRecord> {
        let owner = Owner::Install;
        let mut records: Vec<AuditRecord> = Vec::new();
        for number in 0..5 {
            let new = NewAudit {
                id: AuditId::new(),
                actor: "ada".to_owned(),
                via: None,
                action: "config.activate",
                target: format!("version {number}"),
                reason: Some("because".to_owned()),
                before: None,
                after: Some(json!({"version": number})),
                trace_id: TraceId::new(),
            };
            let previous = records.last().map(|record| (record.number, record.hash.clone()));
            let previous = previous.as_ref().map(|(number, hash)| (*number, hash.as_str()));
            records.push(chain(&owner, previous, new, Timestamp::from_unix_ms(1_000 + number)));
        }
        records
    }

    fn verify(records: &[AuditRecord]) -> AuditVerification {
        let mut verifier = Verifier::default();
        records.iter().for_each(|record| verifier.take(record));
        verifier.finish()
    }

    #[test]
    fn inv_28_tampering_with_any_field_is_found() {
        let whole = records();
        assert!(verify(&whole).intact);
        let tamper: [fn(&mut AuditRecord); 11] = [
            |record| record.actor.push('x'),
            |record| record.via = Some("svc:x".to_owned()),
            |record| record.action.push('x'),
            |record| record.target.push('x'),
            |record| record.reason = None,
            |record| record.before = Some(json!(1)),
            |record| record.after = None,
            |record| record.time = Timestamp::from_unix_ms(1),
            |record| record.trace_id.push('0'),
            |record| record.id = AuditId::new(),
            |record| record.hash = GENESIS.to_owned(),
        ];
        for change in tamper {
            let mut records = whole.clone();
            change(&mut records[2]);
            assert_eq!(verify(&records).broken_at, Some(3));
        }
    }

    #[test]
    fn inv_28_removing_inserting_or_reordering_is_found() {
        let whole = records();
        let mut removed = whole.clone();
        removed.remove(1);
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        let mut doubled = whole.clone();
        doubled.insert(1, whole[0].clone());
        for records in [removed, swapped, doubled] {
            assert!(!verify(&records).intact);
        }
        let cut = verify(&whole[..4]);
        assert_ne!(cut.head, verify(&whole).head);
    }
}
