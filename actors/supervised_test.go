package actors

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pando-agents/pando/supervisor"
)

func TestTellToASupervisedActorAllocatesNothingAndDoesNotMeetItsSupervisor(t *testing.T) {
	sys := quiet()
	defer sys.Close()
	handled := make(chan struct{}, 1)
	p := New(sys, Spec[int]{Name: "supervised", New: func() Actor[int] {
		return receiver[int](func(int) { handled <- struct{}{} })
	}})
	var stuck atomic.Bool
	entered, release := make(chan struct{}), make(chan struct{})
	tree := supervisor.New(supervisor.Options{
		Children: []supervisor.Spec{{ID: "supervised", Process: p}}, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time {
			if stuck.CompareAndSwap(true, false) {
				close(entered)
				<-release
			}
			return time.Now()
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()
	stuck.Store(true)
	refused := make(chan error, 1)
	go func() { refused <- tree.Delete(ctx, "none") }()
	<-entered // the supervisor holds all its locks
	ref := p.Ref()
	if n := testing.AllocsPerRun(1000, func() {
		if err := ref.Tell(ctx, 1); err != nil {
			t.Fatal(err)
		}
		<-handled
	}); n != 0 {
		t.Errorf("%v allocations in a tell", n)
	}
	close(release)
	if err := <-refused; err == nil {
		t.Error("a child that is not there was deleted")
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// BenchmarkTellSupervised shows what supervision adds to a tell.
func BenchmarkTellSupervised(b *testing.B) {
	for _, supervised := range []bool{false, true} {
		name := map[bool]string{false: "bare", true: "supervised"}[supervised]
		b.Run(name, func(b *testing.B) {
			done := make(chan struct{})
			p := New(benchSystem(b), Spec[bool]{Name: "sink", New: func() Actor[bool] {
				return receiver[bool](func(last bool) {
					if last {
						close(done)
					}
				})
			}})
			if supervised {
				tree := supervisor.New(supervisor.Options{
					Children: []supervisor.Spec{{ID: "sink", Process: p}}, Logger: slog.New(slog.DiscardHandler),
				})
				ctx, stop := context.WithCancel(context.Background())
				served := make(chan error, 1)
				go func() { served <- tree.Serve(ctx) }()
				<-tree.Ready()
				defer func() { stop(); <-served }()
			} else {
				if err := p.Start(context.Background(), supervisor.Incarnation{Generation: 1, Exit: func(error) {}}); err != nil {
					b.Fatal(err)
				}
				defer p.Kill(nil)
			}
			ref, ctx := p.Ref(), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				_ = ref.Tell(ctx, false)
			}
			_ = ref.Tell(ctx, true)
			<-done
		})
	}
}
