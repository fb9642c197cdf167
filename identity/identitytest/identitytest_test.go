package identitytest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func token(t *testing.T, r *identitytest.Registry, a, b identity.Credentials) int {
	t.Helper()
	proof, err := a.Key.Proof(identity.ProofParams{Method: "POST", URL: r.URL + "/tokens/create"})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(map[string]string{"target_agent_id": b.AgentID, "dpop_proof": proof})
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.URL+"/tokens/create", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("agent-id", a.AgentID)
	req.Header.Set("agent-secret", a.AgentSecret)
	req.Header.Set("dpop-public-key", a.Key.Public().HeaderValue())
	resp, err := r.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestAllowedAgentsGetTokensUntilRevoked(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	a, b := r.AddAgent("a", ""), r.AddAgent("b", identity.KeyRSA)
	for _, c := range []identity.Credentials{a, b} {
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		do   func()
		want int
	}{
		{func() {}, 400},
		{func() { r.Allow(a, b) }, 200},
		{func() { r.Revoke(a, b) }, 400},
		{func() { r.Allow(b, a); r.Delete(b) }, 400},
	}
	for i, s := range steps {
		s.do()
		if got := token(t, r, a, b); got != s.want {
			t.Fatalf("step %d: status %d, want %d", i, got, s.want)
		}
	}
}

func TestRSAKeysNeverRepeat(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	seen := map[string]bool{}
	for range 5 {
		seen[r.AddAgent("a", identity.KeyRSA).Key.Thumbprint()] = true
	}
	if len(seen) != 5 {
		t.Fatalf("%d different keys, want 5", len(seen))
	}
}
