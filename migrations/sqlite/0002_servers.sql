-- Which chat server's hook made a reservation: it alone knows what became of it. Empty where that was not asked yet.
ALTER TABLE invite_use ADD COLUMN server TEXT NOT NULL DEFAULT '';

CREATE INDEX account_by_invite ON account (invite);
