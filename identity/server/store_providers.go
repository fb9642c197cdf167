package server

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"time"
)

// provider is whoever registers agents.
type provider struct {
	id          string
	name, email *string
	claimed     bool
	created     time.Time
	updated     *time.Time
}

const (
	providerColumns  = "id, name, email, claimed, created_at, updated_at"
	providerBySecret = "SELECT id, secret_hash FROM providers WHERE secret_hash = ?"
)

func (s *store) addProvider(ctx context.Context, p provider, secret secretHash) error {
	_, err := s.write.ExecContext(ctx,
		"INSERT INTO providers (id, secret_hash, name, email, claimed, created_at) VALUES (?, ?, ?, ?, ?, ?)",
		p.id, secret[:], p.name, p.email, p.claimed, micros(p.created))
	return err
}

// providerOf finds the provider who has the secret: errNotFound if nobody.
func (s *store) providerOf(ctx context.Context, secret secretHash) (string, error) {
	var (
		id   string
		hash []byte
	)
	err := s.secret.QueryRowContext(ctx, secret[:]).Scan(&id, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errNotFound
	}
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare(hash, secret[:]) != 1 {
		return "", errNotFound
	}
	return id, nil
}

type row interface{ Scan(...any) error }

func scanProvider(r row) (provider, error) {
	var (
		p       provider
		created int64
		updated sql.NullInt64
	)
	err := r.Scan(&p.id, &p.name, &p.email, &p.claimed, &created, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return p, errNotFound
	}
	p.created = fromMicros(created)
	if updated.Valid {
		t := fromMicros(updated.Int64)
		p.updated = &t
	}
	return p, err
}

func (s *store) provider(ctx context.Context, id string) (provider, error) {
	return scanProvider(s.read.QueryRowContext(ctx, "SELECT "+providerColumns+" FROM providers WHERE id = ?", id))
}

// updateProvider lets edit change the provider and returns what is stored then.
func (s *store) updateProvider(ctx context.Context, id string, now time.Time, edit func(*provider)) (p provider, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		p, err = scanProvider(tx.QueryRowContext(ctx, "SELECT "+providerColumns+" FROM providers WHERE id = ?", id))
		if err != nil {
			return err
		}
		edit(&p)
		now = fromMicros(micros(now))
		p.updated = &now
		_, err = tx.ExecContext(ctx, "UPDATE providers SET name = ?, email = ?, claimed = ?, updated_at = ? WHERE id = ?",
			p.name, p.email, p.claimed, micros(now), id)
		return err
	})
	return p, err
}
