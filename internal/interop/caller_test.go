package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/internal/pypeer"
	"github.com/pando-agents/pando/protocol"
)

// caller is a Python agent that dials.
type caller struct {
	*rig
	*pypeer.Client
	id          string
	credentials identity.Credentials
}

func (r *rig) caller(t *testing.T, name string) *caller {
	t.Helper()
	self, credentials := r.python(t, name)
	return &caller{rig: r, Client: pypeer.NewClient(t, self), id: self.AgentID, credentials: credentials}
}

// callee starts a Pando agent that the caller may talk to.
func (c *caller) callee(t *testing.T, opts ...pando.Option) *agent {
	t.Helper()
	return c.pando(t, []identity.Credentials{c.credentials}, opts...)
}

// open opens a channel without heartbeats and returns both ends of it.
func (c *caller) open(t *testing.T, a *agent, url string) (string, *pando.Channel) {
	t.Helper()
	id, err := c.Open(within(t, patience), a.ID(), url, 0)
	if err != nil {
		t.Fatal(err)
	}
	ch := a.with(t, c.id)
	if ch == nil || ch.ID() != id {
		t.Fatalf("python opened channel %s, the agent has %v", id, ch)
	}
	return id, ch
}

// disconnected waits until the SDK takes the channel for disconnected.
func (c *caller) disconnected(t *testing.T, id string) {
	t.Helper()
	ctx := within(t, promptly)
	for open := true; open; {
		var err error
		if open, err = c.Connected(ctx, id); err != nil {
			t.Fatalf("waiting for python to see the end: %v", err)
		}
	}
}

// answer makes a request and returns the answer's data.
func (c *caller) answer(t *testing.T, id, messageType string, data any) json.RawMessage {
	t.Helper()
	m, err := c.Request(within(t, patience), id, messageType, data)
	if err != nil {
		t.Fatal(err)
	}
	if m.Content.Type != pando.Response {
		t.Fatalf("answer of type %s: %s", m.Content.Type, m.Content.Data)
	}
	return m.Content.Data
}

// refusal makes a request that has to be answered with an error.
func (c *caller) refusal(t *testing.T, id, messageType string) (code, text string) {
	t.Helper()
	m, err := c.Request(within(t, patience), id, messageType, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Content.Type != protocol.TypeError {
		t.Fatalf("answer of type %s, want error", m.Content.Type)
	}
	code, text, _ = protocol.ParseErrorData(m.Content.Data)
	return code, text
}

func TestPythonClientTalksToPandoAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	// Starting a Python agent takes more than a second of CPU time, so that few
	// serve for all proofs.
	callers := []*caller{r.caller(t, "one"), r.caller(t, "two"), r.caller(t, "three")}
	t.Run("alone", func(t *testing.T) { proveAlone(t, callers[0]) })
	t.Run("in a crowd", func(t *testing.T) { proveCrowd(t, callers) })
}

func proveAlone(t *testing.T, c *caller) {
	for sentence, prove := range map[string]func(*testing.T, *caller){
		"a hundred requests are answered in order":           provePythonRequests,
		"heartbeats and pings keep a silent channel":         provePythonHeartbeats,
		"what the agent sends unasked is received":           provePythonReceivesPushes,
		"custom types and any text survive both ways":        provePythonValues,
		"what is not JSON is answered with an error":         provePythonIsCorrected,
		"messages just under 1 MiB pass both ways":           provePythonBigMessages,
		"a message over 1 MiB to the agent ends with 1009":   provePythonSendsTooMuch,
		"a message over 1 MiB to python ends with 1009":      provePythonGetsTooMuch,
		"a panicking handler costs its own message only":     provePythonSurvivesPanic,
		"a draining agent answers what it has begun":         provePythonIsDrained,
		"a dead network is an error and can be dialled anew": provePythonDialsAnew,
		"an actor answers it by type":                        provePythonAsksActors,
		"an actor that it may not reach is not seen":         provePythonSeesNoActor,
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			prove(t, c)
		})
	}
	proveRefusals(t, c)
}

func provePythonRequests(t *testing.T, c *caller) {
	const requests = 100
	a := c.callee(t)
	var got atomic.Int64
	a.Handle(pando.Request, func(_ context.Context, m *pando.Message) (any, error) {
		// channel.open had sequence 1. After the hundred comes one request that
		// is refused, and one more.
		if n := got.Add(1); n <= requests && m.Sequence != n+1 || m.Peer != c.id {
			return nil, fmt.Errorf("request %d has sequence %d and peer %s", n, m.Sequence, m.Peer)
		}
		return m.Data, nil
	})
	wire := newTap(t, a.url)
	id, ch := c.open(t, a, wire.url)
	took, err := c.RoundTrips(within(t, patience), id, requests, pando.Request, map[string]any{"text": "hello"})
	if err != nil || got.Load() != requests {
		t.Fatalf("%d requests arrived: %v", got.Load(), err)
	}
	t.Logf("%d round trips in %v", requests, took)
	if code, _ := c.refusal(t, id, "no.such.type"); code != protocol.CodeUnsupportedType {
		t.Errorf("unsupported type answered with code %q", code)
	}
	sameJSON(t, c.answer(t, id, pando.Request, pypeer.JSON(`{"timestamp":"t"}`)), []byte(`{"timestamp":"t"}`))
	if err := c.Close(within(t, patience), id, "done"); err != nil {
		t.Fatal(err)
	}
	ends(t, ch)
	if err := ch.Err(); !errors.Is(err, pando.ErrClosed) {
		t.Errorf("channel ended with %v", err)
	}
	want := map[string]int{"client close 1000": 1, "server close 1000": 1}
	if err := wire.wait(within(t, patience), want); err != nil {
		t.Error(err)
	}
	// open and the requests; the SDK writes no channel.close.
	if n := wire.seen("client text"); n != 1+requests+2 {
		t.Errorf("python wrote %d messages", n)
	}
	if n := wire.seen("server text"); n != 1+requests+2 {
		t.Errorf("the agent wrote %d messages", n)
	}
}

func provePythonHeartbeats(t *testing.T, c *caller) {
	a := c.callee(t, pando.WithTimeouts(pando.Timeouts{Ping: 100 * time.Millisecond}))
	wire := newTap(t, a.url)
	id, err := c.Open(within(t, patience), a.ID(), wire.url, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	err = wire.wait(within(t, patience), map[string]int{
		"client heartbeat": 5, "server heartbeat": 5, "server ping": 5, "client pong": 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	ch := a.with(t, c.id)
	if ch == nil || ch.State() != pando.StateConnected {
		t.Fatalf("the channel is gone: %v", ch)
	}
	// A heartbeat of the agent's own would break the SDK.
	if asked, answered := wire.seen("client heartbeat"), wire.seen("server heartbeat"); answered > asked {
		t.Errorf("%d heartbeats got %d answers", asked, answered)
	}
	c.answer(t, id, pando.Request, map[string]any{"text": "still there"})
	if err := c.Close(within(t, patience), id, "done"); err != nil {
		t.Fatal(err)
	}
	ends(t, ch)
}

func provePythonReceivesPushes(t *testing.T, c *caller) {
	a := c.callee(t)
	a.Handle("subscribe", func(ctx context.Context, m *pando.Message) (any, error) {
		for n := range 3 {
			if _, err := m.Channel().Send(ctx, pando.Event, map[string]int{"n": n}); err != nil {
				return nil, err
			}
		}
		return &pando.Reply{Type: "subscribed"}, nil
	})
	id, ch := c.open(t, a, a.url)
	asked, err := c.Send(within(t, patience), id, "subscribe", map[string]any{}, "")
	if err != nil {
		t.Fatal(err)
	}
	receive := func(messageType, replyTo, data string) {
		t.Helper()
		m, err := c.Receive(within(t, patience), id)
		if err != nil {
			t.Fatal(err)
		}
		if m.Content.Type != messageType || m.Meta.ReplyTo != replyTo || m.Meta.Sender != a.ID() || m.Meta.Recipient != c.id {
			t.Fatalf("received %+v", m)
		}
		sameJSON(t, m.Content.Data, []byte(data))
	}
	for n := range 3 {
		receive(pando.Event, "", fmt.Sprintf(`{"n":%d}`, n))
	}
	receive("subscribed", asked, `{}`)
	if _, err := ch.Send(within(t, patience), "news", map[string]string{"text": "unasked"}); err != nil {
		t.Fatal(err)
	}
	receive("news", "", `{"text":"unasked"}`)
}

// values are data that encodings tend to break.
var values = []string{
	`{"text":"Zażółć gęślą jaźń, Ὀδυσσεύς, 漢字, עברית, 🌳🌲👩‍🚀"}`,
	`{"text":"quote \" backslash \\ slash / \b\f\n\r\t\u0000\u001f\u007f \u2028\u2029 <&>"}`,
	`{"Größe":1,"":"empty key","a.b":"c","meta":{"content":{"type":"channel.close"}}}`,
	`{"floats":[0.1,1e300,1E-7,123456789.125,5e-324,1.0],"literals":[true,false,null],"empty":[{},[],""]}`,
}

func provePythonValues(t *testing.T, c *caller) {
	a := c.callee(t)
	received := make(chan json.RawMessage, 1)
	a.Handle("task.start", func(_ context.Context, m *pando.Message) (any, error) {
		received <- m.Data
		return &pando.Reply{Type: "task.done", Data: m.Data}, nil
	})
	id, _ := c.open(t, a, a.url)
	for _, data := range values {
		sent, err := c.SendPlain(within(t, patience), id, "task.start", pypeer.JSON(data), "")
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Receive(within(t, patience), id)
		if err != nil {
			t.Fatal(err)
		}
		if m.Content.Type != "task.done" || m.Meta.ReplyTo != sent {
			t.Fatalf("received %+v", m)
		}
		sameJSON(t, <-received, []byte(data))
		sameJSON(t, m.Content.Data, []byte(data))
	}
}

// provePythonIsCorrected sends what Python's own JSON allows and RFC 8259 does not,
// or what no UTF-8 text can hold.
func provePythonIsCorrected(t *testing.T, c *caller) {
	a := c.callee(t)
	a.Handle("echo", echo)
	id, ch := c.open(t, a, a.url)
	for _, data := range []string{`{"number":NaN}`, `{"number":[Infinity,-Infinity]}`, `{"text":"half a pair \ud83d"}`} {
		if _, err := c.SendPlain(within(t, patience), id, "echo", pypeer.JSON(data), ""); err != nil {
			t.Fatal(err)
		}
		m, err := c.Receive(within(t, patience), id)
		if err != nil {
			t.Fatal(err)
		}
		if code, text, _ := protocol.ParseErrorData(m.Content.Data); m.Content.Type != protocol.TypeError || code == "" || text == "" {
			t.Errorf("%s is answered with %s %s", data, m.Content.Type, m.Content.Data)
		}
	}
	c.answer(t, id, "echo", map[string]any{"text": "still there"})
	if state := ch.State(); state != pando.StateConnected {
		t.Errorf("the channel is %v", state)
	}
}

// nearly is as much text as fits into a message of 1 MiB, envelope included.
var nearly = strings.Repeat("x", 1<<20-2048)

func provePythonBigMessages(t *testing.T, c *caller) {
	a := c.callee(t)
	a.Handle("echo", echo)
	id, _ := c.open(t, a, a.url)
	var got struct{ Text string }
	if err := json.Unmarshal(c.answer(t, id, "echo", map[string]any{"text": nearly}), &got); err != nil || got.Text != nearly {
		t.Fatalf("got %d bytes back: %v", len(got.Text), err)
	}
}

func provePythonSendsTooMuch(t *testing.T, c *caller) {
	a := c.callee(t)
	wire := newTap(t, a.url)
	id, ch := c.open(t, a, wire.url)
	if _, err := c.Send(within(t, patience), id, "echo", map[string]any{"text": nearly + nearly[:4096]}, ""); err != nil {
		t.Fatal(err)
	}
	if err := wire.wait(within(t, promptly), map[string]int{"server close 1009": 1}); err != nil {
		t.Fatal(err)
	}
	c.disconnected(t, id)
	ends(t, ch)
}

func provePythonGetsTooMuch(t *testing.T, c *caller) {
	// An agent refuses to write what the SDK would not read, unless told to.
	careful := c.callee(t)
	id, ch := c.open(t, careful, careful.url)
	big := map[string]string{"text": nearly + nearly[:4096]}
	if _, err := ch.Send(within(t, patience), "news", big); !errors.Is(err, pando.ErrTooLarge) {
		t.Errorf("sending too much: %v", err)
	}
	c.answer(t, id, pando.Request, map[string]any{"text": "still there"})

	careless := c.callee(t, pando.WithLimits(pando.Limits{MaxMessage: 4 << 20, Outbound: 4 << 20}))
	wire := newTap(t, careless.url)
	id, ch = c.open(t, careless, wire.url)
	if _, err := ch.Send(within(t, patience), "news", big); err != nil {
		t.Fatal(err)
	}
	if err := wire.wait(within(t, promptly), map[string]int{"client close 1009": 1}); err != nil {
		t.Fatal(err)
	}
	ends(t, ch)
	c.disconnected(t, id)
}

func provePythonSurvivesPanic(t *testing.T, c *caller) {
	a := c.callee(t)
	a.Handle("bad", func(context.Context, *pando.Message) (any, error) { panic("inner secret") })
	id, ch := c.open(t, a, a.url)
	code, text := c.refusal(t, id, "bad")
	if code != protocol.CodeHandlerFailed || text == "" || strings.Contains(text, "secret") {
		t.Errorf("a panic is answered with code %q and %q", code, text)
	}
	c.answer(t, id, pando.Request, map[string]any{"text": "still there"})
	if info := ch.Info(); info.Panics != 1 || info.Restarts != 0 || info.State != pando.StateConnected {
		t.Errorf("after the panic: %+v", info)
	}
}

func provePythonIsDrained(t *testing.T, c *caller) {
	a := c.callee(t)
	began, release := make(chan struct{}), make(chan struct{})
	a.Handle("work", func(context.Context, *pando.Message) (any, error) {
		close(began)
		<-release
		return map[string]string{"text": "finished"}, nil
	})
	id, ch := c.open(t, a, a.url)
	if _, err := c.Send(within(t, patience), id, "work", map[string]any{}, ""); err != nil {
		t.Fatal(err)
	}
	<-began
	ended := make(chan error, 1)
	ctx := within(t, patience)
	go func() { ended <- a.Shutdown(ctx) }()
	refusedSoon(t, func(ctx context.Context) error {
		// The SDK has a channel to this agent, so that it takes another target
		// to make it dial; the agent refuses before it looks at the token.
		_, err := c.Open(ctx, c.other(t).AgentID, a.url, 0)
		return err
	}, "503")
	receiving := make(chan error, 1)
	go func() {
		m, err := c.Receive(ctx, id)
		if err == nil && m.Content.Type != pando.Response {
			err = fmt.Errorf("received %s", m.Content.Type)
		}
		receiving <- err
	}()
	close(release)
	if err := <-receiving; err != nil {
		t.Errorf("the answer of the draining agent: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	ends(t, ch)
	c.disconnected(t, id)
	lost := &pypeer.Error{Code: "ConnectionError"}
	if _, err := c.Send(within(t, promptly), id, pando.Request, map[string]any{}, ""); !errors.Is(err, lost) {
		t.Errorf("sending after the end: %v", err)
	}
	if _, err := c.Receive(within(t, promptly), id); !errors.Is(err, lost) {
		t.Errorf("receiving after the end: %v", err)
	}
}

// other registers an agent that the caller may get tokens for.
func (c *caller) other(t *testing.T) identity.Credentials {
	t.Helper()
	other := c.registry.AddAgent("other", identity.KeyEd25519)
	c.registry.Allow(other, c.credentials)
	return other
}

func provePythonDialsAnew(t *testing.T, c *caller) {
	a := c.callee(t)
	wire := newTap(t, a.url)
	id, ch := c.open(t, a, wire.url)
	wire.cut()
	c.disconnected(t, id)
	ends(t, ch)
	if _, err := c.Send(within(t, promptly), id, pando.Request, map[string]any{}, ""); !errors.Is(err, &pypeer.Error{Code: "ConnectionError"}) {
		t.Errorf("sending without a connection: %v", err)
	}
	again, err := c.Open(within(t, patience), a.ID(), wire.url, 0)
	if err != nil || again == id {
		t.Fatalf("opened %s after %s: %v", again, id, err)
	}
	c.answer(t, again, pando.Request, map[string]any{"text": "back"})
}
