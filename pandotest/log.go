package pandotest

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
)

// logRoom is how much of the logs is kept, in bytes: the end of them.
const logRoom = 64 << 10

// log keeps what the agents log for a test that fails.
type log struct {
	mu      sync.Mutex
	text    []byte
	dropped bool
	handler slog.Handler
}

func newLog(t testing.TB) *log {
	l := &log{}
	l.handler = slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(l.tail())
		}
	})
	return l
}

func (l *log) logger(name string) *slog.Logger { return slog.New(l.handler).With("name", name) }

// Write takes one line.
func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line...)
	if len(l.text) > 2*logRoom {
		l.text, l.dropped = bytes.Clone(l.text[len(l.text)-logRoom:]), true
	}
	return len(line), nil
}

func (l *log) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		_, rest, _ := bytes.Cut(l.text, []byte("\n"))
		return "the agents have logged, at the end:\n" + string(rest)
	}
	return "the agents have logged:\n" + string(l.text)
}
