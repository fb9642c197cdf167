package session

import (
	"strings"
	"unicode/utf8"

	"github.com/pando-agents/pando/protocol"
)

// WebSocket close codes (RFC 6455 §7.4.1) that have a meaning here.
const (
	closeNormal      = 1000
	closeGoingAway   = 1001
	closeProtocol    = 1002
	closeUnsupported = 1003
	closeNoStatus    = 1005
	closeAbnormal    = 1006
	closeInvalid     = 1007
	closePolicy      = 1008
	closeExtension   = 1010
)

// maxCloseReason is what fits into a close frame beside the code, in bytes
// (RFC 6455 §5.5).
const maxCloseReason = 123

// closeAsked: this side wants the channel to end.
func (s *Session) closeAsked(code int, reason string) {
	if s.state == protocol.StateClosing {
		return
	}
	if code == 0 {
		code = closeNormal
	}
	if reason == "" {
		reason = "normal"
	}
	if !s.up {
		s.endAs(code, reason, nil)
		s.finish()
		return
	}
	if s.cfg.Role == Acceptor || !s.opened || code != closeNormal {
		// An acceptor must not write channel.close: a 1.0 application would
		// take it for an answer.
		s.disconnect(code, reason, nil)
		return
	}
	s.endAs(code, reason, nil)
	s.write("", protocol.TypeClose, protocol.CloseData(reason), "", false)
	s.close(awaitAck)
}

// peerCloses handles channel.close from the other side: the request to close,
// or the acknowledgement of ours. Which of the two does not matter to a side
// that closes anyway.
func (s *Session) peerCloses(m *protocol.Envelope) {
	reason := protocol.ParseCloseData(m.Data)
	byPeer := &Error{Code: CodeClosedByPeer, Reason: reason}
	switch {
	case s.phase == awaitAck:
		s.disconnect(closeNormal, s.endReason, nil)
	case s.phase != notClosing:
		s.drop(DropClosing, m.MessageID)
	case s.cfg.Role == Dialler:
		s.disconnect(closeNormal, reason, byPeer)
	default:
		s.endAs(closeNormal, reason, byPeer)
		s.write("", protocol.TypeClose, protocol.CloseAckData(reason), m.MessageID, false)
		s.close(awaitPeer)
	}
}

// closeOverdue takes closing a step further when the other side does not.
func (s *Session) closeOverdue() {
	if s.phase == awaitEnd {
		s.emit(EffectAbort).Epoch = s.epoch
		s.finish()
		return
	}
	s.disconnect(closeNormal, s.endReason, nil)
}

// disconnect ends the connection, and the channel with it. A channel that was
// never open is over at once; otherwise the end of the handshake is awaited.
func (s *Session) disconnect(code int, reason string, err error) {
	s.endAs(code, reason, err)
	if s.cfg.Role == Dialler && !s.opened {
		s.hangUp(code, reason)
		s.finish()
		return
	}
	s.hangUpOn(s.epoch, code, reason)
	s.close(awaitEnd)
}

// close enters a phase of closing. Only the other side's next step, or its
// failing to come, matters from here on.
func (s *Session) close(phase closingPhase) {
	s.phase = phase
	s.timers.stop(timerOpen, timerAlive, timerHeartbeat, timerOutage)
	if phase == awaitPeer {
		s.after(timerClose, s.cfg.CloseGrace)
	} else {
		s.after(timerClose, s.cfg.CloseTimeout)
	}
	s.setState(protocol.StateClosing)
}

// hangUp ends the connection and forgets it; the channel goes on.
func (s *Session) hangUp(code int, reason string) {
	s.hangUpOn(s.epoch, code, reason)
	s.down()
}

func (s *Session) hangUpOn(epoch uint64, code int, reason string) {
	e := s.emit(EffectDisconnect)
	e.Epoch = epoch
	e.Code = code
	e.Reason = cut(reason, maxCloseReason)
}

// cut makes text fit into a close frame: valid UTF-8 of at most n bytes.
func cut(text string, n int) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
