package actors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/pando-agents/pando/supervisor"
)

// withSpec returns a running rig with a spec of its own.
func withSpec(t *testing.T, p *probe, spec Spec[any]) *rig {
	t.Helper()
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
	spec.Name, spec.New = "probe", func() Actor[any] { return p }
	r := &rig{Process: New(sys, spec), t: t, sys: sys, exits: make(chan exited, 64)}
	t.Cleanup(func() {
		r.Kill(nil)
		sys.Close()
	})
	r.mustStart(1)
	return r
}

func TestMailboxThatFailsNeverMakesTellWait(t *testing.T) {
	t.Parallel()
	r := withSpec(t, &probe{}, Spec[any]{Capacity: 1, Overflow: Fail})
	r.hold()
	r.tell(1)
	if err := r.Ref().Tell(context.Background(), 2); !errors.Is(err, ErrMailboxFull) {
		t.Fatalf("tell = %v, want ErrMailboxFull", err)
	}
}

func TestFullMailboxDropsTheNewestOrTheOldestAndTellsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		overflow Overflow
		batch    int // letters that the actor has taken into its batch
		dropped  []int
	}{
		"newest":                {DropNewest, 0, []int{3, 4}},
		"oldest":                {DropOldest, 0, []int{0, 1}},
		"oldest of the batch":   {DropOldest, 3, []int{0, 1}},
		"oldest in and outside": {DropOldest, 1, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []any
			r := withSpec(t, recorder(&got), Spec[any]{Capacity: 4, Overflow: c.overflow})
			letters := newLetters(5)
			first := r.hold()
			there, gate := make(chan struct{}), make(chan struct{})
			r.tell(func() { close(there); <-gate })
			for _, l := range letters[:c.batch] {
				r.tell(l)
			}
			first()
			<-there // the actor is in the first message of a batch
			for _, l := range letters[c.batch:3] {
				r.tell(l)
			}
			r.tell("last") // now it is full
			if c.overflow == DropOldest {
				r.tell(letters[3], letters[4])
			} else {
				r.tell(letters[3])
				if err := r.Ref().Offer(letters[4]); err != nil {
					t.Errorf("offer = %v", err)
				}
			}
			if st := r.Ref().Stats(); st.Dropped != 2 || st.Queue != 4 {
				t.Errorf("%+v, want 2 dropped and 4 waiting", st)
			}
			for _, l := range letters {
				lost := l.losses()
				if want := slices.Contains(c.dropped, l.n); want != (len(lost) == 1) {
					t.Errorf("letter %d was told %v", l.n, lost)
				} else if want && !errors.Is(lost[0], ErrMailboxFull) {
					t.Errorf("letter %d was told %v, want ErrMailboxFull", l.n, lost)
				}
			}
			close(gate)
			r.syncControl()
			want := []any{letters[0], letters[1], letters[2], "last"}
			if c.overflow == DropOldest {
				want = []any{letters[2], "last", letters[3], letters[4]}
			}
			if !slices.Equal(got, want) {
				t.Errorf("handled %v, want %v", got, want)
			}
		})
	}
}

// syncControl returns when the mailbox has run empty, without using its room.
func (r *rig) syncControl() {
	r.t.Helper()
	for empty := false; !empty; {
		done := make(chan struct{})
		if err := r.Ref().Control(func() { empty = r.Ref().Stats().Queue == 0; close(done) }); err != nil {
			r.t.Fatal(err)
		}
		<-done
	}
}

func TestUnboundedMailboxIsNeverFull(t *testing.T) {
	t.Parallel()
	var got []any
	r := withSpec(t, recorder(&got), Spec[any]{Capacity: 1, Overflow: Unbounded})
	release := r.hold()
	for i := range 5000 {
		if err := r.Ref().Offer(i); err != nil {
			t.Fatal(err)
		}
	}
	release()
	r.sync()
	if len(got) != 5000 || r.Ref().Stats().HighWater < 5000 {
		t.Fatalf("%d handled, %+v", len(got), r.Ref().Stats())
	}
}

func TestWhatWaitsWhenAnActorFailsIsKeptDroppedOrDeadAsTheSpecSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		choice  OnFailure
		told    []error
		dropped uint64
		handled int
	}{
		"kept":    {KeepQueued, nil, 0, 3},
		"dropped": {DropQueued, nil, 3, 0},
		"dead":    {DeadLetterQueued, []error{ErrNotRun}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []any
			r := withSpec(t, recorder(&got), Spec[any]{OnFailure: c.choice})
			letters := newLetters(3)
			first := r.hold()
			there, gate := make(chan struct{}), make(chan struct{})
			r.tell(func() { close(there); <-gate; panic("broken") }, letters[0])
			first()
			<-there
			r.tell(letters[1])
			if err := r.Ref().Control(letters[2]); err != nil {
				t.Fatal(err)
			}
			close(gate)
			r.ended(1)
			if st := r.Ref().Stats(); st.Dropped != c.dropped {
				t.Errorf("%d dropped, want %d", st.Dropped, c.dropped)
			}
			for _, l := range letters {
				if lost := l.losses(); !slices.Equal(lost, c.told) {
					t.Errorf("letter %d was told %v, want %v", l.n, lost, c.told)
				}
			}
			r.mustStart(2)
			r.sync()
			if len(got) != c.handled {
				t.Errorf("the next incarnation handled %v, want %d letters", got, c.handled)
			}
		})
	}
}

func TestSnapshotShowsTheMailboxOfAnActor(t *testing.T) {
	t.Parallel()
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.DiscardHandler)})
	defer sys.Close()
	p := New(sys, Spec[any]{Name: "busy", Capacity: 2, Overflow: DropNewest, New: func() Actor[any] { return &probe{} }})
	tree := supervisor.New(supervisor.Options{
		Children: []supervisor.Spec{{ID: "busy", Process: p}}, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- tree.Serve(ctx) }()
	<-tree.Ready()
	there, gate := make(chan struct{}), make(chan struct{})
	_ = p.Ref().Offer(func() { close(there); <-gate })
	<-there
	for i := range 3 {
		_ = p.Ref().Offer(i)
	}
	want := supervisor.Stats{Queue: 2, HighWater: 2, Dropped: 1}
	if got := tree.Snapshot().Children[0].Stats; got == nil || *got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	close(gate)
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestPIDIsRegisteredWhenItIsAskedForAndNotBefore(t *testing.T) {
	t.Parallel()
	r := running(t, 0, &probe{})
	if r.shell.Load().links != nil || r.sys.proto != nil {
		t.Error("an actor without a use for a PID has one")
	}
	pid := r.Ref().PID()
	if pid == nil || r.Ref().PID() != pid {
		t.Fatal("the PID is not the same each time")
	}
	r.Kill(nil)
	if _, ok := r.sys.protoSystem().ProcessRegistry.GetLocal(pid.Id); ok || r.Ref().PID() != nil {
		t.Error("a stopped actor has a PID")
	}
}

// Those who send and the actor take from the same batch at the same time.
func TestEveryMessageIsHandledOnceOrToldOnceWhileTheOldestAreDropped(t *testing.T) {
	t.Parallel()
	const senders, each = 4, 5000
	var settled, sending sync.WaitGroup
	handled := func(_ *Context[any], m any) {
		o := m.(*order)
		o.handled.Add(1)
		o.settled.Done()
	}
	for _, capacity := range []int{1, 3} {
		r := withSpec(t, &probe{receive: handled}, Spec[any]{Capacity: capacity, Overflow: DropOldest})
		sent := make([]order, senders*each)
		settled.Add(len(sent))
		for s := range senders {
			sending.Go(func() {
				for i := range each {
					o := &sent[s*each+i]
					o.settled = &settled
					if err := r.Ref().Offer(o); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sending.Wait()
		settled.Wait()
		for i := range sent {
			if n := sent[i].handled.Load() + sent[i].notRun.Load(); n != 1 {
				t.Fatalf("a message was handled %d times and told %d times", sent[i].handled.Load(), sent[i].notRun.Load())
			}
		}
		if st := r.Ref().Stats(); st.HighWater > capacity {
			t.Errorf("%+v: more than %d have waited", st, capacity)
		}
	}
}
