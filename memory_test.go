package pando_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors/channel"
)

// speech is a message that is long enough to lie in memory that is used again.
type speech struct {
	Text string `json:"text"`
}

// speechOf is a text unlike all others.
func speechOf(sender, n int) speech {
	return speech{strings.Repeat(fmt.Sprintf("%d from %d. ", n, sender), 150+n%200)}
}

// shouting sends requests of different texts from many goroutines, and returns
// all answers as they came.
func shouting(t *testing.T, ch *pando.Channel, messageType string, senders, each int) map[speech]json.RawMessage {
	t.Helper()
	var mu sync.Mutex
	answers := make(map[speech]json.RawMessage)
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for n := range each {
				said := speechOf(s, n)
				m, err := ch.Request(t.Context(), messageType, said)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answers[said] = m.Data
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers
}

func checkAnswers(t *testing.T, answers map[speech]json.RawMessage, want int) {
	t.Helper()
	if len(answers) != want {
		t.Errorf("%d answers, want %d", len(answers), want)
	}
	for said, data := range answers {
		var got speech
		if err := json.Unmarshal(data, &got); err != nil || got != said {
			t.Fatalf("answer to %.40q is %.40q, %v", said.Text, got.Text, err)
		}
	}
}

func TestWhatAHandlerOrARequesterGotStaysItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var kept []*pando.Message
	agent := w.newNode("agent", func(n *node) {
		n.Handle("keep", func(_ context.Context, m *pando.Message) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, m)
			var said speech
			err := m.Decode(&said)
			return said, err
		})
	})
	ch := w.friend(agent, "peer", nil).open(t, agent)
	const senders, each = 8, 40
	keep, echo := map[speech]json.RawMessage{}, map[speech]json.RawMessage{}
	var both sync.WaitGroup
	both.Go(func() { keep = shouting(t, ch, "keep", senders, each) })
	both.Go(func() { echo = shouting(t, ch, pando.Request, senders, each) })
	both.Wait()
	checkAnswers(t, keep, senders*each)
	checkAnswers(t, echo, senders*each)
	handled := make(map[speech]json.RawMessage)
	for _, m := range kept {
		var said speech
		if err := m.Decode(&said); err != nil {
			t.Fatal(err)
		}
		handled[said] = m.Data
	}
	for said := range keep {
		if handled[said] == nil {
			t.Fatalf("what the handler kept of %.40q has changed", said.Text)
		}
	}
}

// A request of the peer that answers ours is for the requester and not for the
// echo.
func TestAnswerOfTheTypeRequestStaysTheRequesters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", func(n *node) {
		n.Handle("ask back", func(_ context.Context, m *pando.Message) (any, error) {
			return &pando.Reply{Type: pando.Request, Data: m.Data}, nil
		})
	})
	ch := w.friend(agent, "peer", nil).open(t, agent)
	checkAnswers(t, shouting(t, ch, "ask back", 8, 40), 8*40)
}

func TestCrashesOfTheActorMixNoTexts(t *testing.T) {
	t.Parallel()
	for _, point := range []pando.FaultPoint{channel.FaultReceive, channel.FaultEffect} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			inVirtualTime(t, func(w *world) { shoutThroughCrashes(w, point) })
		})
	}
}

func shoutThroughCrashes(w *world, point pando.FaultPoint) {
	var n atomic.Int64
	f := faults{do: func(_ *pando.Channel, p pando.FaultPoint) {
		if p == point && n.Add(1)%13 == 0 {
			panic("for the test")
		}
	}}
	agent := w.newNode("agent", nil, f.option(), endless)
	peer := w.friend(agent, "peer", nil)
	ch := peer.open(w.t, agent)
	f.on(peer.ID())
	checkAnswers(w.t, shouting(w.t, ch, pando.Request, 8, 20), 8*20)
	f.off()
	if agent.lookup(w.t, ch.ID()).Info().Restarts == 0 {
		w.t.Error("the actor never failed")
	}
}
