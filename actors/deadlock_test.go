package actors

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/pando-agents/pando/supervisor"
)

func TestActorThatWouldWaitForItselfIsToldSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := NewSystem(SystemOptions{})
		defer sys.Close()
		idle := func() Actor[any] { return &probe{} }
		child := func(id string) supervisor.Spec {
			return supervisor.Spec{ID: id, Process: New(sys, Spec[any]{Name: id, New: idle})}
		}
		var sup *supervisor.Supervisor
		inStart, inReceive, beside := make(chan error, 1), make(chan error, 2), make(chan error, 1)
		asker := New(sys, Spec[any]{Name: "asker", New: func() Actor[any] {
			return &probe{
				start: func(c *Context[any]) error {
					inStart <- sup.StartChild(c.Context(), child("early"))
					return nil
				},
				receive: func(c *Context[any], _ any) {
					inReceive <- sup.Terminate(c.Context(), "asker")
					inReceive <- sup.Restart(c.Context(), "asker")
					ctx := c.Context()
					go func() { beside <- sup.StartChild(ctx, child("late")) }()
				},
			}
		}})
		sup = supervisor.New(supervisor.Options{
			Strategy: supervisor.RestForOne, Children: []supervisor.Spec{{ID: "asker", Process: asker}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- sup.Serve(ctx) }()
		<-sup.Ready()
		if err := <-inStart; !errors.Is(err, supervisor.ErrWouldDeadlock) {
			t.Error(err)
		}
		if err := asker.Ref().Tell(ctx, "now"); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-inReceive; !errors.Is(err, supervisor.ErrWouldDeadlock) {
				t.Error(err)
			}
		}
		if err := <-beside; err != nil {
			t.Error(err)
		}
		cancel()
		<-served
	})
}
