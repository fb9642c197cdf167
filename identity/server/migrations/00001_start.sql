-- +goose Up
CREATE TABLE providers (
    id          TEXT PRIMARY KEY,
    secret_hash BLOB NOT NULL UNIQUE,
    name        TEXT,
    email       TEXT,
    claimed     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER
) WITHOUT ROWID;

CREATE TABLE agents (
    id            TEXT PRIMARY KEY,
    provider_id   TEXT NOT NULL REFERENCES providers (id),
    secret_hash   BLOB NOT NULL,
    name          TEXT NOT NULL,
    public_key    TEXT NOT NULL,
    thumbprint    TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'suspended')),
    require_proof INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX agents_by_provider ON agents (provider_id, created_at, id);

-- The position keeps the order in which an owner granted.
CREATE TABLE permissions (
    position  INTEGER PRIMARY KEY,
    agent_id  TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    kind      TEXT NOT NULL CHECK (kind IN ('allow_agent', 'allow_provider')),
    target_id TEXT NOT NULL,
    UNIQUE (agent_id, kind, target_id)
);
CREATE INDEX permissions_by_target ON permissions (target_id);

-- Identifiers of proofs already used, hashed, until the proofs are too old anyway.
CREATE TABLE used_proofs (
    id      BLOB PRIMARY KEY,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX used_proofs_by_expiry ON used_proofs (expires);

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE facts;
DROP TABLE used_proofs;
DROP TABLE permissions;
DROP TABLE agents;
DROP TABLE providers;
