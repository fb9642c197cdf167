package session

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// request is one that was written and waits for its reply.
type request struct {
	deadline time.Duration
	sequence int64 // of the request: the order in which requests fail
}

// manyPending is the size from which a map of pending requests is given back
// once it is empty: a map never shrinks.
const manyPending = 64

func (s *Session) send(ev *Event) {
	switch {
	case ev.Type == "" || strings.HasPrefix(ev.Type, "channel."):
		s.fail(ev.ID, FailNotSent, &Error{Code: CodeReservedType, Reason: "cannot send type " + strconv.Quote(ev.Type)})
	case s.state != protocol.StateConnected || ev.Epoch != 0 && ev.Epoch != s.epoch:
		s.fail(ev.ID, FailNotSent, nil)
	case ev.Request:
		s.sendRequest(ev)
	default:
		s.write(ev.ID, ev.Type, ev.Data, ev.ReplyTo, false).Actor = ev.Actor
	}
}

func (s *Session) sendRequest(ev *Event) {
	deadline := never
	if !ev.Deadline.IsZero() {
		deadline = ev.Deadline.Sub(s.base)
	}
	id := ev.ID
	if id == "" {
		id = s.cfg.NewID()
	}
	_, waiting := s.pending[id]
	switch {
	case waiting:
		// To fail it would be to fail the other one, which bears the same id.
		s.drop(DropDuplicateID, id)
		return
	case len(s.pending) >= s.cfg.MaxPending:
		s.fail(id, FailTooManyPending, nil)
		return
	case deadline <= s.now:
		s.fail(id, FailTimeout, nil)
		return
	}
	if s.pending == nil {
		s.pending = make(map[string]request)
	}
	m := s.write(id, ev.Type, ev.Data, ev.ReplyTo, false)
	if ev.Actor != "" {
		m.Actor, m.Timeout = ev.Actor, timeout(deadline-s.now)
	}
	s.pending[id] = request{deadline: deadline, sequence: s.numbers.sent}
	s.peak = max(s.peak, uint16(min(len(s.pending), manyPending)))
	s.timers.due[timerRequests] = min(s.timers.due[timerRequests], deadline)
}

// timeout is d in milliseconds, at least 1 and at most some days.
func timeout(d time.Duration) int64 {
	return min(max(int64(d/time.Millisecond), 1), 1<<30)
}

func (s *Session) fail(id, reason string, err error) {
	s.count.Failed++
	e := s.emit(EffectFail)
	e.ID, e.Reason, e.Err = id, reason, err
}

func (s *Session) cancel(id string) {
	if _, ok := s.pending[id]; ok {
		s.forget(id)
	}
}

// resolve hands a message to the request it answers, if that still waits.
func (s *Session) resolve(m *protocol.Envelope) bool {
	if m.ReplyTo == "" {
		return false
	}
	if _, ok := s.pending[m.ReplyTo]; !ok {
		return false
	}
	s.forget(m.ReplyTo)
	s.count.Resolved++
	e := s.emit(EffectResolve)
	e.ID = m.ReplyTo
	e.Message = *m
	return true
}

func (s *Session) forget(id string) {
	delete(s.pending, id)
	if len(s.pending) == 0 && s.peak >= manyPending {
		s.pending, s.peak = nil, 0
	}
}

// expireRequests fails what is overdue and finds the next deadline. It runs at
// most once for each deadline that was ever the earliest.
func (s *Session) expireRequests() {
	next := never
	var overdue []waiting
	for id, r := range s.pending {
		if r.deadline <= s.now {
			overdue = append(overdue, waiting{id, r})
		} else {
			next = min(next, r.deadline)
		}
	}
	s.failInOrder(overdue, FailTimeout)
	s.timers.due[timerRequests] = next
}

func (s *Session) failPending(reason string) {
	if len(s.pending) == 0 {
		return
	}
	all := make([]waiting, 0, len(s.pending))
	for id, r := range s.pending {
		all = append(all, waiting{id, r})
	}
	s.failInOrder(all, reason)
}

type waiting struct {
	id string
	request
}

// failInOrder fails requests in the order they were sent: the order of a map
// would make runs differ.
func (s *Session) failInOrder(list []waiting, reason string) {
	slices.SortFunc(list, func(a, b waiting) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, w := range list {
		s.forget(w.id)
		s.fail(w.id, reason, nil)
	}
}
