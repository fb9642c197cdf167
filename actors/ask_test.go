package actors

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// get is a request.
type get struct {
	Reply[int]
	n int
}

func askFor(n int) func(Reply[int]) any {
	return func(r Reply[int]) any { return get{r, n} }
}

func TestAskReturnsTheAnswerToItsOwnRequest(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{receive: func(_ *Context[any], m any) {
		g := m.(get)
		if !g.Send(2*g.n) || g.Send(0) || g.Fail(errBroken) {
			t.Error("not the first answer counts")
		}
	}})
	for n := range 100 {
		if v, err := Ask(t.Context(), r.Ref(), askFor(n)); v != 2*n || err != nil {
			t.Fatalf("answer %d, %v; want %d", v, err, 2*n)
		}
	}
	if (Reply[int]{}).Send(1) {
		t.Error("nobody has got an answer")
	}
}

func TestAskReturnsTheErrorOfTheAnswer(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{receive: func(_ *Context[any], m any) { m.(get).Fail(errBroken) }})
	if _, err := Ask(t.Context(), r.Ref(), askFor(1)); !errors.Is(err, errBroken) {
		t.Fatalf("error = %v", err)
	}
}

func TestAskEndsAtItsDeadlineAndALateAnswerIsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var late get
		r := running(t, 0, &probe{receive: func(_ *Context[any], m any) { late = m.(get) }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := Ask(ctx, r.Ref(), askFor(1))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("error = %v after %v", err, time.Since(began))
		}
		synctest.Wait()
		if late.Send(1) {
			t.Error("somebody has got the late answer")
		}
	})
}

func TestAskWithinEndsAtItsDeadlineOrWithItsContext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec   Spec[any]
		within time.Duration
		after  time.Duration
		want   error
	}{
		"deadline":          {Spec[any]{}, time.Minute, time.Minute, context.DeadlineExceeded},
		"context":           {Spec[any]{}, time.Hour, 2 * time.Minute, context.DeadlineExceeded},
		"deadline for room": {Spec[any]{Capacity: 1}, time.Minute, time.Minute, ErrMailboxFull},
		"deadline has been": {Spec[any]{}, -time.Minute, 0, context.DeadlineExceeded},
		"full":              {Spec[any]{Capacity: 1, Overflow: Fail}, time.Minute, 0, ErrMailboxFull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := withSpec(t, &probe{}, c.spec)
				defer r.hold()()
				if c.spec.Capacity > 0 {
					r.tell(1)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				began := time.Now()
				_, err := AskWithin(ctx, c.within, r.Ref(), askFor(1))
				if !errors.Is(err, c.want) || time.Since(began) != c.after {
					t.Errorf("error = %v after %v, want %v after %v", err, time.Since(began), c.want, c.after)
				}
			})
		})
	}
}

func TestAskWithinReturnsTheAnswerHoweverLateInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := running(t, 0, &probe{receive: func(_ *Context[any], m any) {
			g := m.(get)
			if g.n == 0 {
				g.Fail(errBroken)
				return
			}
			time.AfterFunc(time.Duration(g.n)*time.Second, func() { g.Send(g.n) })
		}})
		for n := 1; n < 60; n++ {
			if v, err := AskWithin(t.Context(), time.Minute, r.Ref(), askFor(n)); v != n || err != nil {
				t.Fatalf("answer %d, %v; want %d", v, err, n)
			}
		}
		if _, err := AskWithin(t.Context(), time.Minute, r.Ref(), askFor(0)); !errors.Is(err, errBroken) {
			t.Fatalf("error = %v", err)
		}
	})
}

func TestAskFailsAtOnceWhenTheIncarnationThatHasTheRequestFails(t *testing.T) {
	t.Parallel()
	for name, receive := range map[string]func(*Context[any], any){
		"on it":    func(*Context[any], any) { panic("broken") },
		"after it": func(c *Context[any], m any) { c.Stop(errBroken) },
	} {
		for kind, request := range map[string]func(Reply[int]) any{
			"embedded": askFor(1),
			"as field": func(r Reply[int]) any { return struct{ to Reply[int] }{r} },
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				r := running(t, 0, &probe{receive: receive})
				if _, err := Ask(t.Context(), r.Ref(), request); !errors.Is(err, ErrNotRun) {
					t.Fatalf("error = %v, want ErrNotRun", err)
				}
			})
		}
	}
}

func TestRequestThatWaitsWhenAnActorFailsIsAnsweredByTheNextIncarnation(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{receive: func(_ *Context[any], m any) { m.(get).Send(7) }})
	release := r.hold()
	r.tell(func() { panic("broken") })
	type answer struct {
		v   int
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		v, err := Ask(context.Background(), r.Ref(), askFor(1))
		answers <- answer{v, err}
	}()
	r.awaitQueue(2)
	release()
	r.ended(1)
	r.mustStart(2)
	if a := <-answers; a.v != 7 || a.err != nil {
		t.Fatalf("answer %+v", a)
	}
}

// awaitQueue returns when n messages wait.
func (r *rig) awaitQueue(n int) {
	for r.Ref().Stats().Queue < n {
		yield()
	}
}

func TestAskFailsAtOnceWhenTheActorStopsOrItsMessageIsDropped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec Spec[any]
		end  func(r *rig)
		want error
	}{
		"stops":      {Spec[any]{}, func(r *rig) { r.Stop(1, nil) }, ErrStopped},
		"killed":     {Spec[any]{}, func(r *rig) { r.Kill(errBroken) }, ErrStopped},
		"abandoned":  {Spec[any]{}, func(r *rig) { r.Abandon(1) }, ErrStopped},
		"overflow":   {Spec[any]{Capacity: 1, Overflow: DropOldest}, func(r *rig) { r.tell(1) }, ErrMailboxFull},
		"on failure": {Spec[any]{OnFailure: DropQueued}, func(r *rig) { _ = r.Ref().Control(func() { panic("broken") }) }, ErrNotRun},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := withSpec(t, &probe{}, c.spec)
			release := r.hold()
			failed := make(chan error, 1)
			go func() {
				_, err := Ask(context.Background(), r.Ref(), askFor(1))
				failed <- err
			}()
			r.awaitQueue(1)
			c.end(r)
			release()
			if err := <-failed; !errors.Is(err, c.want) {
				t.Fatalf("error = %v, want %v", err, c.want)
			}
		})
	}
}

func TestAskOfAFullOrStoppedActorIsRefused(t *testing.T) {
	t.Parallel()
	r := withSpec(t, &probe{}, Spec[any]{Capacity: 1, Overflow: DropNewest})
	r.hold()
	r.tell(1)
	if _, err := Ask(t.Context(), r.Ref(), askFor(1)); !errors.Is(err, ErrMailboxFull) {
		t.Errorf("full: %v", err)
	}
	r.Kill(nil)
	if _, err := Ask(t.Context(), r.Ref(), askFor(1)); !errors.Is(err, ErrStopped) {
		t.Errorf("stopped: %v", err)
	}
}

func TestAskWaitsForRoomUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	r := withSpec(t, &probe{receive: func(_ *Context[any], m any) {
		if g, ok := m.(get); ok {
			g.Send(g.n)
		}
	}}, Spec[any]{Capacity: 1})
	release := r.hold()
	r.tell(1)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Ask(gone, r.Ref(), askFor(1)); !errors.Is(err, ErrMailboxFull) {
		t.Errorf("error = %v, want ErrMailboxFull", err)
	}
	got := make(chan int, 1)
	go func() {
		v, _ := Ask(context.Background(), r.Ref(), askFor(5))
		got <- v
	}()
	r.awaitSender()
	release()
	if v := <-got; v != 5 {
		t.Fatalf("answer %d", v)
	}
}

func BenchmarkAsk(b *testing.B) {
	type request struct{ Reply[int] }
	ref := spawn(b, benchSystem(b), "answers", func(m *request) { m.Send(1) })
	b.Run("deadline of the caller", func(b *testing.B) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Ask(ctx, ref, func(r Reply[int]) *request { return &request{r} })
		}
	})
	b.Run("deadline of its own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = AskWithin(context.Background(), time.Second, ref, func(r Reply[int]) *request { return &request{r} })
		}
	})
	b.Run("context of its own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, _ = Ask(ctx, ref, func(r Reply[int]) *request { return &request{r} })
			cancel()
		}
	})
}

func quiet() *System {
	return NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
}
