package server

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"time"
)

// pruneBatch is how many outdated proofs one insert removes at most: more than
// it adds, so the table shrinks under any load and nothing needs a timer.
const pruneBatch = 6

// useProof remembers the identifiers of a proof until expires, all or none. It
// is false if any of them was used before. The identifiers count per key: what
// one agent sends cannot burn another's.
func (s *store) useProof(ctx context.Context, thumbprint string, ids []string, now, expires time.Time) (fresh bool, err error) {
	err = within(ctx, s.proofs, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			"DELETE FROM used_proofs WHERE id IN (SELECT id FROM used_proofs WHERE expires < ? LIMIT ?)", now.Unix(), pruneBatch)
		if err != nil {
			return err
		}
		for _, id := range ids {
			hash := sha256.Sum256([]byte(thumbprint + "\x00" + id))
			r, err := tx.ExecContext(ctx, "INSERT INTO used_proofs VALUES (?, ?) ON CONFLICT DO NOTHING", hash[:16], expires.Unix())
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			if n != 1 {
				return errReplayed
			}
		}
		return nil
	})
	if errors.Is(err, errReplayed) {
		return false, nil
	}
	return err == nil, err
}

// crashFloor marks the store as in use and returns the time before which no
// proof may have been made. After a clean stop that is the zero time. After a
// crash it is now: used proofs are not synced to the disk one by one, and the
// last ones may be lost.
func (s *store) crashFloor(ctx context.Context, now time.Time) (time.Time, error) {
	_, err := s.fact(ctx, inUse)
	if err != nil && !errors.Is(err, errNotFound) {
		return time.Time{}, err
	}
	crashed := err == nil
	if err := s.setFact(ctx, inUse, []byte{1}); err != nil {
		return time.Time{}, err
	}
	if crashed {
		return now, nil
	}
	return time.Time{}, nil
}

// stoppedCleanly takes crashFloor's mark away, once no request runs any more.
func (s *store) stoppedCleanly(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, "DELETE FROM facts WHERE name = ?", inUse)
	return err
}

const inUse = "in use"

var errReplayed = errors.New("used before")
