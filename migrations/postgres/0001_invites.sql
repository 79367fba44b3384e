-- The same tables as in SQLite. Times are whole seconds since 1970, UTC. JIDs are bare. Lists are JSON arrays.
-- The collation is SQLite's, which is also the fastest.

CREATE TABLE invite (
    id           TEXT COLLATE "C" PRIMARY KEY,
    token_hash   BYTEA NOT NULL UNIQUE,
    type         TEXT COLLATE "C" NOT NULL,
    host         TEXT COLLATE "C" NOT NULL,
    username     TEXT COLLATE "C",
    inviter      TEXT COLLATE "C",
    issuer       TEXT COLLATE "C" NOT NULL,
    roles        TEXT COLLATE "C" NOT NULL,
    groups       TEXT COLLATE "C" NOT NULL,
    note         TEXT COLLATE "C",
    max_uses     BIGINT,
    -- Uses that are reserved or redeemed: what a claim compares with max_uses, in the statement that takes one.
    taken        BIGINT NOT NULL DEFAULT 0,
    uses         BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT
);

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
    id          TEXT COLLATE "C" PRIMARY KEY,
    invite      TEXT COLLATE "C" NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    -- Which chat server's hook made the reservation: it alone knows what became of it. Empty: not known.
    server      TEXT COLLATE "C" NOT NULL DEFAULT '',
    reserved_at BIGINT NOT NULL,
    redeemed_at BIGINT,
    -- 1: it was copied from another store. When that store is copied again, copied uses that came to nothing there end here.
    copied      BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX invite_use_by_invite ON invite_use (invite, account);
-- Few uses are reserved at a time, however many are redeemed.
CREATE INDEX reserved_by_account ON invite_use (account) WHERE redeemed_at IS NULL;
CREATE INDEX reserved_by_invite ON invite_use (invite) WHERE redeemed_at IS NULL;

-- Who invited whom: kept as long as the account exists, also when its invite is long purged.
CREATE TABLE account (
    jid           TEXT COLLATE "C" PRIMARY KEY,
    inviter       TEXT COLLATE "C",
    invite        TEXT COLLATE "C" NOT NULL,
    registered_at BIGINT NOT NULL
);

CREATE INDEX account_by_inviter ON account (inviter) WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);

-- What each writer committed last, written in the same transaction: when a connection is lost while the server commits,
-- this tells whether it did. A writer is a random name that one transaction at a time has. This table is not copied.
CREATE TABLE last_commit (
    writer BYTEA PRIMARY KEY,
    number BIGINT NOT NULL,
    at     BIGINT NOT NULL
) WITH (fillfactor = 50); -- A row changes with each transaction, and finds room beside itself.
