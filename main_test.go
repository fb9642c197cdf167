package pando_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or is the peer that TestKilledPeer kills. When the
// tests are over there must be neither goroutines nor descriptors left.
func TestMain(m *testing.M) {
	if os.Getenv(peerRole) != "" {
		peerMain()
		return
	}
	before := descriptors()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
		if !poll(5*time.Second, func() bool { return descriptors() <= before }) {
			fmt.Fprintf(os.Stderr, "descriptors are left: %d, there were %d\n", descriptors(), before)
			code = 1
		}
	}
	os.Exit(code)
}

// descriptors counts what the process has open, without what the runtime keeps
// for its own polling.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not this kind of system
	}
	n := 0
	for _, e := range entries {
		switch target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target {
		case "", "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[pidfd]":
		default:
			n++
		}
	}
	return n
}

// poll looks at a condition until it holds. It is for what tells nobody when it
// changes: goroutines, descriptors, counters.
func poll(limit time.Duration, holds func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return holds()
		}
	}
	return true
}

// eventually fails the test when a condition does not come to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !poll(patience, holds) {
		t.Fatalf("it did not come to be: %s", what)
	}
}

// patience is how long a test waits for what should happen at once, on a
// machine with much else to do.
const patience = 20 * time.Second
