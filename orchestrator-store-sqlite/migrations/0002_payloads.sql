-- Bodies that are stored apart: what is true of their objects, and who names them.

CREATE TABLE payloads (
  workspace    TEXT NOT NULL,
  id           BLOB NOT NULL CHECK (length(id) = 16),
  size         INTEGER NOT NULL,
  sha256       BLOB NOT NULL CHECK (length(sha256) = 32),
  content_type TEXT NOT NULL,
  seal         BLOB,
  created_at   INTEGER NOT NULL,
  lost_at      INTEGER,
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX payloads_age ON payloads (workspace, created_at);

-- `owner` is the id of an execution, a job or an inbox entry, as text.
CREATE TABLE payload_names (
  workspace TEXT NOT NULL,
  owner     TEXT NOT NULL,
  payload   BLOB NOT NULL,
  since     INTEGER NOT NULL,
  PRIMARY KEY (workspace, owner, payload)
) STRICT, WITHOUT ROWID;
CREATE INDEX payload_names_of ON payload_names (workspace, payload);

ALTER TABLE inbox_bodies ADD COLUMN payload BLOB;
