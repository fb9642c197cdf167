package pypeer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/internal/pypeer"
)

const (
	dialler  = "11111111-1111-4111-8111-111111111111"
	listener = "22222222-2222-4222-8222-222222222222"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newAgents returns a dialling and a listening agent that find a registry which
// gives a made-up token to whoever holds the secret.
func newAgents(t testing.TB) (dialling, listening pypeer.Agent) {
	t.Helper()
	const secret = "made-up secret"
	authority := pypeer.NewAuthority(t)
	registry := httptest.NewUnstartedServer(tokenIssuer(secret))
	registry.TLS = authority.ServerConfig()
	registry.StartTLS()
	t.Cleanup(registry.Close)
	private, public := newPEM(t)
	agent := pypeer.Agent{
		RegistryURL: "https://localhost",
		AgentSecret: secret,
		PrivateKey:  private,
		PublicKey:   public,
		Proxy:       pypeer.NewProxy(t, map[string]string{"localhost:443": registry.Listener.Addr().String()}),
		CAFile:      authority.File,
	}
	dialling, listening = agent, agent
	dialling.AgentID, listening.AgentID = dialler, listener
	return dialling, listening
}

// tokenIssuer answers as much of the registry API as the SDK needs to dial.
func tokenIssuer(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tokens/create", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Target string `json:"target_agent_id"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || r.Header.Get("agent-secret") != secret {
			http.Error(w, `{"detail":"no"}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"token":"made.up.token","target_agent_id":%q,"expires_at":%q}`,
			body.Target, time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000-07:00"))
	})
	return mux
}

func newPEM(t testing.TB) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	return private, public
}
