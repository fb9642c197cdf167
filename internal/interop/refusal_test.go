package interop_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/internal/pypeer"
)

// refusedSoon proves that dialling fails with a connection error that says why,
// long before the SDK would lose its patience.
func refusedSoon(t *testing.T, dial func(ctx context.Context) error, why string) {
	t.Helper()
	begin := time.Now()
	err := dial(within(t, promptly))
	var refused *pypeer.Error
	if !errors.As(err, &refused) || refused.Code != "ConnectionError" || !strings.Contains(refused.Message, why) {
		t.Errorf("dialling: %v, want a ConnectionError with %q", err, why)
	}
	t.Logf("refused after %v", time.Since(begin))
}

func proveRefusals(t *testing.T, c *caller) {
	for sentence, prove := range map[string]func(*testing.T, *caller){
		"a bearer token is refused where a proof is required": func(t *testing.T, c *caller) {
			a := c.callee(t, pando.WithRequireProof())
			refusedSoon(t, func(ctx context.Context) error {
				_, err := c.Open(ctx, a.ID(), a.url, 0)
				return err
			}, "401")
		},
		"a token for another agent is refused": func(t *testing.T, c *caller) {
			a := c.callee(t)
			refusedSoon(t, func(ctx context.Context) error {
				_, err := c.Open(ctx, c.other(t).AgentID, a.url, 0)
				return err
			}, "401")
		},
		"an agent that permits nobody is refused by the registry": func(t *testing.T, c *caller) {
			a := c.pando(t, nil)
			refusedSoon(t, func(ctx context.Context) error {
				_, err := c.Open(ctx, a.ID(), a.url, 0)
				return err
			}, "Connection setup failed")
			_, err := c.Token(within(t, promptly), a.ID())
			if !errors.Is(err, &pypeer.Error{Code: "RegistryError"}) {
				t.Errorf("token without permission: %v", err)
			}
		},
		"a permission taken away makes the token useless": func(t *testing.T, c *caller) {
			a := c.callee(t)
			if _, err := c.Token(within(t, patience), a.ID()); err != nil {
				t.Fatal(err)
			}
			c.registry.Revoke(a.credentials, c.credentials)
			refusedSoon(t, func(ctx context.Context) error {
				_, err := c.Open(ctx, a.ID(), a.url, 0)
				return err
			}, "403")
		},
		"an agent that is deleted is refused by the registry": func(t *testing.T, c *caller) {
			a := c.callee(t)
			c.registry.Delete(a.credentials)
			_, err := c.Token(within(t, promptly), a.ID())
			if !errors.Is(err, &pypeer.Error{Code: "RegistryError"}) {
				t.Errorf("token for a deleted agent: %v", err)
			}
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			prove(t, c)
		})
	}
}

func TestPythonClientWithWrongCredentialsIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, spoil := range map[string]func(t *testing.T, self *pypeer.Agent){
		"secret": func(_ *testing.T, self *pypeer.Agent) { self.AgentSecret = strings.Repeat("A", len(self.AgentSecret)) },
		"key": func(t *testing.T, self *pypeer.Agent) {
			stranger, _ := r.python(t, "stranger")
			self.PrivateKey, self.PublicKey = stranger.PrivateKey, stranger.PublicKey
		},
	} {
		t.Run("wrong "+name, func(t *testing.T) {
			t.Parallel()
			self, credentials := r.python(t, "impostor")
			a := r.pando(t, []identity.Credentials{credentials})
			spoil(t, &self)
			client := pypeer.NewClient(t, self)
			if _, err := client.Token(within(t, promptly), a.ID()); !errors.Is(err, &pypeer.Error{Code: "AuthenticationError"}) {
				t.Errorf("token: %v", err)
			}
			refusedSoon(t, func(ctx context.Context) error {
				_, err := client.Open(ctx, a.ID(), a.url, 0)
				return err
			}, "Connection setup failed")
		})
	}
}
