package session

// Codes of Error. They are stable.
const (
	// CodeInvalidConfig: New was given a Config that cannot work.
	CodeInvalidConfig = "invalid_config"
	// CodeReservedType: an application message was to be sent without a type
	// or under a type that belongs to the protocol.
	CodeReservedType = "reserved_type"
	// CodeOpenFailed: no connection could be made.
	CodeOpenFailed = "open_failed"
	// CodeOpenTimeout: the connection was made, but channel.accept (or
	// channel.open) did not come in time.
	CodeOpenTimeout = "open_timeout"
	// CodeRejected: the acceptor answered channel.reject.
	CodeRejected = "rejected"
	// CodeClosedByPeer: the other side ended the channel in an orderly way.
	CodeClosedByPeer = "closed_by_peer"
	// CodeProtocolViolation: the other side broke the rules and was
	// disconnected with 1008.
	CodeProtocolViolation = "protocol_violation"
	// CodeLost: the connection ended and the channel does not come back.
	CodeLost = "lost"
)

// Error is why a session could not be made, a message not sent, or a channel
// was closed. Errors with the same Code match under errors.Is.
type Error struct {
	// Code is one of the Code constants.
	Code string
	// Reason says it in words; partly the peer's words.
	Reason string
	// Err is the cause, if there is one.
	Err error
}

func (e *Error) Error() string {
	text := "channel " + e.Code
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error with the same Code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
