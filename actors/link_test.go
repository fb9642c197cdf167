package actors

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/pando-agents/pando/supervisor"
)

// linker links to the refs that it is sent, and says so.
func linker(t *testing.T) (r *rig, linked chan func()) {
	t.Helper()
	linked = make(chan func(), 8)
	r = running(t, 0, &probe{receive: func(c *Context[any], m any) {
		switch m := m.(type) {
		case Ref[any]:
			linked <- Link(c, m)
		case error:
			c.Stop(m)
		case string:
			c.Stop(nil)
		}
	}})
	return r, linked
}

// pair returns two actors that are linked.
func pair(t *testing.T) (a, b *rig, unlink func()) {
	t.Helper()
	a, _ = linker(t)
	b, linked := linker(t)
	b.tell(a.Ref())
	return a, b, <-linked
}

func wantLinkError(t *testing.T, err error, generation uint64, want func(error) bool) {
	t.Helper()
	var e *LinkError
	if !errors.As(err, &e) || e.Actor != "probe" || e.Generation != generation || !want(e.Reason) || !want(err) {
		t.Errorf("it ended with %v, %#v", err, e)
	}
}

func (r *rig) wantNoLinks() {
	r.t.Helper()
	if n := len(r.shell.Load().cx.Load().rare.kin.ties); n > 0 {
		r.t.Errorf("%d links are left", n)
	}
}

// ends are all the ways in which an incarnation ends, and the reason.
var ends = map[string]struct {
	end  func(r *rig)
	want func(error) bool
}{
	"panic":    {func(r *rig) { r.tell(func() { panic("broken") }) }, isPanic},
	"goexit":   {func(r *rig) { r.tell(func() { runtime.Goexit() }) }, is(supervisor.ErrGoexit)},
	"own wish": {func(r *rig) { r.tell(errBroken) }, is(errBroken)},
	"normal":   {func(r *rig) { r.tell("stop") }, isNil},
	"stop":     {func(r *rig) { r.Stop(1, errBroken) }, is(errBroken)},
	"abandon":  {func(r *rig) { r.Abandon(1) }, is(ErrFenced)},
	"kill":     {func(r *rig) { r.Kill(errBroken) }, is(errBroken)},
}

func isNil(err error) bool { return err == nil }

func TestLinksAndWatchesTellTheReasonExactlyOnce(t *testing.T) {
	t.Parallel()
	for name, c := range ends {
		for side, target := range map[string]func(a, b *rig) (ends, other *rig){
			"that was linked to": func(a, b *rig) (*rig, *rig) { return a, b },
			"that has linked":    func(a, b *rig) (*rig, *rig) { return b, a },
		} {
			t.Run(name+"/"+side, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					a, b, _ := pair(t)
					first, other := target(a, b)
					b.tell(a.Ref()) // once more, and the other way round
					a.tell(b.Ref())
					synctest.Wait()
					var told, toldOther []Down
					first.Ref().OnDown(func(d Down) { told = append(told, d) })
					other.Ref().OnDown(func(d Down) { toldOther = append(toldOther, d) })
					c.end(first)
					synctest.Wait()
					first.ended(1)
					first.noMoreEnds()
					if len(told) != 1 || !c.want(told[0].Reason) {
						t.Errorf("the watcher was told %+v", told)
					}
					if c.want(nil) {
						other.sync()
						other.noMoreEnds()
						other.wantNoLinks()
						return
					}
					wantLinkError(t, other.ended(1), 1, c.want)
					other.noMoreEnds()
					if len(toldOther) != 1 {
						t.Fatalf("the watcher of the other was told %+v", toldOther)
					}
					wantLinkError(t, toldOther[0].Reason, 1, c.want)
				})
			})
		}
	}
}

func TestStartThatFailsEndsThoseWhoHaveLinkedToIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func() error
		want func(error) bool
	}{
		"error":  {func() error { return errBroken }, is(errBroken)},
		"panic":  {func() error { panic("broken") }, isPanic},
		"goexit": {func() error { runtime.Goexit(); return nil }, is(supervisor.ErrGoexit)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, linked := linker(t)
				var told []Down
				a := newRig(t, 0, nil)
				a.spec.New = func() Actor[any] {
					a.Ref().OnDown(func(d Down) { told = append(told, d) })
					b.tell(a.Ref())
					<-linked
					if name == "panic" { // in the factory
						_ = c.fail()
					}
					return &probe{start: func(*Context[any]) error { return c.fail() }}
				}
				if err := a.start(t.Context(), 1); !c.want(err) {
					t.Errorf("start = %v", err)
				}
				wantLinkError(t, b.ended(1), 1, c.want)
				synctest.Wait()
				b.noMoreEnds()
				a.noMoreEnds()
				if len(told) != 1 || !c.want(told[0].Reason) {
					t.Errorf("the watcher was told %+v", told)
				}
			})
		})
	}
}

func TestLinkToAnActorThatHasEndedFailsTheLinker(t *testing.T) {
	t.Parallel()
	failed := func(t *testing.T) *rig {
		a, _ := linker(t)
		a.tell(errBroken)
		a.ended(1)
		return a
	}
	stopped := func(t *testing.T) *rig {
		a, _ := linker(t)
		a.Kill(nil)
		return a
	}
	never := func(t *testing.T) *rig { return newRig(t, 0, nil) }
	for name, c := range map[string]struct {
		target     func(t *testing.T) *rig
		generation uint64
	}{"failed": {failed, 1}, "stopped": {stopped, 0}, "never started": {never, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := linker(t)
			release := b.hold()
			b.tell(c.target(t).Ref(), func() { t.Error("what waits was handled before the end") })
			release()
			wantLinkError(t, b.ended(1), c.generation, is(ErrStopped))
			b.noMoreEnds()
		})
	}
}

func TestStartThatLinksToAnActorThatHasEndedFails(t *testing.T) {
	t.Parallel()
	a, _ := linker(t)
	a.Kill(nil)
	b := running(t, 0, &probe{})
	b.tell(func() { panic("broken") })
	b.ended(1)
	b.spec.New = func() Actor[any] {
		return &probe{start: func(c *Context[any]) error { Link(c, a.Ref()); return nil }}
	}
	wantLinkError(t, b.start(t.Context(), 2), 0, is(ErrStopped))
	b.noMoreEnds()
	a.mustStart(2)
	b.mustStart(3)
	a.tell(errBroken)
	wantLinkError(t, b.ended(3), 2, is(errBroken))
}

func TestEndOfALinkedActorDuringAStartFailsTheStart(t *testing.T) {
	t.Parallel()
	a, _ := linker(t)
	b := newRig(t, 0, func() Actor[any] {
		return &probe{start: func(c *Context[any]) error {
			Link(c, a.Ref())
			a.tell(errBroken)
			a.ended(1)
			for c.severed() == nil {
				yield()
			}
			return nil
		}}
	})
	wantLinkError(t, b.start(t.Context(), 1), 1, is(errBroken))
	b.noMoreEnds()
}

func TestLinkMadeInStopLastsUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := linker(t)
		var own *Context[any]
		b := running(t, 0, &probe{
			receive: func(c *Context[any], _ any) { own = c },
			stop:    func(error) { Link(own, a.Ref()) },
		})
		b.tell(0)
		b.sync()
		b.Stop(1, errBroken)
		if err := b.ended(1); err != nil {
			t.Errorf("it ended with %v", err)
		}
		wantLinkError(t, a.ended(1), 1, is(errBroken))
		Link(own, a.Ref()) // of one that has ended
		a.mustStart(2)
		Link(own, a.Ref())
		a.wantNoLinks()
		a.sync()
		synctest.Wait()
		a.noMoreEnds()
		b.noMoreEnds()
	})
}

func TestLinkedActorThatIsStoppingEndsAsItWasAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, linked := linker(t)
		gate := make(chan struct{})
		b := running(t, 0, &probe{stop: func(error) { <-gate }})
		a.tell(b.Ref())
		<-linked
		b.Stop(1, nil)
		synctest.Wait()
		a.tell(errBroken)
		a.ended(1)
		close(gate)
		if err := b.ended(1); err != nil {
			t.Errorf("it ended with %v", err)
		}
		b.noMoreEnds()
	})
}

func TestLinkEndsWithItsIncarnationsAndWithUnlink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, unlink := pair(t)
		unlink()
		unlink()
		a.wantNoLinks()
		b.wantNoLinks()
		a.tell(errBroken)
		a.ended(1)
		synctest.Wait()
		b.noMoreEnds()

		a.mustStart(2)
		unlink()
		b.tell(a.Ref())
		synctest.Wait()
		b.tell(errBroken)
		wantLinkError(t, a.ended(2), 1, is(errBroken))
		b.ended(1)
		a.mustStart(3)
		b.mustStart(2)
		a.tell(errBroken) // nobody has linked them again
		a.ended(3)
		synctest.Wait()
		b.noMoreEnds()
		b.sync()
	})
}

func TestEndThatCameBeforeUnlinkCounts(t *testing.T) {
	t.Parallel()
	a, b, unlink := pair(t)
	release := b.hold()
	a.tell(errBroken)
	a.ended(1)
	for b.shell.Load().cx.Load().severed() == nil {
		yield()
	}
	unlink()
	release()
	wantLinkError(t, b.ended(1), 1, is(errBroken))
}

// distant is an actor that lives elsewhere, or only seems to.
type distant struct {
	Far[any]
	down func(Down)
	left int
}

func (d *distant) Name() string { return "distant" }
func (d *distant) OnDown(f func(Down)) func() bool {
	d.down = f
	return func() bool { d.left++; return true }
}

type nearby struct {
	distant
	ref Ref[any]
	err error
}

func (n *nearby) Local() (Ref[any], error) { return n.ref, n.err }

func TestLinkToAnActorThatLivesElsewhereHasOneSide(t *testing.T) {
	t.Parallel()
	down := Down{Actor: "probe", Generation: 7, Reason: errBroken}
	b, linked := linker(t)
	far := &distant{}
	b.tell(NewRef(far))
	(<-linked)()
	far.down(down)
	b.tell(NewRef(far))
	<-linked
	far.down(Down{Actor: "probe"}) // a normal end
	b.sync()
	b.noMoreEnds()
	b.tell(NewRef(far))
	<-linked
	far.down(down)
	far.down(down)
	wantLinkError(t, b.ended(1), 7, is(errBroken))
	if far.left != 3 {
		t.Errorf("%d of 3 watches were taken back", far.left)
	}
	b.mustStart(2)
	b.tell(NewRef(far))
	<-linked
	b.tell(errBroken)
	b.ended(2)
	if far.left != 4 {
		t.Error("the watch has not ended with its incarnation")
	}

	a, _ := linker(t)
	b.mustStart(3)
	b.tell(NewRef(&nearby{ref: a.Ref()}))
	<-linked
	b.tell(errBroken)
	b.ended(3)
	wantLinkError(t, a.ended(1), 3, is(errBroken))
	b.mustStart(4)
	b.tell(NewRef(&nearby{err: ErrStopped}))
	if err := b.ended(4); !errors.Is(err, ErrStopped) || !errors.As(err, new(*LinkError)) {
		t.Errorf("it ended with %v", err)
	}
}

func TestLinkToItselfIsNone(t *testing.T) {
	t.Parallel()
	a, linked := linker(t)
	a.tell(a.Ref())
	(<-linked)()
	if cx := a.shell.Load().cx.Load(); cx.rare != nil {
		t.Errorf("it costs %+v", cx.rare)
	}
	a.tell(errBroken)
	if err := a.ended(1); err != errBroken {
		t.Errorf("it ended with %v", err)
	}
	a.noMoreEnds()
}

func TestCycleOfLinksEndsEachActorOnceWithTheFirstReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		rigs := make([]*rig, n)
		for i := range rigs {
			rigs[i], _ = linker(t)
		}
		for i, r := range rigs {
			r.tell(rigs[(i+1)%n].Ref())
		}
		synctest.Wait()
		rigs[0].tell(errBroken)
		synctest.Wait()
		if err := rigs[0].ended(1); err != errBroken {
			t.Errorf("the first ended with %v", err)
		}
		rigs[0].noMoreEnds()
		for _, r := range rigs[1:] {
			err := r.ended(1)
			wantLinkError(t, err, 1, is(errBroken))
			if want := "linked to probe#1, which ended: broken"; err.Error() != want {
				t.Errorf("it says %q, want %q: a reason must not grow from link to link", err, want)
			}
			r.noMoreEnds()
		}
	})
}

func TestEndOfALinkThatComesLateIsNothingToTheNextIncarnation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := linker(t)
		before := a.shell.Load().cx.Load()
		a.tell(errBroken)
		a.ended(1)
		a.mustStart(2)
		before.sever(&LinkError{Reason: errBroken})
		a.shell.Load().box.pushSystem(&severance[any]{before, &LinkError{Reason: errBroken}}) // it was on its way
		a.sync()
		a.noMoreEnds()
	})
}

func TestLinkedActorThatHangsIsAbandonedLikeAnyOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := pair(t)
		release := b.hold()
		a.tell(errBroken)
		a.ended(1)
		synctest.Wait()
		b.Abandon(1)
		b.mustStart(2)
		release()
		if err := b.ended(1); !errors.Is(err, ErrFenced) {
			t.Errorf("it ended with %v", err)
		}
		synctest.Wait()
		b.noMoreEnds()
		b.sync()
	})
}

func TestLinkedActorKeepsTheMessagesThatWaitForItsNextIncarnation(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t)
	release := b.hold()
	handled := make(chan struct{})
	b.tell(func() { close(handled) })
	a.tell(errBroken)
	a.ended(1)
	for b.shell.Load().cx.Load().severed() == nil {
		yield()
	}
	release()
	b.ended(1)
	b.mustStart(2)
	<-handled
}

// Two actors in two trees of their own, and on two systems: each failure is one
// of both supervisors.
func TestLinkedChildrenBothSpendTheBudgetsOfTheirSupervisors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		discard := slog.New(slog.DiscardHandler)
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		serve := func(p supervisor.Process, failures int) (*supervisor.Supervisor, chan error) {
			tree := supervisor.New(supervisor.Options{
				Logger: discard, Budget: supervisor.Budget{Failures: failures},
				Children: []supervisor.Spec{{ID: "actor", Process: p}},
			})
			served := make(chan error, 1)
			go func() { served <- tree.Serve(ctx) }()
			synctest.Wait()
			return tree, served
		}
		one, two := NewSystem(SystemOptions{Logger: discard}), NewSystem(SystemOptions{Logger: discard})
		defer two.Close()
		defer one.Close()
		a := New(one, Spec[func()]{Name: "a", New: func() Actor[func()] { return runner{make(chan uint64, 9)} }})
		b := New(two, Spec[func()]{Name: "b", New: func() Actor[func()] { return starting{a.Ref()} }})
		above, _ := serve(a, 100)
		below, ended := serve(b, 2)
		for range 10 { // b fails once for each crash of a, and perhaps again before a is there
			_ = a.Ref().Offer(func() { panic(errBroken) })
			synctest.Wait()
			if s, err := below.Child("actor"); err == nil && !errors.As(s.Reason, new(*LinkError)) {
				t.Fatalf("b has failed because of %v", s.Reason)
			}
		}
		err := <-ended
		if !errors.Is(err, supervisor.ErrBudgetExceeded) || !errors.As(err, new(*LinkError)) {
			t.Errorf("the supervisor of b has ended with %v", err)
		}
		if s, err := above.Child("actor"); err != nil || s.Restarts == 0 || !errors.Is(s.Reason, errBroken) {
			t.Errorf("a is %+v, %v", s, err)
		}
	})
}

// starting links in its start.
type starting struct{ to Ref[func()] }

func (s starting) Start(c *Context[func()]) error   { Link(c, s.to); return nil }
func (s starting) Receive(*Context[func()], func()) {}
