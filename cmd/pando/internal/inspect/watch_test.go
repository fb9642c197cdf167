package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is the admin handler of an agent that may be away.
type agent struct {
	away   atomic.Bool
	looks  atomic.Int64
	events chan string
	done   chan struct{}
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case a.away.Load():
		http.Error(w, "away", http.StatusBadGateway)
	case r.URL.Path == "/admin/tree" && r.URL.Query().Get("limit") == "7":
		in := sampleAgent()
		in.UptimeMS = 1000 * a.looks.Add(1)
		_ = json.NewEncoder(w).Encode(in)
	case r.URL.Path == "/admin/events":
		for {
			_ = http.NewResponseController(w).Flush()
			select {
			case e := <-a.events:
				_, _ = fmt.Fprintln(w, e)
			case <-a.done:
				return
			}
		}
	default:
		http.NotFound(w, r)
	}
}

// screen takes what is written.
type screen chan string

func (s screen) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

// until reads frames until one has all of these texts.
func (s screen) until(t *testing.T, texts ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	last := ""
	for {
		select {
		case last = <-s:
		case <-ctx.Done():
			t.Fatalf("no frame with %q; the last is:\n%s", texts, last)
		}
		found := true
		for _, text := range texts {
			found = found && strings.Contains(last, text)
		}
		if found {
			return last
		}
	}
}

// watched is a Watch that runs.
type watched struct {
	*Watch
	agent   *agent
	out     screen
	keys    chan byte
	resized chan struct{}
	width   atomic.Int64
	ended   chan error
	cancel  context.CancelFunc
}

func newWatch(t *testing.T, onScreen bool) *watched {
	t.Helper()
	w := &watched{
		agent: &agent{events: make(chan string), done: make(chan struct{})}, out: make(screen, 1),
		keys: make(chan byte), resized: make(chan struct{}), ended: make(chan error, 1),
	}
	srv := httptest.NewServer(w.agent)
	base, err := url.Parse(srv.URL + "/admin")
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient(base, "")
	client.Channels = 7
	w.Watch = &Watch{Client: client, Interval: 10 * time.Millisecond, Out: w.out}
	w.width.Store(80)
	if onScreen {
		w.Screen = &Screen{Size: func() (int, int) { return int(w.width.Load()), 40 }, Resized: w.resized, Keys: w.keys}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	t.Cleanup(func() {
		cancel()
		close(w.agent.done)
		client.http.CloseIdleConnections()
		srv.Close()
	})
	go func() {
		w.ended <- w.Run(ctx)
		close(w.out)
	}()
	return w
}

// end returns what Run has returned, and the last that it wrote.
func (w *watched) end() (last string, err error) {
	for frame := range w.out {
		last = frame
	}
	return last, <-w.ended
}

func TestWatchDrawsInPlaceUntilTheUserLeaves(t *testing.T) {
	t.Parallel()
	for _, key := range []byte{'q', 3} {
		w := newWatch(t, true)
		if first := <-w.out; first != enterScreen {
			t.Errorf("it begins with %q", first)
		}
		frame := w.out.until(t, "restarts 4 (0.0/s)", "q leaves")
		if !strings.HasPrefix(frame, home) || !strings.HasSuffix(frame, clearBelow) || strings.Contains(strings.ReplaceAll(frame, "\r\n", ""), "\n") {
			t.Errorf("a frame is %q", frame)
		}
		go func() {
			w.agent.events <- `{"kind":"failed","path":"agent/registry","generation":4,"reason":"a crash","missed":2}`
		}()
		w.out.until(t, "agent/registry#4 failed: a crash", "2 events missed")
		w.width.Store(10)
		go func() { w.resized <- struct{}{} }()
		w.out.until(t, "agent 0d3…")
		go func() { w.keys <- 'x'; w.keys <- key }()
		if last, err := w.end(); err != nil || last != leaveScreen {
			t.Errorf("it ends with %q, %v", last, err)
		}
	}
}

func TestWatchGoesOnWhenTheAgentIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	w := newWatch(t, true)
	w.out.until(t, "q leaves")
	w.agent.away.Store(true)
	w.out.until(t, "for 0s: ", "answers with status 502", "takes channels")
	w.agent.away.Store(false)
	w.out.until(t, "q leaves")
	w.cancel()
	if last, err := w.end(); err != nil || last != leaveScreen {
		t.Errorf("it ends with %q, %v", last, err)
	}
}

func TestFramesFollowEachOtherWhereThereIsNoScreen(t *testing.T) {
	t.Parallel()
	w := newWatch(t, false)
	first := w.out.until(t, "takes channels")
	if strings.Contains(first, "───────────────") {
		t.Errorf("the first frame is %s", first)
	}
	go func() { w.agent.events <- `{"kind":"started","path":"agent/registry","generation":5}` }()
	if frame := w.out.until(t, "registry#5 started"); !strings.HasPrefix(frame, "────────────────────") || strings.Contains(frame, "\x1b") {
		t.Errorf("a frame is %q", frame)
	}
	if again := <-w.out; strings.Contains(again, "registry#5") {
		t.Error("an event is shown twice")
	}
	w.agent.away.Store(true)
	if _, err := w.end(); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("it ends with %v", err)
	}
}

func TestWatchThatCannotBeginFails(t *testing.T) {
	t.Parallel()
	for _, onScreen := range []bool{true, false} {
		srv := httptest.NewServer(http.NotFoundHandler())
		base, _ := url.Parse(srv.URL)
		out := make(screen, 10)
		w := &Watch{Client: NewClient(base, ""), Interval: time.Second, Out: out}
		if onScreen {
			w.Screen = &Screen{}
		}
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no admin handler") || len(out) != 0 {
			t.Errorf("it ends with %v after %d frames", err, len(out))
		}
		w.Client.http.CloseIdleConnections()
		srv.Close()
	}
}

func TestClientSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status      int
		body, token string
		says        string
	}{
		{401, `{"error":"admin_token_required"}`, "", "--token-file"},
		{401, `{"error":"admin_token_required"}`, "x", "does not take this admin token"},
		{403, `{"error":"loopback_only"}`, "", "own machine only"},
		{404, `not found`, "", "no admin handler"},
		{426, `{"error":"upgrade_required"}`, "", "WebSocket endpoint"},
		{503, `{"error":"overloaded","message":"too many\u001b are looking"}`, "", "too many· are looking"},
		{502, `<html>`, "", "status 502 Bad Gateway"},
		{302, ``, "x", "status 302 Found"},
		{200, `<html>`, "", "is not the admin handler"},
		{200, `{}`, "", "is not the admin handler"},
		{200, `{"schema":2}`, "", "schema 2"},
	} {
		elsewhere := false
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere = true }))
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization"); (got == "Bearer x") != (c.token == "x") {
				t.Errorf("authorization %q", got)
			}
			w.Header().Set("Location", other.URL)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		base, _ := url.Parse(srv.URL)
		client := NewClient(base, c.token)
		if _, _, err := client.Tree(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
		if elsewhere {
			t.Error("a redirect was followed, with the token")
		}
		srv.Close()
		if _, _, err := client.Tree(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be reached: dial tcp") {
			t.Errorf("nobody there: %v", err)
		}
		client.http.CloseIdleConnections()
		other.Close()
	}
}

func TestURLsOfAdminHandlers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://127.0.0.1:9002":             "http://127.0.0.1:9002",
		"http://127.0.0.1:9002/":            "http://127.0.0.1:9002",
		"https://a.example/admin/tree?x=1":  "https://a.example/admin",
		"https://a.example/admin/events/":   "https://a.example/admin",
		"ws://127.0.0.1:9001/ws":            "",
		"127.0.0.1:9002":                    "",
		"http://user:secret@127.0.0.1:9002": "",
		"http://":                           "",
	} {
		u, err := ParseURL(text)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is taken as %s", text, u)
		case want != "" && (err != nil || u.String() != want):
			t.Errorf("%s is taken as %s, %v", text, u, err)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("a secret is printed: %v", err)
		}
	}
}
