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
    -- Since when the accounts to which it belongs were there when it was made, if that was known.
    owners_since INTEGER,
    -- How many links it has had. A session that presented an older one may not reserve.
    links        INTEGER NOT NULL DEFAULT 1,
    regenerated_at INTEGER,
    -- In which language it was made, and its inviter's nickname. Null: not known.
    language     TEXT,
    inviter_name TEXT,
    -- The program that made it. Null: this one.
    imported_from TEXT,
    -- How many characters its token has, if another program made that. Null: it is one of ours.
    token_length INTEGER,
    -- When its maker was last told of its uses. Kept only for invites for many.
    told_at      INTEGER
) STRICT, WITHOUT ROWID;

-- Whether an invite is pending can be read in the index alone, so that counting reads no rows.
CREATE INDEX invite_by_host ON invite (host, created_at, id, expires_at, revoked_at, max_uses, uses);
-- Quotas are counted in these two indexes alone, and no further than the quota.
CREATE INDEX invite_by_inviter ON invite (inviter, created_at, issuer) WHERE inviter IS NOT NULL;
CREATE INDEX pending_by_inviter ON invite
    (inviter, issuer, expires_at, created_at, id, revoked_at, max_uses, uses)
    WHERE issuer <> 'operator' AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses);
-- With the one before, so that their maker's list is read in indexes. New invites are not in here.
CREATE INDEX ended_by_inviter ON invite (inviter, COALESCE(revoked_at, last_used_at), id)
    WHERE issuer <> 'operator' AND (revoked_at IS NOT NULL OR uses >= max_uses);
-- Those that have ended in the program that they come from are looked for among these.
CREATE INDEX imported_by_host ON invite (host, id) WHERE imported_from IS NOT NULL;
-- Of what length a token can be, and which are short.
CREATE INDEX imported_by_token_length ON invite (token_length) WHERE token_length IS NOT NULL;
CREATE INDEX invite_by_username ON invite (host, username) WHERE username IS NOT NULL;
CREATE INDEX invite_by_expiry ON invite (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX invite_by_revocation ON invite (revoked_at) WHERE revoked_at IS NOT NULL;
-- So that a purge finds used-up invites without reading others.
CREATE INDEX used_up_by_last_use ON invite (last_used_at) WHERE uses >= max_uses;

-- A use of an invite: reserved while redeemed_at is null.
CREATE TABLE invite_use (
    id          TEXT PRIMARY KEY,
    invite      TEXT NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT NOT NULL,
    account     TEXT NOT NULL,
    -- The chat server whose hook made the reservation and alone knows what became of it. Empty if
    -- it is not known.
    server      TEXT NOT NULL DEFAULT '',
    reserved_at INTEGER NOT NULL,
    redeemed_at INTEGER,
    -- What could not be given to the account for good: a list of texts. Null: nothing.
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

-- The uses of which the makers of their invites are still to be told.
CREATE TABLE notice (
    invite_use   TEXT PRIMARY KEY REFERENCES invite_use (id) ON DELETE CASCADE,
    invite       TEXT NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    -- The message that tells of it: the name of one of the uses of which the message tells. Null:
    -- there is none yet.
    message      TEXT,
    -- Until when a daemon is sending it.
    leased_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX notice_by_invite ON notice (invite);

-- Who invited whom. Kept as long as the account exists, even after the invite is purged.
CREATE TABLE account (
    jid           TEXT PRIMARY KEY,
    inviter       TEXT,
    -- By which invite, and when. Null: not known, of an account of another program.
    invite        TEXT,
    registered_at INTEGER
) STRICT, WITHOUT ROWID;

-- In the order in which the accounts of an inviter came; first those of an unknown age.
CREATE INDEX account_by_inviter ON account (inviter, COALESCE(registered_at, 0), jid)
    WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);

-- The log of events: a row for each change, written in its transaction.
CREATE TABLE event (
    at      INTEGER NOT NULL,
    -- Tells apart what happened within a second, in its order. So new rows follow each other.
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

-- No index of actors or accounts: each new invite would pay for it. Who asks for one reads all.
CREATE INDEX counted_event ON event (actor, at) WHERE invite IS NULL AND account IS NULL;
CREATE INDEX untold_event ON event (at, id) WHERE untold = 1;

-- The tokens that were replaced, or whose invites have been removed: whoever still has such a link
-- is not guessing. Triggers, so that no statement can forget it.
CREATE TABLE past_token (
    token_hash BLOB PRIMARY KEY,
    -- The invite that had it, and may have a newer link.
    invite     TEXT NOT NULL,
    -- What the invite had with a token that was replaced, in case it is to have it again.
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

-- Links that nobody is given: whoever asked for one was told to try again later, before it was
-- known whether it is stored. Where it is, the invite is removed, or has its earlier link again.
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
    -- On which PostgreSQL cluster that was, and on which timeline of it. Null: not known.
    cluster  INTEGER,
    timeline INTEGER,
    -- Since when this store stands in for another, whose last invites it may lack. Null: it does
    -- not.
    took_over_at INTEGER
) STRICT;
