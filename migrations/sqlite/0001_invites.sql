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
    -- Uses that are reserved or redeemed. The statement that takes a use compares it with max_uses.
    taken        INTEGER NOT NULL DEFAULT 0,
    uses         INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER,
    -- When the accounts to which it belongs were made. Null: that was not known.
    owners_since INTEGER,
    -- How many links it has had. A session that presented an older link cannot reserve a use.
    links        INTEGER NOT NULL DEFAULT 1,
    regenerated_at INTEGER,
    -- The language in which it was made, and its inviter's nickname. Null: not known.
    language     TEXT,
    inviter_name TEXT,
    -- The program that made it. Null: this one.
    imported_from TEXT,
    -- How many characters its token has, if another program made that. Null: it is one of ours.
    token_length INTEGER,
    -- When its inviter was last told of its uses. Kept only for invites for many.
    told_at      INTEGER
) STRICT, WITHOUT ROWID;

-- Whether an invite is pending can be read in the index alone, so that counting reads no rows.
CREATE INDEX invite_by_host ON invite (host, created_at, id, expires_at, revoked_at, max_uses, uses);
-- Quotas are counted in these two indexes alone, and no further than the quota.
CREATE INDEX invite_by_inviter ON invite (inviter, created_at, issuer) WHERE inviter IS NOT NULL;
CREATE INDEX pending_by_inviter ON invite
    (inviter, issuer, expires_at, created_at, id, revoked_at, max_uses, uses)
    WHERE issuer <> 'operator' AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses);
-- The list of an inviter is read from this index and the one before. Pending invites are not in
-- here.
CREATE INDEX ended_by_inviter ON invite (inviter, COALESCE(revoked_at, last_used_at), id)
    WHERE issuer <> 'operator' AND (revoked_at IS NOT NULL OR uses >= max_uses);
-- An import looks among these for invites that have ended in the program that made them.
CREATE INDEX imported_by_host ON invite (host, id) WHERE imported_from IS NOT NULL;
-- For two questions: which lengths tokens have, and which tokens are short.
CREATE INDEX imported_by_token_length ON invite (token_length) WHERE token_length IS NOT NULL;
CREATE INDEX invite_by_username ON invite (host, username) WHERE username IS NOT NULL;
CREATE INDEX invite_by_expiry ON invite (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX invite_by_revocation ON invite (revoked_at) WHERE revoked_at IS NOT NULL;
-- A purge finds used-up invites here without reading others.
CREATE INDEX used_up_by_last_use ON invite (last_used_at) WHERE uses >= max_uses;

-- A use of an invite: reserved while redeemed_at is null.
CREATE TABLE invite_use (
    id          TEXT PRIMARY KEY,
    invite      TEXT NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT NOT NULL,
    account     TEXT NOT NULL,
    -- The id of the chat server whose hook made the reservation and alone knows what became of it.
    -- Empty: not known.
    server      TEXT NOT NULL DEFAULT '',
    reserved_at INTEGER NOT NULL,
    redeemed_at INTEGER,
    -- What the account did not get and will not get: a list of texts. Null: nothing.
    failed      TEXT,
    -- 1: copied from another store. If that store is copied again and the use has been released
    -- there, it is released here too.
    copied      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_use_by_invite ON invite_use (invite, account);
-- Small indexes: few uses are reserved at a time, however many are redeemed.
CREATE INDEX reserved_by_account ON invite_use (account) WHERE redeemed_at IS NULL;
CREATE INDEX reserved_by_invite ON invite_use (invite) WHERE redeemed_at IS NULL;
CREATE INDEX failed_by_redemption ON invite_use (redeemed_at) WHERE failed IS NOT NULL;

-- The uses that inviters are still to be told of.
CREATE TABLE notice (
    invite_use   TEXT PRIMARY KEY REFERENCES invite_use (id) ON DELETE CASCADE,
    invite       TEXT NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    -- The name of the message that tells of it, which is the id of one of the uses in the message.
    -- Null: there is no message yet.
    message      TEXT,
    -- Until when a daemon is sending it.
    leased_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX notice_by_invite ON notice (invite);

-- Who invited whom. Kept as long as the account exists, even after the invite is purged.
CREATE TABLE account (
    jid           TEXT PRIMARY KEY,
    inviter       TEXT,
    -- By which invite it came, and when. Null: not known, since another program made the account.
    invite        TEXT,
    registered_at INTEGER
) STRICT, WITHOUT ROWID;

-- The accounts of an inviter in the order in which they came; first those of an unknown age.
CREATE INDEX account_by_inviter ON account (inviter, COALESCE(registered_at, 0), jid)
    WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);

-- The log of events: a row for each change, written in its transaction.
CREATE TABLE event (
    at      INTEGER NOT NULL,
    -- Tells events of the same second apart, and keeps their order, so new rows come at the end.
    id      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    host    TEXT,
    invite  TEXT,
    account TEXT,
    detail  TEXT,
    count   INTEGER NOT NULL,
    -- 1: a daemon has yet to write it to its log.
    untold  INTEGER,
    PRIMARY KEY (at, id)
) STRICT, WITHOUT ROWID;

-- No index of actors or accounts, since it would slow down each new invite. A search for an actor
-- or an account reads all events.
CREATE INDEX counted_event ON event (actor, at) WHERE invite IS NULL AND account IS NULL;
CREATE INDEX untold_event ON event (at, id) WHERE untold = 1;

-- The tokens that were replaced, or whose invites have been removed. Somebody who still has such a
-- link is not guessing. Triggers write this table, so that no statement can forget to.
CREATE TABLE past_token (
    token_hash BLOB PRIMARY KEY,
    -- The invite that had it, and may have a newer link.
    invite     TEXT NOT NULL,
    -- The values of the invite with a token that was replaced, in case it gets that token back.
    links          INTEGER,
    token_length   INTEGER,
    regenerated_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX replaced_token ON past_token (invite, links) WHERE links IS NOT NULL;

CREATE TRIGGER invite_removed AFTER DELETE ON invite BEGIN
    INSERT OR IGNORE INTO past_token (token_hash, invite) VALUES (OLD.token_hash, OLD.id);
END;

CREATE TRIGGER token_replaced AFTER UPDATE OF token_hash ON invite WHEN OLD.token_hash <> NEW.token_hash BEGIN
    INSERT OR IGNORE INTO past_token
        VALUES (OLD.token_hash, OLD.id, OLD.links, OLD.token_length, OLD.regenerated_at);
END;

-- Links that nobody was given: the user who asked for one was told to try again later before it was
-- known whether the link is stored. If it is, the invite is removed, or gets its earlier link back.
CREATE TABLE withdrawn_link (
    token_hash BLOB PRIMARY KEY,
    noted_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When a daemon was last seen at work: at most one row. Only its `took_over_at` is copied to
-- another store, where no daemon has been seen yet.
CREATE TABLE last_seen (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    -- Null: none has been seen since the store was filled from another one.
    at     INTEGER,
    -- What the clock showed after its last jump (null as `at` is), and before it (null: not known).
    since  INTEGER,
    before INTEGER,
    -- The PostgreSQL cluster of the store then, and its timeline. Null: not known.
    cluster  INTEGER,
    timeline INTEGER,
    -- When this store took the place of another, whose last invites it may lack. Null: it did not.
    took_over_at INTEGER
) STRICT;
