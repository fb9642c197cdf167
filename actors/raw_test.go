package actors

import (
	"errors"
	"runtime"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pando-agents/pando/supervisor"
)

// rawRig is a raw actor and its supervisor, which is the test.
type rawRig struct {
	*Raw
	t     *testing.T
	exits chan exited
}

func newRawRig(t *testing.T, produce actor.Producer) *rawRig {
	t.Helper()
	sys := quiet()
	t.Cleanup(sys.Close)
	return &rawRig{Raw: NewRaw(sys, "raw", produce), t: t, exits: make(chan exited, 16)}
}

func (r *rawRig) start(generation uint64) error {
	return r.Start(r.t.Context(), supervisor.Incarnation{Generation: generation, Exit: func(err error) {
		r.exits <- exited{generation, err}
	}})
}

// running is a producer of actors that run what they are sent.
func runs() actor.Actor {
	return actor.ReceiveFunc(func(c actor.Context) {
		if f, ok := c.Message().(func()); ok {
			f()
		}
	})
}

func TestRawActorThatFailsIsToldAndStartedAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f    func()
		want func(error) bool
	}{
		"panic":  {func() { panic("broken") }, isPanic},
		"goexit": {runtime.Goexit, is(supervisor.ErrGoexit)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRawRig(t, runs)
			for generation := range uint64(3) {
				if err := r.start(generation + 1); err != nil {
					t.Fatal(err)
				}
				r.sys.Root().Send(r.PID(), c.f)
				if e := <-r.exits; e.generation != generation+1 || !c.want(e.reason) {
					t.Fatalf("end %+v", e)
				}
			}
		})
	}
}

func TestRawActorThatCannotStartIsAFailedStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		produce actor.Producer
		want    func(error) bool
	}{
		"producer panics": {func() actor.Actor { panic("broken") }, isPanic},
		"producer exits":  {func() actor.Actor { runtime.Goexit(); return nil }, is(supervisor.ErrGoexit)},
		"no actor":        {func() actor.Actor { return nil }, is(errNoActor)},
		"started panics": {func() actor.Actor {
			return actor.ReceiveFunc(func(actor.Context) { panic("broken") })
		}, isPanic},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRawRig(t, c.produce)
			if err := r.start(1); !c.want(err) {
				t.Fatalf("start = %v", err)
			}
			r.produce = runs
			if err := r.start(2); err != nil {
				t.Fatal(err)
			}
			r.Stop(2, nil)
			if e := <-r.exits; e.generation != 2 || e.reason != nil {
				t.Fatalf("end %+v", e)
			}
		})
	}
}

func TestRawActorIsStoppedWithItsSupervisorAndFencedOffWhenItHangs(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, runs)
	if err := r.start(1); err != nil {
		t.Fatal(err)
	}
	there, gate := make(chan struct{}), make(chan struct{})
	old := r.PID()
	r.sys.Root().Send(old, func() { close(there); <-gate })
	<-there
	r.Abandon(1)
	if _, ok := r.sys.protoSystem().ProcessRegistry.GetLocal(old.Id); ok {
		t.Error("its PID is still registered")
	}
	if err := r.start(2); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if e := <-r.exits; e.generation != 1 || !errors.Is(e.reason, ErrFenced) {
		t.Errorf("end %+v", e)
	}
	r.Stop(1, nil) // of another generation
	r.Stop(2, nil)
	if e := <-r.exits; e.generation != 2 || e.reason != nil {
		t.Errorf("end %+v", e)
	}
}
