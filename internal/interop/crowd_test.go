package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/internal/pypeer"
)

// proveCrowd has several Python agents share a Pando agent. One of them dies.
func proveCrowd(t *testing.T, callers []*caller) {
	r := callers[0].rig
	var everybody []identity.Credentials
	for _, c := range callers {
		everybody = append(everybody, c.credentials)
	}
	label := pprof.Labels("agent", crowded)
	var a *agent
	// Goroutines pass the label on to those that they start.
	pprof.Do(t.Context(), label, func(context.Context) { a = r.pando(t, everybody) })
	a.Handle("who", func(_ context.Context, m *pando.Message) (any, error) {
		return map[string]string{"you": m.Peer}, nil
	})

	t.Run("each is known by its own name", func(t *testing.T) {
		for _, c := range callers {
			t.Run(c.id, func(t *testing.T) {
				t.Parallel()
				id, _ := c.open(t, a, a.url)
				if _, err := c.RoundTrips(within(t, patience), id, 50, pando.Request, map[string]any{"text": "hello"}); err != nil {
					t.Error(err)
				}
				sameJSON(t, c.answer(t, id, "who", map[string]any{}), []byte(`{"you":"`+c.id+`"}`))
			})
		}
	})
	t.Run("they verify HTTP requests", func(t *testing.T) { proveHTTPRequests(t, r, callers[1], callers[2]) })
	t.Run("a killed one leaves nothing", func(t *testing.T) { proveNothingIsLeft(t, a, callers) })
}

func proveNothingIsLeft(t *testing.T, a *agent, callers []*caller) {
	victim, survivor := callers[0], callers[1]
	readers, all := goroutines(t)
	if readers != len(callers) {
		t.Errorf("%d goroutines read from %d connections", readers, len(callers))
	}
	gone := a.with(t, victim.id)
	victim.Kill()
	ends(t, gone)
	for a.with(t, victim.id) != nil {
		// The registry hears of the end right after those who wait for it.
	}
	leave(t, readers-1, all-1)
	id := a.with(t, survivor.id).ID()
	survivor.answer(t, id, pando.Request, map[string]any{"text": "still there"})
	if channels, err := a.Channels(within(t, patience)); err != nil || len(channels) != len(callers)-1 {
		t.Errorf("%d channels are left: %v", len(channels), err)
	}
}

// crowded labels the goroutines of the agent.
const crowded = "interop crowd"

// leave waits until there are so many goroutines, or fewer in all.
func leave(t *testing.T, readers, all int) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for ctx := within(t, patience); ; {
		nowReaders, nowAll := goroutines(t)
		if nowReaders == readers && nowAll <= all {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("%d readers and %d goroutines in all, want %d and %d", nowReaders, nowAll, readers, all)
		}
	}
}

// goroutines counts those that the test's agent has started, and of these the
// ones that read from a connection.
func goroutines(t *testing.T) (readers, all int) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	_, groups, _ := strings.Cut(profile.String(), "\n") // a headline
	for group := range strings.SplitSeq(strings.TrimSpace(groups), "\n\n") {
		if !strings.Contains(group, `"agent":"`+crowded+`"`) {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(group, "%d @", &n); err != nil {
			t.Fatalf("goroutine profile: %v in %q", err, group)
		}
		all += n
		if strings.Contains(group, "/transport.(*Conn)") {
			readers += n
		}
	}
	return readers, all
}

// proveHTTPRequests is what no two SDK agents can do at an original registry, which
// checks the receiver's proof with the sender's key.
func proveHTTPRequests(t *testing.T, r *rig, sender, receiver *caller) {
	const url = "https://receiver.example/path?b=2&a=1"
	r.registry.Allow(sender.credentials, receiver.credentials)
	headers, err := sender.Protect(within(t, patience), "POST", url, receiver.id)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(headers map[string]string) error {
		valid, err := receiver.Verify(within(t, patience), "POST", url, headers)
		if err == nil && !valid {
			return fmt.Errorf("verify_request returned false")
		}
		return err
	}
	if err := verify(headers); err != nil {
		t.Errorf("a request of python: %v", err)
	}

	t.Run("of a Pando agent", func(t *testing.T) {
		a := r.registry.AddAgent("pando", identity.KeyEd25519)
		r.registry.Allow(a, receiver.credentials)
		client, err := identity.NewClient(identity.ClientOptions{Credentials: a, HTTP: r.registry.Client})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		token, err := client.Token(within(t, patience), receiver.id)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := a.Key.Proof(identity.ProofParams{Method: "POST", URL: url})
		if err != nil {
			t.Fatal(err)
		}
		err = verify(map[string]string{"authorization": "Bearer " + token.Value, "dpop": proof, "target-agent-id": receiver.id})
		if err != nil {
			t.Error(err)
		}
	})
	refused := &pypeer.Error{Code: "AuthenticationError"}
	t.Run("but not what is for somebody else", func(t *testing.T) {
		foreign, err := sender.Protect(within(t, patience), "POST", url, sender.other(t).AgentID)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(foreign); !errors.Is(err, refused) {
			t.Error(err)
		}
		foreign["target-agent-id"] = receiver.id
		if err := verify(foreign); !errors.Is(err, refused) {
			t.Errorf("readdressed: %v", err)
		}
	})
	t.Run("nor once the permission is taken away", func(t *testing.T) {
		r.registry.Revoke(sender.credentials, receiver.credentials)
		if err := verify(headers); !errors.Is(err, refused) {
			t.Error(err)
		}
	})
}
