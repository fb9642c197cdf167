package patterns_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/actortest"
	"github.com/pando-agents/pando/actors/patterns"
)

// news is what subscribers take.
type news struct {
	actors.Reply[struct{}]
	patterns.Batch[int]
}

type (
	topicRef   = actors.Ref[patterns.TopicMessage[int]]
	newsTarget = patterns.Target[patterns.Batch[int], struct{}]
)

func newsTo(name string, ref actors.Ref[news]) newsTarget {
	return patterns.To(name, ref, func(b patterns.Batch[int], r actors.Reply[struct{}]) news { return news{r, b} })
}

// reader collects what it is told.
type reader struct {
	*actortest.Actor[news]
	target newsTarget
	got    []int
	missed uint64
	holds  bool // it does not answer
	held   []news
}

func (r *reader) Receive(_ *actors.Context[news], m news) {
	if want := int(m.First); len(m.Events) > 0 && m.Events[0] != want {
		panic(fmt.Sprintf("first is %d, want %d", want, m.Events[0]))
	}
	r.got = append(r.got, m.Events...)
	r.missed += m.Missed
	if r.holds {
		r.held = append(r.held, m)
		return
	}
	m.Send(struct{}{})
}

func newReader(t *testing.T, name string) *reader {
	t.Helper()
	r := &reader{}
	r.Actor = actortest.Start(t, actors.Spec[news]{Name: name, New: func() actors.Actor[news] { return r }})
	r.target = newsTo(name, r.Ref)
	return r
}

func newTopic(t *testing.T, o patterns.Topic[int]) *actortest.Actor[patterns.TopicMessage[int]] {
	t.Helper()
	return actortest.Start(t, o.Spec())
}

func subscribe(t *testing.T, topic topicRef, m patterns.Subscribe[int]) error {
	t.Helper()
	_, err := actors.Ask(t.Context(), topic, func(r actors.Reply[struct{}]) patterns.TopicMessage[int] {
		m.Reply = r
		return m
	})
	return err
}

func topicStatus(t *testing.T, topic topicRef) patterns.TopicStats {
	t.Helper()
	s, err := actors.Ask(t.Context(), topic, func(r actors.Reply[patterns.TopicStats]) patterns.TopicMessage[int] {
		return patterns.TopicStatus[int]{Reply: r}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publish publishes the numbers from 1 on, each as the number that it has.
func publish(t *testing.T, topic topicRef, from, to int) (subscribers int) {
	t.Helper()
	for n := from; n <= to; n++ {
		var err error
		subscribers, err = actors.Ask(t.Context(), topic, func(r actors.Reply[int]) patterns.TopicMessage[int] {
			return patterns.Publish[int]{Reply: r, Event: n}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return subscribers
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i+1)
	}
	return list
}

func TestSubscribersAreToldOfEachEventInOrderUntilTheyUnsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		topic := newTopic(t, patterns.Topic[int]{})
		a, b := newReader(t, "a"), newReader(t, "b")
		for range 2 { // once more changes nothing
			for _, r := range []*reader{a, b} {
				if err := subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: r.target}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := publish(t, topic.Ref, 1, 200); n != 2 {
			t.Errorf("%d subscribers", n)
		}
		synctest.Wait()
		topic.Tell(patterns.Unsubscribe[int]{Address: "b"})
		publish(t, topic.Ref, 201, 300)
		synctest.Wait()
		if !slices.Equal(a.got, upTo(300)) || !slices.Equal(b.got, upTo(200)) || a.missed+b.missed != 0 {
			t.Errorf("%v (%d missed), %v", a.got, a.missed, b.got)
		}
	})
}

func TestSlowSubscriberIsToldHowManyItHasMissedAndHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		topic := newTopic(t, patterns.Topic[int]{Buffer: 10})
		slow, quick := newReader(t, "slow"), newReader(t, "quick")
		slow.holds = true
		_ = subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: slow.target})
		_ = subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: quick.target})
		for n := range 100 {
			publish(t, topic.Ref, n+1, n+1)
			synctest.Wait()
		}
		if !slices.Equal(quick.got, upTo(100)) || !slices.Equal(slow.got, []int{1}) {
			t.Fatalf("quick %v, slow %v", quick.got, slow.got)
		}
		slow.holds = false
		slow.held[0].Send(struct{}{})
		synctest.Wait()
		if !slices.Equal(slow.got, append([]int{1}, upTo(100)[90:]...)) || slow.missed != 89 {
			t.Errorf("slow %v, %d missed", slow.got, slow.missed)
		}
	})
}

func TestSubscriberThatNeverAnswersIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		topic := newTopic(t, patterns.Topic[int]{Patience: time.Minute})
		r := newReader(t, "r")
		r.holds = true
		_ = subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: r.target})
		publish(t, topic.Ref, 1, 1)
		time.Sleep(time.Minute - time.Second)
		if s := topicStatus(t, topic.Ref); len(s.Subscribers) != 1 {
			t.Errorf("dropped too early: %+v", s)
		}
		time.Sleep(2 * time.Second)
		if s := topicStatus(t, topic.Ref); len(s.Subscribers) != 0 || s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestSubscriberThatEndsIsNoneAnyMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		topic := newTopic(t, patterns.Topic[int]{})
		crashed, stopped, lives := newReader(t, "crashed"), newReader(t, "stopped"), newReader(t, "lives")
		for _, r := range []*reader{crashed, stopped, lives} {
			_ = subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: r.target})
		}
		crashed.CrashOn(func(news) bool { return true })
		publish(t, topic.Ref, 1, 1)
		stopped.Stop()
		synctest.Wait()
		if n := publish(t, topic.Ref, 2, 2); n != 1 {
			t.Errorf("%d subscribers are left", n)
		}
		synctest.Wait()
		if !slices.Equal(lives.got, upTo(2)) {
			t.Errorf("the one that lives: %v", lives.got)
		}
	})
}

// scriptedReader is a subscriber far away.
type scriptedReader func(b patterns.Batch[int]) error

func (s scriptedReader) Name() string                         { return "far" }
func (s scriptedReader) Tell(context.Context, news) error     { return nil }
func (s scriptedReader) OnDown(func(actors.Down)) func() bool { return func() bool { return true } }
func (s scriptedReader) Ask(_ context.Context, m news, a actors.Answer) error {
	if err := s(m.Batch); err != nil {
		return err
	}
	a.Resolve(func(any) error { return nil })
	return nil
}

func TestEventsThatMayHaveBeenLostCountAsMissedAndOthersAreToldLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var fail error
		var got []int
		var missed uint64
		far := scriptedReader(func(b patterns.Batch[int]) error {
			if fail != nil {
				return fail
			}
			got = append(got, b.Events...)
			missed += b.Missed
			return nil
		})
		topic := newTopic(t, patterns.Topic[int]{Resolve: func(address string) (newsTarget, error) {
			return newsTo(address, actors.NewRef(far)), nil
		}})
		if err := subscribe(t, topic.Ref, patterns.Subscribe[int]{Address: "there/far"}); err != nil {
			t.Fatal(err)
		}
		for i, err := range []error{actors.ErrUnreachable, nil, actors.ErrLost, nil} {
			fail = err
			publish(t, topic.Ref, i+1, i+1)
			time.Sleep(3 * time.Second)
			synctest.Wait()
		}
		if !slices.Equal(got, []int{1, 2, 4}) || missed != 1 {
			t.Errorf("%v, %d missed", got, missed)
		}
		fail = actors.ErrUnreachable
		publish(t, topic.Ref, 5, 5)
		time.Sleep(time.Minute)
		if s := topicStatus(t, topic.Ref); s.Dropped != 1 || len(s.Subscribers) != 0 {
			t.Errorf("out of reach for a minute: %+v", s)
		}
	})
}

func TestAddressThatLeadsToNobodyIsRefusedAndSoIsOneTooMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		topic := newTopic(t, patterns.Topic[int]{Subscribers: 1, Resolve: func(address string) (newsTarget, error) {
			switch address {
			case "panics":
				panic("resolve")
			case "nothing":
				return newsTarget{}, nil
			}
			return newsTarget{}, errors.New("not here")
		}})
		for _, address := range []string{"", "panics", "nothing", "fails"} {
			if err := subscribe(t, topic.Ref, patterns.Subscribe[int]{Address: address}); !errors.Is(err, patterns.ErrRefused) {
				t.Errorf("%s: %v", address, err)
			}
		}
		if err := subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: newReader(t, "a").target}); err != nil {
			t.Fatal(err)
		}
		if err := subscribe(t, topic.Ref, patterns.Subscribe[int]{Near: newReader(t, "b").target}); !errors.Is(err, patterns.ErrRefused) {
			t.Errorf("one too many: %v", err)
		}
		if g := topic.State().Generation; g != 1 {
			t.Errorf("generation %d", g)
		}
	})
}

func TestSubscriptionOutlivesTheTopicAndTheSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		topic := newTopic(t, patterns.Topic[int]{})
		r := newReader(t, "r")
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- patterns.Subscription[int]{Topic: topic.Ref, Near: r.target}.Serve(ctx) }()
		synctest.Wait()
		if n := publish(t, topic.Ref, 1, 1); n != 1 {
			t.Fatalf("%d subscribers", n)
		}
		synctest.Wait()
		topic.CrashOn(func(patterns.TopicMessage[int]) bool { return true })
		topic.Tell(patterns.Publish[int]{})
		synctest.Wait()
		if n := publish(t, topic.Ref, 1, 1); n != 1 {
			t.Errorf("%d subscribers after the topic has failed", n)
		}
		synctest.Wait()
		r.CrashOn(func(news) bool { return true })
		publish(t, topic.Ref, 2, 2)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := publish(t, topic.Ref, 3, 3); n != 1 {
			t.Errorf("%d subscribers after the subscriber has failed", n)
		}
		synctest.Wait()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := publish(t, topic.Ref, 4, 4); n != 0 {
			t.Errorf("%d subscribers after the end", n)
		}
		if !slices.Equal(r.got, []int{1, 1, 3}) {
			t.Errorf("%v", r.got)
		}
	})
}
