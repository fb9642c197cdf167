package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The kinds of permission: to one agent, or to every agent of a provider.
const (
	allowAgent    = "allow_agent"
	allowProvider = "allow_provider"
)

// permission is one entry of an agent's list, as the API shows it.
type permission struct {
	Kind   string `json:"type"`
	Target string `json:"target_id"`
}

var (
	errNotOwner           = errors.New("not the owner")
	errTooManyPermissions = errors.New("too many permissions")
)

// unknownTarget is the error of granting to somebody who does not exist.
type unknownTarget struct{ permission }

func (e unknownTarget) Error() string {
	return fmt.Sprintf("permission target %s does not exist", e.Target)
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func permissionsIn(ctx context.Context, q querier, agent string) ([]permission, error) {
	rows, err := q.QueryContext(ctx, "SELECT kind, target_id FROM permissions WHERE agent_id = ? ORDER BY position", agent)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []permission{}
	for rows.Next() {
		var p permission
		if err := rows.Scan(&p.Kind, &p.Target); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

func (s *store) permissions(ctx context.Context, agent string) ([]permission, error) {
	return permissionsIn(ctx, s.read, agent)
}

// ownedIn fails if there is no such agent or its provider is not owner; an empty
// owner is everybody's.
func ownedIn(ctx context.Context, tx *sql.Tx, agent, owner string) error {
	var provider string
	err := tx.QueryRowContext(ctx, "SELECT provider_id FROM agents WHERE id = ?", agent).Scan(&provider)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errNotFound
	case err != nil:
		return err
	case owner != "" && owner != provider:
		return errNotOwner
	}
	return nil
}

// grants is one change of an agent's permissions: all are removed if replace is
// set, else those in remove; then those in add are added.
type grants struct {
	agent       string
	replace     bool
	add, remove []permission
	max         int
	now         time.Time
}

// changePermissions makes the change and returns the list as stored, all in one
// transaction: two changes at once cannot lose each other's entries.
func (s *store) changePermissions(ctx context.Context, g grants) (list []permission, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		if err := ownedIn(ctx, tx, g.agent, ""); err != nil {
			return err
		}
		if err := removeIn(ctx, tx, g); err != nil {
			return err
		}
		for _, p := range g.add {
			if err := grantIn(ctx, tx, g.agent, p); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE agents SET updated_at = ? WHERE id = ?", micros(g.now), g.agent); err != nil {
			return err
		}
		if list, err = permissionsIn(ctx, tx, g.agent); err != nil {
			return err
		}
		if len(list) > g.max {
			return errTooManyPermissions
		}
		return nil
	})
	return list, err
}

func removeIn(ctx context.Context, tx *sql.Tx, g grants) error {
	if g.replace {
		_, err := tx.ExecContext(ctx, "DELETE FROM permissions WHERE agent_id = ?", g.agent)
		return err
	}
	for _, p := range g.remove {
		_, err := tx.ExecContext(ctx, "DELETE FROM permissions WHERE agent_id = ? AND kind = ? AND target_id = ?",
			g.agent, p.Kind, p.Target)
		if err != nil {
			return err
		}
	}
	return nil
}

func grantIn(ctx context.Context, tx *sql.Tx, agent string, p permission) error {
	exists := "SELECT 1 FROM agents WHERE id = ?"
	if p.Kind == allowProvider {
		exists = "SELECT 1 FROM providers WHERE id = ?"
	}
	var one int
	err := tx.QueryRowContext(ctx, exists, p.Target).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return unknownTarget{p}
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx,
		"INSERT INTO permissions (agent_id, kind, target_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		agent, p.Kind, p.Target)
	return err
}

// relation is what stands between two agents at one moment.
type relation struct {
	allowed                 bool   // both active, and each allows the other
	requesterKey, targetKey string // one line of base64 DER; empty if there is no such agent
	targetThumbprint        string
}

// The columns are worked out whether or not the target exists, so that the time
// it takes does not tell a stranger which of the two it was.
const relationOf = `
WITH r AS (SELECT ?1 AS id, max(provider_id) AS provider, max(status) AS status, max(public_key) AS key FROM agents WHERE id = ?1),
     t AS (SELECT ?2 AS id, max(provider_id) AS provider, max(status) AS status, max(public_key) AS key, max(thumbprint) AS jkt FROM agents WHERE id = ?2)
SELECT coalesce(r.status, '') = 'active', coalesce(t.status, '') = 'active',
       EXISTS (SELECT 1 FROM permissions WHERE agent_id = r.id AND kind = 'allow_agent' AND target_id = t.id),
       EXISTS (SELECT 1 FROM permissions WHERE agent_id = r.id AND kind = 'allow_provider' AND target_id = coalesce(t.provider, '')),
       EXISTS (SELECT 1 FROM permissions WHERE agent_id = t.id AND kind = 'allow_agent' AND target_id = r.id),
       EXISTS (SELECT 1 FROM permissions WHERE agent_id = t.id AND kind = 'allow_provider' AND target_id = coalesce(r.provider, '')),
       coalesce(r.key, ''), coalesce(t.key, ''), coalesce(t.jkt, '')
FROM r, t`

func (s *store) relation(ctx context.Context, requester, target string) (relation, error) {
	var (
		r                            relation
		rActive, tActive             bool
		rAgent, rProv, tAgent, tProv bool
	)
	err := s.between.QueryRowContext(ctx, requester, target).Scan(&rActive, &tActive,
		&rAgent, &rProv, &tAgent, &tProv, &r.requesterKey, &r.targetKey, &r.targetThumbprint)
	r.allowed = rActive && tActive && (rAgent || rProv) && (tAgent || tProv)
	return r, err
}
