package session

import "github.com/pando-agents/pando/protocol"

// seen notes a sign of life.
func (s *Session) seen() {
	s.lastSeen = s.now
	if s.pinged {
		s.pinged = false
		s.after(timerAlive, s.cfg.PingInterval)
	}
}

// checkAlive pings a silent connection, and drops one that stays silent. It
// looks back at lastSeen, so that a busy connection costs one check per
// PingInterval and not one per message.
func (s *Session) checkAlive() {
	switch quietUntil := s.lastSeen + s.cfg.PingInterval; {
	case s.pinged:
		s.emit(EffectAbort).Epoch = s.epoch
		s.connectionEnded(closeAbnormal, "no answer to ping", nil, false)
	case s.now < quietUntil:
		s.after(timerAlive, quietUntil-s.now)
	default:
		s.pinged = true
		s.count.Pings++
		s.emit(EffectPing).Epoch = s.epoch
		s.after(timerAlive, s.cfg.PongTimeout)
	}
}

// beat writes the dialler's heartbeat. Its answer is only a sign of life like
// any other, and a missing one means nothing: a 1.0 acceptor that is busy in a
// handler answers late.
//
// None is written while a request waits for a 1.0 acceptor: its server reads
// nothing more, pings included, once a message waits behind a handler.
func (s *Session) beat() {
	s.after(timerHeartbeat, s.cfg.Heartbeat)
	if !s.pando && len(s.pending) > 0 {
		return
	}
	s.write("", protocol.TypeHeartbeat, nil, "", true)
}
