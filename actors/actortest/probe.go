package actortest

import (
	"reflect"
	"testing"
	"time"

	"github.com/pando-agents/pando/actors"
)

// patience is how long a Probe waits for a message.
const patience = 10 * time.Second

// Probe is an actor that keeps what it is sent, for the test to look at.
type Probe[M any] struct {
	*Actor[M]
	got chan M
}

// NewProbe runs a probe until the test ends. It holds up to 1,024 messages
// that nobody has taken; those beyond wait in its mailbox.
func NewProbe[M any](t testing.TB) *Probe[M] {
	t.Helper()
	p := &Probe[M]{got: make(chan M, actors.DefaultCapacity)}
	p.Actor = Start(t, actors.Spec[M]{Name: "probe", New: func() actors.Actor[M] { return keeper[M](p.got) }})
	return p
}

type keeper[M any] chan M

func (k keeper[M]) Receive(c *actors.Context[M], m M) {
	select {
	case k <- m:
	case <-c.Context().Done():
	}
}

// Next returns the oldest message that was not taken yet. It waits for one up
// to 10 s, virtual ones in a synctest bubble, and then ends the test.
func (p *Probe[M]) Next() M {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-p.got:
		return m
	case <-timer.C:
		p.t.Fatalf("no message came in %v", patience)
		panic("unreachable")
	}
}

// Expect takes the next messages, as Next does, and ends the test if they are
// not equal (reflect.DeepEqual) to want.
func (p *Probe[M]) Expect(want ...M) {
	p.t.Helper()
	for i, w := range want {
		if got := p.Next(); !reflect.DeepEqual(got, w) {
			p.t.Fatalf("message %d is %+v, want %+v", i+1, got, w)
		}
	}
}

// ExpectNone fails the test if there is a message that was not taken. Call
// synctest.Wait before, so that all have come that are on their way.
func (p *Probe[M]) ExpectNone() {
	p.t.Helper()
	select {
	case m := <-p.got:
		p.t.Errorf("there is a message: %+v", m)
	default:
	}
}
