package pandotest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/pando-agents/pando/pandotest"
)

// double is a test that a test looks at: it fails, logs and ends for itself.
type double struct {
	testing.TB
	mu       sync.Mutex
	errors   []string
	logs     []string
	cleanups []func()
}

func (d *double) Helper()          {}
func (d *double) Failed() bool     { return len(d.errors) > 0 }
func (d *double) Cleanup(f func()) { d.cleanups = append(d.cleanups, f) }
func (d *double) Log(args ...any)  { d.logs = append(d.logs, fmt.Sprint(args...)) }
func (d *double) Errorf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errors = append(d.errors, fmt.Sprintf(format, args...))
}

func (d *double) Fatalf(format string, args ...any) {
	d.Errorf(format, args...)
	runtime.Goexit()
}

func (d *double) Fatal(args ...any) {
	d.Errorf("%s", fmt.Sprint(args...))
	runtime.Goexit()
}

// run runs f as that test does, with its cleanups.
func (d *double) run(f func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer func() {
			for i := len(d.cleanups) - 1; i >= 0; i-- {
				d.cleanups[i]()
			}
		}()
		f()
	}()
	<-over
}

func TestLogsOfAgentsAreShownWhenTheTestFails(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		d := &double{TB: t}
		d.run(func() {
			pandotest.Pair(d)
			if fails {
				d.Errorf("it failed")
			}
		})
		shown := strings.Contains(strings.Join(d.logs, "\n"), "name=bob")
		if shown != fails || len(d.errors) > 0 != fails {
			t.Errorf("failed %v, shown %q, errors %q", fails, d.logs, d.errors)
		}
	}
}

func TestGoroutineThatIsLeftFailsTheTest(t *testing.T) {
	t.Parallel()
	// In a bubble waiting for it takes no time.
	pandotest.Bubble(t, func(w *pandotest.World) {
		d := &double{TB: w.T}
		left := make(chan struct{})
		d.run(func() {
			pandotest.New(d).Agent("alice")
			go func() { <-left }()
		})
		close(left)
		if all := strings.Join(d.errors, "\n"); !strings.Contains(all, "goroutines are left") || !strings.Contains(all, "TestGoroutineThatIsLeft") {
			t.Errorf("it failed with %q", all)
		}
	})
}

func TestAgentThatRunsIsNotRestartedAndSocketsHaveNoFaults(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(w *pandotest.World){
		"alice runs":     func(w *pandotest.World) { w.Restart(w.Agent("alice")) },
		"need a network": func(w *pandotest.World) { w.Kill(w.Agent("alice")) },
	} {
		d := &double{TB: t}
		d.run(func() { f(pandotest.New(d, pandotest.OnSockets())) })
		if len(d.errors) != 1 || !strings.Contains(d.errors[0], want) {
			t.Errorf("%s: failed with %q", want, d.errors)
		}
	}
}

func TestStoppedAgentComesBackAtItsEndpoint(t *testing.T) {
	everywhere(t, func(w *pandotest.World) {
		alice, bob := w.Pair()
		pandotest.Spawn(bob, tillSpec, tills)
		ref := pandotest.RefTo(alice, bob, "till", tills)
		if err := ref.Tell(context.Background(), pay{2}); err != nil {
			w.T.Fatal(err)
		}
		if n, err := ask(ref); n != 2 || err != nil {
			w.T.Fatalf("%d, %v", n, err)
		}
		w.Stop(bob)
		again := w.Restart(bob)
		pandotest.Spawn(again, tillSpec, tills)
		if again.URL != bob.URL || again.ID() != bob.ID() {
			w.T.Errorf("it is %s at %s, it was %s at %s", again.ID(), again.URL, bob.ID(), bob.URL)
		}
		if n, err := ask(ref); n != 0 || err != nil {
			w.T.Fatalf("in its next life: %d, %v", n, err)
		}
	})
}
