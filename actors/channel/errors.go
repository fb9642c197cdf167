package channel

import "fmt"

// Code says what kind of error an Error is. Codes are stable.
type Code string

// The codes of Error.
const (
	// CodeTimeout: no reply before the deadline. The request may have been
	// carried out.
	CodeTimeout Code = "timeout"
	// CodeCanceled: the caller's context was cancelled.
	CodeCanceled Code = "canceled"
	// CodeOutcomeUnknown: the connection was lost after the request had been
	// written; it may or may not have been carried out.
	CodeOutcomeUnknown Code = "outcome_unknown"
	// CodeNotSent: nothing was written; it is safe to try again.
	CodeNotSent Code = "not_sent"
	// CodeClosed: the channel is closed.
	CodeClosed Code = "closed"
	// CodeLost: the channel failed and cannot go on.
	CodeLost Code = "lost"
	// CodeTooManyPending: too many requests wait for replies.
	CodeTooManyPending Code = "too_many_pending"
	// CodeTooLarge: the message would not fit into a frame.
	CodeTooLarge Code = "too_large"
	// CodeInvalid: the message cannot be sent: reserved type, or data that is
	// not a JSON object.
	CodeInvalid Code = "invalid"
	// CodeRefused: the peer refused the connection (HTTP status other than 101).
	CodeRefused Code = "refused"
	// CodeUnreachable: no connection could be made.
	CodeUnreachable Code = "unreachable"
	// CodeNoInbox: Receive on a channel that was opened without an inbox.
	CodeNoInbox Code = "no_inbox"
)

// Error is what the calls of a channel return. Errors with the same code match
// under errors.Is.
type Error struct {
	// Code is stable; the rest is for people.
	Code Code
	// Op is what was being done, such as "request".
	Op string
	// Peer is the agent at the other end.
	Peer string
	// Reason says more, partly in the peer's words.
	Reason string
	// Err is the cause, if there is one.
	Err error
}

// Errors to compare with under errors.Is.
var (
	ErrTimeout        = &Error{Code: CodeTimeout}
	ErrCanceled       = &Error{Code: CodeCanceled}
	ErrOutcomeUnknown = &Error{Code: CodeOutcomeUnknown}
	ErrNotSent        = &Error{Code: CodeNotSent}
	ErrClosed         = &Error{Code: CodeClosed}
	ErrLost           = &Error{Code: CodeLost}
	ErrTooManyPending = &Error{Code: CodeTooManyPending}
	ErrTooLarge       = &Error{Code: CodeTooLarge}
	ErrInvalid        = &Error{Code: CodeInvalid}
	ErrRefused        = &Error{Code: CodeRefused}
	ErrUnreachable    = &Error{Code: CodeUnreachable}
	ErrNoInbox        = &Error{Code: CodeNoInbox}
)

var texts = map[Code]string{
	CodeTimeout:        "no reply in time",
	CodeCanceled:       "canceled",
	CodeOutcomeUnknown: "connection lost before the reply: the outcome is unknown",
	CodeNotSent:        "not sent",
	CodeClosed:         "channel closed",
	CodeLost:           "channel lost",
	CodeTooManyPending: "too many requests wait for replies",
	CodeTooLarge:       "message too large",
	CodeInvalid:        "invalid message",
	CodeRefused:        "refused",
	CodeUnreachable:    "peer unreachable",
	CodeNoInbox:        "channel has no inbox",
}

// Error tells what was being done, with whom, and what went wrong.
func (e *Error) Error() string {
	text := texts[e.Code]
	if e.Op != "" {
		text = e.Op + ": " + text
	}
	if e.Peer != "" {
		text += " (peer " + e.Peer + ")"
	}
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

// Is reports whether target is an Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// RemoteError is an error message of the peer: what a request was answered
// with, or, returned by a handler, what the requester shall be told.
type RemoteError struct {
	// Code is the peer's code, such as "handler_failed"; empty from peers that
	// send none.
	Code string
	// Message is the peer's text.
	Message string
	// ID is what the peer's log has the details under, where it said so.
	ID string
}

// Error tells the peer's code and words.
func (e *RemoteError) Error() string {
	if e.Code == "" {
		return "peer answered: " + e.Message
	}
	return fmt.Sprintf("peer answered %s: %s", e.Code, e.Message)
}

// Is reports whether target is a RemoteError with the same code.
func (e *RemoteError) Is(target error) bool {
	t, ok := target.(*RemoteError)
	return ok && t.Code == e.Code
}
