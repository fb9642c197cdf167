package actortest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary writes down what happens to it.
type diary struct {
	pages *[]string
	fails error
}

func (d *diary) write(page string) { *d.pages = append(*d.pages, page) }

func (d *diary) Start(c *actors.Context[string]) error {
	d.write(fmt.Sprint("start ", c.Generation()))
	return d.fails
}
func (d *diary) Receive(_ *actors.Context[string], m string) { d.write(m) }
func (d *diary) Stop(error)                                  { d.write("stop") }
func (d *diary) Idle()                                       { d.write("idle") }

func TestInjectedCrashComesOnceAndInThePlaceOfItsMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pages []string
		a := Start(t, actors.Spec[string]{New: func() actors.Actor[string] { return &diary{pages: &pages} }})
		a.CrashOn(func(m string) bool { return m == "b" })
		a.Tell("a")
		synctest.Wait()
		a.Tell("b")
		synctest.Wait()
		a.Tell("b")
		synctest.Wait()
		state := a.State()
		if !errors.Is(state.Reason, ErrInjected) || state.Restarts != 1 || state.Generation != 2 {
			t.Errorf("state %+v", state)
		}
		a.CrashOn(func(string) bool { return true })
		a.CrashOn(nil)
		a.Tell("c")
		synctest.Wait()
		a.Stop()
		want := []string{"start 1", "a", "idle", "start 2", "b", "idle", "c", "idle", "stop"}
		if got := a.State().State; got != supervisor.Down {
			t.Errorf("the actor is %v", got)
		}
		if !slices.Equal(pages, want) {
			t.Errorf("the diary says %q, want %q", pages, want)
		}
	})
}

// fatal is a test that may fail. It is no bubble of its own.
type fatal struct {
	testing.TB
	failed   []string
	cleanups []func()
}

func (f *fatal) Helper()          {}
func (f *fatal) Name() string     { return "fatal" }
func (f *fatal) Cleanup(g func()) { f.cleanups = append(f.cleanups, g) }
func (f *fatal) Errorf(format string, args ...any) {
	f.failed = append(f.failed, fmt.Sprintf(format, args...))
}
func (f *fatal) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

// verdict runs a test that may fail and returns what it complains of.
func verdict(test func(t testing.TB)) []string {
	f, done := &fatal{}, make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, g := range slices.Backward(f.cleanups) {
				g()
			}
		}()
		test(f)
	}()
	<-done
	return f.failed
}

func TestHelpersFailTheTestForAReason(t *testing.T) {
	t.Parallel()
	started := actors.Spec[string]{New: func() actors.Actor[string] { return &diary{pages: new([]string)} }}
	for name, test := range map[string]func(t testing.TB){
		"start fails": func(t testing.TB) {
			Start(t, actors.Spec[string]{New: func() actors.Actor[string] {
				return &diary{new([]string), errors.New("no")}
			}})
		},
		"no actor":      func(t testing.TB) { Start(t, actors.Spec[string]{New: func() actors.Actor[string] { return nil }}) },
		"tell":          func(t testing.TB) { a := Start(t, started); a.Stop(); a.Tell("late") },
		"nothing comes": func(t testing.TB) { NewProbe[int](t).Next() },
		"another comes": func(t testing.TB) { p := NewProbe[int](t); p.Tell(1); p.Expect(2) },
		"one comes":     func(t testing.TB) { p := NewProbe[int](t); p.Tell(1); synctest.Wait(); p.ExpectNone() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				if failed := verdict(test); len(failed) != 1 {
					t.Errorf("it complains of %q after %v", failed, time.Since(began))
				}
			})
		})
	}
}

func TestProbeThatIsFullStillEndsWithItsTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := verdict(func(t testing.TB) {
			p := NewProbe[int](t)
			for n := range actors.DefaultCapacity + 10 {
				p.Tell(n)
			}
			synctest.Wait()
		})
		if len(failed) > 0 {
			t.Errorf("it complains of %q", failed)
		}
	})
}
