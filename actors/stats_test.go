package actors

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/pando-agents/pando/supervisor"
)

func TestSnapshotOfTheTreeTellsHowManyMessagesWait(t *testing.T) {
	t.Parallel()
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	defer sys.Close()
	held, release := make(chan struct{}), make(chan struct{})
	p := New(sys, Spec[any]{Name: "slow", New: func() Actor[any] {
		return &probe{receive: func(_ *Context[any], m any) {
			if m == "hold" {
				close(held)
				<-release
			}
		}}
	}})
	if got := p.Stats(); got != (supervisor.Stats{}) {
		t.Fatalf("before the start: %+v", got)
	}
	tree := supervisor.New(supervisor.Options{
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Children: []supervisor.Spec{{ID: "slow", Process: p}},
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()
	for _, m := range []any{"hold", 1, 2, 3} {
		if err := p.Ref().Tell(ctx, m); err != nil {
			t.Fatal(err)
		}
		if m == "hold" {
			<-held
		}
	}
	stats := tree.Snapshot().Children[0].Stats
	if stats == nil || stats.Queue != 3 || stats.HighWater != 3 {
		t.Errorf("stats are %+v, want 3 waiting", stats)
	}
	close(release)
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
