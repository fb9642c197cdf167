package pando_test

import (
	"testing"
	"time"

	"github.com/pando-agents/pando/actors"
)

func TestAnActorIsToldAndAskedInTheSameWayAtEveryDistance(t *testing.T) {
	t.Parallel()
	atEveryDistance(t, func(t *testing.T, d *distance) {
		ctx := within(t, time.Minute)
		for _, amount := range []int{3, 4} {
			if err := d.ref.Tell(ctx, add{Amount: amount, Note: "n"}); err != nil {
				t.Fatal(err)
			}
		}
		if sum, err := d.sum(ctx); sum != 7 || err != nil {
			t.Fatalf("balance %d, %v", sum, err)
		}
		s, err := actors.Ask(ctx, d.ref, func(r actors.Reply[sheet]) teller { return statement{r} })
		if err != nil || len(s.Amounts) != 2 || s.Notes != "nn" {
			t.Fatalf("statement %+v, %v", s, err)
		}
	})
}
