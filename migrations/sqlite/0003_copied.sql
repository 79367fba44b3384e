-- Whether a use came from another store by copying: when that store is copied again, those that came to nothing there end here.
ALTER TABLE invite_use ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
