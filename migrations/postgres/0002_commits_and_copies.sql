-- What each writer committed last, written in the same transaction: when a connection is lost while the server commits,
-- this says whether it did. A writer is a random name that one transaction at a time has. None of this is copied.
CREATE TABLE last_commit (
    writer BYTEA PRIMARY KEY,
    number BIGINT NOT NULL,
    at     BIGINT NOT NULL
) WITH (fillfactor = 50); -- A row changes all the time, and finds room beside itself.

-- Whether a use came from another store by copying: when that store is copied again, those that came to nothing there end here.
ALTER TABLE invite_use ADD COLUMN copied BIGINT NOT NULL DEFAULT 0;
