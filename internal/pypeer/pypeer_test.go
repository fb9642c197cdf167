package pypeer_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/pando-agents/pando/internal/pypeer"
)

func TestPythonClientTalksToPythonServer(t *testing.T) {
	t.Parallel()
	dialling, listening := newAgents(t)
	server := pypeer.NewServer(t, listening, 100*time.Millisecond)
	relay := pypeer.NewRelay(t, server.URL)
	client := pypeer.NewClient(t, dialling)
	ctx := t.Context()

	channel, err := client.Open(ctx, listener, relay.URL, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		answer, err := client.Request(ctx, channel, "request", map[string]any{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		var data struct{ Text string }
		if err := json.Unmarshal(answer.Content.Data, &data); err != nil || data.Text != text {
			t.Fatalf("answer to %q: %s, %v", text, answer.Content.Data, err)
		}
		if answer.Meta.ChannelID != channel || answer.Meta.Sender != listener {
			t.Fatalf("answer carries %+v", answer.Meta)
		}
	}
	if open, err := client.Connected(ctx, channel); err != nil || !open {
		t.Fatalf("connected: %v, %v", open, err)
	}
	if n := openChannels(t, server); n != 1 {
		t.Fatalf("the server counts %d channels, want 1", n)
	}
	if err := client.Close(ctx, channel, "done"); err != nil {
		t.Fatal(err)
	}
	if open, err := client.Connected(ctx, channel); err != nil || open {
		t.Fatalf("connected after close: %v, %v", open, err)
	}
	frames, err := relay.Wait(ctx, ended)
	if err != nil {
		t.Fatal(err)
	}
	// open, accept, three pairs, and no channel.close before the end.
	if last := frames[len(frames)-1]; len(frames) != 9 || last != (pypeer.Frame{From: "client", Close: 1000}) {
		t.Fatalf("%d frames, the last %+v", len(frames), last)
	}
}

func TestPythonExceptionsAreErrorsWithTheirClassAsCode(t *testing.T) {
	t.Parallel()
	dialling, _ := newAgents(t)
	client := pypeer.NewClient(t, dialling)
	if _, err := client.Token(t.Context(), "not-a-uuid"); !errors.Is(err, &pypeer.Error{Code: "RegistryError"}) {
		t.Errorf("token for nobody: %v", err)
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(refusing.Close)
	relay := pypeer.NewRelay(t, "ws"+refusing.URL[len("http"):])

	_, err := client.Open(t.Context(), listener, relay.URL, 0)
	var refused *pypeer.Error
	if !errors.As(err, &refused) || refused.Code != "ConnectionError" || !strings.Contains(refused.Message, "401") {
		t.Errorf("dialling into a refusal: %v", err)
	}
	if token, err := client.Token(t.Context(), listener); err != nil || token != "made.up.token" {
		t.Errorf("token: %q, %v", token, err)
	}
	headers, err := client.Protect(t.Context(), "GET", "http://127.0.0.1/x", listener)
	if err != nil || headers["authorization"] != "Bearer made.up.token" || headers["dpop"] == "" {
		t.Errorf("protect: %d headers, %v", len(headers), err)
	}

	channel, err := client.Open(t.Context(), listener, newAcceptor(t, acceptFrame), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Receive(ctx, channel); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("receive without a message: %v", err)
	}
}

func TestPythonProcessThatSpinsIsReportedAndKilled(t *testing.T) {
	t.Parallel()
	dialling, _ := newAgents(t)
	client := pypeer.NewClient(t, dialling)
	// The token is cached, so that the second is spent on dialling only.
	if _, err := client.Token(t.Context(), listener); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	// A message before channel.accept sends the SDK into an endless loop.
	_, err := client.Open(ctx, listener, newAcceptor(t, `{"meta":{},"content":{"type":"event"}}`), 0)
	if !errors.Is(err, &pypeer.Error{Code: pypeer.CodeHung}) {
		t.Fatalf("open: %v", err)
	}
	if _, err := client.Token(t.Context(), listener); !errors.Is(err, &pypeer.Error{Code: pypeer.CodeGone}) {
		t.Errorf("token from a killed process: %v", err)
	}
}

// BenchmarkPythonRoundTrip is the figure to compare Pando with: the SDK on both ends.
func BenchmarkPythonRoundTrip(b *testing.B) {
	dialling, listening := newAgents(b)
	server := pypeer.NewServer(b, listening, 0)
	client := pypeer.NewClient(b, dialling)
	channel, err := client.Open(b.Context(), listener, server.URL, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	took, err := client.RoundTrips(b.Context(), channel, b.N, "request", map[string]any{"text": "hello"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/took.Seconds(), "round-trips/s")
	b.Logf("versions: %v", server.Versions)
}

// acceptFrame is all that the SDK needs to take a channel for open.
const acceptFrame = `{"meta":{},"content":{"type":"channel.accept"}}`

// newAcceptor returns the URL of a server that answers every frame with the same.
func newAcceptor(t *testing.T, frame string) string {
	t.Helper()
	upgrader := gws.NewUpgrader(acceptor(frame), nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r); err == nil {
			conn.ReadLoop()
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + server.URL[len("http"):]
}

type acceptor string

func (a acceptor) OnMessage(conn *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = conn.WriteMessage(gws.OpcodeText, []byte(a))
}

func (acceptor) OnOpen(*gws.Conn)         {}
func (acceptor) OnClose(*gws.Conn, error) {}
func (acceptor) OnPing(*gws.Conn, []byte) {}
func (acceptor) OnPong(*gws.Conn, []byte) {}

func ended(frames []pypeer.Frame) bool {
	return len(frames) > 0 && frames[len(frames)-1].Close != 0
}

func openChannels(t *testing.T, server *pypeer.Server) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.Health, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
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
