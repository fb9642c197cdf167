package pando_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
)

// The state changes a moment before the channel has its reason to end.
func TestOpenTellsTheReasonHoweverLateItComes(t *testing.T) {
	t.Parallel()
	reg := identitytest.New(t)
	slow := func(ch *pando.Channel, point pando.FaultPoint) {
		if point == "effect" && (ch.State() == pando.StateClosing || ch.State() == pando.StateClosed) {
			<-time.After(50 * time.Millisecond)
		}
	}
	a, b := run(t, reg, "a", pando.WithFaults(slow)), run(t, reg, "b")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := a.Open(ctx, b.ID(), b.url); !errors.Is(err, pando.ErrRefused) || errors.Is(err, pando.ErrUnreachable) {
		t.Errorf("open without permission: %v", err)
	}
}

func TestAnAgentThatDoesNotRunIsUnreachableAndHasNotRefused(t *testing.T) {
	t.Parallel()
	reg := identitytest.New(t)
	a := run(t, reg, "a")
	creds := reg.AddAgent("b", identity.KeyEd25519)
	reg.Allow(a.creds, creds)
	b, err := pando.New(creds, pando.WithLogger(logger(t)))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = a.Open(ctx, b.ID(), "ws"+strings.TrimPrefix(srv.URL, "http"))
	if !errors.Is(err, pando.ErrUnreachable) || errors.Is(err, pando.ErrRefused) {
		t.Errorf("open to an agent that does not run: %v", err)
	}
}

func TestShutdownDeliversWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	const messages = 50
	reg := identitytest.New(t)
	a, b := run(t, reg, "a"), run(t, reg, "b")
	reg.Allow(a.creds, b.creds)
	got := make(chan struct{}, messages)
	b.Handle(pando.Event, func(context.Context, *pando.Message) (any, error) {
		got <- struct{}{}
		return nil, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ch, err := a.Open(ctx, b.ID(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	for range messages {
		if _, err := ch.Send(ctx, pando.Event, map[string]string{"text": strings.Repeat("x", 10_000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for n := range messages {
		select {
		case <-got:
		case <-ctx.Done():
			t.Fatalf("%d of %d messages were delivered", n, messages)
		}
	}
}

func TestConnectedChannelKnowsWhatItsPeerCanDo(t *testing.T) {
	t.Parallel()
	var seen, ignorant atomic.Int64
	look := pando.WithFaults(func(ch *pando.Channel, _ pando.FaultPoint) {
		if ch.State() == pando.StateConnected {
			seen.Add(1)
			if !ch.Resumable() {
				ignorant.Add(1)
			}
		}
	})
	inVirtualTime(t, func(w *world) {
		there := w.newNode("there", nil, look)
		w.friend(there, "here", nil, look).open(w.t, there)
	})
	if seen.Load() == 0 || ignorant.Load() != 0 {
		t.Errorf("connected %d times, %d times without knowing the peer", seen.Load(), ignorant.Load())
	}
}
