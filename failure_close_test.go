package pando_test

import (
	"context"
	"testing"

	"github.com/pando-agents/pando"
)

func TestEventsSentBeforeACloseAreHandled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const events = 200
	first := make(chan struct{})
	release := make(chan struct{})
	handled := make(chan int, events)
	b := w.newNode("b", func(b *node) {
		b.Handle(pando.Event, func(ctx context.Context, m *pando.Message) (any, error) {
			var n numbered
			if err := m.Decode(&n); err != nil {
				return nil, err
			}
			if n.N == 0 {
				close(first)
				<-release
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			handled <- n.N
			return nil, nil
		})
	})
	a := w.friend(b, "a", nil)
	ch := a.open(t, b)
	there := b.lookup(t, ch.ID())
	ctx := within(t, patience)
	for n := range events {
		if _, err := ch.Send(ctx, pando.Event, numbered{n}); err != nil {
			t.Fatal(err)
		}
	}
	<-first
	if err := ch.Close(ctx, "all is said"); err != nil {
		t.Fatal(err)
	}
	<-there.Done() // the channel is gone at both ends, and 200 events wait
	close(release)
	for n := range events {
		select {
		case got := <-handled:
			if got != n {
				t.Fatalf("event %d came where %d was due", got, n)
			}
		case <-ctx.Done():
			t.Fatalf("event %d was not handled", n)
		}
	}
}

func TestShutdownWaitsForEventsOfClosedChannels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b := w.newNode("b", func(b *node) {
		b.Handle(pando.Event, func(context.Context, *pando.Message) (any, error) {
			close(entered)
			<-release
			close(done)
			return nil, nil
		})
	})
	a := w.friend(b, "a", nil)
	ch := a.open(t, b)
	there := b.lookup(t, ch.ID())
	ctx := within(t, patience)
	if _, err := ch.Send(ctx, pando.Event, numbered{1}); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := ch.Close(ctx, "bye"); err != nil {
		t.Fatal(err)
	}
	<-there.Done()
	down := make(chan error, 1)
	go func() { down <- b.Shutdown(ctx) }()
	select {
	case err := <-down:
		t.Fatalf("shutdown returned %v while an event was being handled", err)
	case release <- struct{}{}:
	}
	<-done
	if err := <-down; err != nil {
		t.Fatal(err)
	}
}
