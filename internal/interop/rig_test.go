package interop_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/identity/identitytest"
	"github.com/pando-agents/pando/internal/pypeer"
)

const (
	// patience bounds what has to happen at all, on however busy a machine.
	patience = time.Minute
	// promptly bounds what has to happen at once. The SDK's own timeout for
	// opening a channel, which a refusal must not wait for, is 10 s.
	promptly = 8 * time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an identity registry that the SDK finds at https://localhost, without a
// port, and agents of both kinds.
type rig struct {
	registry *identitytest.Registry
	proxy    string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return &rig{
		registry: identitytest.New(t, identitytest.WithListener(listener, "localhost", dial)),
		proxy:    pypeer.NewProxy(t, map[string]string{"localhost:443": address}),
	}
}

// python registers an agent for the SDK.
func (r *rig) python(t *testing.T, name string) (pypeer.Agent, identity.Credentials) {
	t.Helper()
	credentials := r.registry.AddAgent(name, identity.KeyRSA)
	private, err := credentials.Key.PrivatePEM()
	if err != nil {
		t.Fatal(err)
	}
	return pypeer.Agent{
		RegistryURL: credentials.RegistryURL,
		AgentID:     credentials.AgentID,
		AgentSecret: credentials.AgentSecret,
		PrivateKey:  private,
		PublicKey:   credentials.Key.Public().PEM(),
		Proxy:       r.proxy,
		CAFile:      credentials.CAFile,
	}, credentials
}

// agent is a Pando agent that runs and listens.
type agent struct {
	*pando.Agent
	url         string
	credentials identity.Credentials
}

// pando starts an agent which, together with each of the others, is permitted to
// talk.
func (r *rig) pando(t *testing.T, others []identity.Credentials, opts ...pando.Option) *agent {
	t.Helper()
	credentials := r.registry.AddAgent("pando", identity.KeyEd25519)
	for _, other := range others {
		r.registry.Allow(credentials, other)
	}
	return r.run(t, credentials, opts...)
}

func (r *rig) run(t *testing.T, credentials identity.Credentials, opts ...pando.Option) *agent {
	t.Helper()
	opts = append([]pando.Option{
		pando.WithLogger(slog.New(slog.DiscardHandler)),
		pando.WithNetwork(pando.Network{Registry: r.registry.Client}),
	}, opts...)
	a, err := pando.New(credentials, opts...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		server.Close()
	})
	<-a.Ready()
	return &agent{Agent: a, url: "ws" + server.URL[len("http"):] + "/ws", credentials: credentials}
}

// with returns the only channel of the agent with this peer, or nil.
func (a *agent) with(t *testing.T, peer string) *pando.Channel {
	t.Helper()
	channels, err := a.ChannelsWith(within(t, patience), peer)
	if err != nil {
		t.Fatal(err)
	}
	if len(channels) > 1 {
		t.Fatalf("%d channels with %s, want one at most", len(channels), peer)
	}
	if len(channels) == 0 {
		return nil
	}
	return channels[0]
}

// within returns a context for one step of the test.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// ends waits until the channel has ended.
func ends(t *testing.T, ch *pando.Channel) {
	t.Helper()
	select {
	case <-ch.Done():
	case <-time.After(patience):
		t.Fatalf("the channel has not ended: %+v", ch.Info())
	}
}

// echo answers with the same data.
func echo(_ context.Context, m *pando.Message) (any, error) { return m.Data, nil }

// sameJSON fails the test unless both texts mean the same.
func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("not JSON: %v: %.200s", err, got)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Fatalf("not JSON: %v: %.200s", err, want)
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("got %.200s, want %.200s", got, want)
	}
}
