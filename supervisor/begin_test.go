package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// prompt is a Process that begins its starts on goroutines of its own.
type prompt struct {
	Process
	begun func()
}

func (p prompt) Begin(inc Incarnation, started func(error)) (giveUp func(error)) {
	if p.begun != nil {
		p.begun()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go protect(func() error {
		if err := context.Cause(ctx); err != nil { // given up before it has begun
			return err
		}
		return p.Start(ctx, inc)
	}, started)
	return cancel
}

// held is a log handler that blocks until release is closed.
type held struct {
	slog.Handler
	release chan struct{}
}

func (held) Enabled(context.Context, slog.Level) bool { return true }

func (h held) Handle(context.Context, slog.Record) error {
	<-h.release
	return nil
}

func TestRestartIsBegunBeforeExitReturnsAlsoWhenTheLogIsHeldUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		begun := 0
		f, release := &fake{}, make(chan struct{})
		s := serve(t, Options{
			Children: []Spec{{ID: "a", Process: prompt{f, func() { begun++ }}}},
			Budget:   Budget{Failures: -1, Within: time.Nanosecond},
			Logger:   slog.New(held{release: release}),
		})
		for gen := uint64(1); gen < maxUnlogged/4; gen++ {
			later(time.Second)
			f.exit(gen, errBoom)
			if begun != int(gen)+1 {
				t.Fatalf("%d starts were begun when generation %d has told its end", begun, gen)
			}
			synctest.Wait()
		}
		// However long it takes, no more than so much waits to be logged.
		for range maxUnlogged {
			later(time.Second)
			gen := s.child(t, "a").Generation
			f.mu.Lock()
			inc := f.incs[gen]
			f.mu.Unlock()
			inc.Exit(errBoom)
			synctest.Wait()
		}
		if n := len(s.unlogged); n > maxUnlogged+2 {
			t.Errorf("%d events wait to be logged", n)
		}
		close(release)
		synctest.Wait()
		if c := s.child(t, "a"); c.State != Running {
			t.Errorf("the child is %v when the log goes on", c.State)
		}
	})
}

func TestEachBegunStartThatTakesTooLongIsGivenUpAtItsOwnDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		hangs := func(ctx context.Context, _ Incarnation) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		s := serve(t, Options{Strategy: Dynamic})
		ended := make(chan error)
		for id, after := range map[string]time.Duration{"a": 3 * time.Second, "b": time.Second, "c": 5 * time.Second, "d": Infinity} {
			go func() {
				err := s.StartChild(t.Context(), Spec{ID: id, Process: prompt{Process: &fake{start: hangs}}, StartTimeout: after})
				if after != Infinity && (!errors.Is(err, ErrStartTimeout) || time.Since(began) != after) {
					t.Errorf("%s: %v after %v", id, err, time.Since(began))
				}
				ended <- err
			}()
		}
		noError(t, s.StartChild(s.ctx, Spec{ID: "up", Process: prompt{Process: &fake{}}, StartTimeout: 2 * time.Second}))
		for range 3 {
			<-ended
		}
		later(time.Hour)
		if ids := s.Children(); len(ids) != 2 {
			t.Errorf("children %q, want the one that is up, and the one without a deadline", ids)
		}
		noError(t, s.stop(nil))
		wantError(t, <-ended, ErrTerminated)
	})
}

func TestBegunStartThatHangsIsAbandonedAndAloneInThat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{}
		f.start = func(_ context.Context, inc Incarnation) error {
			if inc.Generation == 2 {
				<-release
			}
			return nil
		}
		other := &fake{}
		s := serve(t, Options{Children: []Spec{
			{ID: "a", Process: prompt{Process: f}}, {ID: "b", Process: prompt{Process: other}},
		}})
		f.exit(1, errBoom)
		other.exit(1, errBoom)
		synctest.Wait()
		if c := s.child(t, "b"); c.State != Running || c.Generation != 2 {
			t.Errorf("the sibling is %v, generation %d", c.State, c.Generation)
		}
		later(defaultStartTimeout + defaultShutdown + time.Second)
		if c := s.child(t, "a"); c.State != Running || c.Generation != 3 || len(s.Snapshot().Abandoned) != 1 {
			t.Errorf("the child is %v, generation %d, abandoned %v", c.State, c.Generation, s.Snapshot().Abandoned)
		}
		close(release)
		synctest.Wait()
		f.exit(2, nil) // it was undone by Stop, which tells its end
		if lost := s.Snapshot().Abandoned; len(lost) != 0 {
			t.Errorf("abandoned %v after it has come back", lost)
		}
	})
}

func TestBeginThatPanicsIsAFailedStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Options{})
		err := s.StartChild(s.ctx, Spec{ID: "a", Process: prompt{&fake{}, func() { panic("bug") }}})
		var p *PanicError
		if !errors.Is(err, ErrStartFailed) || !errors.As(err, &p) {
			t.Errorf("start = %v", err)
		}
	})
}

func TestFunctionOfTheOptionsThatPanicsFailsServeAndNotTheChildThatEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, broken := &fake{}, false
		sub := New(Options{Logger: discard(), Children: []Spec{{ID: "a", Process: f}}, Now: func() time.Time {
			if broken {
				panic("bug")
			}
			return time.Now()
		}})
		s := serve(t, Options{Children: []Spec{{ID: "sub", Restart: Temporary, Service: sub}}})
		events, cancel := s.Subscribe(1)
		defer cancel()
		broken = true
		f.exit(1, errBoom)
		var p *PanicError
		if e := <-events; e.Child != "sub" || e.Kind != Ended || !errors.As(e.Reason, &p) {
			t.Errorf("event %v, want the end of the supervisor by a panic", e)
		}
	})
}
