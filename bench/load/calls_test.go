package load

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCallsAreMadeByAsManyAsAreToBeUnderWay(t *testing.T) {
	t.Parallel()
	var now, most, all atomic.Int64
	var together sync.WaitGroup
	together.Add(3)
	report, err := Calls(t.Context(), CallOptions{InFlight: 3, Window: 50 * time.Millisecond, PIDs: []int{os.Getpid()}},
		func(context.Context) error {
			for n, old := now.Add(1), most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			defer now.Add(-1)
			if all.Add(1) <= 3 { // the first three wait for each other
				together.Done()
				together.Wait()
			}
			return nil
		})
	if err != nil || report.Err() != nil {
		t.Fatal(err, report.Err())
	}
	if most.Load() != 3 || report.InFlight != 3 || report.Requests == 0 || report.Requests > uint64(all.Load()) {
		t.Errorf("%d at once, %d in all, report %+v", most.Load(), all.Load(), report)
	}
}

func TestFailedCallIsInTheReport(t *testing.T) {
	t.Parallel()
	report, err := Calls(t.Context(), CallOptions{InFlight: 2, Window: time.Minute}, func(context.Context) error {
		return errors.New("no answer")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err == nil || !strings.Contains(err.Error(), "no answer") || report.Errors != 2 {
		t.Errorf("%v, report %+v", err, report)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Calls(ctx, CallOptions{InFlight: 1, Window: time.Minute}, func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := Calls(t.Context(), CallOptions{Window: time.Second}, nil); err == nil {
		t.Error("nobody calls, and that is no error")
	}
}
