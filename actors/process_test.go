package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/supervisor"
)

var errBroken = errors.New("broken")

func isPanic(err error) bool {
	var p *supervisor.PanicError
	return errors.As(err, &p)
}

func TestPanicLosesOnlyItsOwnMessageAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 0, recorder(&got))
	release := r.hold()
	r.tell(1, func() { panic("broken") }, 2, 3)
	release()
	err := r.ended(1)
	if !isPanic(err) || !strings.Contains(string(err.(*supervisor.PanicError).Stack()), "process_test.go") {
		t.Fatalf("end = %v, want the panic with its stack", err)
	}
	r.tell(4)
	r.mustStart(2)
	r.sync()
	if want := []any{1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
	r.noMoreEnds()
}

func TestNothingOfAnIncarnationThatHasFailedIsCalledAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]func(){
		"panic":  func() { panic("broken") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls []string
				lives := 0
				r := newRig(t, 0, func() Actor[any] {
					lives++
					life := lives
					note := func(what any) { calls = append(calls, fmt.Sprint(life, " ", what)) }
					return &probe{
						start: func(c *Context[any]) error {
							c.After(time.Second, "timer")
							return nil
						},
						receive: func(_ *Context[any], m any) { note(m) },
						idle:    func() { note("idle") },
						stop:    func(error) { note("stop") },
					}
				})
				r.mustStart(1)
				release := r.hold()
				r.tell("a", c, "b", "c")
				release()
				r.ended(1)
				r.Stop(1, errBroken)
				time.Sleep(time.Minute)
				synctest.Wait()
				r.mustStart(2)
				synctest.Wait()
				r.Stop(2, nil)
				synctest.Wait()
				want := []string{"1 a", "2 b", "2 c", "2 idle", "2 stop"}
				if !slices.Equal(calls, want) {
					t.Errorf("called were %q, want %q", calls, want)
				}
			})
		})
	}
}

func TestMessageThatPanickedIsNotRunAgainAndIsToldOnce(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	r := running(t, 0, &probe{receive: func(*Context[any], any) {
		runs.Add(1)
		panic("broken")
	}})
	l := newLetters(1)[0]
	r.tell(l)
	r.ended(1)
	r.mustStart(2)
	r.sync()
	if n := runs.Load(); n != 1 {
		t.Errorf("the message was run %d times", n)
	}
	if got := l.losses(); len(got) != 1 || !errors.Is(got[0], ErrNotRun) {
		t.Errorf("it was told %v", got)
	}
}

func TestEachIncarnationHasFreshStateAndTheSameAddress(t *testing.T) {
	t.Parallel()
	made := 0
	states := make(chan int, 4)
	var r *rig
	r = newRig(t, 0, func() Actor[any] {
		made++
		count, of := 0, made
		return &probe{receive: func(c *Context[any], _ any) {
			count++
			if c.Generation() != uint64(of) || c.Self() != r.Ref() {
				t.Errorf("generation %d in the state of %d", c.Generation(), of)
			}
			states <- count
		}}
	})
	r.mustStart(1)
	ref, pid := r.Ref(), r.Ref().PID()
	r.tell("count", "count", func() { panic("broken") })
	r.ended(1)
	r.mustStart(2)
	if err := ref.Tell(t.Context(), "count"); err != nil {
		t.Fatal(err)
	}
	if a, b, c := <-states, <-states, <-states; a != 1 || b != 2 || c != 1 {
		t.Fatalf("counted %d %d %d, want 1 2 1", a, b, c)
	}
	if r.Ref().PID() != pid {
		t.Fatal("a restart changed the PID")
	}
}

func TestStartThatFailsIsToldByStartAlone(t *testing.T) {
	t.Parallel()
	starting := func(f func() error) func() Actor[any] {
		return func() Actor[any] { return &probe{start: func(*Context[any]) error { return f() }} }
	}
	for name, c := range map[string]struct {
		factory func() Actor[any]
		want    func(error) bool
	}{
		"factory panics": {func() Actor[any] { panic("broken") }, isPanic},
		"factory exits":  {func() Actor[any] { runtime.Goexit(); return nil }, is(supervisor.ErrGoexit)},
		"factory is nil": {func() Actor[any] { return nil }, is(errNoActor)},
		"start fails":    {starting(func() error { return errBroken }), is(errBroken)},
		"start panics":   {starting(func() error { panic("broken") }), isPanic},
		"start exits":    {starting(func() error { runtime.Goexit(); return nil }), is(supervisor.ErrGoexit)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			factory := c.factory
			r := newRig(t, 0, func() Actor[any] { return factory() })
			if err := r.start(t.Context(), 1); !c.want(err) {
				t.Fatalf("start = %v", err)
			}
			factory = func() Actor[any] { return &probe{} }
			r.mustStart(2)
			r.sync()
			r.noMoreEnds()
		})
	}
}

func is(want error) func(error) bool {
	return func(err error) bool { return errors.Is(err, want) }
}

func TestMessagesWaitForAStartThatSucceeds(t *testing.T) {
	t.Parallel()
	var got []any
	fails := false
	r := newRig(t, 0, func() Actor[any] {
		if fails {
			panic("broken factory")
		}
		return recorder(&got)
	})
	// The restart is asked for while the batch that the panic was in is still
	// under way: as early as a supervisor can.
	queued := make(chan error, 1)
	if err := r.Start(t.Context(), supervisor.Incarnation{Generation: 1, Exit: func(error) {
		fails = true
		r.Begin(supervisor.Incarnation{Generation: 2, Exit: func(error) {}}, func(err error) { queued <- err })
	}}); err != nil {
		t.Fatal(err)
	}
	release := r.hold()
	letters := newLetters(3)
	r.tell(func() { panic("broken") }, letters[0], letters[1], letters[2])
	release()
	if err := <-queued; !isPanic(err) {
		t.Fatalf("second start = %v, want the panic of the factory", err)
	}
	// A failed start; when it is told, the task has looked at the batch.
	r.Begin(supervisor.Incarnation{Generation: 3, Exit: func(error) {}}, func(err error) { queued <- err })
	<-queued
	for _, l := range letters {
		if lost := l.losses(); len(lost) > 0 {
			t.Errorf("letter %d was lost by a start that failed: %v", l.n, lost)
		}
	}
	fails = false
	r.mustStart(4)
	r.sync()
	if want := []any{letters[0], letters[1], letters[2]}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestPanicOrGoexitInIdleEndsTheIncarnation(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){"panic": func() { panic("broken") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idle := f
			r := newRig(t, 0, func() Actor[any] { return &probe{idle: idle} })
			r.mustStart(1)
			r.tell("work")
			if err := r.ended(1); !isPanic(err) && !errors.Is(err, supervisor.ErrGoexit) {
				t.Fatalf("end = %v", err)
			}
			idle = nil
			r.mustStart(2)
			r.sync()
			r.noMoreEnds()
		})
	}
}

func TestPanicOrGoexitInStopIsToldAndTheActorIsStopped(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){"panic": func() { panic("broken") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := running(t, 0, &probe{stop: func(error) { f() }})
			r.Stop(1, nil)
			if err := r.ended(1); !isPanic(err) && !errors.Is(err, supervisor.ErrGoexit) {
				t.Fatalf("end = %v", err)
			}
			if err := r.Ref().Offer(1); !errors.Is(err, ErrStopped) {
				t.Fatalf("offer = %v, want ErrStopped", err)
			}
			r.noMoreEnds()
		})
	}
}

func TestGoexitInReceiveEndsTheIncarnationOnly(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 0, recorder(&got))
	release := r.hold()
	r.tell(func() { runtime.Goexit() }, 1)
	release()
	if err := r.ended(1); !errors.Is(err, supervisor.ErrGoexit) {
		t.Fatalf("end = %v, want ErrGoexit", err)
	}
	r.mustStart(2)
	r.sync()
	if want := []any{1}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestStopSendsWhatWaitsToTheDeadLettersOnce(t *testing.T) {
	t.Parallel()
	stopped := make(chan error, 1)
	handled := make(chan any, 1)
	r := running(t, 0, &probe{
		receive: func(_ *Context[any], m any) { handled <- m },
		stop:    func(reason error) { stopped <- reason },
	})
	release := r.hold()
	letters := newLetters(3)
	r.tell(letters[0], letters[1])
	if err := r.Ref().Control(letters[2]); err != nil {
		t.Fatal(err)
	}
	r.Stop(1, errBroken)
	release()
	if err := <-stopped; !errors.Is(err, errBroken) {
		t.Fatalf("the reason is %v", err)
	}
	if err := r.ended(1); err != nil {
		t.Fatalf("end = %v, want a normal one", err)
	}
	for _, l := range letters {
		<-l.isLost
		if got := l.losses(); len(got) != 1 || !errors.Is(got[0], ErrStopped) {
			t.Errorf("letter %d was told %v", l.n, got)
		}
	}
	if n := r.sys.DeadLetters(); n != 3 {
		t.Errorf("%d dead letters, want 3", n)
	}
	if err := r.Ref().Tell(t.Context(), 1); !errors.Is(err, ErrStopped) {
		t.Errorf("tell = %v, want ErrStopped", err)
	}
	select {
	case m := <-handled:
		t.Errorf("%v was handled after the stop", m)
	default:
	}
}

func TestStopOfAnotherGenerationIsIgnored(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	r.Stop(2, nil)
	r.sync()
	r.noMoreEnds()
	r.Stop(1, nil)
	r.ended(1)
}

func TestActorThatStopsItselfNormallyIsStopped(t *testing.T) {
	t.Parallel()
	var stops []error
	r := running(t, 0, &probe{
		receive: func(c *Context[any], _ any) { c.Stop(nil) },
		stop:    func(reason error) { stops = append(stops, reason) },
	})
	l := newLetters(1)[0]
	release := r.hold()
	r.tell("stop", l)
	release()
	if err := r.ended(1); err != nil || len(stops) != 1 {
		t.Fatalf("end = %v, stops %v", err, stops)
	}
	<-l.isLost
	r.mustStart(2) // a permanent child is started again
	r.sync()
}

func TestActorThatStopsItselfForAReasonKeepsItsMessages(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
		if m == "stop" {
			c.Stop(errBroken)
			return
		}
		got = append(got, m)
	}})
	release := r.hold()
	r.tell("stop", 1, 2)
	release()
	if err := r.ended(1); !errors.Is(err, errBroken) {
		t.Fatalf("end = %v", err)
	}
	r.mustStart(2)
	r.sync()
	if want := []any{1, 2}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestActorMayAskForItsEndInStartAndIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, func() Actor[any] {
		return &probe{start: func(c *Context[any]) error { c.Stop(errBroken); return nil }}
	})
	r.mustStart(1)
	if err := r.ended(1); !errors.Is(err, errBroken) {
		t.Fatalf("end after start = %v", err)
	}
	var cx *Context[any]
	idler := running(t, 0, &probe{
		receive: func(c *Context[any], _ any) { cx = c },
		idle:    func() { cx.Stop(errBroken) },
	})
	idler.tell("work")
	if err := idler.ended(1); !errors.Is(err, errBroken) {
		t.Fatalf("end after idle = %v", err)
	}
}

func TestContextEndsWithItsIncarnation(t *testing.T) {
	t.Parallel()
	contexts := make(chan *Context[any], 1)
	r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
		contexts <- c
		if m == "use" {
			c.Context()
		}
	}})
	r.tell("use")
	used := <-contexts
	r.tell(func() { panic("broken") })
	r.ended(1)
	<-used.Context().Done()
	if !isPanic(context.Cause(used.Context())) {
		t.Fatalf("cause = %v", context.Cause(used.Context()))
	}
	r.mustStart(2)
	r.tell("keep")
	unused := <-contexts
	r.Stop(2, nil)
	r.ended(2)
	if unused.Context().Err() == nil {
		t.Fatal("a context asked for after the end is alive")
	}
}

func TestPanicInNotHandledIsLoggedAndHarmless(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{receive: func(*Context[any], any) { panic("broken") }})
	release := r.hold()
	l := newLetters(1)[0]
	r.tell(badLetter(nil), badLetter(nil), l)
	release()
	r.ended(1)
	r.Kill(nil)
	<-l.isLost
	if n := strings.Count(r.logs.String(), "nobody handles it"); n != 2 {
		t.Fatalf("%d panics logged, want 2: %s", n, r.logs)
	}
}

func TestGoexitInNotHandledEndsTheIncarnationAllTheSame(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{receive: func(*Context[any], any) { panic("broken") }})
	r.tell(badLetter(runtime.Goexit))
	if err := r.ended(1); !isPanic(err) {
		t.Fatalf("end = %v, want the panic", err)
	}
	r.mustStart(2)
	r.sync()
}

// badLetter is a message that panics, or what it says, when it is lost.
type badLetter func()

func (f badLetter) NotHandled(error) {
	if f == nil {
		panic("bad letter")
	}
	f()
}

func TestMessagesBeforeTheFirstStartAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, func() Actor[any] { return &probe{} })
	for _, err := range []error{r.Ref().Tell(t.Context(), 1), r.Ref().Offer(1), r.Ref().Control(1)} {
		if !errors.Is(err, ErrStopped) {
			t.Errorf("error = %v, want ErrStopped", err)
		}
	}
	if st := r.Ref().Stats(); st.Queue != 0 || st.HighWater != 0 {
		t.Errorf("%+v", st)
	}
}
