package actors

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/pando-agents/pando/supervisor"
)

func yield() { runtime.Gosched() }

func TestWatcherHearsOnceWhyAnIncarnationHasEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(r *rig)
		want func(error) bool
	}{
		"panic":    {func(r *rig) { r.tell(func() { panic("broken") }) }, isPanic},
		"goexit":   {func(r *rig) { r.tell(func() { runtime.Goexit() }) }, is(supervisor.ErrGoexit)},
		"own wish": {func(r *rig) { r.tell(errBroken) }, is(errBroken)},
		"normal":   {func(r *rig) { r.tell("stop") }, func(err error) bool { return err == nil }},
		"stop":     {func(r *rig) { r.Stop(1, errBroken) }, is(errBroken)},
		"abandon":  {func(r *rig) { r.Abandon(1) }, is(ErrFenced)},
		"kill":     {func(r *rig) { r.Kill(errBroken) }, is(errBroken)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
				err, _ := m.(error)
				c.Stop(err)
			}})
			downs := make(chan Down, 8)
			r.Ref().OnDown(func(d Down) { downs <- d })
			taken := r.Ref().OnDown(func(Down) { t.Error("a watch that was taken back was told") })
			if !taken() || taken() {
				t.Error("a watch is not taken back once")
			}
			r.Ref().OnDown(func(Down) { panic("bad watcher") })
			c.end(r)
			r.ended(1)
			if d := <-downs; !c.want(d.Reason) || d.Generation != 1 || d.Actor != "probe" {
				t.Errorf("told %+v", d)
			}
			r.mustStart(2)
			r.Kill(nil)
			if len(downs) > 0 {
				t.Errorf("told again: %+v", <-downs)
			}
		})
	}
}

func TestWatcherHearsTheStackOfAPanicAlsoIfItComesLate(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	r.tell(func() { panic("broken") })
	r.ended(1)
	var late []Down
	r.Ref().OnDown(func(d Down) { late = append(late, d) })
	var p *supervisor.PanicError
	if len(late) != 1 || !errors.As(late[0].Reason, &p) || !strings.Contains(string(p.Stack()), "watch_test.go") {
		t.Fatalf("told %+v", late)
	}
	r.Kill(nil)
	r.Ref().OnDown(func(d Down) { late = append(late, d) })
	if len(late) != 2 || !errors.Is(late[1].Reason, ErrStopped) {
		t.Fatalf("told %+v of an actor that has stopped", late)
	}
}

func TestActorThatWatchesIsToldByAMessageOfItsOwn(t *testing.T) {
	t.Parallel()
	target := running(t, 0, &probe{})
	told := make(chan any, 8)
	watching := make(chan struct{}, 8)
	r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
		switch m {
		case "watch":
			Watch(c, target.Ref(), func(d Down) any { return d })
			watching <- struct{}{}
		case "watch in vain":
			Watch(c, target.Ref(), func(d Down) any { return "in vain" })()
			watching <- struct{}{}
		default:
			told <- m
		}
	}})
	r.tell("watch", "watch in vain")
	<-watching
	<-watching
	release := r.hold()
	r.tell("user")
	target.tell(func() { panic("broken") })
	target.ended(1)
	release()
	if d, ok := (<-told).(Down); !ok || !isPanic(d.Reason) {
		t.Errorf("told %+v", d)
	}
	if m := <-told; m != "user" {
		t.Errorf("then %v", m)
	}
	r.tell("watch") // too late
	if d, ok := (<-told).(Down); !ok || !isPanic(d.Reason) {
		t.Errorf("told %+v", d)
	}
}

func TestWatchEndsWithTheIncarnationThatWatches(t *testing.T) {
	t.Parallel()
	target := running(t, 0, &probe{})
	r := running(t, 0, &probe{receive: func(c *Context[any], m any) {
		if m != "watch" {
			t.Errorf("the next incarnation was told %v", m)
			return
		}
		Watch(c, target.Ref(), func(d Down) any { return d })
	}})
	r.tell("watch", func() { panic("broken") })
	r.ended(1)
	if n := len(target.shell.Load().cx.Load().rare.kin.watchers); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
	target.tell(func() { panic("broken") })
	target.ended(1)
	r.mustStart(2)
	r.sync()
}
