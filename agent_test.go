package pando_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
)

type peer struct {
	*pando.Agent
	url   string
	creds identity.Credentials
}

func logger(t *testing.T) *slog.Logger {
	if os.Getenv("PANDO_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func run(t *testing.T, reg *identitytest.Registry, name string, opts ...pando.Option) *peer {
	t.Helper()
	creds := reg.AddAgent(name, identity.KeyEd25519)
	a, err := pando.New(creds, append([]pando.Option{pando.WithLogger(logger(t))}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run of %s: %v", name, err)
		}
		srv.Close()
	})
	<-a.Ready()
	return &peer{Agent: a, url: "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws", creds: creds}
}

func TestTwoAgentsTalk(t *testing.T) {
	t.Parallel()
	reg := identitytest.New(t)
	a, b := run(t, reg, "a"), run(t, reg, "b")
	reg.Allow(a.creds, b.creds)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ch, err := a.Open(ctx, b.ID(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ch.Request(ctx, pando.Request, map[string]string{"text": "hello"})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Text string }
	if err := m.Decode(&out); err != nil || out.Text != "hello" {
		t.Fatalf("%v %q", err, out.Text)
	}
	_, err = ch.Request(ctx, "nonsense", nil)
	if !errors.Is(err, &pando.RemoteError{Code: "unsupported_type"}) {
		t.Fatalf("error = %v", err)
	}
	if err := ch.Close(ctx, "done"); err != nil {
		t.Fatal(err)
	}
}
