package server

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/pando-agents/pando/identity"
)

func TestAgentIsRegisteredAndShown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	key, _ := identity.GenerateKey(identity.KeyEd25519, nil)
	body := map[string]any{"provider_id": p.id, "name": "Wächter 7", "dpop_public_key": key.Public().PEM(), "user_id": uuid.NewString()}
	got := r.call("POST", "/agents/register", body, p.auth()...).want(200).object()
	if len(got) != 3 || len(got["agent_secret"].(string)) != 43 {
		t.Fatalf("answer %v", got)
	}
	public, err := identity.ParsePublicKey(got["registry_public_key"].(string))
	if err != nil || !public.Equal(signingKey().Public()) {
		t.Errorf("registry_public_key is not the key that signs: %v", err)
	}
	info := r.call("GET", "/agents/"+got["agent_id"].(string), nil, p.auth()...).want(200).object()
	if info["name"] != "Wächter 7" || info["provider_id"] != p.id || info["status"] != "active" ||
		info["created_at"] != "2026-03-01T09:30:00.123456+00:00" || info["updated_at"] != info["created_at"] {
		t.Errorf("agent %v", info)
	}
	unnamed := r.agent(p)
	name := r.call("GET", "/agents/"+unnamed.id, nil, "x-api-key", adminKey).want(200).text("name")
	if !regexp.MustCompile(`^agent-[0-9a-f]{8}$`).MatchString(name) {
		t.Errorf("generated name %q", name)
	}
	r.call("PATCH", "/agents/"+unnamed.id, `{"name":"new","require_proof":true}`, p.auth()...).want(200)
	changed := r.call("GET", "/agents/"+unnamed.id, nil, p.auth()...).want(200).object()
	if changed["name"] != "new" || changed["require_proof"] != true || changed["status"] != "active" {
		t.Errorf("agent %v", changed)
	}
}

func TestAgentRegistrationNeedsTheProvidersSecret(t *testing.T) { // D18
	t.Parallel()
	r := newRig(t)
	p, q := r.provider(), r.provider()
	key, _ := identity.GenerateKey(identity.KeyEd25519, nil)
	body := map[string]any{"provider_id": p.id, "dpop_public_key": key.Public().PEM()}
	r.call("POST", "/agents/register", body).want(401)
	r.call("POST", "/agents/register", body, "provider-secret", "guess").want(401)
	r.call("POST", "/agents/register", body, q.auth()...).want(403)
	r.call("POST", "/agents/register", body, p.auth()...).want(200)
	r.call("POST", "/agents/register", body, "x-api-key", adminKey).want(200)
	body["provider_id"] = uuid.NewString()
	r.call("POST", "/agents/register", body, "x-api-key", adminKey).want(404)
	r.call("POST", "/agents/register", body, p.auth()...).want(403)
}

func weakRSA(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestGarbageIsNotAPublicKey(t *testing.T) { // D21
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	good := signingKey().Public().PEM()
	register := func(key any) reply {
		return r.call("POST", "/agents/register", map[string]any{"provider_id": p.id, "dpop_public_key": key}, p.auth()...)
	}
	for name, key := range map[string]string{
		"only the first line": "-----BEGIN PUBLIC KEY-----\n" + strings.Repeat("garbage", 30),
		"no base64":           "-----BEGIN PUBLIC KEY-----\n" + strings.Repeat("!", 200) + "\n-----END PUBLIC KEY-----",
		"cut":                 good[:300] + "\n-----END PUBLIC KEY-----",
		"RSA-1024":            weakRSA(t),
		"empty":               "",
	} {
		if got := register(key); got.status != 422 {
			t.Errorf("%s: status %d", name, got.status)
		}
	}
	register(nil).problem("string_type", "body", "dpop_public_key")
	register(strings.Repeat("A", maxPublicKey+1)).problem("string_too_long", "body", "dpop_public_key")
	register(good).want(200)
	register("\"" + good + "\"").want(200)
}

func TestAgentInputIsChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.provider()
	key := signingKey().Public().PEM()
	register := func(edit map[string]any) reply {
		body := map[string]any{"provider_id": p.id, "dpop_public_key": key}
		for k, v := range edit {
			if body[k] = v; v == nil {
				delete(body, k)
			}
		}
		return r.call("POST", "/agents/register", body, p.auth()...)
	}
	register(map[string]any{"provider_id": nil}).problem("missing", "body", "provider_id")
	register(map[string]any{"provider_id": "x"}).problem("uuid_parsing", "body", "provider_id")
	register(map[string]any{"user_id": "x"}).problem("uuid_parsing", "body", "user_id")
	register(map[string]any{"name": strings.Repeat("n", 101)}).problem("value_error", "body", "name")
	register(map[string]any{"name": "two\nlines"}).problem("value_error", "body", "name")
	register(map[string]any{"require_proof": "no idea"}).problem("bool_parsing", "body", "require_proof")
	register(map[string]any{"dpop_public_key": nil}).problem("missing", "body", "dpop_public_key")
}

func TestUnclaimedProviderHasAnAgentLimit(t *testing.T) { // D19
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Limits.AgentsPerUnclaimedProvider = 3 })
	p := r.provider()
	body := map[string]any{"provider_id": p.id, "dpop_public_key": signingKey().Public().PEM()}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		count = map[int]int{}
	)
	for range 10 {
		wg.Go(func() {
			status := r.call("POST", "/agents/register", body, p.auth()...).status
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	wg.Wait()
	if count[200] != 3 || count[403] != 7 {
		t.Fatalf("answers by status: %v", count)
	}
	r.call("PATCH", "/providers/"+p.id, `{"claimed":true}`, "x-api-key", adminKey).want(200)
	r.call("POST", "/agents/register", body, p.auth()...).want(200)
}

func TestDeletedAgentLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.pair()
	r.call("DELETE", "/agents/delete", nil, b.owner.auth()...).problem("missing", "query", "agent_id")
	r.call("DELETE", "/agents/delete?agent_id=x", nil, b.owner.auth()...).problem("uuid_parsing", "query", "agent_id")
	if got := r.call("DELETE", "/agents/delete?agent_id="+b.id, nil, b.owner.auth()...).want(200).object(); got["status"] != "success" || got["message"] == nil {
		t.Fatalf("answer %v", got)
	}
	r.call("DELETE", "/agents/delete?agent_id="+b.id, nil, b.owner.auth()...).want(404)
	r.create(b, a.id).want(401)
	r.create(a, b.id).want(400)
	if got := string(r.call("GET", "/agents/"+a.id+"/permissions", nil, a.owner.auth()...).want(200).body); got != `{"agent_id":"`+a.id+`","permissions":[]}` {
		t.Errorf("permissions %s", got)
	}
	var n int
	if err := r.s.store.read.QueryRow("SELECT count(*) FROM permissions").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d permissions left (%v)", n, err)
	}
}
