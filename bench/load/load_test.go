package load_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/bench/floor"
	"github.com/pando-agents/pando/bench/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns its ws:// address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws"
}

func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]load.SteadyOptions{
		"one at a time":      {Channels: 1, InFlight: 1, Payload: 128, Requests: 100},
		"many in flight":     {Channels: 8, InFlight: 16, Payload: 128, Requests: 5003},
		"written one by one": {Channels: 3, InFlight: 16, Payload: 128, Requests: 999, WriteEach: true},
		"two-byte lengths":   {Channels: 4, InFlight: 4, Payload: 4096, Requests: 400},
		"eight-byte lengths": {Channels: 2, InFlight: 1, Payload: 70_000, Requests: 20},
		"no text":            {Channels: 2, InFlight: 2, Requests: 50},
		"fewer than slots":   {Channels: 3, InFlight: 8, Payload: 1, Requests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := load.Steady(t.Context(), load.Target{URL: serve(t, floor.Handler()), PID: os.Getpid()}, opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := report.Err(); err != nil {
				t.Fatal(err)
			}
			if report.Requests != opts.Requests {
				t.Errorf("%d requests answered, want %d", report.Requests, opts.Requests)
			}
			if report.P50 <= 0 || report.P99 < report.P50 {
				t.Errorf("latencies p50 %v, p99 %v are not possible", report.P50, report.P99)
			}
		})
	}
}

func TestWindowIsMeasuredAfterWarmup(t *testing.T) {
	t.Parallel()
	report, err := load.Steady(t.Context(), load.Target{URL: serve(t, floor.Handler())},
		load.SteadyOptions{Channels: 2, InFlight: 2, Payload: 16, Warmup: 20 * time.Millisecond, Window: 50 * time.Millisecond})
	if err := errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	if report.Seconds < 0.05 {
		t.Errorf("measured for %v s, want the whole window of 0.05 s", report.Seconds)
	}
}

func TestHeartbeatsOfIdleChannelsAreAnswered(t *testing.T) {
	t.Parallel()
	report, err := load.Idle(t.Context(), load.Target{URL: serve(t, floor.Handler()), PID: os.Getpid()},
		load.IdleOptions{Channels: 50, Heartbeat: 10 * time.Millisecond, Rounds: 3})
	if err := errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	if report.Sent != 150 || report.Answered != 150 {
		t.Errorf("%d heartbeats sent and %d answered, want 150 of each", report.Sent, report.Answered)
	}
	if report.Before.RSS <= 0 || report.After.RSS <= 0 {
		t.Errorf("memory before %+v and after %+v was not read", report.Before, report.After)
	}
}

func TestEachOpeningTakesTheNextToken(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	next := floor.Handler()
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Header.Get("Authorization")]++
		mu.Unlock()
		next.ServeHTTP(w, r)
	}))
	report, err := load.Open(t.Context(), load.Target{URL: url, Tokens: []string{"a", "b", "c"}},
		load.OpenOptions{Concurrency: 4, Requests: 60})
	if err := errors.Join(err, report.Err()); err != nil {
		t.Fatal(err)
	}
	if report.Requests != 60 {
		t.Errorf("%d channels opened, want 60", report.Requests)
	}
	for _, token := range []string{"a", "b", "c"} {
		if seen["Bearer "+token] != 20 {
			t.Errorf("token %s was used %d times, want 20", token, seen["Bearer "+token])
		}
	}
}

func TestSenderIsTheSubjectOfTheToken(t *testing.T) {
	t.Parallel()
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"alice","target":"bob"}`))
	frames := make(chan string, 1)
	url := serve(t, raw(func(conn net.Conn, rw *bufio.ReadWriter) {
		frames <- readClientFrame(rw)
	}))
	_, err := load.Steady(t.Context(), load.Target{URL: url, Tokens: []string{"h." + claims + ".s"}},
		load.SteadyOptions{Channels: 1, InFlight: 1, Requests: 1})
	if err == nil {
		t.Fatal("a server that hangs up before the accept was taken for an open channel")
	}
	if got := <-frames; !strings.Contains(got, `"sender":"alice","recipient":"bob"`) {
		t.Errorf("channel.open was %s", got)
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	t.Parallel()
	for name, rewrite := range map[string]func(string) string{
		"error":           func(s string) string { return strings.Replace(s, `"response"`, `"error123"`, 1) },
		"foreign id":      func(s string) string { return strings.Replace(s, `"reply_to":"`, `"reply_to":"x`, 1) },
		"no id":           func(s string) string { return strings.Replace(s, `"reply_to"`, `"reply_2x"`, 1) },
		"wrong echo":      func(s string) string { return strings.Replace(s, `"text":"t`, `"text":"f`, 1) },
		"not JSON at all": func(s string) string { return strings.Repeat("x", len(s)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := load.Steady(t.Context(), load.Target{URL: serve(t, relay(t, rewrite))},
				load.SteadyOptions{Channels: 1, InFlight: 1, Payload: 40, Requests: 1})
			if err != nil {
				t.Fatal(err)
			}
			if report.Errors == 0 || report.Err() == nil {
				t.Errorf("report %+v has no error", report)
			}
		})
	}
}

func TestRefusedUpgradeNamesTheStatus(t *testing.T) {
	t.Parallel()
	url := serve(t, http.NotFoundHandler())
	if _, err := load.Open(t.Context(), load.Target{URL: url}, load.OpenOptions{Concurrency: 1, Requests: 1}); err != nil {
		t.Fatal(err)
	}
	_, err := load.Idle(t.Context(), load.Target{URL: url}, load.IdleOptions{Channels: 2, Heartbeat: 1, Rounds: 1})
	if err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("error %v does not name the status", err)
	}
}

func TestCancelEndsTheLoad(t *testing.T) {
	t.Parallel()
	url := serve(t, floor.Handler())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := load.Steady(ctx, load.Target{URL: url},
		load.SteadyOptions{Channels: 2, InFlight: 2, Window: time.Hour})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	t.Parallel()
	target := load.Target{URL: "ws://127.0.0.1:1/ws"}
	for name, opts := range map[string]load.SteadyOptions{
		"no channel":   {InFlight: 1, Requests: 1},
		"no request":   {Channels: 1, InFlight: 1},
		"none at once": {Channels: 1, Requests: 1},
		"too many":     {Channels: 1, InFlight: 5000, Requests: 1},
	} {
		if _, err := load.Steady(t.Context(), target, opts); err == nil || strings.Contains(err.Error(), "dial") {
			t.Errorf("%s: error %v, want a refusal before dialling", name, err)
		}
	}
	if _, err := load.Steady(t.Context(), load.Target{URL: "http://127.0.0.1/"},
		load.SteadyOptions{Channels: 1, InFlight: 1, Requests: 1}); err == nil {
		t.Error("a URL that is not ws:// was taken")
	}
}

func TestTokensAreReadLineByLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("one\ntwo\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := load.ReadTokens(path)
	if err != nil || len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load.ReadTokens(path); err == nil {
		t.Error("an empty file was taken")
	}
}
