package actors

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestBlockedActivationsDoNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	d := NewDispatcher()
	t.Cleanup(d.Close)
	const blocked = 1000
	gate := make(chan struct{})
	var inside, left sync.WaitGroup
	inside.Add(blocked)
	left.Add(blocked)
	for range blocked {
		d.Schedule(func() {
			inside.Done()
			<-gate
			left.Done()
		})
	}
	inside.Wait() // each of them runs though those before it block
	done := make(chan struct{})
	d.Schedule(func() { close(done) })
	<-done
	close(gate)
	left.Wait()
}

func TestActivationQueuedByARunningOneDoesNotWaitForIt(t *testing.T) {
	t.Parallel()
	d := NewDispatcher()
	t.Cleanup(d.Close)
	done := make(chan struct{})
	d.Schedule(func() {
		inner := make(chan struct{})
		d.Schedule(func() { close(inner) })
		<-inner
		close(done)
	})
	<-done
}

func TestGoexitInAnActivationLosesNoOther(t *testing.T) {
	t.Parallel()
	d := NewDispatcher()
	const n = 1000
	var ran sync.WaitGroup
	ran.Add(2 * n)
	for range n {
		d.Schedule(func() { defer ran.Done(); runtime.Goexit() })
		d.Schedule(ran.Done)
	}
	ran.Wait()
	d.Close()
	awaitWorkers(d, 0)
}

func TestWorkersOfABurstLeave(t *testing.T) {
	t.Parallel()
	d := NewDispatcher()
	gate := make(chan struct{})
	var inside sync.WaitGroup
	inside.Add(200)
	for range 200 {
		d.Schedule(func() { inside.Done(); <-gate })
	}
	inside.Wait()
	if n := d.Workers(); n < 200 {
		t.Errorf("%d workers run 200 activations", n)
	}
	close(gate)
	awaitWorkers(d, idleWorkers)
	d.Close()
	d.Close()
	awaitWorkers(d, 0)
}

// awaitWorkers returns when at most n workers are left.
func awaitWorkers(d *Dispatcher, n int) {
	for d.Workers() > n {
		runtime.Gosched()
	}
}

func TestClosedDispatcherStillRunsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	d := NewDispatcher()
	d.Close()
	var ran atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Add(1)
		d.Schedule(func() { ran.Add(1); wg.Done() })
	}
	wg.Wait()
	awaitWorkers(d, 0)
	if ran.Load() != 100 {
		t.Fatalf("%d of 100 ran", ran.Load())
	}
}

func TestConcurrentSchedulingRunsEveryActivationOnce(t *testing.T) {
	t.Parallel()
	d := NewDispatcher()
	const senders, each = 8, 5000
	ran := make([]atomic.Int32, senders*each)
	var wg sync.WaitGroup
	wg.Add(senders * each)
	for s := range senders {
		go func() {
			for i := range each {
				n := s*each + i
				d.Schedule(func() { ran[n].Add(1); wg.Done() })
			}
		}()
	}
	wg.Wait()
	for i := range ran {
		if n := ran[i].Load(); n != 1 {
			t.Fatalf("activation %d ran %d times", i, n)
		}
	}
	d.Close()
	awaitWorkers(d, 0)
}
