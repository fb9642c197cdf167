package session

import (
	"slices"
	"strings"

	"github.com/pando-agents/pando/protocol"
)

// connected takes a new connection into use. A dialler opens the channel on
// it, an acceptor waits for the open.
func (s *Session) connected(epoch uint64) {
	if epoch <= s.epoch {
		return
	}
	if s.up {
		// The peer may know before us that the old connection is dead. Only a
		// Pando dialler comes back under the same channel; for everybody else
		// this connection is one too many.
		comeBack := s.cfg.Role == Acceptor && s.pando && s.state == protocol.StateConnected && s.cfg.Wait > 0
		if !comeBack {
			s.hangUpOn(epoch, closePolicy, "channel in use")
			return
		}
		s.emit(EffectAbort).Epoch = s.epoch
		s.connectionEnded(closeAbnormal, "replaced by another connection", nil, false)
	}
	s.epoch = epoch
	s.up, s.opened, s.pinged, s.dialling = true, false, false, false
	s.numbers.connected()
	s.timers.stop(timerDial)
	s.after(timerOpen, s.cfg.OpenTimeout)
	s.after(timerAlive, s.cfg.PingInterval)
	if s.cfg.Role == Dialler {
		s.openID = s.cfg.NewID()
		s.write(s.openID, protocol.TypeOpen, protocol.OpenData(s.cfg.Capabilities), "", true)
	}
}

// receiveOpen is the acceptor's first message of a connection. Nothing but
// channel.accept may be written in answer: a 1.0 dialler hangs for good on
// anything else, so a refusal is a WebSocket close.
func (s *Session) receiveOpen(m *protocol.Envelope) {
	if m.Type != protocol.TypeOpen {
		s.violation("message before open")
		return
	}
	if m.ChannelID == "" || len(m.ChannelID) > maxChannelID {
		s.violation("bad channel id")
		return
	}
	if s.channelID != "" && m.ChannelID != s.channelID {
		s.violation("another channel id")
		return
	}
	version, capabilities := protocol.ParseOpenData(m.Data)
	if foreignMajor(version) {
		s.violation("unsupported protocol version")
		return
	}
	s.channelID = strings.Clone(m.ChannelID) // not the whole frame with it
	s.write("", protocol.TypeAccept, protocol.OpenData(s.cfg.Capabilities), m.MessageID, true)
	s.open(capabilities)
}

// receiveAnswer is what a dialler reads before the channel is open. The accept
// is matched by its type; whatever else it carries may be missing.
func (s *Session) receiveAnswer(m *protocol.Envelope) {
	switch m.Type {
	case protocol.TypeAccept:
		if m.ReplyTo != "" && m.ReplyTo != s.openID {
			s.drop(DropWrongReply, m.MessageID)
			return
		}
		_, capabilities := protocol.ParseOpenData(m.Data)
		s.open(capabilities)
	case protocol.TypeReject:
		reason := protocol.ParseCloseData(m.Data)
		s.endAs(closeNormal, reason, &Error{Code: CodeRejected, Reason: reason})
		s.disconnect(closeNormal, "rejected", nil)
	case protocol.TypeClose:
		reason := protocol.ParseCloseData(m.Data)
		s.disconnect(closeNormal, reason, &Error{Code: CodeClosedByPeer, Reason: reason})
	default:
		s.drop(DropBeforeAccept, m.MessageID)
	}
}

func (s *Session) open(capabilities []string) {
	reopened := s.everOpened
	if reopened {
		s.count.Reopened++
	}
	s.opened, s.everOpened = true, true
	s.openedAt = s.now
	s.pando = slices.Contains(capabilities, CapPando) && slices.Contains(s.cfg.Capabilities, CapPando)
	s.timers.stop(timerOpen, timerOutage)
	if s.cfg.Role == Dialler && s.cfg.Heartbeat > 0 {
		s.after(timerHeartbeat, s.cfg.Heartbeat)
	}
	s.setState(protocol.StateConnected)
	e := s.emit(EffectOpened)
	e.Epoch = s.epoch
	e.Capabilities = capabilities
	e.Reopened = reopened
}

// openOverdue: the other side has not opened, or accepted, in time.
func (s *Session) openOverdue() {
	if s.cfg.Role == Dialler {
		s.hangUp(closeNormal, "accept timeout")
		s.attemptFailed(closeNormal, &Error{Code: CodeOpenTimeout, Reason: "no channel.accept"}, false)
		return
	}
	if s.state == protocol.StateReconnecting {
		s.hangUp(closePolicy, "open timeout")
		return
	}
	s.disconnect(closePolicy, "open timeout", &Error{Code: CodeOpenTimeout, Reason: "no channel.open"})
}

// foreignMajor reports whether version clearly names another major version
// than 1. What is absent or odd is taken for 1.0, as 1.0 peers take it.
func foreignMajor(version string) bool {
	for _, part := range strings.Split(version, ".") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	major, _, _ := strings.Cut(version, ".")
	return strings.TrimLeft(major, "0") != "1"
}
