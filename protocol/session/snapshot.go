package session

import (
	"time"

	"github.com/pando-agents/pando/protocol"
)

// Counters count since the session was made.
type Counters struct {
	Delivered  uint64 // messages handed to the application
	Resolved   uint64 // requests that got a reply
	Failed     uint64 // EffectFail
	Dropped    uint64 // EffectDropped
	Pings      uint64
	Reopened   uint64 // times the channel came back
	Violations uint64 // connections ended because the peer broke the rules
}

// Snapshot is a copy of what there is to see of a session.
type Snapshot struct {
	State     protocol.State
	ChannelID string
	Epoch     uint64 // of the last connection; 0 means none yet
	Connected bool   // that connection is up
	Pando     bool   // both sides have CapPando
	Sent      int64  // number of the last message written
	Received  int64  // highest number received on this connection
	Gaps      uint64 // jumps in the numbers received
	Pending   int    // requests that wait for a reply
	Attempts  int    // redials since the last quiet period
	NextDial  time.Time
	Counters  Counters
}

// Snapshot returns a copy; it changes nothing.
func (s *Session) Snapshot() Snapshot {
	v := Snapshot{
		State:     s.state,
		ChannelID: s.channelID,
		Epoch:     s.epoch,
		Connected: s.up,
		Pando:     s.pando,
		Sent:      s.numbers.sent,
		Received:  s.numbers.received,
		Gaps:      s.numbers.gaps,
		Pending:   len(s.pending),
		Attempts:  s.attempts,
		Counters:  s.count,
	}
	if due := s.timers.due[timerDial]; due != never {
		v.NextDial = s.base.Add(due)
	}
	return v
}
