package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// A served is a supervisor that is being served.
type served struct {
	*Supervisor
	ctx    context.Context
	cancel context.CancelCauseFunc
	err    error
	ended  chan struct{}
}

// serve serves a supervisor in the background until the end of the test, and waits until nothing moves.
func serve(t *testing.T, o Options) *served {
	t.Helper()
	if o.Logger == nil {
		o.Logger = discard()
	}
	return serveOn(t, t.Context(), New(o))
}

func serveOn(t *testing.T, ctx context.Context, sup *Supervisor) *served {
	s := &served{Supervisor: sup, ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(s.ended)
		s.err = sup.Serve(s.ctx)
	}()
	t.Cleanup(func() { s.cancel(nil); <-s.ended })
	synctest.Wait()
	return s
}

// stop stops the supervisor and returns what Serve has returned.
func (s *served) stop(cause error) error {
	s.cancel(cause)
	<-s.ended
	return s.err
}

func (s *served) child(t *testing.T, id string) ChildSnapshot {
	t.Helper()
	for _, c := range s.Snapshot().Children {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no child %q", id)
	return ChildSnapshot{}
}

// A journal takes what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// patient serves until it is asked to stop.
func patient(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// failing returns a service that fails with err whenever fail is sent to.
func failing(fail <-chan error) Service {
	return ServiceFunc(func(ctx context.Context) error {
		select {
		case err := <-fail:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// stuck returns a service that ignores its context until release is closed.
func stuck(release <-chan struct{}) Service {
	return ServiceFunc(func(context.Context) error {
		hangsHere(release)
		return nil
	})
}

//go:noinline
func hangsHere(release <-chan struct{}) { <-release }

// A fake is a Process whose parts can be replaced. By default it lives until it is stopped.
type fake struct {
	start   func(ctx context.Context, inc Incarnation) error
	stop    func(gen uint64, reason error)
	abandon func(gen uint64)

	mu   sync.Mutex
	incs map[uint64]Incarnation
}

func (f *fake) Start(ctx context.Context, inc Incarnation) error {
	f.mu.Lock()
	if f.incs == nil {
		f.incs = map[uint64]Incarnation{}
	}
	f.incs[inc.Generation] = inc
	f.mu.Unlock()
	if f.start != nil {
		return f.start(ctx, inc)
	}
	return nil
}

// onStop replaces stop, which may be in use.
func (f *fake) onStop(stop func(gen uint64, reason error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stop = stop
}

func (f *fake) Stop(gen uint64, reason error) {
	f.mu.Lock()
	stop := f.stop
	f.mu.Unlock()
	if stop != nil {
		stop(gen, reason)
		return
	}
	f.exit(gen, nil)
}

func (f *fake) Abandon(gen uint64) {
	if f.abandon != nil {
		f.abandon(gen)
	}
}

func (f *fake) exit(gen uint64, reason error) {
	f.mu.Lock()
	inc := f.incs[gen]
	f.mu.Unlock()
	inc.Exit(reason)
}

func (f *fake) forget(gen uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.incs, gen)
}

// kinds returns what is in events up to now, without reasons.
func kinds(events <-chan Event) []Kind {
	synctest.Wait()
	var list []Kind
	for {
		select {
		case e := <-events:
			list = append(list, e.Kind)
		default:
			return list
		}
	}
}

func wantError(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Fatalf("got error %v, want %v", err, target)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errBoom = errors.New("boom")

// later lets virtual time pass: inside a bubble this takes none.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
