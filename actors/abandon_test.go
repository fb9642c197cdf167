package actors

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pando-agents/pando/supervisor"
)

func TestAbandonedIncarnationIsFencedOffAndItsEndToldWhenItComesBack(t *testing.T) {
	t.Parallel()
	var cx *Context[any]
	handled := make(chan any, 4)
	r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
		if cx == nil {
			cx = c
			c.Context()
			return
		}
		handled <- m
	}})
	r.tell("hello")
	release := r.hold()
	pid := r.Ref().PID()
	r.Abandon(1)
	<-cx.Context().Done()
	if !errors.Is(context.Cause(cx.Context()), ErrFenced) || !cx.Fenced() {
		t.Fatalf("cause = %v, fenced %v", context.Cause(cx.Context()), cx.Fenced())
	}
	if _, ok := r.sys.protoSystem().ProcessRegistry.GetLocal(pid.Id); ok {
		t.Fatal("its PID is still registered")
	}
	if err := r.Ref().Offer("nobody there"); !errors.Is(err, ErrStopped) {
		t.Fatalf("offer = %v, want ErrStopped", err)
	}
	ref := r.Ref()
	r.mustStart(2)
	if r.Ref().PID() == pid {
		t.Fatal("the successor has the same PID")
	}
	if err := ref.Tell(t.Context(), "for the successor"); err != nil {
		t.Fatalf("the ref is not valid any more: %v", err)
	}
	if m := <-handled; m != "for the successor" {
		t.Fatalf("handled %v", m)
	}
	r.noMoreEnds()
	release()
	if err := r.ended(1); !errors.Is(err, ErrFenced) {
		t.Fatalf("end = %v, want ErrFenced", err)
	}
	r.sync()
	r.noMoreEnds()
}

func TestMessagesThatWaitForAHangingActorAreToldWhenItIsAbandoned(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	first := r.hold()
	gate, there := make(chan struct{}), make(chan struct{})
	letters := newLetters(4)
	// The actor hangs in the first message of a batch: the others are its own.
	r.tell(func() { close(there); <-gate }, letters[0], letters[1])
	first()
	<-there
	r.tell(letters[2])
	if err := r.Ref().Control(letters[3]); err != nil {
		t.Fatal(err)
	}
	r.Abandon(1)
	for _, l := range letters {
		if got := l.losses(); len(got) != 1 || !errors.Is(got[0], ErrStopped) {
			t.Errorf("letter %d was told %v before Abandon returned", l.n, got)
		}
	}
	close(gate)
	r.ended(1)
	for _, l := range letters {
		if got := l.losses(); len(got) != 1 {
			t.Errorf("letter %d was told %v in all", l.n, got)
		}
	}
}

func TestIncarnationAbandonedAtRestIsToldWithoutAMessage(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{stop: func(error) { t.Error("the stopper of a fenced incarnation was called") }})
	r.Abandon(1)
	if err := r.ended(1); !errors.Is(err, ErrFenced) {
		t.Fatalf("end = %v, want ErrFenced", err)
	}
	r.mustStart(2)
}

// A supervisor may abandon an actor at any moment, between two messages too.
func TestEndOfAnAbandonedIncarnationIsAlwaysTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, 64, func() Actor[any] { return &probe{} })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = r.Ref().Offer(1)
				runtime.Gosched()
			}
		}
	})
	for generation := range uint64(3000) {
		r.mustStart(generation + 1)
		for range generation % 7 {
			runtime.Gosched()
		}
		r.Abandon(generation + 1)
		if err := r.ended(generation + 1); !errors.Is(err, ErrFenced) {
			t.Fatalf("end = %v", err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestPanicOfAnAbandonedIncarnationIsToldAndHarmsNobody(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	there, gate := make(chan struct{}), make(chan struct{})
	r.tell(func() { close(there); <-gate; panic("late") })
	<-there
	r.Abandon(1)
	r.mustStart(2)
	close(gate)
	if err := r.ended(1); !isPanic(err) {
		t.Fatalf("end = %v, want the panic", err)
	}
	r.sync()
	r.noMoreEnds()
}

func TestAbandonedActorCannotStopItsSuccessor(t *testing.T) {
	t.Parallel()
	there, gate := make(chan struct{}), make(chan struct{})
	r := running(t, 0, &probe{
		receive: func(c *Context[any], _ any) { c.Stop(nil); close(there); <-gate },
		stop:    func(error) { t.Error("the stopper of a fenced incarnation was called") },
	})
	r.tell("stop yourself")
	<-there
	r.Abandon(1)
	r.mustStart(2)
	close(gate)
	if err := r.ended(1); !errors.Is(err, ErrFenced) {
		t.Fatalf("end = %v, want ErrFenced", err)
	}
	r.sync()
	r.noMoreEnds()
}

func TestKillTellsTheEndAtOnceAndClosesTheMailbox(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 0, recorder(&got))
	cx := r.shell.Load().cx.Load()
	release := r.hold()
	l := newLetters(1)[0]
	r.tell(l)
	r.Kill(errBroken)
	if !cx.Fenced() || cx.Context().Err() == nil {
		t.Fatal("the incarnation that was killed is not fenced off")
	}
	if err := r.ended(1); !errors.Is(err, errBroken) {
		t.Fatalf("end = %v", err)
	}
	if lost := l.losses(); len(lost) != 1 || !errors.Is(lost[0], ErrStopped) {
		t.Fatalf("the message was told %v", lost)
	}
	r.mustStart(2)
	r.tell("for the successor")
	release()
	r.sync()
	r.noMoreEnds()
	if want := []any{"for the successor"}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestKillOfAFailedActorTellsItsMessagesAndNoSecondEnd(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	r.tell(func() { panic("broken") })
	r.ended(1)
	l := newLetters(1)[0]
	r.tell(l)
	r.Kill(nil)
	if lost := l.losses(); len(lost) != 1 || !errors.Is(lost[0], ErrStopped) {
		t.Fatalf("the message was told %v", lost)
	}
	r.Kill(nil)
	r.noMoreEnds()
}

func TestHangingStartIsCancelledAndWaitedFor(t *testing.T) {
	t.Parallel()
	started, gate := make(chan struct{}), make(chan struct{})
	cancelled := make(chan error, 1)
	r := newRig(t, 0, func() Actor[any] {
		return &probe{start: func(c *Context[any]) error {
			close(started)
			<-c.Context().Done()
			cancelled <- context.Cause(c.Context())
			<-gate
			return nil
		}}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- r.start(ctx, 1) }()
	<-started
	cancel(errBroken)
	if err := <-cancelled; !errors.Is(err, errBroken) {
		t.Fatalf("cause = %v", err)
	}
	r.Abandon(1) // the supervisor has waited long enough
	select {
	case err := <-result:
		t.Fatalf("start returned while the incarnation was in it: %v", err)
	default:
	}
	close(gate)
	if err := <-result; !errors.Is(err, ErrFenced) {
		t.Fatalf("start = %v, want ErrFenced", err)
	}
	r.noMoreEnds()
}

func TestStartThatWasGivenUpBeforeItBeganStartsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, func() Actor[any] { t.Error("the factory was called"); return &probe{} })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if err := r.start(ctx, 1); !errors.Is(err, errBroken) {
		t.Fatalf("start = %v", err)
	}
	if r.shell.Load() != nil {
		t.Fatal("there is a shell")
	}
}

func TestStartThatIsAbandonedBeforeItRunsMakesNoActor(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, func() Actor[any] { t.Error("the factory was called"); return &probe{} })
	sh, err := r.ensureShell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sh.fence(ErrFenced)
	if err := r.start(t.Context(), 1); !errors.Is(err, ErrFenced) {
		t.Fatalf("start = %v, want ErrFenced", err)
	}
	r.noMoreEnds()
}

func TestStartThatIsGivenUpBeforeItHasBegunDoesNotBegin(t *testing.T) {
	t.Parallel()
	var made atomic.Int32
	r := newRig(t, 0, func() Actor[any] {
		made.Add(1)
		return &probe{}
	})
	r.mustStart(1)
	release := r.hold()
	result := make(chan error, 1)
	giveUp := r.Begin(supervisor.Incarnation{Generation: 2, Exit: func(error) {}}, func(err error) { result <- err })
	giveUp(errBroken)
	giveUp(nil)
	release()
	if err := <-result; err != errBroken || made.Load() != 1 {
		t.Fatalf("start = %v, %d incarnations were made", err, made.Load())
	}
}

func TestStartThatIsCompleteIsNotGivenUp(t *testing.T) {
	t.Parallel()
	var ctx context.Context
	r := newRig(t, 0, func() Actor[any] {
		return &probe{start: func(c *Context[any]) error { ctx = c.Context(); return nil }}
	})
	result := make(chan error, 1)
	giveUp := r.Begin(supervisor.Incarnation{Generation: 1, Exit: func(error) {}}, func(err error) { result <- err })
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	giveUp(errBroken)
	r.sync()
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("the context of the incarnation has ended: %v", err)
	}
}
