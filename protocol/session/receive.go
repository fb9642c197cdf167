package session

import (
	"strings"

	"github.com/pando-agents/pando/protocol"
)

func (s *Session) received(ev *Event) {
	if !s.current(ev.Epoch) {
		return
	}
	s.seen()
	m := &ev.Message
	if s.phase == awaitEnd {
		s.drop(DropClosing, m.MessageID)
		return
	}
	if m.Sender != "" && m.Sender != s.cfg.Peer {
		s.violation("sender mismatch")
		return
	}
	s.numbers.arrived(m.Sequence)
	switch {
	case !s.opened && s.cfg.Role == Acceptor:
		s.receiveOpen(m)
	case !s.opened:
		s.receiveAnswer(m)
	case strings.HasPrefix(m.Type, "channel."):
		s.receiveControl(m)
	default:
		s.receiveApplication(m)
	}
}

func (s *Session) receiveApplication(m *protocol.Envelope) {
	if s.resolve(m) {
		return
	}
	if s.state == protocol.StateClosing {
		s.drop(DropClosing, m.MessageID)
		return
	}
	s.count.Delivered++
	s.emit(EffectDeliver).Message = *m
}

// receiveControl handles channel messages on an open channel.
func (s *Session) receiveControl(m *protocol.Envelope) {
	acceptor := s.cfg.Role == Acceptor
	switch {
	case m.Type == protocol.TypeClose:
		s.peerCloses(m)
	case m.Type == protocol.TypeHeartbeat && !acceptor:
		// An answer, or an odd server's own; a dialler answers none.
	case s.state == protocol.StateClosing:
		s.drop(DropClosing, m.MessageID)
	case m.Type == protocol.TypeHeartbeat:
		s.write("", protocol.TypeHeartbeat, nil, m.MessageID, true)
	case m.Type == protocol.TypeOpen && acceptor:
		data := protocol.ErrorData(protocol.CodeAlreadyOpen, "the channel is already open", "")
		s.write("", protocol.TypeError, data, m.MessageID, false)
	default:
		s.drop(DropUnexpected, m.MessageID)
	}
}

// violation ends a connection whose peer broke the rules. On a channel that
// waits for its dialler to come back it ends the connection only: whoever made
// it has not shown to be the one waited for.
func (s *Session) violation(reason string) {
	s.count.Violations++
	if s.cfg.Role == Acceptor && s.state == protocol.StateReconnecting {
		s.hangUp(closePolicy, reason)
		return
	}
	s.disconnect(closePolicy, reason, &Error{Code: CodeProtocolViolation, Reason: reason})
}
