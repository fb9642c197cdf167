package registry

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/supervisor"
	"github.com/pando-agents/pando/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("refused")

// rig is a registry that runs under a supervisor of its own, with peers that
// never answer until the test says what they do.
type rig struct {
	*Registry
	t        *testing.T
	env      *channel.Env
	tree     *supervisor.Supervisor
	connects atomic.Int32
	answer   atomic.Pointer[error] // what a connection attempt comes to; nil: it hangs
	dialled  chan struct{}
	panics   atomic.Int32 // how many more calls of the clock panic
	restart  chan func()  // restarts that are due, when the test holds them back
	served   chan error
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	r := &rig{t: t, dialled: make(chan struct{}, 256), restart: make(chan func(), 16), served: make(chan error, 1)}
	quiet := slog.New(slog.DiscardHandler)
	system := actors.NewSystem(actors.SystemOptions{Logger: quiet})
	r.env = &channel.Env{
		Agent: "self", System: system, Logger: quiet, Connect: r.connect, Now: func() time.Time {
			if r.panics.Add(-1) >= 0 {
				panic("broken clock")
			}
			return time.Now()
		},
	}
	r.env.Prepare()
	o.Env = r.env
	r.Registry = New(o)
	r.tree = supervisor.New(supervisor.Options{
		Logger: quiet, Budget: supervisor.Budget{Failures: -1},
		Children: []supervisor.Spec{
			{ID: "channels", Service: r.Channels()},
			{ID: "registry", Process: r.Actor()},
		},
		// A restart that is not immediate waits for the test.
		Backoff: supervisor.Backoff{Initial: time.Hour, Max: time.Hour}, Rand: func() float64 { return 0.999 },
		AfterFunc: func(d time.Duration, f func()) func() bool {
			if d > 50*time.Minute {
				r.restart <- f
				return func() bool { return true }
			}
			return time.AfterFunc(d, f).Stop
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.served <- r.tree.Serve(ctx) }()
	<-r.tree.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-r.served; err != nil {
			t.Errorf("serve: %v", err)
		}
		for _, ch := range r.All() {
			ch.Fail(errRefused)
		}
		r.Registry.Close()
		system.Close()
	})
	return r
}

func (r *rig) connect(ctx context.Context, _, _ string, _ bool) (*transport.Conn, error) {
	r.connects.Add(1)
	r.dialled <- struct{}{}
	if err := r.answer.Load(); err != nil {
		return nil, *err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// opening asks for a channel in the background, and returns when the attempt to
// connect is under way.
func (r *rig) opening(ctx context.Context, id, peer string) (result chan error) {
	r.t.Helper()
	result = r.asking(ctx, id, peer)
	<-r.dialled
	return result
}

func (r *rig) asking(ctx context.Context, id, peer string) (result chan error) {
	result = make(chan error, 1)
	go func() {
		_, err := r.Open(ctx, channel.Config{ID: id, Peer: peer, URL: "ws://" + peer})
		result <- err
	}()
	return result
}

// crash makes the registry actor crash, and waits until its successor is there.
func (r *rig) crash(generation uint64) {
	r.t.Helper()
	events, cancel := r.tree.Subscribe(64)
	defer cancel()
	if err := r.Crash(); err != nil {
		r.t.Fatal(err)
	}
	for e := range events {
		if e.Child == "registry" && e.Kind == supervisor.Started && e.Generation == generation {
			return
		}
	}
}

// crashAndStayDown leaves the registry actor between two incarnations, until
// the returned function is called.
func (r *rig) crashAndStayDown() (up func()) {
	r.t.Helper()
	r.crash(2) // the first restart is immediate
	if err := r.Crash(); err != nil {
		r.t.Fatal(err)
	}
	return <-r.restart
}

func TestLookUpsFindChannelsByIDAndPeer(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, Options{}), t.Context()
	r.opening(ctx, "1", "bob")
	r.opening(ctx, "2", "carol")
	for id, peer := range map[string]string{"1": "bob", "2": "carol"} {
		ch, err := r.Lookup(ctx, id)
		if err != nil || ch.Peer() != peer {
			t.Fatalf("channel %s is %v, %v", id, ch, err)
		}
		list, err := r.With(ctx, peer)
		if err != nil || len(list) != 1 || list[0] != ch {
			t.Fatalf("channels with %s: %v, %v", peer, list, err)
		}
	}
	all, err := r.List(ctx)
	if err != nil || len(all) != 2 || all[0].ID() != "1" {
		t.Fatalf("all channels, oldest first: %v, %v", all, err)
	}
	if _, err := r.Lookup(ctx, "3"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("look-up of no channel = %v", err)
	}
	if list, err := r.With(ctx, "dave"); err != nil || len(list) != 0 {
		t.Fatalf("channels with a stranger: %v, %v", list, err)
	}
	if err := r.Stop(ctx, "1", "not wanted"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Lookup(ctx, "1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("look-up of a stopped channel = %v", err)
	}
}

func TestCallersWhoComeTogetherShareOneAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		var results []chan error
		for i := range 50 {
			results = append(results, r.asking(t.Context(), string(rune('a'+i)), "bob"))
		}
		synctest.Wait() // all of them wait for the one attempt
		if n := r.connects.Load(); n != 1 || len(r.All()) != 1 {
			t.Fatalf("%d attempts, %d channels", n, len(r.All()))
		}
		r.All()[0].Fail(errRefused)
		for _, result := range results {
			if err := <-result; !errors.Is(err, channel.ErrLost) {
				t.Errorf("open = %v", err)
			}
		}
	})
}

func TestLimitsCountChannelsInAllAndByPeer(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, Options{MaxChannels: 3, MaxPerPeer: 2}), t.Context()
	open := func(id, peer, url string) chan error {
		result := make(chan error, 1)
		go func() {
			_, err := r.Open(ctx, channel.Config{ID: id, Peer: peer, URL: url})
			result <- err
		}()
		return result
	}
	open("1", "bob", "ws://a")
	<-r.dialled
	open("2", "bob", "ws://b")
	<-r.dialled
	if !r.Full("bob") || r.Full("carol") {
		t.Fatalf("full for bob %v, for carol %v", r.Full("bob"), r.Full("carol"))
	}
	if err := <-open("3", "bob", "ws://c"); !errors.Is(err, ErrLimit) {
		t.Fatalf("third channel with one peer = %v", err)
	}
	open("4", "carol", "ws://a")
	<-r.dialled
	if err := <-open("5", "dave", "ws://a"); !errors.Is(err, ErrLimit) {
		t.Fatalf("fourth channel in all = %v", err)
	}
	if err := r.Stop(ctx, "1", "room"); err != nil {
		t.Fatal(err)
	}
	open("6", "dave", "ws://a")
	<-r.dialled
	if n := len(r.All()); n != 3 {
		t.Fatalf("%d channels", n)
	}
}

func TestRegistryThatCrashedKnowsItsChannelsAgain(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, Options{}), t.Context()
	r.opening(ctx, "1", "bob")
	r.opening(ctx, "2", "carol")
	before, err := r.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.crash(2)
	for _, ch := range before {
		if found, err := r.Lookup(ctx, ch.ID()); err != nil || found != ch {
			t.Errorf("channel %s after the crash: %v, %v", ch.ID(), found, err)
		}
	}
	if list, err := r.With(ctx, "bob"); err != nil || len(list) != 1 || list[0].ID() != "1" {
		t.Errorf("channels with the peer after the crash: %v, %v", list, err)
	}
	if n := r.connects.Load(); int(n) != len(before) {
		t.Errorf("%d connection attempts for %d channels", n, len(before))
	}
}

func TestChannelThatEndsWhileTheRegistryIsDownIsForgotten(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, Options{}), t.Context()
	result := r.opening(ctx, "1", "bob")
	up := r.crashAndStayDown()
	r.All()[0].Fail(errRefused)
	if err := <-result; !errors.Is(err, channel.ErrLost) {
		t.Fatalf("open = %v", err)
	}
	up()
	if _, err := r.Lookup(ctx, "1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("look-up = %v, want ErrNotFound", err)
	}
}

func TestQuestionsThatComeWhileTheRegistryIsDownAreAnsweredLater(t *testing.T) {
	t.Parallel()
	r, ctx := newRig(t, Options{}), t.Context()
	r.opening(ctx, "1", "bob")
	up := r.crashAndStayDown()
	found := make(chan error, 1)
	go func() {
		_, err := r.Lookup(ctx, "1")
		found <- err
	}()
	up()
	if err := <-found; err != nil {
		t.Fatal(err)
	}
}

func TestAskerWhoLeavesWhileTheRegistryIsDownLeavesNoChannel(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	up := r.crashAndStayDown()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := r.Open(ctx, channel.Config{ID: "1", Peer: "bob", URL: "ws://bob"})
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("open = %v", err)
	}
	up()
	if list, err := r.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("channels that nobody will start: %v, %v", list, err)
	}
	r.opening(t.Context(), "2", "bob") // returns when somebody connects
}

func TestQuestionThatTheRegistryFailsOnIsAskedOnceMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.panics.Store(1) // the clock is read when the channel is made
	r.opening(t.Context(), "1", "bob")
	if n := len(r.All()); n != 1 {
		t.Fatalf("%d channels", n)
	}
}

func TestQuestionThatTheRegistryFailsOnTwiceIsAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.panics.Store(2)
	result := r.asking(t.Context(), "1", "bob")
	up := <-r.restart // after the second crash
	if err := <-result; !errors.Is(err, ErrUnavailable) || !errors.Is(err, actors.ErrNotRun) {
		t.Fatalf("open = %v", err)
	}
	up()
	if list, err := r.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("channels %v, %v", list, err)
	}
}

func TestClosedRegistryAnswersEverybodyThatItIsNotAvailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.crashAndStayDown()
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if _, err := r.Lookup(context.Background(), "1"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("look-up = %v, want ErrUnavailable", err)
			}
		})
	}
	for r.ref.Stats().Queue < 8 {
		runtime.Gosched() // until all of them wait
	}
	r.Registry.Close()
	asking.Wait()
}

func TestOpenerWhoLeavesTakesTheAttemptAlong(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	result := r.opening(ctx, "1", "bob")
	cancel()
	if err := <-result; !errors.Is(err, channel.ErrCanceled) {
		t.Fatalf("open = %v", err)
	}
	if list, err := r.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("channels %v, %v", list, err)
	}
}

func TestOpenersWhoStayAreServedWhenTheFirstLeaves(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	first := r.opening(ctx, "1", "bob")
	second := r.asking(t.Context(), "2", "bob")
	cancel()
	<-first
	<-r.dialled // for the second, which has a channel of its own now
	refused := error(&channel.ConnectError{Final: true, Err: errRefused})
	r.answer.Store(&refused)
	r.All()[0].Fail(errRefused)
	if err := <-second; !errors.Is(err, channel.ErrLost) {
		t.Fatalf("open = %v", err)
	}
}

func TestFailedAttemptIsForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	refused := error(&channel.ConnectError{Final: true, Err: errRefused})
	r.answer.Store(&refused)
	for range 2 {
		if err := <-r.opening(t.Context(), "1", "bob"); !errors.Is(err, errRefused) {
			t.Fatalf("open = %v", err)
		}
		if list, err := r.List(t.Context()); err != nil || len(list) != 0 {
			t.Fatalf("channels %v, %v", list, err)
		}
	}
}

func TestChannelWhoseOpenerHasLeftIsClosedAndNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	a, err := r.ask(t.Context(), &query{kind: askOpen, config: channel.Config{ID: "c", Peer: "p", URL: "ws://localhost/"}, env: r.env})
	if err != nil {
		t.Fatal(err)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := r.start(left, a.channel); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := a.channel.Err(); !errors.Is(err, channel.ErrClosed) {
		t.Fatal(err)
	}
}
