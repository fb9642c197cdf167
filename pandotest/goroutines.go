package pandotest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"time"
)

const (
	label = "pandotest"
	// goroutinePatience is how long goroutines may take to end once all agents
	// have been stopped.
	goroutinePatience = 10 * time.Second
)

// markGoroutines marks what the test starts from now on, and fails it if any of
// that is left after all agents have been stopped.
func (w *World) markGoroutines() {
	mark := fmt.Sprintf("%s %p", w.T.Name(), w)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(label, mark)))
	w.T.Cleanup(func() {
		pprof.SetGoroutineLabels(context.Background())
		if left := goroutines(mark); len(left) > 0 {
			w.T.Errorf("pandotest: goroutines are left:\n%s", bytes.Join(left, []byte("\n\n")))
		}
	})
}

// goroutines waits for the marked goroutines to end and returns those that do
// not.
func goroutines(mark string) (left [][]byte) {
	limit := time.NewTimer(goroutinePatience)
	defer limit.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if left = marked(mark); len(left) == 0 {
			return nil
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-limit.C:
			next.Stop()
			return left
		}
	}
}

func marked(mark string) (stacks [][]byte) {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	want := fmt.Appendf(nil, "%q:%q", label, mark)
	for stack := range bytes.SplitSeq(b.Bytes(), []byte("\n\n")) {
		if bytes.Contains(stack, want) {
			stacks = append(stacks, bytes.Clone(stack))
		}
	}
	return stacks
}
