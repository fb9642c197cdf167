package actortest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/actortest"
)

// A counter counts what it is sent, and tells somebody who wants to know.
type counter struct {
	tell  actors.Ref[int]
	count int
}

func (c *counter) Receive(_ *actors.Context[string], _ string) {
	c.count++
	_ = c.tell.Offer(c.count)
}

// A counter that crashes loses the message that it crashed on, and counts from
// one again: its state is made anew.
func Example() {
	var t *testing.T // what go test gives

	synctest.Test(t, func(t *testing.T) {
		probe := actortest.NewProbe[int](t)
		spec := actors.Spec[string]{New: func() actors.Actor[string] { return &counter{tell: probe.Ref} }}

		a := actortest.Start(t, spec)
		a.CrashOn(func(m string) bool { return m == "bad" })
		a.Tell("good", "good", "bad", "good")
		probe.Expect(1, 2, 1)
	})
}

func TestCounterThatCrashesCountsFromOneAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		probe := actortest.NewProbe[int](t)
		a := actortest.Start(t, actors.Spec[string]{New: func() actors.Actor[string] { return &counter{tell: probe.Ref} }})
		a.CrashOn(func(m string) bool { return m == "bad" })
		a.Tell("good", "good", "bad", "good")
		probe.Expect(1, 2, 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		probe.ExpectNone()
	})
}
