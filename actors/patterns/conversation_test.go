package patterns_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/actortest"
	"github.com/pando-agents/pando/actors/patterns"
)

type talkRef = actors.Ref[patterns.ConversationMessage[string]]

func newTalk(t *testing.T, o patterns.Conversations[string]) *actortest.Actor[patterns.ConversationMessage[string]] {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	return actortest.Start(t, o.Spec())
}

// haggle asks for less until it has heard a number of offers.
func haggle(ctx context.Context, c *patterns.Conversation[string]) error {
	for n := 1; ; n++ {
		offer, err := c.Hear(ctx)
		if err != nil {
			return err
		}
		if n == 3 {
			c.End("sold for " + offer)
			return nil
		}
		if err := c.Say(ctx, fmt.Sprint("more than ", offer)); err != nil {
			return err
		}
	}
}

func begin(t *testing.T, ctx context.Context, with talkRef) *patterns.Conversation[string] {
	t.Helper()
	c, err := patterns.Begin(ctx, with)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTurnsAreHeardInOrderAndTheEndAfterThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		talk := newTalk(t, patterns.Conversations[string]{Converse: haggle})
		c := begin(t, t.Context(), talk.Ref)
		for _, offer := range []string{"1", "2", "3"} {
			if err := c.Say(t.Context(), offer); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for {
			turn, err := c.Hear(t.Context())
			if err != nil {
				var why *patterns.Error
				if !errors.Is(err, patterns.ErrEnded) || !errors.As(err, &why) || why.Reason != "sold for 3" {
					t.Error(err)
				}
				break
			}
			got = append(got, turn)
		}
		if !slices.Equal(got, []string{"more than 1", "more than 2"}) {
			t.Error(got)
		}
		<-c.Done()
		if err := c.Say(t.Context(), "too late"); !errors.Is(err, patterns.ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// ending is a conversation whose actor tells why it has ended for its side.
func ending(why chan<- error) func(context.Context, *patterns.Conversation[string]) error {
	return func(ctx context.Context, c *patterns.Conversation[string]) error {
		for {
			if _, err := c.Hear(ctx); err != nil {
				why <- err
				return err
			}
		}
	}
}

func TestEitherSideReadsWhyTheOtherHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan error, 1)
		talk := newTalk(t, patterns.Conversations[string]{Converse: ending(why)})
		c := begin(t, t.Context(), talk.Ref)
		c.End("too dear")
		var read *patterns.Error
		if err := <-why; !errors.Is(err, patterns.ErrEnded) || !errors.As(err, &read) || read.Reason != "too dear" {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c = begin(t, ctx, talk.Ref)
		cancel()
		if err := <-why; !errors.Is(err, patterns.ErrCancelled) {
			t.Error(err)
		}
		if _, err := c.Hear(t.Context()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestConversationEndsWhenNobodySaysAnythingOrItTakesTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan error, 1)
		talk := newTalk(t, patterns.Conversations[string]{Converse: ending(why), Idle: time.Minute, Total: 10 * time.Minute})
		c, began := begin(t, t.Context(), talk.Ref), time.Now()
		if _, err := c.Hear(t.Context()); !errors.Is(err, patterns.ErrIdle) || time.Since(began).Round(10*time.Second) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-why; !errors.Is(err, patterns.ErrIdle) {
			t.Error(err)
		}
		c, began = begin(t, t.Context(), talk.Ref), time.Now()
		for c.Say(t.Context(), "go on") == nil {
			time.Sleep(30 * time.Second)
		}
		if _, err := c.Hear(t.Context()); !errors.Is(err, patterns.ErrTooLong) || time.Since(began).Truncate(time.Minute) != 10*time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-why; !errors.Is(err, patterns.ErrTooLong) {
			t.Error(err)
		}
	})
}

var errBroke = errors.New("broke")

func TestFailureOfOneSideIsToldToTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		talk := newTalk(t, patterns.Conversations[string]{Converse: func(ctx context.Context, c *patterns.Conversation[string]) error {
			if turn, _ := c.Hear(ctx); turn == "panic" {
				panic("told to")
			}
			return errBroke
		}})
		for turn, want := range map[string]error{"panic": patterns.ErrFailed, "fail": errBroke} {
			c := begin(t, t.Context(), talk.Ref)
			_ = c.Say(t.Context(), turn)
			if _, err := c.Hear(t.Context()); !errors.Is(err, want) || !errors.Is(err, patterns.ErrFailed) {
				t.Errorf("%s: %v", turn, err)
			}
		}
		if g := talk.State().Generation; g != 1 {
			t.Errorf("generation %d", g)
		}
	})
}

func TestEndOfTheActorEndsItsConversationsAtBothSides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := make(chan error, 2)
		talk := newTalk(t, patterns.Conversations[string]{Converse: ending(why)})
		for _, end := range []func(){
			func() {
				talk.CrashOn(func(patterns.ConversationMessage[string]) bool { return true })
				_, _ = patterns.Begin(t.Context(), talk.Ref) // it crashes on this
			},
			talk.Stop,
		} {
			c := begin(t, t.Context(), talk.Ref)
			synctest.Wait()
			began := time.Now()
			go end()
			if _, err := c.Hear(t.Context()); !errors.Is(err, patterns.ErrPartnerLost) || time.Since(began) > time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			<-why
			time.Sleep(time.Minute)
		}
	})
}

func TestThereAreNoMoreConversationsThanMayBe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		talk := newTalk(t, patterns.Conversations[string]{Converse: haggle, Most: 2})
		a, b := begin(t, t.Context(), talk.Ref), begin(t, t.Context(), talk.Ref)
		if _, err := patterns.Begin(t.Context(), talk.Ref); !errors.Is(err, patterns.ErrRefused) {
			t.Error(err)
		}
		a.End("")
		synctest.Wait()
		c := begin(t, t.Context(), talk.Ref)
		for range 20 { // those that have ended do not count
			c.End("")
			synctest.Wait()
			c = begin(t, t.Context(), talk.Ref)
		}
		b.End("")
		c.End("")
	})
}

func TestWhoSaysTooMuchWaitsUntilItIsHeard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		heard := make(chan int)
		talk := newTalk(t, patterns.Conversations[string]{Converse: func(ctx context.Context, c *patterns.Conversation[string]) error {
			for range 200 {
				if err := c.Say(ctx, "x"); err != nil {
					return err
				}
			}
			time.Sleep(time.Minute / 2)
			n := 0
			for {
				if _, err := c.Hear(ctx); err != nil {
					heard <- n
					return nil
				}
				n++
			}
		}})
		c := begin(t, t.Context(), talk.Ref)
		time.Sleep(time.Minute / 2) // longer than the lease: there are signs of life all the same
		for i := range 200 {
			if _, err := c.Hear(t.Context()); err != nil {
				t.Fatalf("turn %d: %v", i, err)
			}
		}
		for i := range 200 {
			if err := c.Say(t.Context(), "y"); err != nil {
				t.Fatalf("turn %d: %v", i, err)
			}
		}
		c.End("")
		if n := <-heard; n != 200 {
			t.Errorf("%d were heard", n)
		}
	})
}
