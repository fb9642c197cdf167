package actors

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"

	"github.com/pando-agents/pando/supervisor"
)

// gossip has actors send to one another and returns the order in which they
// have handled what they got.
func gossip(t *testing.T, seed uint64) (order []string) {
	t.Helper()
	seeded := NewSeeded(seed)
	sys := NewSystem(SystemOptions{Seeded: seeded, Logger: slog.New(slog.DiscardHandler)})
	defer sys.Close()
	const n = 6
	refs := make([]Ref[int], n)
	for i := range n {
		p := New(sys, Spec[int]{New: func() Actor[int] {
			return receiver[int](func(left int) {
				order = append(order, fmt.Sprint(i, ":", left))
				if left > 0 {
					_ = refs[(i+1)%n].Offer(left - 1)
					_ = refs[(i+left)%n].Offer(left - 1)
				}
			})
		}})
		defer p.Kill(nil)
		refs[i] = p.Ref()
		if err := p.Start(t.Context(), supervisor.Incarnation{Generation: 1, Exit: func(error) {}}); err != nil {
			t.Fatal(err)
		}
	}
	seeded.Play(func() {
		for _, ref := range refs {
			_ = ref.Offer(5)
		}
	})
	return order
}

func TestSeededRunIsTheSameForTheSameSeedAndAnotherForOthers(t *testing.T) {
	t.Parallel()
	first := gossip(t, 1)
	if len(first) != 6*(1<<6-1) {
		t.Fatalf("%d messages were handled when Play returned", len(first))
	}
	for range 20 {
		if again := gossip(t, 1); !slices.Equal(first, again) {
			t.Fatalf("the same seed has\n%v\nand\n%v", first, again)
		}
	}
	if slices.Equal(first, gossip(t, 2)) {
		t.Fatal("two seeds have the same order")
	}
}

// family has actors crash that are watched and linked by others, starts them
// again, and returns the order of all that they were told.
func family(t *testing.T, seed uint64) (order []string) {
	t.Helper()
	seeded := NewSeeded(seed)
	sys := NewSystem(SystemOptions{Seeded: seeded, Logger: slog.New(slog.DiscardHandler)})
	defer sys.Close()
	const n = 12
	processes := make([]*Process[any], n)
	failed := make([]bool, n)
	start := func(i int, generation uint64) {
		failed[i] = false
		err := processes[i].Start(t.Context(), supervisor.Incarnation{Generation: generation, Exit: func(err error) {
			order = append(order, fmt.Sprint(i, " ended: ", err))
			failed[i] = true
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		processes[i] = New(sys, Spec[any]{Name: fmt.Sprint(i), New: func() Actor[any] {
			return &probe{receive: func(c *Context[any], m any) {
				order = append(order, fmt.Sprint(i, ": ", m))
				switch m := m.(type) {
				case string: // they watch the first one, and half of them are linked to it
					Watch(c, processes[0].Ref(), func(d Down) any { return d.Generation })
					if i%2 == 1 {
						Link(c, processes[0].Ref())
					}
				case uint64:
					_ = processes[(i+1)%n].Ref().Offer(1.5)
				case error:
					panic(m)
				}
			}}
		}})
		defer processes[i].Kill(nil)
		start(i, 1)
	}
	for generation := range uint64(2) {
		seeded.Play(func() {
			for i := 1; i < n; i++ {
				_ = processes[i].Ref().Offer("begin")
			}
		})
		seeded.Play(func() { _ = processes[0].Ref().Offer(errBroken) })
		for i := range n {
			if failed[i] {
				start(i, generation+2)
			}
		}
	}
	seeded.Play(func() {
		for _, p := range processes {
			p.Kill(nil)
		}
	})
	return order
}

func TestSeededRunRepeatsWhatFailuresCauseAndStartsBetweenPlays(t *testing.T) {
	t.Parallel()
	first := family(t, 1)
	for range 20 {
		if again := family(t, 1); !slices.Equal(first, again) {
			t.Fatalf("the same seed has\n%q\nand\n%q", first, again)
		}
	}
	if slices.Equal(first, family(t, 2)) {
		t.Fatal("two seeds have the same order")
	}
}

func TestSeededRunGoesOnAfterGoexit(t *testing.T) {
	t.Parallel()
	seeded := NewSeeded(1)
	ran := false
	seeded.Play(func() {
		seeded.d.Schedule(func() { ran = true })
		runtime.Goexit()
	})
	if !ran {
		t.Fatal("what was scheduled has not run")
	}
}
