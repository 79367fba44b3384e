-- What a quota counts is read from an index alone, and no further than it counts.
DROP INDEX invite_by_inviter;
CREATE INDEX invite_by_inviter ON invite (inviter, created_at, issuer) WHERE inviter IS NOT NULL;
CREATE INDEX pending_by_inviter ON invite (inviter, expires_at, issuer, revoked_at, max_uses, uses)
    WHERE issuer = 'user' AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses);

-- What is purged for having been used is used up: others, which may have been used long ago as well, are not read.
DROP INDEX invite_by_last_use;
CREATE INDEX used_up_by_last_use ON invite (last_used_at) WHERE uses >= max_uses;
