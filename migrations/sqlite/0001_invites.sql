-- Times are whole seconds since 1970, UTC. JIDs are bare. Lists are JSON arrays.

CREATE TABLE invite (
    id           TEXT PRIMARY KEY,
    token_hash   BLOB NOT NULL UNIQUE,
    type         TEXT NOT NULL,
    host         TEXT NOT NULL,
    username     TEXT,
    inviter      TEXT,
    issuer       TEXT NOT NULL,
    roles        TEXT NOT NULL,
    groups       TEXT NOT NULL,
    note         TEXT,
    max_uses     INTEGER,
    -- Uses that are reserved or redeemed: what a claim compares with max_uses, in the statement that takes one.
    taken        INTEGER NOT NULL DEFAULT 0,
    uses         INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_by_host ON invite (host, created_at);
-- What a quota counts is read from an index alone, and no further than it counts.
CREATE INDEX invite_by_inviter ON invite (inviter, created_at, issuer) WHERE inviter IS NOT NULL;
CREATE INDEX pending_by_inviter ON invite (inviter, expires_at, issuer, revoked_at, max_uses, uses)
    WHERE issuer = 'user' AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses);
CREATE INDEX invite_by_username ON invite (host, username) WHERE username IS NOT NULL;
CREATE INDEX invite_by_expiry ON invite (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX invite_by_revocation ON invite (revoked_at) WHERE revoked_at IS NOT NULL;
-- Purging a used-up invite reads no other, however long ago that was used.
CREATE INDEX used_up_by_last_use ON invite (last_used_at) WHERE uses >= max_uses;

-- A use of an invite: reserved while redeemed_at is null.
CREATE TABLE invite_use (
    id          TEXT PRIMARY KEY,
    invite      TEXT NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT NOT NULL,
    account     TEXT NOT NULL,
    -- Which chat server's hook made the reservation: it alone knows what became of it. Empty: not known.
    server      TEXT NOT NULL DEFAULT '',
    reserved_at INTEGER NOT NULL,
    redeemed_at INTEGER,
    -- 1: it was copied from another store. When that store is copied again, copied uses that came to nothing there end here.
    copied      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_use_by_invite ON invite_use (invite, account);
-- Few uses are reserved at a time, however many are redeemed.
CREATE INDEX reserved_by_account ON invite_use (account) WHERE redeemed_at IS NULL;
CREATE INDEX reserved_by_invite ON invite_use (invite) WHERE redeemed_at IS NULL;

-- Who invited whom: kept as long as the account exists, also when its invite is long purged.
CREATE TABLE account (
    jid           TEXT PRIMARY KEY,
    inviter       TEXT,
    invite        TEXT NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX account_by_inviter ON account (inviter) WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);
