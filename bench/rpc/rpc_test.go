package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/bench/ask"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, methods map[string]Method) *Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, methods) }()
	c, err := Dial("ws://" + ln.Addr().String() + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestEachCallerGetsItsAnswer(t *testing.T) {
	t.Parallel()
	c := serve(t, map[string]Method{"echo": func(in ask.Text) (ask.Text, error) { return in, nil }})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if got, err := c.Call(t.Context(), "echo", ask.Text{Text: ask.Name(i)}); err != nil || got.Text != ask.Name(i) {
				t.Errorf("%q, %v", got.Text, err)
			}
		})
	}
	all.Wait()
}

func TestWhatFailsIsAnswered(t *testing.T) {
	t.Parallel()
	c := serve(t, map[string]Method{"fail": func(ask.Text) (ask.Text, error) { return ask.Text{}, errors.New("deliberate") }})
	for method, want := range map[string]string{"fail": "deliberate", "none": "no method none"} {
		if _, err := c.Call(t.Context(), method, ask.Text{}); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", method, err, want)
		}
	}
}

func TestCallerIsLetGoWhenItsTimeIsOverOrTheConnectionIs(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	c := serve(t, map[string]Method{"wait": func(in ask.Text) (ask.Text, error) {
		close(asked)
		<-release
		return in, nil
	}})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := c.Call(ctx, "wait", ask.Text{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	_ = c.socket.NetConn().Close()
	if _, err := c.Call(t.Context(), "wait", ask.Text{}); err == nil {
		t.Error("a call over a closed connection has no error")
	}
}
