package actors

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimerSendsItsMessageOnceAndBeforeThoseThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []any
		var at time.Duration
		began := time.Now()
		r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
			switch m {
			case "arm":
				c.After(time.Minute, "due")
			case "stop":
				c.After(time.Second, "never")()
			default:
				got = append(got, m)
				at = time.Since(began)
			}
		}})
		r.tell("arm", "stop")
		synctest.Wait()
		release := r.hold()
		r.tell("user")
		time.Sleep(time.Minute)
		synctest.Wait() // the timer has fired
		release()
		synctest.Wait()
		if !slices.Equal(got, []any{"due", "user"}) || at != time.Minute {
			t.Errorf("handled %v after %v", got, at)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("handled %v", got)
		}
	})
}

func TestRepeatedTimerNeverPilesUpAndEndsWhenItIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ticks atomic.Int32
		var stop func()
		r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
			if m == "begin" {
				stop = c.Every(time.Minute, "tick")
				return
			}
			if ticks.Add(1) == 3 {
				stop()
			}
		}})
		r.tell("begin")
		synctest.Wait()
		release := r.hold()
		time.Sleep(time.Hour) // the actor is busy
		synctest.Wait()
		release()
		synctest.Wait()
		if n := ticks.Load(); n != 1 {
			t.Errorf("%d ticks after an hour in which it was busy, want 1", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := ticks.Load(); n != 3 {
			t.Errorf("%d ticks, want 3: it was stopped", n)
		}
	})
}

func TestTimerEndsWithItsIncarnation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left *Context[any]
		r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
			if m != "arm" {
				t.Errorf("incarnation %d got %v", c.Generation(), m)
				return
			}
			left = c
			c.After(time.Minute, "once")
			c.Every(time.Minute, "tick")
		}})
		r.tell("arm")
		synctest.Wait()
		release := r.hold()
		time.Sleep(time.Minute)
		synctest.Wait() // both are due, and wait
		if err := r.Ref().Control(func() { panic("broken") }); err != nil {
			t.Fatal(err)
		}
		left.shell.box.mu.Lock() // the failure comes first
		sys := left.shell.box.lanes.sys
		left.shell.box.lanes.sys = nil
		left.shell.box.mu.Unlock()
		release()
		r.ended(1)
		for _, v := range sys {
			left.shell.box.pushSystem(v)
		}
		left.After(time.Second, "late")
		r.mustStart(2)
		time.Sleep(time.Hour)
		synctest.Wait()
	})
}

func TestTimersUseTheClockThatTheyAreGiven(t *testing.T) {
	t.Parallel()
	var fire func()
	sys := NewSystem(SystemOptions{AfterFunc: func(d time.Duration, f func()) func() bool {
		if d != time.Minute {
			t.Errorf("asked for %v", d)
		}
		fire = f
		return func() bool { return true }
	}})
	got := make(chan any, 1)
	r := &rig{Process: New(sys, Spec[any]{New: func() Actor[any] {
		return &probe{
			start:   func(c *Context[any]) error { c.After(time.Minute, "due"); return nil },
			receive: func(_ *Context[any], m any) { got <- m },
		}
	}}), t: t, sys: sys, exits: make(chan exited, 4)}
	t.Cleanup(func() { r.Kill(nil); sys.Close() })
	r.mustStart(1)
	fire()
	if m := <-got; m != "due" {
		t.Fatalf("got %v", m)
	}
}

func TestBehaviourDecidesWhatComesAfterIt(t *testing.T) {
	t.Parallel()
	var got []string
	type door = Behaviour[any]
	var open, closed door
	open = func(_ *Context[any], m any) door {
		if m == "close" {
			got = append(got, "closes")
			return closed
		}
		return nil
	}
	closed = func(_ *Context[any], m any) door {
		switch m {
		case "open":
			got = append(got, "opens")
			return open
		case "break":
			panic("broken")
		}
		return nil
	}
	exits := make(chan struct{}, 1)
	sys := quiet()
	r := &rig{Process: New(sys, Spec[any]{New: func() Actor[any] { return Behave(open) }}), t: t, sys: sys, exits: make(chan exited, 4)}
	t.Cleanup(func() { r.Kill(nil); sys.Close() })
	r.mustStart(1)
	r.tell("open", "close", "close", "open", "close", "break")
	r.ended(1)
	r.mustStart(2) // begins with the first again
	r.tell("close")
	r.Ref().OnDown(func(Down) { exits <- struct{}{} })
	r.awaitRest()
	r.Stop(2, nil)
	<-exits
	if want := []string{"closes", "opens", "closes", "closes"}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if Behave[any](nil) != nil {
		t.Error("an actor without a behaviour was made")
	}
}

// awaitRest returns when the mailbox is empty and its task has left.
func (r *rig) awaitRest() {
	box := &r.shell.Load().box
	for atRest := false; !atRest; yield() {
		box.mu.Lock()
		atRest = !box.active && len(box.in) == 0
		box.mu.Unlock()
	}
}
