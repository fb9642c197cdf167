package server

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// errNotFound says that no row has the id asked for.
var errNotFound = errors.New("not found")

// store is the embedded database. It is safe for concurrent use.
//
// A file is opened by three pools: readers never wait; admin writes are synced
// to the disk before they are answered, so that a permission taken away stays
// taken away after a power cut; used proofs are not, at a thousandth of the
// cost (see crashFloor for what makes up for it). In memory there is one
// connection for all three, so nothing may read through the store while it
// holds a transaction.
type store struct {
	read, write, proofs *sql.DB

	anchor  *sql.Conn // keeps a database in memory alive
	lookup  *sql.Stmt // agent by id
	between *sql.Stmt // permission between two agents
	secret  *sql.Stmt // provider by secret
}

const pragmas = "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=trusted_schema(0)"

func openStore(ctx context.Context, dir string) (*store, error) {
	s := &store{}
	err := s.open(ctx, dir)
	if err == nil {
		err = s.migrate(ctx)
	}
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		_ = s.close()
		return nil, failed(ErrStore, "open the store", err)
	}
	return s, nil
}

func (s *store) open(ctx context.Context, dir string) error {
	if dir == "" {
		return s.openMemory(ctx)
	}
	path, err := filepath.Abs(filepath.Join(dir, "registry.db"))
	if err != nil {
		return err
	}
	// SQLite gives its journal files the mode of the database: make that first.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	dsn := func(more string) string {
		u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: pragmas + more}
		return u.String()
	}
	const writing = "&_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous"
	if s.write, err = pool(dsn(writing+"(FULL)"), 1); err != nil {
		return err
	}
	if s.proofs, err = pool(dsn(writing+"(NORMAL)"), 1); err != nil {
		return err
	}
	s.read, err = pool(dsn("&_pragma=query_only(1)"), max(4, 2*runtime.GOMAXPROCS(0)))
	return err
}

func (s *store) openMemory(ctx context.Context) error {
	db, err := pool("file:/"+uuid.NewString()+"?vfs=memdb&_txlock=immediate&"+pragmas, 2)
	if err != nil {
		return err
	}
	s.read, s.write, s.proofs = db, db, db
	if s.anchor, err = db.Conn(ctx); err != nil {
		return err
	}
	// The anchor takes one of the two connections for good; it does not lock.
	return s.anchor.PingContext(ctx)
}

func pool(dsn string, size int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

func (s *store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (s *store) prepare(ctx context.Context) (err error) {
	for _, q := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.lookup, agentByID}, {&s.between, relationOf}, {&s.secret, providerBySecret},
	} {
		if *q.stmt, err = s.read.PrepareContext(ctx, q.text); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.lookup, s.between, s.secret} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if s.anchor != nil {
		errs = append(errs, s.anchor.Close())
	}
	for _, db := range []*sql.DB{s.read, s.proofs, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return failed(ErrStore, "close the store", err)
	}
	return nil
}

func (s *store) ping(ctx context.Context) error {
	var n int
	return s.read.QueryRowContext(ctx, "SELECT count(*) FROM facts").Scan(&n)
}

// change runs f in one durable transaction; f must use the transaction only.
func (s *store) change(ctx context.Context, f func(*sql.Tx) error) error {
	return within(ctx, s.write, f)
}

func within(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (s *store) fact(ctx context.Context, name string) ([]byte, error) {
	var v []byte
	err := s.read.QueryRowContext(ctx, "SELECT value FROM facts WHERE name = ?", name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNotFound
	}
	return v, err
}

func (s *store) setFact(ctx context.Context, name string, value []byte) error {
	_, err := s.write.ExecContext(ctx,
		"INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// temporary reports whether a database error may go away by itself: a full
// disk, a lock that lasts, a connection given up because time ran out.
func temporary(err error) bool {
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
			sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM:
			return true
		}
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Times are kept as microseconds: that is what the API shows.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
