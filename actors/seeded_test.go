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
