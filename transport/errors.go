package transport

import (
	"fmt"
	"net/http"
)

// Error is what the functions of this package return, and what [CloseError]
// carries when the cause lies in this package. Two errors with the same Code
// match under errors.Is.
type Error struct {
	Code string // stable: one of the codes of the Err variables
	Text string // what was being done or what is wrong; not stable
	Err  error  // the cause, may be nil
}

// Error returns the text, followed by the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return "transport: " + e.Text
	}
	return "transport: " + e.Text + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// The errors of this package, to be matched with errors.Is.
var (
	// ErrClosed: the connection is closing or has ended.
	ErrClosed = &Error{Code: "closed", Text: "connection closed"}
	// ErrQueueFull: the peer takes less than is sent; wait for HandleWritable.
	ErrQueueFull = &Error{Code: "queue_full", Text: "outbound queue full"}
	// ErrTooLarge: the message alone is larger than its queue may become.
	ErrTooLarge = &Error{Code: "too_large", Text: "message larger than the outbound queue"}
	// ErrBadURL: not an absolute ws or wss URL.
	ErrBadURL = &Error{Code: "bad_url", Text: "bad URL"}
	// ErrDial: no network connection, or no TLS on it.
	ErrDial = &Error{Code: "dial", Text: "dial"}
	// ErrHandshake: the opening handshake failed otherwise than by a refusal.
	ErrHandshake = &Error{Code: "handshake", Text: "opening handshake"}
	// ErrBadRequest: the request is not an opening handshake; it has been answered.
	ErrBadRequest = &Error{Code: "bad_request", Text: "not an opening handshake"}
	// ErrCut: the network connection ended without a close frame.
	ErrCut = &Error{Code: "cut", Text: "connection lost"}
	// ErrAborted: Abort was called without a reason.
	ErrAborted = &Error{Code: "aborted", Text: "connection aborted"}
	// ErrWriteTimeout: the peer took nothing for WriteTimeout.
	ErrWriteTimeout = &Error{Code: "write_timeout", Text: "peer takes no data"}
	// ErrMessageTimeout: a message was not complete within MessageTimeout.
	ErrMessageTimeout = &Error{Code: "message_timeout", Text: "message not completed in time"}
	// ErrCloseTimeout: the close handshake was not completed in time.
	ErrCloseTimeout = &Error{Code: "close_timeout", Text: "peer did not complete the close handshake in time"}
	// ErrProtocol: the peer broke RFC 6455 or a limit.
	ErrProtocol = &Error{Code: "protocol", Text: "protocol violation"}
	// ErrPanic: a handler panicked or ended the goroutine.
	ErrPanic = &Error{Code: "panic", Text: "handler panicked"}
)

func (e *Error) with(err error) *Error { return &Error{Code: e.Code, Text: e.Text, Err: err} }

func (e *Error) because(text string) *Error {
	return &Error{Code: e.Code, Text: e.Text + ": " + text}
}

// Close codes of RFC 6455 §7.4.1 that this package sends or reports.
const (
	CodeNormal      = 1000 // the purpose is fulfilled
	CodeProtocol    = 1002 // protocol error
	CodeUnsupported = 1003 // a binary message
	CodeNoStatus    = 1005 // the peer's close frame had no code; never sent
	CodeAbnormal    = 1006 // ended without a close frame; never sent
	CodeInvalidData = 1007 // text that is not UTF-8
	CodePolicy      = 1008 // too many pings
	CodeTooBig      = 1009 // message over MaxMessage
	CodeInternal    = 1011 // a handler panicked
)

// CloseError says how a connection ended.
type CloseError struct {
	// Code is the close code: the one we sent, or the peer's if the peer closed
	// first, or 1006 if there was none because the connection was cut.
	Code int
	// Reason is the text that came or went with the code.
	Reason string
	// Remote is true if the peer's close frame ended the connection.
	Remote bool
	// Err is why the connection was cut or failed; nil after a complete close
	// handshake.
	Err error
}

// Error describes the end, with who ended it.
func (e *CloseError) Error() string {
	who := "closed"
	if e.Remote {
		who = "closed by peer"
	}
	s := fmt.Sprintf("transport: %s with code %d", who, e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(" (%s)", e.Reason)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *CloseError) Unwrap() error { return e.Err }

// HandshakeError is returned by [Dial] when the server answers the opening
// handshake with anything but 101. Redirects are not followed.
type HandshakeError struct {
	StatusCode int
	Header     http.Header
	Body       []byte // at most the first 4 KiB
}

// Error gives the status; the body may hold a peer's secrets and is left out.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("transport: opening handshake refused with status %d %s",
		e.StatusCode, http.StatusText(e.StatusCode))
}
