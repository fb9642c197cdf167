package protocol

// Codes of errors. They travel in data.code of an error envelope and are the
// Code of an Error. They are part of the wire format and never change meaning.
const (
	// CodeInvalidJSON: the frame is not one JSON text (RFC 8259) in UTF-8 with
	// unique keys and without lone surrogates.
	CodeInvalidJSON = "invalid_json"
	// CodeInvalidMessage: the envelope or its meta is not as the protocol asks.
	CodeInvalidMessage = "invalid_message"
	// CodeInvalidContent: content.type or content.data is not as the protocol asks.
	CodeInvalidContent = "invalid_content"
	// CodeTooLarge: the frame is longer than the receiver accepts.
	CodeTooLarge = "too_large"
	// CodeTooDeep: objects and arrays nest deeper than the receiver accepts.
	CodeTooDeep = "too_deep"
	// CodeUnsupportedType: the receiver has no handler for a request's type.
	CodeUnsupportedType = "unsupported_type"
	// CodeHandlerFailed: the handler of the request failed; data.id is in the
	// log of the agent that answered.
	CodeHandlerFailed = "handler_failed"
	// CodeHandlerTimeout: the handler did not answer before its deadline.
	CodeHandlerTimeout = "handler_timeout"
	// CodeOverloaded: the receiver's queues are full; trying later may help.
	CodeOverloaded = "overloaded"
	// CodeNotOpen: a message came before channel.open.
	CodeNotOpen = "not_open"
	// CodeAlreadyOpen: a second channel.open came on an open channel.
	CodeAlreadyOpen = "already_open"
	// CodeSenderMismatch: meta.sender is not the verified peer.
	CodeSenderMismatch = "sender_mismatch"
	// CodeUnsupportedVersion: the peer speaks another major protocol version.
	CodeUnsupportedVersion = "unsupported_version"
	// CodeShuttingDown: the agent takes no new work.
	CodeShuttingDown = "shutting_down"
)

// Error is the error type of this package: what is wrong with a frame. Match it
// by code, errors.Is(err, &Error{Code: CodeTooLarge}), or with errors.As.
// Neither Message nor Error() repeats anything the peer has sent, except that
// ReplyTo is the peer's message id.
type Error struct {
	// Code is one of the Code constants.
	Code string
	// Message says in words what is wrong; it may be sent to the peer.
	Message string
	// ReplyTo is meta.message_id of the refused frame, or empty if that could
	// not be read.
	ReplyTo string
}

// Error returns the code and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return "protocol: " + e.Code
	}
	return "protocol: " + e.Code + ": " + e.Message
}

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
