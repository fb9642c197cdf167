package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// recorder is a probe that keeps the messages it gets.
func recorder(got *[]any) *probe {
	return &probe{receive: func(_ *Context[any], m any) { *got = append(*got, m) }}
}

// sync returns when everything sent before has been handled.
func (r *rig) sync() {
	r.t.Helper()
	done := make(chan struct{})
	r.tell(func() { close(done) })
	<-done
}

func TestMessagesOfOneSenderAreHandledInOrder(t *testing.T) {
	t.Parallel()
	type message struct{ sender, n int }
	last, bad := map[int]int{}, 0
	r := running(t, 16, &probe{receive: func(_ *Context[any], m any) {
		v := m.(message)
		if last[v.sender] != v.n {
			bad++
		}
		last[v.sender] = v.n + 1
	}})
	const senders, each = 4, 2000
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				if err := r.Ref().Tell(context.Background(), message{s, n}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	r.sync()
	if bad > 0 {
		t.Errorf("%d messages came out of order", bad)
	}
	for s := range senders {
		if last[s] != each {
			t.Errorf("%d messages of sender %d were handled, want %d", last[s], s, each)
		}
	}
}

func TestControlMessagesOvertakeUserMessages(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 0, recorder(&got))
	release := r.hold()
	r.tell("user 1", "user 2")
	for _, m := range []string{"control 1", "control 2"} {
		if err := r.Ref().Control(m); err != nil {
			t.Fatal(err)
		}
	}
	release()
	r.sync()
	want := []any{"control 1", "control 2", "user 1", "user 2"}
	if !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestControlMessagesOvertakeTheBatchUnderWay(t *testing.T) {
	t.Parallel()
	var got []any
	p := recorder(&got)
	r := running(t, 0, p)
	release := r.hold()
	r.tell(func() {
		for _, m := range []string{"control 1", "control 2"} {
			if err := r.Ref().Control(m); err != nil {
				t.Error(err)
			}
		}
	}, "user")
	release()
	r.sync()
	if want := []any{"control 1", "control 2", "user"}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestOfferFailsWhenTheMailboxIsFull(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 2, recorder(&got))
	release := r.hold()
	r.tell(1, 2)
	if err := r.Ref().Offer(3); !errors.Is(err, ErrMailboxFull) {
		t.Fatalf("offer to a full mailbox: %v", err)
	}
	if st := r.Ref().Stats(); st.Queue != 2 || st.HighWater != 2 {
		t.Fatalf("%+v; want depth and high water 2", st)
	}
	if err := r.Ref().Control("control"); err != nil {
		t.Fatalf("the control lane is not bounded, but: %v", err)
	}
	release()
	r.sync()
	if want := []any{"control", 1, 2}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

func TestTellWaitsForRoom(t *testing.T) {
	t.Parallel()
	var got []any
	r := running(t, 1, recorder(&got))
	release := r.hold()
	r.tell(1)
	told := make(chan error, 1)
	go func() { told <- r.Ref().Tell(context.Background(), 2) }()
	r.awaitSender()
	release()
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	r.sync()
	if want := []any{1, 2}; !slices.Equal(got, want) {
		t.Fatalf("handled %v, want %v", got, want)
	}
}

// awaitSender returns when somebody waits for room in the mailbox.
func (r *rig) awaitSender() {
	mb := &r.shell.Load().box
	for waits := false; !waits; runtime.Gosched() {
		mb.mu.Lock()
		waits = mb.room != nil
		mb.mu.Unlock()
	}
}

func TestTellGivesUpWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	r := running(t, 1, &probe{})
	r.hold()
	r.tell(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Ref().Tell(ctx, 2); !errors.Is(err, ErrMailboxFull) {
		t.Fatalf("tell = %v, want ErrMailboxFull", err)
	}
}

func TestTellThatWaitsIsRefusedWhenTheActorStops(t *testing.T) {
	t.Parallel()
	r := running(t, 1, &probe{})
	release := r.hold()
	r.tell(1)
	told := make(chan error, 1)
	go func() { told <- r.Ref().Tell(context.Background(), 2) }()
	r.awaitSender()
	r.Stop(1, nil)
	release()
	if err := <-told; !errors.Is(err, ErrStopped) {
		t.Fatalf("tell = %v, want ErrStopped", err)
	}
}

func TestTellFromInsideAnActorFailsAtOnceWhenTheMailboxIsFull(t *testing.T) {
	t.Parallel()
	full := running(t, 1, &probe{})
	full.hold()
	full.tell(1)
	told := make(chan error, 1)
	r := running(t, 0, &probe{receive: func(c *Context[any], _ any) {
		told <- full.Ref().Tell(c.Context(), 2)
	}})
	r.tell("go")
	if err := <-told; !errors.Is(err, ErrMailboxFull) {
		t.Fatalf("tell = %v, want ErrMailboxFull", err)
	}
}

func TestMailboxGivesTheMemoryOfABurstBack(t *testing.T) {
	t.Parallel()
	resting := make(chan struct{}, 1)
	r := running(t, 5000, &probe{idle: func() { resting <- struct{}{} }})
	release := r.hold()
	for i := range 5000 {
		r.tell(i)
	}
	release()
	<-resting
	mb := &r.shell.Load().box
	for atRest := false; !atRest; runtime.Gosched() {
		mb.mu.Lock()
		if atRest = !mb.active; atRest && (cap(mb.in) > keepBatch || cap(mb.out) > keepBatch) {
			t.Errorf("an idle mailbox has room for %d and %d messages", cap(mb.in), cap(mb.out))
		}
		mb.mu.Unlock()
	}
}

func TestIdleIsCalledWhenTheMailboxHasRunEmpty(t *testing.T) {
	t.Parallel()
	var got []any
	idle := make(chan int, 8)
	p := recorder(&got)
	p.idle = func() { idle <- len(got) }
	r := running(t, 0, p)
	release := r.hold()
	r.tell(1, 2, 3)
	release()
	if n := <-idle; n != 3 {
		t.Fatalf("idle after %d messages, want 3", n)
	}
	r.tell(4)
	if n := <-idle; n != 4 {
		t.Fatalf("idle after %d messages, want 4", n)
	}
}

func TestMessagesSentToThePIDArrive(t *testing.T) {
	t.Parallel()
	got := make(chan any, 1)
	r := running(t, 0, &probe{receive: func(_ *Context[any], m any) { got <- m }})
	r.sys.protoSystem().Root.Send(r.Ref().PID(), "hello")
	if m := <-got; m != "hello" {
		t.Fatalf("got %v", m)
	}
}

func TestStopThroughThePIDStopsTheActor(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	r.sys.protoSystem().Root.Stop(r.Ref().PID())
	if err := r.ended(1); err != nil {
		t.Fatalf("end = %v, want a normal one", err)
	}
	if err := r.Ref().Offer(1); !errors.Is(err, ErrStopped) {
		t.Fatalf("offer = %v, want ErrStopped", err)
	}
}

func TestWhatThePIDCannotDeliverIsADeadLetter(t *testing.T) {
	t.Parallel()
	sys := NewSystem(SystemOptions{})
	t.Cleanup(sys.Close)
	p := New(sys, Spec[*letter]{Name: "letters", Capacity: 1, New: func() Actor[*letter] { return nil }})
	if _, err := p.ensureShell(t.Context()); err != nil { // not started: what comes waits
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(nil) })
	letters := newLetters(2)
	for _, m := range []any{letters[0], letters[1], &actor.PoisonPill{}} {
		sys.protoSystem().Root.Send(p.Ref().PID(), m)
	}
	if n := sys.DeadLetters(); n != 2 {
		t.Fatalf("%d dead letters, want 2", n)
	}
	if got := fmt.Sprint(letters[0].losses(), letters[1].losses()); got != fmt.Sprint([]error(nil), []error{ErrMailboxFull}) {
		t.Fatalf("losses: %v", got)
	}
}

func TestWatchersOfThePIDAreToldOfTheEndHoweverLateTheyCome(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	mb, pid, root := &r.shell.Load().box, r.Ref().PID(), r.sys.protoSystem().Root
	told := make(chan *actor.PID, 4)
	watcher := func(begin func(c actor.Context)) *actor.PID {
		return root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch m := c.Message().(type) {
			case *actor.Started:
				begin(c)
			case *actor.Terminated:
				told <- m.Who
			}
		}))
	}
	early := watcher(func(c actor.Context) { c.Watch(pid) })
	for watched := false; !watched; runtime.Gosched() {
		r.mu.Lock()
		watched = len(r.shell.Load().links.watchers) == 1
		r.mu.Unlock()
	}
	r.Stop(1, nil)
	r.ended(1)
	// A PID that has been used before leads to the mailbox, not to the registry.
	late := watcher(func(c actor.Context) { mb.PostSystemMessage(&actor.Watch{Watcher: c.Self()}) })
	for range 2 {
		if who := <-told; !who.Equal(pid) {
			t.Errorf("told of %v", who)
		}
	}
	root.Stop(early)
	root.Stop(late)
}
