package server

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// The states of an agent. Only an active one gets tokens or is reached.
const (
	statusActive    = "active"
	statusInactive  = "inactive"
	statusSuspended = "suspended"
)

// agent is what the registry knows about an agent, less its secret.
type agent struct {
	id, provider, name string
	publicKey          string // one line of base64 DER
	thumbprint         string // RFC 7638
	status             string
	requireProof       bool
	created, updated   time.Time
	endpoint           string // this and the next two: what others may know, empty if it says nothing
	description        string
	capabilities       string       // a JSON array
	permissions        []permission // only where a list or a single agent is shown
}

const (
	agentColumns = "id, provider_id, name, public_key, thumbprint, status, require_proof, created_at, updated_at, " +
		"endpoint, description, capabilities"
	agentByID = "SELECT " + agentColumns + ", secret_hash FROM agents WHERE id = ?"
)

var (
	errTooManyAgents = errors.New("the provider has as many agents as it may")
	errNoProvider    = errors.New("no such provider")
)

func scanAgent(r row, more ...any) (agent, error) {
	var (
		a                agent
		created, updated int64
	)
	err := r.Scan(append([]any{&a.id, &a.provider, &a.name, &a.publicKey, &a.thumbprint, &a.status,
		&a.requireProof, &created, &updated, &a.endpoint, &a.description, &a.capabilities}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return a, errNotFound
	}
	a.created, a.updated = fromMicros(created), fromMicros(updated)
	return a, err
}

// addAgent stores a new agent. The limit counts only while the provider is
// unclaimed; it is checked in the same transaction that inserts.
func (s *store) addAgent(ctx context.Context, a agent, secret secretHash, limit int) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		var (
			claimed bool
			agents  int
		)
		err := tx.QueryRowContext(ctx, `SELECT claimed, (SELECT count(*) FROM agents WHERE provider_id = providers.id)
			FROM providers WHERE id = ?`, a.provider).Scan(&claimed, &agents)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoProvider
		}
		if err != nil {
			return err
		}
		if !claimed && agents >= limit {
			return errTooManyAgents
		}
		_, err = tx.ExecContext(ctx,
			"INSERT INTO agents ("+agentColumns+", secret_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			a.id, a.provider, a.name, a.publicKey, a.thumbprint, a.status, a.requireProof,
			micros(a.created), micros(a.updated), a.endpoint, a.description, a.capabilities, secret[:])
		return err
	})
}

// agent finds an agent and the hash of its secret; permissions are not loaded.
func (s *store) agent(ctx context.Context, id string) (agent, secretHash, error) {
	var hash []byte
	a, err := scanAgent(s.lookup.QueryRowContext(ctx, id), &hash)
	var h secretHash
	copy(h[:], hash)
	return a, h, err
}

// agentsOf lists a provider's agents, oldest first, with their permissions.
func (s *store) agentsOf(ctx context.Context, provider string, skip, limit int) ([]agent, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT "+agentColumns+
		" FROM agents WHERE provider_id = ? ORDER BY created_at, id LIMIT ? OFFSET ?", provider, limit, skip)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	agents := []agent{}
	index := map[string]int{}
	for rows.Next() {
		a, err := scanAgent(rows)
		if err != nil {
			return nil, err
		}
		a.permissions = []permission{}
		index[a.id] = len(agents)
		agents = append(agents, a)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	granted, err := s.read.QueryContext(ctx, `SELECT agent_id, kind, target_id FROM permissions
		WHERE agent_id IN (SELECT id FROM agents WHERE provider_id = ? ORDER BY created_at, id LIMIT ? OFFSET ?)
		ORDER BY position`, provider, limit, skip)
	if err != nil {
		return nil, err
	}
	defer granted.Close()
	for granted.Next() {
		var (
			id string
			p  permission
		)
		if err := granted.Scan(&id, &p.Kind, &p.Target); err != nil {
			return nil, err
		}
		// An agent registered between the two queries is in neither or only here.
		if i, ok := index[id]; ok {
			agents[i].permissions = append(agents[i].permissions, p)
		}
	}
	return agents, granted.Err()
}

// updateAgent lets edit change an agent and returns what is stored then. An
// error of edit's is returned as it is and nothing is stored.
func (s *store) updateAgent(ctx context.Context, id string, now time.Time, edit func(*agent) error) (a agent, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		a, err = scanAgent(tx.QueryRowContext(ctx, "SELECT "+agentColumns+" FROM agents WHERE id = ?", id))
		if err != nil {
			return err
		}
		if err := edit(&a); err != nil {
			return err
		}
		a.updated = fromMicros(micros(now))
		_, err = tx.ExecContext(ctx, `UPDATE agents SET name = ?, status = ?, require_proof = ?, updated_at = ?,
			endpoint = ?, description = ?, capabilities = ? WHERE id = ?`,
			a.name, a.status, a.requireProof, micros(now), a.endpoint, a.description, a.capabilities, id)
		if err != nil {
			return err
		}
		a.permissions, err = permissionsIn(ctx, tx, id)
		return err
	})
	return a, err
}

// deleteAgent removes an agent, what it granted and what others granted to it.
// owner, unless empty, must be its provider: errNotOwner if it is not.
func (s *store) deleteAgent(ctx context.Context, id, owner string) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		if err := ownedIn(ctx, tx, id, owner); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM permissions WHERE target_id = ?", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM agents WHERE id = ?", id)
		return err
	})
}
