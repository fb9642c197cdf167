package server

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRestartKeepsDataAndKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(t *testing.T) *rig {
		return newRig(t, func(o *Options) { o.Dir, o.SigningKey = dir, nil })
	}
	var (
		a, b  testAgent
		token string
		keys  []byte
		proof string
	)
	t.Run("before", func(t *testing.T) {
		r := open(t)
		a, b = r.pair()
		proof = r.proof(a.key, "/tokens/create")
		token = r.create(a, b.id, useProofOf(proof)).want(200).text("token")
		keys = r.call("GET", "/.well-known/jwks.json", nil).want(200).body
	})
	t.Run("after", func(t *testing.T) {
		r := open(t)
		r.verify(token, "target-agent-id", b.id).want(200)
		if now := r.call("GET", "/.well-known/jwks.json", nil).want(200).body; !bytes.Equal(now, keys) {
			t.Errorf("key set %s, was %s", now, keys)
		}
		r.create(a, b.id, useProofOf(proof)).want(400) // still a replay
		r.create(a, b.id).want(200)
		r.call("GET", "/agents/"+a.id, nil, a.owner.auth()...).want(200)
	})
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	r := newRig(t, func(o *Options) { o.Dir, o.SigningKey = dir, nil })
	r.pair()
	if m := mode(t, dir); m != 0o700 {
		t.Errorf("directory has mode %o", m)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		seen[f.Name()] = true
		if m := mode(t, filepath.Join(dir, f.Name())); m != 0o600 {
			t.Errorf("%s has mode %o", f.Name(), m)
		}
	}
	for _, name := range []string{"registry.db", "registry.db-wal", signingKeyFile, secretsKeyFile} {
		if !seen[name] {
			t.Errorf("no %s: the test looks at the wrong files", name)
		}
	}
}

func TestAnsweredChangesAreOnTheDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Dir = t.TempDir() })
	for name, c := range map[string]struct {
		db   *sql.DB
		want int
	}{"changes": {r.s.store.write, 2}, "used proofs": {r.s.store.proofs, 1}} {
		var (
			sync    int
			journal string
		)
		if err := c.db.QueryRow("PRAGMA synchronous").Scan(&sync); err != nil || sync != c.want {
			t.Errorf("%s: synchronous is %d, want %d (%v)", name, sync, c.want, err)
		}
		if err := c.db.QueryRow("PRAGMA journal_mode").Scan(&journal); err != nil || journal != "wal" {
			t.Errorf("%s: journal mode %q (%v)", name, journal, err)
		}
	}
}

func TestSecretsAreNotInTheDatabase(t *testing.T) { // D22
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, func(o *Options) { o.Dir = dir })
	a, _ := r.pair()
	var all []byte
	for _, name := range []string{"registry.db", "registry.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	if !bytes.Contains(all, []byte(a.id)) {
		t.Fatal("the agent is not there: the test looks at the wrong files")
	}
	key, err := os.ReadFile(filepath.Join(dir, secretsKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"agent's secret": []byte(a.secret), "provider's secret": []byte(a.owner.secret), "key of the hashes": key} {
		if bytes.Contains(all, secret) {
			t.Errorf("the %s is in the database", name)
		}
	}
}

func TestWrongKeyFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"another secrets key": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, secretsKeyFile), make([]byte, 32), 0o600)
		},
		"lost secrets key":  func(dir string) error { return os.Remove(filepath.Join(dir, secretsKeyFile)) },
		"short secrets key": func(dir string) error { return os.Truncate(filepath.Join(dir, secretsKeyFile), 31) },
		"broken signing key": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, signingKeyFile), []byte("x"), 0o600)
		},
		"readable signing key": func(dir string) error { return os.Chmod(filepath.Join(dir, signingKeyFile), 0o644) },
		"readable secrets key": func(dir string) error { return os.Chmod(filepath.Join(dir, secretsKeyFile), 0o640) },
	} {
		dir := t.TempDir()
		text, err := signingKey().PrivatePEM() // as New would write it
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, signingKeyFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := New(context.Background(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(), spoil(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := New(context.Background(), Options{Dir: dir}); !errors.Is(err, ErrKey) {
			t.Errorf("%s: error %v, want ErrKey", name, err)
		}
	}
}

func TestBrokenDatabaseIsAStoreError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "registry.db"), bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(context.Background(), Options{Dir: dir, SigningKey: signingKey()})
	if !errors.Is(err, ErrStore) || errors.Is(err, ErrKey) {
		t.Fatalf("error %v, want ErrStore", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Code != "store" || e.Unwrap() == nil || !strings.Contains(err.Error(), "store") {
		t.Fatalf("error %#v", err)
	}
}

func TestProcessesThatStartAtOnceAgreeOnTheKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	var (
		wg  sync.WaitGroup
		got [8][]byte
	)
	for i := range got {
		wg.Go(func() {
			data, err := createOnce(path, 0o600, func() ([]byte, error) { return []byte{byte(i)}, nil })
			if err != nil {
				t.Error(err)
			}
			got[i] = data
		})
	}
	wg.Wait()
	for _, data := range got {
		if !bytes.Equal(data, got[0]) {
			t.Fatalf("they read %v", got)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files left (%v)", len(left), err)
	}
}

func TestFullDiskIsAnsweredAndPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Dir = t.TempDir() })
	a, b := r.pair()
	token := r.token(a, b)
	limit := func(pages string) {
		for _, db := range []*sql.DB{r.s.store.write, r.s.store.proofs} {
			if _, err := db.Exec("PRAGMA max_page_count = " + pages); err != nil {
				t.Fatal(err)
			}
		}
	}
	limit("1") // as few as it has now
	full := false
	for range 200 {
		got := r.call("POST", "/providers/register", map[string]string{"name": strings.Repeat("n", 50)})
		if got.status == http.StatusServiceUnavailable {
			full = true
			if got.text("detail") == "" || got.header.Get("Retry-After") != "1" {
				t.Errorf("answer %s", got.body)
			}
			break
		}
		got.want(200)
	}
	if !full {
		t.Fatal("the disk never got full")
	}
	r.verify(token).want(200) // reading goes on
	limit("100000")
	r.provider()
	r.create(a, b.id).want(200)
}

func TestClosedStoreIsAnsweredWithoutPanic(t *testing.T) {
	t.Parallel()
	s, err := New(context.Background(), Options{SigningKey: signingKey(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, s: s, clock: newClock(), url: "https://registry.test"}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	r.call("POST", "/providers/register", "{}").want(500)
	r.call("GET", "/health/ready", nil).want(503)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"the Python registry's issuer": {Issuer: "registry"},
		"no lifetime":                  {TokenTTL: -1},
		"long lifetime":                {TokenTTL: 1 << 62},
		"short operator's key":         {AdminKey: "short"},
		"no url":                       {PublicURLs: []string{"registry.test"}},
	} {
		if _, err := New(context.Background(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: error %v, want ErrOptions", name, err)
		}
	}
}
