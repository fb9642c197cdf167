-- What an agent lets those know that may talk to it; empty means that it says nothing.
-- +goose Up
ALTER TABLE agents ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN capabilities TEXT NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE agents DROP COLUMN capabilities;
ALTER TABLE agents DROP COLUMN description;
ALTER TABLE agents DROP COLUMN endpoint;
