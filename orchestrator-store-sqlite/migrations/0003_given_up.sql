-- Of an entry whose delivery was purged: without its job it would look delivered.
ALTER TABLE inbox ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
