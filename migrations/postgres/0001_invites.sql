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
    -- Since when the accounts to which it belongs were there when it was made, if that was known.
    owners_since BIGINT,
    -- How many links it has had. A session that presented an older one may not reserve.
    links        BIGINT NOT NULL DEFAULT 1,
    regenerated_at BIGINT,
    -- In which language it was made, and its inviter's nickname. Null: not known.
    language     TEXT COLLATE "C",
    inviter_name TEXT COLLATE "C",
    -- The program that made it. Null: this one.
    imported_from TEXT COLLATE "C",
    -- How many characters its token has, if another program made that. Null: it is one of ours.
    token_length BIGINT,
    -- When its maker was last told of its uses. Kept only for invites for many.
    told_at      BIGINT
);

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
    id          TEXT COLLATE "C" PRIMARY KEY,
    invite      TEXT COLLATE "C" NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    -- The chat server whose hook made the reservation and alone knows what became of it. Empty if
    -- it is not known.
    server      TEXT COLLATE "C" NOT NULL DEFAULT '',
    reserved_at BIGINT NOT NULL,
    redeemed_at BIGINT,
    -- What could not be given to the account for good: a list of texts. Null: nothing.
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

-- The uses of which the makers of their invites are still to be told.
CREATE TABLE notice (
    invite_use   TEXT COLLATE "C" PRIMARY KEY REFERENCES invite_use (id) ON DELETE CASCADE,
    invite       TEXT COLLATE "C" NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    -- The message that tells of it: the name of one of the uses of which the message tells. Null:
    -- there is none yet.
    message      TEXT COLLATE "C",
    -- Until when a daemon is sending it.
    leased_until BIGINT
);

CREATE INDEX notice_by_invite ON notice (invite);

-- Who invited whom. Kept as long as the account exists, even after the invite is purged.
CREATE TABLE account (
    jid           TEXT COLLATE "C" PRIMARY KEY,
    inviter       TEXT COLLATE "C",
    -- By which invite, and when. Null: not known, of an account of another program.
    invite        TEXT COLLATE "C",
    registered_at BIGINT
);

-- In the order in which the accounts of an inviter came; first those of an unknown age.
CREATE INDEX account_by_inviter ON account (inviter, COALESCE(registered_at, 0), jid)
    WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);

-- The log of events: a row for each change, written in its transaction.
CREATE TABLE event (
    at      BIGINT NOT NULL,
    -- Tells apart what happened within a second, in its order. So new rows follow each other.
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

-- No index of actors or accounts: each new invite would pay for it. Who asks for one reads all.
CREATE INDEX counted_event ON event (actor, at) WHERE invite IS NULL AND account IS NULL;
CREATE INDEX untold_event ON event (at, id) WHERE untold = 1;

-- The tokens that were replaced, or whose invites have been removed: whoever still has such a link
-- is not guessing. Triggers, so that no statement can forget it.
CREATE TABLE past_token (
    token_hash BYTEA PRIMARY KEY,
    -- The invite that had it, and may have a newer link.
    invite     TEXT COLLATE "C" NOT NULL,
    -- What the invite had with a token that was replaced, in case it is to have it again.
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

-- Links that nobody is given: whoever asked for one was told to try again later, before it was
-- known whether it is stored. Where it is, the invite is removed, or has its earlier link again.
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
    -- On which PostgreSQL cluster that was, and on which timeline of it. Null: not known.
    cluster  BIGINT,
    timeline BIGINT,
    -- Since when this store stands in for another, whose last invites it may lack. Null: it does
    -- not.
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
