PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE account (
    jid           TEXT PRIMARY KEY,
    inviter       TEXT,
    invite        TEXT NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "account" VALUES('dave@example.org','alice@example.org','redeemed2222',1700000100);
INSERT INTO "account" VALUES('erin@example.net',NULL,'many22222222',1700000200);
INSERT INTO "account" VALUES('judy@example.org','alice@example.org','purged222222',1600000000);
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
    taken        INTEGER NOT NULL DEFAULT 0,
    uses         INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "invite" VALUES('contact22222',X'0303030303030303030303030303030303030303030303030303030303030303','contact','example.org',NULL,'alice@example.org','user','[]','[]',NULL,NULL,2,1,1700000000,NULL,NULL,1700000300);
INSERT INTO "invite" VALUES('expired22222',X'0808080808080808080808080808080808080808080808080808080808080808','account','example.org',NULL,'alice@example.org','user','[]','[]',NULL,1,0,0,1700000000,1700000001,NULL,NULL);
INSERT INTO "invite" VALUES('many22222222',X'0606060606060606060606060606060606060606060606060606060606060606','account','example.net',NULL,NULL,'operator','[]','[]',NULL,3,2,1,1700000000,NULL,NULL,1700000200);
INSERT INTO "invite" VALUES('pending22222',X'0101010101010101010101010101010101010101010101010101010101010101','account-and-contact','example.org',NULL,'alice@example.org','user','["prosody:member"]','["family","friends"]','für Zoë''s 🎉',1,0,0,1700000000,4000000000,NULL,NULL);
INSERT INTO "invite" VALUES('pinned222222',X'0202020202020202020202020202020202020202020202020202020202020202','account','example.org','carol','admin@example.org','admin','[]','[]',NULL,1,0,0,1700000000,4000000000,NULL,NULL);
INSERT INTO "invite" VALUES('redeemed2222',X'0505050505050505050505050505050505050505050505050505050505050505','account-and-contact','example.org',NULL,'alice@example.org','user','[]','[]',NULL,1,1,1,1700000000,1700604800,NULL,1700000100);
INSERT INTO "invite" VALUES('reset2222222',X'0404040404040404040404040404040404040404040404040404040404040404','password-reset','example.org','bob','admin@example.org','admin','[]','[]',NULL,1,0,0,1700000000,1700086400,NULL,NULL);
INSERT INTO "invite" VALUES('revoked22222',X'0707070707070707070707070707070707070707070707070707070707070707','account','example.org',NULL,'alice@example.org','user','[]','[]',NULL,1,1,0,1700000000,NULL,1700000400,NULL);
INSERT INTO "invite" VALUES('unlimited222',X'0909090909090909090909090909090909090909090909090909090909090909','account','example.org',NULL,NULL,'operator','[]','[]',NULL,NULL,0,0,1700000000,NULL,NULL,NULL);
CREATE TABLE invite_use (
    id          TEXT PRIMARY KEY,
    invite      TEXT NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
    purpose     TEXT NOT NULL,
    account     TEXT NOT NULL,
    reserved_at INTEGER NOT NULL,
    redeemed_at INTEGER
, server TEXT NOT NULL DEFAULT '', copied INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "invite_use" VALUES('use-1','redeemed2222','register','dave@example.org',1700000099,1700000100,'0b0f0c4e-6a5e-4d0c-9a0e-3f1f2f0c7a11',0);
INSERT INTO "invite_use" VALUES('use-2','many22222222','register','erin@example.net',1700000199,1700000200,'0b0f0c4e-6a5e-4d0c-9a0e-3f1f2f0c7a11',0);
INSERT INTO "invite_use" VALUES('use-3','many22222222','register','frank@example.net',1700000201,NULL,'',0);
INSERT INTO "invite_use" VALUES('use-4','contact22222','contact','grace@elsewhere.example',1700000299,1700000300,'0b0f0c4e-6a5e-4d0c-9a0e-3f1f2f0c7a11',0);
INSERT INTO "invite_use" VALUES('use-5','contact22222','contact','heidi@elsewhere.example',1700000301,NULL,'',0);
INSERT INTO "invite_use" VALUES('use-6','revoked22222','register','ivan@example.org',1700000302,NULL,'',0);
CREATE INDEX invite_by_host ON invite (host, created_at);
CREATE INDEX invite_by_username ON invite (host, username) WHERE username IS NOT NULL;
CREATE INDEX invite_by_expiry ON invite (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX invite_by_revocation ON invite (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX invite_use_by_invite ON invite_use (invite, account);
CREATE INDEX reserved_by_account ON invite_use (account) WHERE redeemed_at IS NULL;
CREATE INDEX reserved_by_invite ON invite_use (invite) WHERE redeemed_at IS NULL;
CREATE INDEX account_by_inviter ON account (inviter) WHERE inviter IS NOT NULL;
CREATE INDEX account_by_invite ON account (invite);
CREATE INDEX invite_by_inviter ON invite (inviter, created_at, issuer) WHERE inviter IS NOT NULL;
CREATE INDEX pending_by_inviter ON invite (inviter, expires_at, issuer, revoked_at, max_uses, uses)
    WHERE issuer = 'user' AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses);
CREATE INDEX used_up_by_last_use ON invite (last_used_at) WHERE uses >= max_uses;
COMMIT;
PRAGMA application_id=1701408374;
PRAGMA user_version=4;
