package pando

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// settleAfter is how long no connection must have come before a burst of
	// them counts as over.
	settleAfter = 3 * time.Second
	// settleBurst is how many connections make a burst.
	settleBurst = 512
)

// settler gives memory back to the system when a burst of openings is over.
// Handshakes leave about as much garbage as the channels keep, and an agent
// that then rests for hours would hold on to all of it.
type settler struct {
	after func(d time.Duration, f func()) (stop func() bool)

	mu    sync.Mutex
	burst int  // openings since memory was given back
	seen  int  // burst when the timer was set
	armed bool // the timer runs
}

// opened counts one opening.
func (s *settler) opened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.burst++
	if s.burst >= settleBurst && !s.armed {
		s.armed, s.seen = true, s.burst
		s.after(settleAfter, s.look)
	}
}

// look is the timer: it waits on while openings come.
func (s *settler) look() {
	s.mu.Lock()
	if s.burst != s.seen {
		s.seen = s.burst
		s.after(settleAfter, s.look)
		s.mu.Unlock()
		return
	}
	s.burst, s.armed = 0, false
	s.mu.Unlock()
	debug.FreeOSMemory()
}
