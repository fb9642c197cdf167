package pando_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando"
)

// drainer is an agent that is to be shut down while a handler runs for a peer.
type drainer struct {
	*world
	agent, peer *node
	ch          *pando.Channel
	running     chan struct{}
	release     chan struct{}
	answered    chan error // what the requester got
}

func newDrainer(w *world, opts ...pando.Option) *drainer {
	w.t.Helper()
	d := &drainer{world: w, running: make(chan struct{}), release: make(chan struct{}), answered: make(chan error, 1)}
	d.agent = w.newNode("agent", func(a *node) {
		a.Handle("slow", func(context.Context, *pando.Message) (any, error) {
			close(d.running)
			<-d.release
			return numbered{1}, nil
		})
	}, opts...)
	d.peer = w.friend(d.agent, "peer", nil)
	d.ch = d.peer.open(w.t, d.agent)
	go func() {
		_, err := d.ch.Request(within(w.t, time.Hour), "slow", nil)
		d.answered <- err
	}()
	<-d.running
	return d
}

func TestShutdownLetsRunningHandlersFinishAndTakesNothingNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := newDrainer(w)
	down := make(chan error, 1)
	go func() { down <- d.agent.Shutdown(within(t, patience)) }()
	var told *pando.RemoteError
	eventually(t, "new requests are refused", func() bool {
		_, err := d.ch.Request(within(t, patience), pando.Request, nil)
		return errors.As(err, &told)
	})
	if told.Code != "shutting_down" {
		t.Errorf("a new request is answered %v", told)
	}
	conn := w.tcp(d.agent)
	answer, _ := handshake(t, conn, d.agent.url, w.dialHeader(d.peer.creds, d.agent, d.agent.url))
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("a new handshake: %s, %v", answer.Status, answer.Header)
	}
	if _, err := d.agent.Open(within(t, patience), d.peer.ID(), d.peer.url); !errors.Is(err, pando.ErrShuttingDown) {
		t.Errorf("a new channel: %v", err)
	}
	select {
	case err := <-down:
		t.Fatalf("it is down while a handler runs: %v", err)
	default:
	}
	close(d.release)
	if err := <-d.answered; err != nil {
		t.Errorf("the answer of the handler that ran: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	<-d.agent.ended
	<-d.ch.Done()
	if err := d.ch.Err(); !errors.Is(err, pando.ErrClosed) || !strings.Contains(err.Error(), "agent_shutdown") {
		t.Errorf("the peer reads %v", err)
	}
	if err := d.agent.Shutdown(within(t, patience)); err != nil {
		t.Errorf("a second shutdown: %v", err)
	}
	if err := d.agent.Run(context.Background()); !errors.Is(err, pando.ErrRan) {
		t.Errorf("a second run: %v", err)
	}
}

func TestShutdownDoesNotWaitLongerThanItIsTold(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		d := newDrainer(w)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := d.agent.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		<-d.agent.ended
		if took := time.Since(start); took < 3*time.Second || took > 7*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := <-d.answered; !errors.Is(err, pando.ErrOutcomeUnknown) && !errors.Is(err, pando.ErrClosed) {
			t.Errorf("the requester reads %v", err)
		}
		close(d.release)
	})
}

func TestEndOfTheContextDrainsForAWhile(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		d := newDrainer(w)
		start := time.Now()
		d.agent.cancel()
		go func() {
			<-time.After(4 * time.Second)
			close(d.release)
		}()
		if err := <-d.answered; err != nil {
			t.Errorf("the answer of the handler that ran: %v", err)
		}
		<-d.agent.ended
		if took := time.Since(start); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestHandlerThatHangsDoesNotKeepTheAgentFromEnding(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		t := w.t
		d := newDrainer(w)
		start := time.Now()
		d.agent.cancel()
		<-d.agent.ended
		if took := time.Since(start); took < 10*time.Second || took > 14*time.Second {
			t.Errorf("it took %v", took)
		}
		d.agent.log.wait(t, "agent stops with work unfinished")
		close(d.release) // it comes back to an agent that is gone
		<-d.answered
	})
}

func TestShutdownInsideAHandlerDoesNotWaitForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	down := make(chan error, 1)
	agent := w.newNode("agent", func(a *node) {
		a.Handle("stop", func(ctx context.Context, _ *pando.Message) (any, error) {
			down <- a.Shutdown(ctx)
			return numbered{}, nil
		})
	})
	peer := w.friend(agent, "peer", nil)
	ch := peer.open(t, agent)
	start := time.Now()
	_, err := ch.Request(within(t, patience), "stop", nil)
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	<-agent.ended
	if took := time.Since(start); took > patience {
		t.Errorf("it took %v", took)
	}
	if err != nil && !errors.Is(err, pando.ErrClosed) && !errors.Is(err, pando.ErrOutcomeUnknown) {
		t.Errorf("the requester reads %v", err)
	}
	<-ch.Done()
	if err := ch.Err(); !errors.Is(err, pando.ErrClosed) || !strings.Contains(err.Error(), "agent_shutdown") {
		t.Errorf("the peer reads %v", err)
	}
}

func TestShutdownOfOneAgentLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	for range 3 {
		other := s.friend(s.agent, "other", nil)
		out := other.open(t, s.agent)
		in := s.agent.open(t, other)
		if err := other.Shutdown(within(t, patience)); err != nil {
			t.Error(err)
		}
		<-in.Done()
		if err := in.Err(); !strings.Contains(err.Error(), "agent_shutdown") {
			t.Errorf("the other end reads %v", err)
		}
		if _, err := out.Send(within(t, patience), "event", nil); !errors.Is(err, pando.ErrClosed) {
			t.Errorf("send after the end: %v", err)
		}
		s.agent.log.wait(t, "channel closed", "channel", in.ID(), "peer", other.ID(), "reason", "agent_shutdown")
	}
}

func TestAgentThatDoesNotRunTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := pando.New(w.reg.AddAgent("idle", ""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := a.Open(ctx, newID(), "ws://127.0.0.1:1/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open: %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Run(ended); err != nil { // ends at once, and leaves nothing behind
		t.Errorf("run: %v", err)
	}
	if _, err := a.Open(context.Background(), newID(), "ws://127.0.0.1:1/"); !errors.Is(err, pando.ErrShuttingDown) {
		t.Errorf("open after the end: %v", err)
	}
}
