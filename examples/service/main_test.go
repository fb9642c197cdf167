package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client keeps no connections that would hold up the end of a server.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// running is the service as a user sees it: what it prints and what it answers.
type running struct {
	t     *testing.T
	lines chan string
	url   string
	stop  func() // as SIGTERM does; waits for the end
}

// Write takes what is printed, one line at a time.
func (r *running) Write(line []byte) (int, error) {
	r.lines <- strings.TrimSuffix(string(line), "\n")
	return len(line), nil
}

func start(t *testing.T, every time.Duration) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, lines: make(chan string, 10_000)}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", every, r); close(r.lines) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	// The two may come in either order.
	for up := false; r.url == "" || !up; {
		line := r.next()
		if url, ok := strings.CutPrefix(line, "listening on "); ok {
			r.url = url
		}
		up = up || line == "service/web#1 started"
	}
	return r
}

// next returns the next line that is printed.
func (r *running) next() string {
	r.t.Helper()
	line, ok := <-r.lines
	if !ok {
		r.t.Fatal("the service has ended")
	}
	return line
}

// expect waits for lines that begin like those wanted, in that order, and
// returns all that came until then.
func (r *running) expect(wanted ...string) []string {
	r.t.Helper()
	var seen []string
	for _, want := range wanted {
		for line := ""; !strings.HasPrefix(line, want); seen = append(seen, line) {
			line = r.next()
		}
	}
	return seen
}

func (r *running) call(method, path, body string) (status int, answer string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSuffix(string(b), "\n")
}

// wantCount sends a text of two words.
func (r *running) wantCount(total int) {
	r.t.Helper()
	status, answer := r.call("POST", "/texts", "two words")
	if want := fmt.Sprintf("%d words", total); status != http.StatusOK || answer != want {
		r.t.Errorf("%d, %q, want %q", status, answer, want)
	}
}

func TestPartThatBreaksComesBackWithWhatDependsOnIt(t *testing.T) {
	t.Parallel()
	broken := "panic: broken on purpose, next start in 0s"
	for part, test := range map[string]struct {
		printed []string
		// alone parts are the only ones that are started again.
		alone bool
		total int
	}{
		"ticker": {printed: []string{"service/work/ticker#1 failed: " + broken, "service/work/ticker#2 started"}, alone: true, total: 4},
		"worker": {printed: []string{"service/work/pool/worker-", "service/work/pool/worker-"}, alone: true, total: 4},
		"web":    {printed: []string{"service/web#1 failed: accept tcp", "service/web#2 started"}, alone: true, total: 4},
		"total": {printed: []string{
			"service/work/total#1 failed: " + broken, "service/work/ticker#1 stopped",
			"service/work/pool/worker-3#1 stopped", "service/work/pool/worker-2#1 stopped", "service/work/pool/worker-1#1 stopped",
			"service/work/pool#1 stopped", "service/work/total#2 started", "service/work/pool#2 started", "service/work/ticker#2 started",
		}, total: 2}, // the state of the actor is fresh
		"pool": {printed: []string{
			"service/work/pool#1 failed: child \"worker-", "service/work/ticker#1 stopped",
			"service/work/pool#2 started", "service/work/ticker#2 started",
		}, total: 4},
	} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := start(t, time.Hour)
			r.wantCount(2)
			if status, answer := r.call("POST", "/break/"+part, ""); status != http.StatusOK {
				t.Fatalf("%d, %q", status, answer)
			}
			seen := r.expect(test.printed...)
			if test.alone {
				seen = slices.DeleteFunc(seen, func(line string) bool { return strings.HasPrefix(line, "listening") })
				if len(seen) != 2 {
					t.Errorf("printed %q, want one failure and one start", seen)
				}
			}
			r.wantCount(test.total)
		})
	}
}

func TestPartThatDoesNotExistCannotBeBroken(t *testing.T) {
	t.Parallel()
	r := start(t, time.Hour)
	if status, _ := r.call("POST", "/break/disk", ""); status != http.StatusBadRequest {
		t.Errorf("status %d, want 400", status)
	}
}

func TestTickerReportsTheTotal(t *testing.T) {
	t.Parallel()
	r := start(t, time.Millisecond)
	r.wantCount(2)
	r.expect("2 words so far")
}

func TestTreeShowsWhatBrokeLast(t *testing.T) {
	t.Parallel()
	r := start(t, time.Hour)
	if status, answer := r.call("POST", "/break/ticker", ""); status != http.StatusOK {
		t.Fatalf("%d, %q", status, answer)
	}
	r.expect("service/work/ticker#2 started")
	_, tree := r.call("GET", "/tree", "")
	for _, want := range []string{
		"service/work/ticker#2 running, 1 restarts, last: panic: broken on purpose\n",
		"service/work/pool/worker-3#1 running, 0 restarts\n",
	} {
		if !strings.Contains(tree+"\n", want) {
			t.Errorf("no %q in\n%s", want, tree)
		}
	}
}

func TestStopGoesFromTheBottomToTheTop(t *testing.T) {
	t.Parallel()
	r := start(t, time.Hour)
	r.stop()
	r.expect("service/web#1 stopped", "service/work/ticker#1 stopped", "service/work/pool/worker-3#1 stopped",
		"service/work/pool/worker-1#1 stopped", "service/work/pool#1 stopped", "service/work/total#1 stopped", "service/work#1 stopped")
}

func TestRequestUnderWayIsFinished(t *testing.T) {
	t.Parallel()
	r := start(t, time.Hour)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const text = "what has begun is finished"
	_, _ = fmt.Fprintf(conn, "POST /texts HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(text))
	from := bufio.NewReader(conn)
	// The handler reads the body now.
	if line, err := from.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := from.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	_, _ = io.WriteString(conn, text)
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, _ := io.ReadAll(resp.Body); string(b) != "5 words\n" {
		t.Errorf("%d, %q, want 5 words", resp.StatusCode, b)
	}
	<-stopped
}
