-- The same tables as in SQLite. Times are whole seconds since 1970, UTC. JIDs are bare. Lists are
-- JSON arrays. The collation "C" sorts as SQLite does, and is the fastest.

-- How many of these files the database has seen.
CREATE TABLE easy_invite_schema (version BIGINT NOT NULL);
INSERT INTO easy_invite_schema VALUES (1);

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
    -- Uses that are reserved or redeemed. The statement that takes a use compares it with max_uses.
    taken        BIGINT NOT NULL DEFAULT 0,
    uses         BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT,
    -- When the accounts to which it belongs were made. Null: that was not known.
    owners_since BIGINT,
    -- How many links it has had. A session that presented an older link cannot reserve a use.
    links        BIGINT NOT NULL DEFAULT 1,
    regenerated_at BIGINT,
    -- The language in which it was made, and its inviter's nickname. Null: not known.
    language     TEXT COLLATE "C",
    inviter_name TEXT COLLATE "C",
    -- The program that made it. Null: this one.
    imported_from TEXT COLLATE "C",
    -- How many characters its token has, if another program made that. Null: it is one of ours.
    token_length BIGINT,
    -- When its inviter was last told of its uses. Kept only for invites for many.
    told_at      BIGINT
);

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
    id          TEXT COLLATE "C" PRIMARY KEY,
    invite      TEXT COLLATE "C" NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    -- The id of the chat server whose hook made the reservation and alone knows what became of it.
    -- Empty: not known.
    server      TEXT COLLATE "C" NOT NULL DEFAULT '',
    reserved_at BIGINT NOT NULL,
    redeemed_at BIGINT,
    -- What the account did not get and will not get: a list of texts. Null: nothing.
    failed      TEXT COLLATE "C",
    -- 1: copied from another store. If that store is copied again and the use has been released
    -- there, it is released here too.
    copied      BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX invite_use_by_invite ON invite_use (invite, account);
-- Small indexes: few uses are reserved at a time, however many are redeemed.
CREATE INDEX reserved_by_account ON invite_use (account) WHERE redeemed_at IS NULL;
CREATE INDEX reserved_by_invite ON invite_use (invite) WHERE redeemed_at IS NULL;
CREATE INDEX failed_by_redemption ON invite_use (redeemed_at) WHERE failed IS NOT NULL;

-- The uses that inviters are still to be told of.
CREATE TABLE notice (
    invite_use   TEXT COLLATE "C" PRIMARY KEY REFERENCES invite_use (id) ON DELETE CASCADE,
    invite       TEXT COLLATE "C" NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    -- The name of the message that tells of it, which is the id of one of the uses in the message.
    -- Null: there is no message yet.
    message      TEXT COLLATE "C",
    -- Until when a daemon is sending it.
    leased_until BIGINT
);

CREATE INDEX notice_by_invite ON notice (invite);

-- Who invited whom. Kept as long as the account exists, even after the invite is purged.
CREATE TABLE account (
    jid           TEXT COLLATE "C" PRIMARY KEY,
    inviter       TEXT COLLATE "C",
    -- By which invite it came, and when. Null: not known, since another program made the account.
    invite        TEXT COLLATE "C",
    registered_at BIGINT
);

-- The accounts of an inviter in the order in which they came; first those of an unknown age.
CREATE INDEX account_by_inviter ON account (inviter, COALESCE(registered_at, 0), jid)
    WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);

-- The log of events: a row for each change, written in its transaction.
CREATE TABLE event (
    at      BIGINT NOT NULL,
    -- Tells events of the same second apart, and keeps their order, so new rows come at the end.
    id      BIGINT NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    host    TEXT COLLATE "C",
    invite  TEXT COLLATE "C",
    account TEXT COLLATE "C",
    detail  TEXT COLLATE "C",
    count   BIGINT NOT NULL,
    -- 1: a daemon has yet to write it to its log.
    untold  BIGINT,
    PRIMARY KEY (at, id)
);

-- No index of actors or accounts, since it would slow down each new invite. A search for an actor
-- or an account reads all events.
CREATE INDEX counted_event ON event (actor, at) WHERE invite IS NULL AND account IS NULL;
CREATE INDEX untold_event ON event (at, id) WHERE untold = 1;

-- The tokens that were replaced, or whose invites have been removed. Somebody who still has such a
-- link is not guessing. Triggers write this table, so that no statement can forget to.
CREATE TABLE past_token (
    token_hash BYTEA PRIMARY KEY,
    -- The invite that had it, and may have a newer link.
    invite     TEXT COLLATE "C" NOT NULL,
    -- The values of the invite with a token that was replaced, in case it gets that token back.
    links          BIGINT,
    token_length   BIGINT,
    regenerated_at BIGINT
);

CREATE INDEX replaced_token ON past_token (invite, links) WHERE links IS NOT NULL;

CREATE FUNCTION keep_removed_token() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO past_token (token_hash, invite) VALUES (OLD.token_hash, OLD.id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION keep_replaced_token() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO past_token VALUES (OLD.token_hash, OLD.id, OLD.links, OLD.token_length, OLD.regenerated_at)
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER invite_removed AFTER DELETE ON invite FOR EACH ROW EXECUTE FUNCTION keep_removed_token();
CREATE TRIGGER token_replaced AFTER UPDATE OF token_hash ON invite FOR EACH ROW
    WHEN (OLD.token_hash <> NEW.token_hash) EXECUTE FUNCTION keep_replaced_token();

-- Links that nobody was given: the user who asked for one was told to try again later before it was
-- known whether the link is stored. If it is, the invite is removed, or gets its earlier link back.
CREATE TABLE withdrawn_link (
    token_hash BYTEA PRIMARY KEY,
    noted_at   BIGINT NOT NULL
);

-- When a daemon was last seen at work: at most one row. Only its `took_over_at` is copied to
-- another store, where no daemon has been seen yet.
CREATE TABLE last_seen (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    -- Null: none has been seen since the store was filled from another one.
    at     BIGINT,
    -- What the clock showed after its last jump (null as `at` is), and before it (null: not known).
    since  BIGINT,
    before BIGINT,
    -- The PostgreSQL cluster of the store then, and its timeline. Null: not known.
    cluster  BIGINT,
    timeline BIGINT,
    -- When this store took the place of another, whose last invites it may lack. Null: it did not.
    took_over_at BIGINT
) WITH (fillfactor = 50); -- A daemon writes it every few seconds: its new version fits beside it.

-- The last commit of each writer, written in the same transaction. If the connection is lost during
-- a commit, this row tells whether the commit happened. A writer is a random name that one
-- transaction at a time uses. This table is not copied to another store.
CREATE TABLE last_commit (
    writer BYTEA PRIMARY KEY,
    number BIGINT NOT NULL,
    at     BIGINT NOT NULL
) WITH (fillfactor = 50); -- Each transaction changes a row: its new version fits on the same page.
