package identitytest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
)

func newClient(t *testing.T, c identity.Credentials) *identity.Client {
	t.Helper()
	client, err := identity.NewClient(identity.ClientOptions{Credentials: c, VerifyTTL: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestClientGetsAndVerifiesTokens(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	for _, kind := range []identity.KeyType{identity.KeyEd25519, identity.KeyRSA} {
		a, b := r.AddAgent("a", kind), r.AddAgent("b", kind)
		from, to := newClient(t, a), newClient(t, b)
		if _, err := from.Token(t.Context(), b.AgentID); !errors.Is(err, identity.ErrRefused) {
			t.Fatalf("before the permission: %v", err)
		}
		r.Allow(a, b)
		token, err := from.Token(t.Context(), b.AgentID)
		if err != nil || token.Type != "DPoP" || token.PeerJKT != b.Key.Thumbprint() {
			t.Fatalf("token %+v, %v", token, err)
		}
		if v, err := to.Verify(t.Context(), token.Value); err != nil || v.Subject != a.AgentID || v.Target != b.AgentID || !v.Expires.Equal(token.Expires) {
			t.Fatalf("verified %+v, %v", v, err)
		}
		if _, err := from.Verify(t.Context(), token.Value); !errors.Is(err, identity.ErrRefused) {
			t.Fatalf("verified by somebody else: %v", err)
		}
		r.Revoke(a, b)
		if _, err := to.Verify(t.Context(), token.Value); !errors.Is(err, identity.ErrRefused) {
			t.Fatalf("after the permission was taken away: %v", err)
		}
	}
}

func TestHandshakeIsAcceptedByAVerifier(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	a, b := r.AddAgent("a", ""), r.AddAgent("b", "")
	r.RequireProof(a)
	r.Allow(a, b)
	v, err := identity.NewVerifier(identity.VerifierOptions{Client: newClient(t, b), PublicURLs: []string{"wss://b.test/ws"}, RequireProof: true})
	if err != nil {
		t.Fatal(err)
	}
	header, _, err := newClient(t, a).DialHeader(t.Context(), b.AgentID, "wss://b.test/ws")
	if err != nil {
		t.Fatal(err)
	}
	knock := func() (identity.Peer, *identity.Refusal) {
		req := httptest.NewRequest("GET", "https://b.test/ws", nil)
		req.Header = header
		return v.Verify(req)
	}
	peer, refusal := knock()
	if refusal != nil || peer.AgentID != a.AgentID || !peer.Proven || peer.JKT != a.Key.Thumbprint() {
		t.Fatalf("peer %+v, refusal %+v", peer, refusal)
	}
	if _, refusal := knock(); refusal == nil || refusal.Status != http.StatusUnauthorized {
		t.Fatalf("a replayed handshake: %+v", refusal)
	}
}

func TestClientAdministersAgents(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	ctx := context.Background()
	anybody := newClient(t, identity.Credentials{RegistryURL: r.URL, CAFile: r.CAFile})
	p, err := anybody.RegisterProvider(ctx, "A provider", "me@example.org")
	if err != nil || p.Name != "A provider" || p.Email != "me@example.org" {
		t.Fatalf("%+v, %v", p, err)
	}
	owner := newClient(t, identity.Credentials{RegistryURL: r.URL, CAFile: r.CAFile, ProviderID: p.ID, ProviderSecret: p.Secret})
	var ids []string
	for _, name := range []string{"one", "two"} {
		key, err := identity.GenerateKey(identity.KeyEd25519, nil)
		if err != nil {
			t.Fatal(err)
		}
		id, _, err := owner.RegisterAgent(ctx, name, key.Public(), true, identity.Announcement{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	want := identity.Permission{Type: identity.AllowAgent, TargetID: ids[1]}
	if list, err := owner.ChangePermissions(ctx, ids[0], []identity.Permission{want}, nil); err != nil || len(list) != 1 || list[0] != want {
		t.Fatalf("%v, %v", list, err)
	}
	announced := identity.Announcement{Endpoint: new("wss://one.example/ws"), Description: new("d"), Capabilities: []string{"c"}}
	key, err := identity.GenerateKey(identity.KeyEd25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	known, _, err := owner.RegisterAgent(ctx, "known", key.Public(), false, announced)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := owner.Agent(ctx, known); err != nil || a.Endpoint != "wss://one.example/ws" || a.Description != "d" || len(a.Capabilities) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := owner.DeleteAgent(ctx, known); err != nil {
		t.Fatal(err)
	}
	if a, err := owner.Agent(ctx, ids[0]); err != nil || a.Name != "one" || !a.RequireProof || len(a.Permissions) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if list, err := owner.SetPermissions(ctx, ids[0], nil); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := owner.DeleteAgent(ctx, ids[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Agent(ctx, ids[1]); !errors.Is(err, identity.ErrNotFound) {
		t.Fatalf("deleted agent: %v", err)
	}
	if all, err := owner.Agents(ctx); err != nil || len(all) != 1 || all[0].ID != ids[0] {
		t.Fatalf("%+v, %v", all, err)
	}
}

func TestClientFindsWhomItMayTalkTo(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	for _, kind := range []identity.KeyType{identity.KeyEd25519, identity.KeyRSA} {
		a, b := r.AddAgent("a", kind), r.AddAgent("b", kind)
		from, to := newClient(t, a), newClient(t, b)
		want := identity.Record{AgentID: b.AgentID, Name: "b", Endpoint: "wss://b.example/ws", Description: "d", Capabilities: []string{"x", "y"}}
		said := identity.Announcement{Endpoint: &want.Endpoint, Description: &want.Description, Capabilities: want.Capabilities}
		if got, err := to.Announce(t.Context(), said); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("announced %+v, %v", got, err)
		}
		if got, err := from.Resolve(t.Context(), b.AgentID); !errors.Is(err, identity.ErrNotFound) {
			t.Fatalf("before the permission: %+v, %v", got, err)
		}
		r.Allow(a, b)
		if got, err := from.Resolve(t.Context(), b.AgentID); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("resolved %+v, %v", got, err)
		}
		if got, err := from.Peers(t.Context()); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Fatalf("peers %+v, %v", got, err)
		}
		if _, err := to.Announce(t.Context(), identity.Announcement{Endpoint: new("http://b.example")}); !errors.Is(err, identity.ErrInvalidRequest) ||
			!strings.Contains(err.Error(), "ws or wss url") {
			t.Fatalf("not an endpoint: %v", err)
		}
		r.Revoke(a, b)
		if got, err := from.Resolve(t.Context(), b.AgentID); !errors.Is(err, identity.ErrNotFound) {
			t.Fatalf("after the permission was taken away: %+v, %v", got, err)
		}
	}
}

func TestDirectoryFindsAnAgentThatHasMoved(t *testing.T) {
	t.Parallel()
	r := identitytest.New(t)
	a, b := r.AddAgent("a", ""), r.AddAgent("b", "")
	r.Allow(a, b)
	now := time.Now()
	d, err := identity.NewDirectory(identity.DirectoryOptions{Client: newClient(t, a), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{"ws://127.0.0.1:1/ws", "wss://b.example/ws", ""} { // the registry is on loopback
		r.Announce(b, endpoint)
		d.Failed(b.AgentID)
		now = now.Add(time.Second)
		if got, err := d.Resolve(t.Context(), b.AgentID); err != nil || got.Endpoint != endpoint {
			t.Errorf("%+v, %v, want %q", got, err, endpoint)
		}
	}
}
