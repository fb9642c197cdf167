package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/internal/pypeer"
)

// listener is a Python agent under FastAPI.
type listener struct {
	*rig
	*pypeer.Server
	id          string
	credentials identity.Credentials
}

// ping is the server's WebSocket ping interval, and nearly how long it waits for
// the answer: not too short for a busy machine.
func (r *rig) listener(t *testing.T, ping time.Duration) *listener {
	t.Helper()
	self, credentials := r.python(t, "listener")
	return &listener{rig: r, Server: pypeer.NewServer(t, self, ping), id: self.AgentID, credentials: credentials}
}

// dialler starts a Pando agent and opens a channel to the Python agent, through a
// tap.
func (l *listener) dialler(t *testing.T, opts ...pando.Option) (*pando.Channel, *tap) {
	t.Helper()
	a := l.pando(t, []identity.Credentials{l.credentials}, opts...)
	wire := newTap(t, l.URL)
	ch, err := a.Open(within(t, patience), l.id, wire.url)
	if err != nil {
		t.Fatal(err)
	}
	return ch, wire
}

// channels asks the Python agent how many channels it has.
func (l *listener) channels(t *testing.T) int {
	t.Helper()
	request, err := http.NewRequestWithContext(within(t, patience), http.MethodGet, l.Health, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var health struct{ Channels int }
	if err := json.NewDecoder(response.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	return health.Channels
}

func request(t *testing.T, ch *pando.Channel, messageType string, data any) *pando.Message {
	t.Helper()
	m, err := ch.Request(within(t, patience), messageType, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPandoAgentTalksToPythonServer(t *testing.T) {
	t.Parallel()
	l := newRig(t).listener(t, time.Second)
	// One of the others counts the server's channels, the last one kills it.
	t.Run("together", func(t *testing.T) {
		for sentence, prove := range map[string]func(*testing.T, *listener){
			"heartbeats and pings of both sides keep a silent channel": provePandoHeartbeats,
			"errors of a python handler are remote errors":             provePandoGetsErrors,
			"a slow python handler is not death":                       provePandoIsPatient,
			"heartbeats do not stop pings behind a slow handler":       provePandoHoldsHeartbeats,
			"custom types and any text survive both ways":              provePandoValues,
			"messages just under 1 MiB pass both ways":                 provePandoBigMessages,
			"an answer over 1 MiB ends with 1009 and is outlived":      provePandoGetsTooMuch,
			"a message over 16 MiB ends with 1009 and is outlived":     provePandoSendsTooMuch,
			"a cut connection is made again":                           provePandoReconnects,
			"a close comes after the last words":                       provePandoSaysLastWords,
			"without permission opening is refused at once":            provePandoIsRefused,
			"a ref asks it by type":                                    provePandoRefersToPython,
			"it has no actors with names":                              provePythonHasNoActors,
			"without permission a ref is refused":                      provePandoMayNotReferToPython,
		} {
			t.Run(sentence, func(t *testing.T) {
				t.Parallel()
				prove(t, l)
			})
		}
	})
	t.Run("a hundred requests are answered", func(t *testing.T) { provePandoRequests(t, l) })
	t.Run("a killed server is waited for", func(t *testing.T) { provePandoOutlivesKill(t, l) })
	t.Run("whoever watches a killed server hears that it is lost", func(t *testing.T) { provePythonIsWatched(t, l) })
}

func provePandoRequests(t *testing.T, l *listener) {
	const requests = 100
	ch, wire := l.dialler(t, pando.WithHeartbeat(0))
	if n := l.channels(t); n != 1 {
		t.Errorf("python has %d channels", n)
	}
	for n := range requests {
		text := fmt.Sprint("number ", n)
		var got struct{ Text string }
		m := request(t, ch, pando.Request, map[string]string{"text": text})
		if err := m.Decode(&got); err != nil || got.Text != text || m.Type != pando.Response || m.Peer != l.id {
			t.Fatalf("answer %+v: %v", m, err)
		}
	}
	// The SDK answers in turn; each caller gets its own answer all the same.
	var together sync.WaitGroup
	ctx := within(t, patience)
	for n := range requests {
		together.Go(func() {
			var got struct{ N int }
			m, err := ch.Request(ctx, "echo", map[string]int{"n": n})
			if err == nil {
				err = m.Decode(&got)
			}
			if err != nil || got.N != n {
				t.Errorf("request %d was answered %d: %v", n, got.N, err)
			}
		})
	}
	together.Wait()
	if err := ch.Close(within(t, patience), "done"); err != nil {
		t.Fatal(err)
	}
	// channel.close is acknowledged before the WebSocket is closed.
	err := wire.wait(within(t, patience), map[string]int{
		"client text": 2*requests + 2, "server text": 2*requests + 2, "client close 1000": 1, "server close 1000": 1,
	})
	if err != nil {
		t.Error(err)
	}
	for l.channels(t) != 0 {
		// Python forgets it when it has read the end of the connection.
	}
}

func provePandoHeartbeats(t *testing.T, l *listener) {
	ch, wire := l.dialler(t, pando.WithHeartbeat(300*time.Millisecond),
		pando.WithTimeouts(pando.Timeouts{Ping: 100 * time.Millisecond}))
	err := wire.wait(within(t, patience), map[string]int{
		"client heartbeat": 5, "server heartbeat": 5,
		"client ping": 4, "server pong": 4, "server ping": 4, "client pong": 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	request(t, ch, pando.Request, map[string]string{"text": "still there"})
	if info := ch.Info(); info.Reopened != 0 || info.State != pando.StateConnected || info.Dropped != 0 {
		t.Errorf("after the pings: %+v", info)
	}
}

func provePandoGetsErrors(t *testing.T, l *listener) {
	ch, _ := l.dialler(t)
	for messageType, text := range map[string]string{
		"no.such.type": "no.such.type",
		"fail":         "deliberate failure",
		pando.Event:    "event", // by the SDK's default nobody takes events
	} {
		_, err := ch.Request(within(t, patience), messageType, nil)
		var remote *pando.RemoteError
		if !errors.As(err, &remote) || !strings.Contains(remote.Message, text) || remote.Code != "" {
			t.Errorf("%s: %v", messageType, err)
		}
	}
	// Its answer is none at all.
	if _, err := ch.Request(within(t, 300*time.Millisecond), "silent", nil); !errors.Is(err, pando.ErrTimeout) {
		t.Errorf("silent: %v", err)
	}
	request(t, ch, pando.Request, map[string]string{"text": "still there"})
	if info := ch.Info(); info.Pending != 0 || info.Reopened != 0 {
		t.Errorf("after the errors: %+v", info)
	}
}

func provePandoIsPatient(t *testing.T, l *listener) {
	ch, wire := l.dialler(t, pando.WithHeartbeat(0), pando.WithTimeouts(pando.Timeouts{Ping: 100 * time.Millisecond}))
	slow := make(chan error, 1)
	ctx := within(t, patience)
	go func() {
		_, err := ch.Request(ctx, "slow", map[string]float64{"seconds": 1.5})
		slow <- err
	}()
	if err := wire.wait(ctx, map[string]int{"client text": 2, "client ping": 3, "server pong": 3}); err != nil {
		t.Error(err)
	}
	// The SDK handles one message at a time.
	if _, err := ch.Request(within(t, 200*time.Millisecond), "echo", nil); !errors.Is(err, pando.ErrTimeout) {
		t.Errorf("a request behind the slow one: %v", err)
	}
	if err := <-slow; err != nil {
		t.Errorf("the slow request: %v", err)
	}
	// The late answer to the request that timed out bothers nobody.
	request(t, ch, "echo", nil)
	if info := ch.Info(); info.Reopened != 0 || info.State != pando.StateConnected {
		t.Errorf("after the slow handler: %+v", info)
	}
}

// provePandoHoldsHeartbeats has a handler be slower than pings may be. Uvicorn reads
// nothing more, pings included, once a message waits behind a handler; a heartbeat
// must not be that message.
func provePandoHoldsHeartbeats(t *testing.T, l *listener) {
	ch, wire := l.dialler(t, pando.WithHeartbeat(50*time.Millisecond),
		pando.WithTimeouts(pando.Timeouts{Ping: 100 * time.Millisecond, Pong: time.Second}))
	if _, err := ch.Request(within(t, patience), "slow", map[string]float64{"seconds": 2.5}); err != nil {
		t.Errorf("the slow request: %v", err)
	}
	if info := ch.Info(); info.Reopened != 0 || info.State != pando.StateConnected {
		t.Errorf("after the slow handler: %+v", info)
	}
	asked := wire.seen("client heartbeat")
	if err := wire.wait(within(t, patience), map[string]int{"client heartbeat": asked + 3, "server heartbeat": asked + 3}); err != nil {
		t.Error(err)
	}
}

func provePandoValues(t *testing.T, l *listener) {
	ch, _ := l.dialler(t)
	for _, data := range values {
		m := request(t, ch, "task.start", json.RawMessage(data))
		if m.Type != "task.done" {
			t.Fatalf("answer of type %s", m.Type)
		}
		sameJSON(t, m.Data, []byte(data))
	}
}

func provePandoBigMessages(t *testing.T, l *listener) {
	ch, _ := l.dialler(t)
	var got struct{ Text string }
	if err := request(t, ch, "echo", map[string]string{"text": nearly}).Decode(&got); err != nil || got.Text != nearly {
		t.Fatalf("got %d bytes back: %v", len(got.Text), err)
	}
	if _, err := ch.Request(within(t, patience), "echo", map[string]string{"text": nearly + nearly[:4096]}); !errors.Is(err, pando.ErrTooLarge) {
		t.Errorf("a message that is too large: %v", err)
	}
}

// quick makes reconnecting fast, as no test wants to wait for it.
var quick = pando.WithBackoff(pando.Backoff{Initial: 50 * time.Millisecond, Max: 200 * time.Millisecond})

func provePandoGetsTooMuch(t *testing.T, l *listener) {
	ch, wire := l.dialler(t, quick)
	// Python reads 1e15 as a float and writes it in four times as many bytes.
	data := `{"n":[` + strings.Repeat("1e15,", 80_000) + `0]}`
	if _, err := ch.Request(within(t, patience), "echo", json.RawMessage(data)); !errors.Is(err, pando.ErrOutcomeUnknown) {
		t.Errorf("an answer that is too large: %v", err)
	}
	if err := wire.wait(within(t, patience), map[string]int{"client close 1009": 1}); err != nil {
		t.Error(err)
	}
	request(t, ch, pando.Request, map[string]string{"text": "back"})
	if n := ch.Info().Reopened; n != 1 {
		t.Errorf("reopened %d times", n)
	}
}

func provePandoSendsTooMuch(t *testing.T, l *listener) {
	const over = 17 << 20
	ch, wire := l.dialler(t, quick, pando.WithLimits(pando.Limits{MaxMessage: 2 * over, Outbound: 2 * over}))
	if _, err := ch.Request(within(t, patience), "echo", map[string]string{"text": strings.Repeat("x", over)}); !errors.Is(err, pando.ErrOutcomeUnknown) {
		t.Errorf("a message over 16 MiB: %v", err)
	}
	if err := wire.wait(within(t, patience), map[string]int{"server close 1009": 1}); err != nil {
		t.Error(err)
	}
	request(t, ch, pando.Request, map[string]string{"text": "back"})
}

func provePandoReconnects(t *testing.T, l *listener) {
	ch, wire := l.dialler(t, quick)
	for n := range 3 {
		wire.cut()
		// It may have been written to the connection that is cut already.
		for {
			_, err := ch.Request(within(t, patience), pando.Request, map[string]string{"text": "back"})
			if err == nil {
				break
			}
			if !errors.Is(err, pando.ErrOutcomeUnknown) {
				t.Fatalf("after cut %d: %v", n+1, err)
			}
		}
	}
	if n := ch.Info().Reopened; n != 3 {
		t.Errorf("reopened %d times", n)
	}
}

func provePandoSaysLastWords(t *testing.T, l *listener) {
	const words = 200
	ch, wire := l.dialler(t, pando.WithHeartbeat(0))
	for range words {
		if _, err := ch.Send(within(t, patience), "silent", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.Close(within(t, patience), "done"); err != nil {
		t.Fatal(err)
	}
	// All of them, between open and close.
	if err := wire.wait(within(t, patience), map[string]int{"client text": words + 2}); err != nil {
		t.Error(err)
	}
}

func provePandoIsRefused(t *testing.T, l *listener) {
	a := l.pando(t, nil)
	begin := time.Now()
	if _, err := a.Open(within(t, promptly), l.id, l.URL); !errors.Is(err, pando.ErrRefused) {
		t.Errorf("without permission: %v", err)
	}
	wrong := l.registry.AddAgent("impostor", identity.KeyEd25519)
	l.registry.Allow(wrong, l.credentials)
	wrong.AgentSecret = strings.Repeat("A", len(wrong.AgentSecret))
	if _, err := l.run(t, wrong).Open(within(t, promptly), l.id, l.URL); !errors.Is(err, pando.ErrRefused) {
		t.Errorf("with a wrong secret: %v", err)
	}
	t.Logf("refused after %v", time.Since(begin))
}

func provePandoOutlivesKill(t *testing.T, l *listener) {
	ch, wire := l.dialler(t, quick)
	outcome := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		_, err := ch.Request(ctx, "slow", map[string]float64{"seconds": 60})
		outcome <- err
	}()
	if err := wire.wait(ctx, map[string]int{"client text": 2}); err != nil {
		t.Fatal(err)
	}
	l.Kill()
	if err := <-outcome; !errors.Is(err, pando.ErrOutcomeUnknown) {
		t.Errorf("the request under way: %v", err)
	}
	if state := ch.State(); state != pando.StateReconnecting {
		t.Errorf("the channel is %v", state)
	}
	// This one waits for the server to come back.
	go func() {
		_, err := ch.Request(ctx, pando.Request, map[string]string{"text": "patient"})
		outcome <- err
	}()
	l.Restart(t)
	if err := <-outcome; err != nil {
		t.Errorf("the request that waited: %v", err)
	}
	if info := ch.Info(); info.Reopened != 1 || info.Restarts != 0 {
		t.Errorf("after the return: %+v", info)
	}
}
