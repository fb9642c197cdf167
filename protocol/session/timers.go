package session

import (
	"math"
	"time"
)

// The things that a session waits for. When several are due at once they are
// done in this order.
const (
	timerRequests  = iota // the earliest deadline of a request, or something before it
	timerOpen             // channel.open or channel.accept overdue
	timerAlive            // check for silence
	timerHeartbeat        // next channel.heartbeat
	timerClose            // next step of closing
	timerOutage           // the channel has been away for too long
	timerDial             // next attempt
	numTimers
)

const never = time.Duration(math.MaxInt64)

// timers holds when each is due, relative to the session's first event, and
// the one time that the owner was asked to come back at.
type timers struct {
	due   [numTimers]time.Duration
	armed time.Duration
}

func (t *timers) init() {
	for i := range t.due {
		t.due[i] = never
	}
	t.armed = never
}

func (t *timers) stop(which ...int) {
	for _, i := range which {
		t.due[i] = never
	}
}

func (t *timers) earliest() time.Duration {
	first := t.due[0]
	for _, d := range t.due[1:] {
		first = min(first, d)
	}
	return first
}

// after sets a timer to go off d from now.
func (s *Session) after(which int, d time.Duration) {
	if at := s.now + d; at >= s.now {
		s.timers.due[which] = at
	} else {
		s.timers.due[which] = never // beyond any clock
	}
}

// arm asks for a tick if the next due time is before the one asked for. A due
// time that moved back is not taken back: the early tick finds nothing to do
// and asks again, which is cheaper than a new timer with every message.
func (s *Session) arm() {
	first := s.timers.earliest()
	if first >= s.timers.armed {
		return
	}
	s.timers.armed = first
	s.emit(EffectArm).At = s.base.Add(first)
}

func (s *Session) tick() {
	s.timers.armed = never
	actions := [numTimers]func(*Session){
		timerRequests:  (*Session).expireRequests,
		timerOpen:      (*Session).openOverdue,
		timerAlive:     (*Session).checkAlive,
		timerHeartbeat: (*Session).beat,
		timerClose:     (*Session).closeOverdue,
		timerOutage:    (*Session).outageTooLong,
		timerDial:      (*Session).dial,
	}
	for i, act := range actions {
		if s.timers.due[i] <= s.now {
			s.timers.due[i] = never
			act(s)
		}
	}
}
