package pando_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/supervisor"
)

// far runs f with an account on another machine, in virtual time.
func far(t *testing.T, f func(t *testing.T, d *distance), opts ...func(*actors.Spec[teller])) {
	t.Helper()
	t.Parallel()
	inVirtualTime(t, func(w *world) { f(w.t, newDistance(w, "another machine", opts...)) })
}

// beyond runs f with an account in another agent, in this process and on another
// machine.
func beyond(t *testing.T, f func(t *testing.T, d *distance), opts ...func(*actors.Spec[teller])) {
	t.Helper()
	t.Parallel()
	for _, name := range distances[1:] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(w *world) { f(w.t, newDistance(w, name, opts...)) })
		})
	}
}

// channel opens the channel that Refs to the account use.
func (d *distance) channel(ctx context.Context) *pando.Channel {
	d.w.t.Helper()
	ch, err := d.here.Open(ctx, d.there.ID(), "")
	if err != nil {
		d.w.t.Fatal(err)
	}
	return ch
}

func TestAskWhoseConnectionBreaksDoesNotKnowWhatBecameOfIt(t *testing.T) {
	far(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		result := make(chan error, 1)
		go func() {
			_, err := ask(ctx, d.ref, askHold)
			result <- err
		}()
		synctest.Wait()
		d.w.net.Cut(d.there.addr)
		if err := <-result; !errors.Is(err, actors.ErrLost) || !errors.Is(err, pando.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		if _, err := d.sum(ctx); err != nil { // and the connection comes back by itself
			t.Fatal(err)
		}
	})
}

func TestWatchGoesOnWhenTheConnectionComesBackInTime(t *testing.T) {
	far(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		downs := make(chan actors.Down, 4)
		d.ref.OnDown(func(d actors.Down) { downs <- d })
		synctest.Wait()
		d.w.net.Cut(d.there.addr)
		time.Sleep(time.Second)
		if len(downs) != 0 {
			t.Fatalf("told %+v", <-downs)
		}
		if err := d.ref.Tell(ctx, quit{}); err != nil {
			t.Fatal(err)
		}
		if got := <-downs; got.Reason != nil {
			t.Fatalf("%+v", got)
		}
	})
}

func TestEndThatHappensWhileTheConnectionIsBrokenIsTold(t *testing.T) {
	far(t, func(t *testing.T, d *distance) {
		downs := make(chan actors.Down, 4)
		d.ref.OnDown(func(d actors.Down) { downs <- d })
		synctest.Wait()
		d.w.net.Refuse(d.there.addr, true)
		d.w.net.Cut(d.there.addr)
		synctest.Wait()
		near, err := pando.RefTo(d.there.Agent, d.there.ID()+"/account", tellers)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ask(within(t, time.Minute), near, askCrash); !errors.Is(err, actors.ErrNotRun) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		d.w.net.Refuse(d.there.addr, false)
		if got := <-downs; got.Reason == nil || errors.Is(got.Reason, actors.ErrLost) {
			t.Fatalf("%+v", got)
		}
	})
}

func TestWatchedActorIsLostAndNotDeadWhenTheConnectionStaysBroken(t *testing.T) {
	far(t, func(t *testing.T, d *distance) {
		downs := make(chan actors.Down, 4)
		d.ref.OnDown(func(d actors.Down) { downs <- d })
		synctest.Wait()
		start := time.Now()
		d.w.net.Refuse(d.there.addr, true)
		d.w.net.Cut(d.there.addr)
		got := <-downs
		if took := time.Since(start); !errors.Is(got.Reason, actors.ErrLost) || took > 6*time.Second {
			t.Fatalf("%+v after %v", got, took)
		}
		d.w.net.Refuse(d.there.addr, false)
		time.Sleep(time.Minute)
		if len(downs) != 0 {
			t.Fatalf("told again: %+v", <-downs)
		}
	})
}

func TestWatchIsLostWhenNobodyIsThere(t *testing.T) {
	far(t, func(t *testing.T, d *distance) {
		d.w.net.Refuse(d.there.addr, true)
		downs := make(chan actors.Down, 4)
		d.ref.OnDown(func(d actors.Down) { downs <- d })
		if got := <-downs; !errors.Is(got.Reason, actors.ErrLost) {
			t.Fatalf("%+v", got)
		}
		if _, err := d.sum(within(t, time.Minute)); !errors.Is(err, actors.ErrUnreachable) {
			t.Fatal(err)
		}
	})
}

func TestActorsOfAnAgentThatShutsDownAreTold(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		downs := make(chan actors.Down, 4)
		d.ref.OnDown(func(d actors.Down) { downs <- d })
		synctest.Wait()
		if err := d.there.Shutdown(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := <-downs; got.Reason == nil {
			t.Fatalf("%+v", got)
		}
		synctest.Wait()
		if len(downs) != 0 {
			t.Fatalf("told again: %+v", <-downs)
		}
	})
}

func TestShutdownWaitsForTheAnswersThatActorsOwe(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		result := make(chan error, 1)
		go func() {
			_, err := d.sum(ctx)
			result <- err
		}()
		if err := d.ref.Tell(ctx, wait{}); err != nil { // the actor is busy for a while
			t.Fatal(err)
		}
		<-d.busy
		late := make(chan error, 1)
		go func() {
			_, err := d.sum(ctx)
			late <- err
		}()
		synctest.Wait()
		time.AfterFunc(3*time.Second, func() { close(d.gate) })
		if err := d.there.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(<-result, <-late); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatAPeerMayNotReachIsRefusedAlikeAndNothingRuns(t *testing.T) {
	t.Parallel()
	for _, name := range distances[1:] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(w *world) { refusedAlike(w, name) })
		})
	}
}

func refusedAlike(w *world, distance string) {
	var near []pando.Option
	if distance == "same process" {
		near = append(near, pando.WithNeighbours(pando.NewNeighbours()))
	}
	ran := make(chan teller, 16)
	w.t.Cleanup(func() {
		if len(ran) != 0 {
			w.t.Errorf("%T ran", <-ran)
		}
	})
	ctx := within(w.t, time.Minute)
	narrow := remote.NewProtocol[teller](remote.Message[add]("bank.add"))
	there := w.newNode("there", func(n *node) {
		spawn := func(name string) actors.Ref[teller] {
			ref, err := pando.Spawn(ctx, n.Agent, actors.Spec[teller]{Name: name, New: func() actors.Actor[teller] {
				return actors.Behave[teller](func(_ *actors.Context[teller], m teller) actors.Behaviour[teller] {
					ran <- m
					return nil
				})
			}})
			if err != nil {
				w.t.Fatal(err)
			}
			return ref
		}
		spawn("hidden")
		for name, p := range map[string]*remote.Protocol[teller]{"others": tellers, "closed": tellers, "narrow": narrow} {
			var opts []pando.ExposeOption
			switch name {
			case "others":
				opts = append(opts, pando.ToPeers(newID()))
			case "closed":
				opts = append(opts, pando.ToPeers())
			}
			if err := pando.Expose(n.Agent, name, spawn(name), p, opts...); err != nil {
				w.t.Fatal(err)
			}
		}
	}, near...)
	toThere := append(near, pando.WithEndpoints(map[string]string{there.ID(): there.url}))
	here := w.friend(there, "here", nil, toThere...)
	var answers []string
	for _, name := range []string{"unknown", "hidden", "others", "closed", "narrow"} {
		ref, err := pando.RefTo(here.Agent, there.ID()+"/"+name, tellers)
		if err != nil {
			w.t.Fatal(err)
		}
		_, err = ask(ctx, ref, askHold)
		var told *pando.RemoteError
		if !errors.Is(err, actors.ErrNoActor) || !errors.As(err, &told) {
			w.t.Fatalf("%s: %v", name, err)
		}
		answers = append(answers, told.Code+told.Message+told.ID)
		if name == "narrow" {
			continue // which may be watched
		}
		if err := ref.Tell(ctx, quit{}); err != nil { // a message without an answer says nothing
			w.t.Fatalf("%s: %v", name, err)
		}
		downs := make(chan actors.Down, 1)
		ref.OnDown(func(d actors.Down) { downs <- d })
		if got := <-downs; !errors.Is(got.Reason, actors.ErrNoActor) {
			w.t.Fatalf("%s: %+v", name, got)
		}
	}
	for _, a := range answers {
		if a != answers[0] {
			w.t.Fatalf("refused unlike: %q", answers)
		}
	}
	// Without permission there is not even a channel.
	stranger := w.newNode("stranger", nil, toThere...)
	ref, err := pando.RefTo(stranger.Agent, there.ID()+"/narrow", tellers)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := ref.Tell(ctx, add{}); !errors.Is(err, pando.ErrRefused) {
		w.t.Fatal(err)
	}
}

func TestErrorWithoutANameStaysWithItsAgent(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		_, err := ask(within(t, time.Minute), d.ref, func(r actors.Reply[int]) teller { return secret{r} })
		var told *pando.RemoteError
		if !errors.As(err, &told) || told.ID == "" || strings.Contains(err.Error(), "mat") {
			t.Fatal(err)
		}
		if !d.there.log.mentions("under the mat") || !d.there.log.mentions(told.ID) {
			t.Fatal("the log does not say what has happened")
		}
	})
}

func TestMessageWithoutANameIsNotSent(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		if err := d.ref.Tell(ctx, unnamed{}); !errors.Is(err, remote.ErrUnnamed) {
			t.Fatal(err)
		}
		_, err := ask(ctx, d.ref, func(r actors.Reply[int]) teller { return unnamed{r} })
		if !errors.Is(err, remote.ErrUnnamed) {
			t.Fatal(err)
		}
	})
}

// orphan is a message that notes what becomes of it.
type orphan struct {
	add
	lost chan error
}

func (o orphan) NotHandled(err error) { o.lost <- err }

func TestMessageFromInsideAnActorThatCannotBeSentIsToldSo(t *testing.T) {
	far(t, func(t *testing.T, d *distance) {
		orphans := remote.NewProtocol[orphan](remote.Message[orphan]("orphan"))
		ref, err := pando.RefTo(d.here.Agent, d.there.ID()+"/account", orphans)
		if err != nil {
			t.Fatal(err)
		}
		d.w.net.Freeze(d.there.addr)
		const n = 1100 // more than an outbox holds
		lost := make(chan error, n)
		full := 0
		for range n {
			switch err := ref.Offer(orphan{lost: lost}); {
			case errors.Is(err, actors.ErrMailboxFull):
				full++
			case err != nil:
				t.Fatal(err)
			}
		}
		if full == 0 {
			t.Fatal("the outbox has no end")
		}
		for range n - full {
			if err := <-lost; !errors.Is(err, actors.ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if err := ref.Offer(orphan{lost: lost}); err == nil { // it is known for a while
			t.Fatal("an agent that was out of reach a moment ago was tried again")
		}
		d.w.net.Heal(d.there.addr)
	})
}

func TestOldNamesAreUnderstoodAndNewFieldsIgnored(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		ch := d.channel(ctx)
		if err := ch.SendTo(ctx, "account", "bank.deposit", []byte(`{"amount":4,"since":"2031"}`)); err != nil {
			t.Fatal(err)
		}
		if sum, err := d.sum(ctx); sum != 4 || err != nil {
			t.Fatalf("balance %d, %v", sum, err)
		}
		_, err := ch.RequestTo(ctx, "account", "bank.withdraw", []byte(`{"amount":"all"}`))
		var told *pando.RemoteError
		if !errors.As(err, &told) || !strings.Contains(told.Message, "field amount cannot be a string") {
			t.Fatal(err)
		}
	})
}

func TestRequestsThatNobodyAnswersAreBounded(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ch := d.channel(within(t, time.Minute))
		// The asker gives up and asks again: the other side forgets it too.
		for range 3000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := ch.RequestTo(ctx, "account", "bank.hold", nil)
			cancel()
			var told *pando.RemoteError
			if errors.As(err, &told) {
				t.Fatal(err)
			}
		}
		// One that waits for ever is not let have more than its share.
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		refused := make(chan error, 1000)
		for range 1000 {
			go func() {
				_, err := ch.RequestTo(ctx, "account", "bank.hold", nil)
				refused <- err
			}()
		}
		synctest.Wait()
		if _, err := d.sum(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		cancel()
		for range 1000 {
			<-refused
		}
	})
}

func TestPlainMessagesReachAnActorByTheirType(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		ctx := within(w.t, time.Minute)
		there := w.newNode("there", func(n *node) {
			ref, err := pando.Spawn(ctx, n.Agent, actors.Spec[teller]{Name: "account", New: func() actors.Actor[teller] { return &account{} }})
			if err != nil {
				w.t.Fatal(err)
			}
			if err := pando.Expose(n.Agent, "account", ref, tellers, pando.ByType()); err != nil {
				w.t.Fatal(err)
			}
			if err := pando.Expose(n.Agent, "second", ref, tellers, pando.ByType()); !errors.Is(err, remote.ErrName) {
				w.t.Fatalf("two actors take the same type: %v", err)
			}
		})
		here := w.friend(there, "here", nil, pando.WithEndpoints(map[string]string{there.ID(): there.url}))
		plain, err := pando.RefTo(here.Agent, there.ID(), tellers)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := plain.Tell(ctx, add{Amount: 2}); err != nil {
			w.t.Fatal(err)
		}
		sum, err := ask(ctx, plain, func(r actors.Reply[int]) teller { return balance{r} })
		if sum != 2 || err != nil {
			w.t.Fatalf("balance %d, %v", sum, err)
		}
	})
}

func TestAnnouncedEndpointIsHeldToThePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := within(t, patience)
	there := w.newNode("there", func(n *node) {
		ref, err := pando.Spawn(ctx, n.Agent, actors.Spec[teller]{Name: "account", New: func() actors.Actor[teller] { return &account{} }})
		if err == nil {
			err = pando.Expose(n.Agent, "account", ref, tellers)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	tell := func() error { // from an agent that knows nothing yet
		t.Helper()
		ref, err := pando.RefTo(w.friend(there, "here", nil).Agent, there.ID()+"/account", tellers)
		if err != nil {
			t.Fatal(err)
		}
		return ref.Tell(ctx, add{})
	}
	if err := tell(); !errors.Is(err, actors.ErrUnreachable) { // nothing announced
		t.Fatal(err)
	}
	announce := func(url string) {
		t.Helper()
		client, err := identity.NewClient(identity.ClientOptions{Credentials: there.creds, HTTP: w.reg.Client})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Announce(ctx, pando.Announcement{Endpoint: &url}); err != nil {
			t.Fatal(err)
		}
	}
	announce("wss://10.1.2.3/ws")
	if err := tell(); !errors.Is(err, identity.ErrForbiddenEndpoint) {
		t.Fatal(err)
	}
	announce(there.url) // loopback, as the registry is
	if err := tell(); err != nil {
		t.Fatal(err)
	}
}

func TestMessageFromAfarThatFindsNoRoomIsCounted(t *testing.T) {
	small := func(s *actors.Spec[teller]) { s.Capacity = 1 }
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		fill(ctx, t, d)
		for range 3 {
			if err := d.ref.Tell(ctx, add{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		list := d.there.Actors()
		if len(list) != 1 || list[0].Name != "account" || !list[0].Exposed || list[0].Dropped != 3 || list[0].Mailbox.Queue != 1 {
			t.Fatalf("%+v", list)
		}
		close(d.gate)
	}, small)
}

func TestWatchesOfAPeerAreBounded(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		ch := d.channel(ctx)
		refused := 0
		for i := range 4200 {
			_, err := ch.RequestTo(ctx, "account", "pando.watch", fmt.Appendf(nil, `{"watch":"w%d"}`, i))
			var told *pando.RemoteError
			if errors.As(err, &told) && told.Code == "overloaded" {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if refused != 4200-4096 {
			t.Fatalf("%d refused", refused)
		}
		for _, data := range []string{`{}`, `{"watch":7}`, `{"watch":"w1","generation":99}`} {
			_, err := ch.RequestTo(ctx, "account", "pando.watch", []byte(data))
			if err == nil && data != `{"watch":"w1","generation":99}` {
				t.Fatalf("%s is a watch", data)
			}
		}
		for _, typ := range []string{"pando.down", "pando.unwatch", "pando.else"} { // nobody minds
			if err := ch.SendTo(ctx, "", typ, []byte(`{"watch":"nobody's","end":{}}`)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.sum(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMessagesThatMakeAnActorPanicCostOnlyItself(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Hour)
		other, err := pando.Spawn(ctx, d.there.Agent, actors.Spec[teller]{Name: "other", New: func() actors.Actor[teller] { return &account{} }})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Tell(ctx, add{Amount: 1}); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			if _, err := ask(ctx, d.ref, askCrash); !errors.Is(err, actors.ErrNotRun) {
				t.Fatal(err)
			}
		}
		if _, err := d.sum(ctx); err != nil {
			t.Fatal(err)
		}
		if n, err := ask(ctx, other, func(r actors.Reply[int]) teller { return balance{r} }); n != 1 || err != nil {
			t.Fatalf("the neighbour has noticed: %d, %v", n, err)
		}
	})
}

func TestChildrenAreAddedAndRemovedWhileTheAgentRuns(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		runs, stopped := make(chan struct{}), make(chan struct{})
		child := supervisor.Spec{ID: "ticker", Service: supervisor.ServiceFunc(func(ctx context.Context) error {
			close(runs)
			<-ctx.Done()
			close(stopped)
			return nil
		})}
		if err := d.there.Supervise(ctx, child); err != nil {
			t.Fatal(err)
		}
		<-runs
		if err := d.there.Supervise(ctx, child); !errors.Is(err, supervisor.ErrDuplicate) {
			t.Fatal(err)
		}
		if err := d.there.Remove(ctx, "ticker"); err != nil {
			t.Fatal(err)
		}
		<-stopped
		child.Service = supervisor.ServiceFunc(func(context.Context) error { return errors.New("no") })
		child.Restart = supervisor.Temporary
		if err := d.there.Supervise(ctx, child); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBurstOfRequestsIsAnsweredInTheEnd(t *testing.T) {
	beyond(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		const n = 1000 // many more than wait for handlers at a time
		results := make(chan error, n)
		for range n {
			go func() {
				_, err := d.sum(ctx)
				results <- err
			}()
		}
		for range n {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
	})
}
