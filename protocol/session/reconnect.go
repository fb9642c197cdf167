package session

import (
	"fmt"
	"math"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// down forgets the connection.
func (s *Session) down() {
	s.up, s.opened, s.pinged = false, false, false
	s.timers.stop(timerOpen, timerAlive, timerHeartbeat)
}

// connectionEnded: the connection is gone, by whomever's doing.
func (s *Session) connectionEnded(code int, reason string, err error, final bool) {
	wasOpen := s.opened
	s.down()
	if s.state == protocol.StateClosing {
		s.finish()
		return
	}
	s.failPending(FailOutcomeUnknown)
	if code == 0 {
		code = closeAbnormal
	}
	cause := s.lossError(code, reason, err)
	if s.cfg.Role == Acceptor {
		s.acceptorLost(code, cause, final)
		return
	}
	if wasOpen && s.now-s.openedAt >= s.cfg.Backoff.quiet() {
		s.attempts = 0
	}
	s.attemptFailed(code, cause, final || endsForGood(code))
}

// acceptorLost waits for a Pando dialler to come back, if it has met one.
func (s *Session) acceptorLost(code int, cause *Error, final bool) {
	if s.state == protocol.StateReconnecting {
		return // an attempt to come back failed; another may follow
	}
	if final || endsForGood(code) || code == closeGoingAway || !s.pando || s.cfg.Wait == 0 {
		s.endAs(code, cause.Reason, cause)
		s.finish()
		return
	}
	s.lastFailure = cause
	s.setState(protocol.StateReconnecting)
	s.after(timerOutage, s.cfg.Wait)
}

// attemptFailed plans the dialler's next attempt, or ends the channel.
func (s *Session) attemptFailed(code int, cause *Error, final bool) {
	if final || !s.everOpened && !s.cfg.RetryFirst {
		s.endAs(code, cause.Reason, cause)
		s.finish()
		return
	}
	s.lastFailure = cause
	if s.everOpened {
		s.setState(protocol.StateReconnecting)
	}
	if s.cfg.MaxReconnect > 0 && s.timers.due[timerOutage] == never {
		s.after(timerOutage, s.cfg.MaxReconnect)
	}
	delay := s.redialDelay()
	s.attempts++
	if delay == 0 {
		s.dial()
		return
	}
	s.after(timerDial, delay)
}

func (s *Session) dialFailed(err error, final bool) {
	if !s.dialling {
		return
	}
	s.dialling = false
	cause := &Error{Code: CodeOpenFailed, Reason: "no connection", Err: err}
	s.attemptFailed(closeAbnormal, cause, final)
}

// redialDelay is the back-off with full jitter: many diallers that lost the
// same server must not come back in step.
func (s *Session) redialDelay() time.Duration {
	if s.attempts == 0 {
		return 0
	}
	b := s.cfg.Backoff
	limit := min(float64(b.Initial)*math.Pow(b.Factor, float64(s.attempts-1)), float64(b.Max))
	return time.Duration(limit * s.cfg.Rand())
}

func (s *Session) dial() {
	s.dialling = true
	s.emit(EffectDial).At = s.at
}

// outageTooLong: the channel has been without a connection for as long as it
// may be.
func (s *Session) outageTooLong() {
	if s.up {
		s.hangUp(closeNormal, "too late")
	}
	reason := fmt.Sprintf("did not come back within %v", s.cfg.Wait)
	if s.cfg.Role == Dialler {
		reason = fmt.Sprintf("gave up after %v", s.cfg.MaxReconnect)
	}
	err := &Error{Code: CodeLost, Reason: reason, Err: s.lastFailure}
	s.endAs(closeAbnormal, err.Reason, err)
	s.finish()
}

// endsForGood reports whether a dialler takes a close code for the last word:
// the channel was closed on purpose, or would be again for the same reason. The
// acceptor does not wait for it then.
func endsForGood(code int) bool {
	switch code {
	case closeNormal, closeProtocol, closeUnsupported, closeNoStatus, closeInvalid, closePolicy, closeExtension:
		return true
	}
	return code >= 4000
}

// lossError puts the end of a connection into words.
func (s *Session) lossError(code int, reason string, err error) *Error {
	e := &Error{Code: CodeLost, Reason: reason, Err: err}
	switch {
	case s.cfg.Role == Dialler && !s.everOpened:
		e.Code = CodeOpenFailed
	case code == closeNormal || code == closeGoingAway || code == closeNoStatus:
		e.Code = CodeClosedByPeer
	}
	if reason == "" {
		e.Reason = fmt.Sprintf("connection closed with code %d", code)
		if code == closeAbnormal {
			e.Reason = "connection cut"
		}
	}
	return e
}
