-- A store of the third schema, with invites of all types and states.

CREATE TABLE public.account (
    jid text NOT NULL COLLATE pg_catalog."C",
    inviter text COLLATE pg_catalog."C",
    invite text NOT NULL COLLATE pg_catalog."C",
    registered_at bigint NOT NULL
);

CREATE TABLE public.easy_invite_schema (
    version bigint NOT NULL
);

CREATE TABLE public.invite (
    id text NOT NULL COLLATE pg_catalog."C",
    token_hash bytea NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    host text NOT NULL COLLATE pg_catalog."C",
    username text COLLATE pg_catalog."C",
    inviter text COLLATE pg_catalog."C",
    issuer text NOT NULL COLLATE pg_catalog."C",
    roles text NOT NULL COLLATE pg_catalog."C",
    groups text NOT NULL COLLATE pg_catalog."C",
    note text COLLATE pg_catalog."C",
    max_uses bigint,
    taken bigint DEFAULT 0 NOT NULL,
    uses bigint DEFAULT 0 NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint
);

CREATE TABLE public.invite_use (
    id text NOT NULL COLLATE pg_catalog."C",
    invite text NOT NULL COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    server text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    reserved_at bigint NOT NULL,
    redeemed_at bigint,
    copied bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.last_commit (
    writer bytea NOT NULL,
    number bigint NOT NULL,
    at bigint NOT NULL
)
WITH (fillfactor='50');

INSERT INTO public.account VALUES ('dave@example.org', 'alice@example.org', 'redeemed2222', 1700000100);
INSERT INTO public.account VALUES ('erin@example.net', NULL, 'many22222222', 1700000200);
INSERT INTO public.account VALUES ('judy@example.org', 'alice@example.org', 'purged222222', 1600000000);

INSERT INTO public.easy_invite_schema VALUES (3);

INSERT INTO public.invite VALUES ('pending22222', '\x0101010101010101010101010101010101010101010101010101010101010101', 'account-and-contact', 'example.org', NULL, 'alice@example.org', 'user', '["prosody:member"]', '["family","friends"]', 'für Zoë''s 🎉', 1, 0, 0, 1700000000, 4000000000, NULL, NULL);
INSERT INTO public.invite VALUES ('pinned222222', '\x0202020202020202020202020202020202020202020202020202020202020202', 'account', 'example.org', 'carol', 'admin@example.org', 'admin', '[]', '[]', NULL, 1, 0, 0, 1700000000, 4000000000, NULL, NULL);
INSERT INTO public.invite VALUES ('contact22222', '\x0303030303030303030303030303030303030303030303030303030303030303', 'contact', 'example.org', NULL, 'alice@example.org', 'user', '[]', '[]', NULL, NULL, 2, 1, 1700000000, NULL, NULL, 1700000300);
INSERT INTO public.invite VALUES ('reset2222222', '\x0404040404040404040404040404040404040404040404040404040404040404', 'password-reset', 'example.org', 'bob', 'admin@example.org', 'admin', '[]', '[]', NULL, 1, 0, 0, 1700000000, 1700086400, NULL, NULL);
INSERT INTO public.invite VALUES ('redeemed2222', '\x0505050505050505050505050505050505050505050505050505050505050505', 'account-and-contact', 'example.org', NULL, 'alice@example.org', 'user', '[]', '[]', NULL, 1, 1, 1, 1700000000, 1700604800, NULL, 1700000100);
INSERT INTO public.invite VALUES ('many22222222', '\x0606060606060606060606060606060606060606060606060606060606060606', 'account', 'example.net', NULL, NULL, 'operator', '[]', '[]', NULL, 3, 2, 1, 1700000000, NULL, NULL, 1700000200);
INSERT INTO public.invite VALUES ('revoked22222', '\x0707070707070707070707070707070707070707070707070707070707070707', 'account', 'example.org', NULL, 'alice@example.org', 'user', '[]', '[]', NULL, 1, 1, 0, 1700000000, NULL, 1700000400, NULL);
INSERT INTO public.invite VALUES ('expired22222', '\x0808080808080808080808080808080808080808080808080808080808080808', 'account', 'example.org', NULL, 'alice@example.org', 'user', '[]', '[]', NULL, 1, 0, 0, 1700000000, 1700000001, NULL, NULL);
INSERT INTO public.invite VALUES ('unlimited222', '\x0909090909090909090909090909090909090909090909090909090909090909', 'account', 'example.org', NULL, NULL, 'operator', '[]', '[]', NULL, NULL, 0, 0, 1700000000, NULL, NULL, NULL);

INSERT INTO public.invite_use VALUES ('use-1', 'redeemed2222', 'register', 'dave@example.org', '', 1700000099, 1700000100, 0);
INSERT INTO public.invite_use VALUES ('use-2', 'many22222222', 'register', 'erin@example.net', '', 1700000199, 1700000200, 0);
INSERT INTO public.invite_use VALUES ('use-3', 'many22222222', 'register', 'frank@example.net', '', 1700000201, NULL, 0);
INSERT INTO public.invite_use VALUES ('use-4', 'contact22222', 'contact', 'grace@elsewhere.example', '', 1700000299, 1700000300, 0);
INSERT INTO public.invite_use VALUES ('use-5', 'contact22222', 'contact', 'heidi@elsewhere.example', '', 1700000301, NULL, 0);
INSERT INTO public.invite_use VALUES ('use-6', 'revoked22222', 'register', 'ivan@example.org', '', 1700000302, NULL, 0);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (jid);

ALTER TABLE ONLY public.invite
    ADD CONSTRAINT invite_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.invite
    ADD CONSTRAINT invite_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY public.invite_use
    ADD CONSTRAINT invite_use_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.last_commit
    ADD CONSTRAINT last_commit_pkey PRIMARY KEY (writer);

CREATE INDEX account_by_invite ON public.account USING btree (invite);

CREATE INDEX account_by_inviter ON public.account USING btree (inviter) WHERE (inviter IS NOT NULL);

CREATE INDEX invite_by_expiry ON public.invite USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX invite_by_host ON public.invite USING btree (host, created_at);

CREATE INDEX invite_by_inviter ON public.invite USING btree (inviter, created_at, issuer) WHERE (inviter IS NOT NULL);

CREATE INDEX invite_by_revocation ON public.invite USING btree (revoked_at) WHERE (revoked_at IS NOT NULL);

CREATE INDEX invite_by_username ON public.invite USING btree (host, username) WHERE (username IS NOT NULL);

CREATE INDEX invite_use_by_invite ON public.invite_use USING btree (invite, account);

CREATE INDEX pending_by_inviter ON public.invite USING btree (inviter, expires_at, issuer, revoked_at, max_uses, uses) WHERE ((issuer = 'user'::text) AND (revoked_at IS NULL) AND ((max_uses IS NULL) OR (uses < max_uses)));

CREATE INDEX used_up_by_last_use ON public.invite USING btree (last_used_at) WHERE (uses >= max_uses);

CREATE INDEX reserved_by_account ON public.invite_use USING btree (account) WHERE (redeemed_at IS NULL);

CREATE INDEX reserved_by_invite ON public.invite_use USING btree (invite) WHERE (redeemed_at IS NULL);

ALTER TABLE ONLY public.invite_use
    ADD CONSTRAINT invite_use_invite_fkey FOREIGN KEY (invite) REFERENCES public.invite(id) ON DELETE CASCADE;

