package remote

import (
	"errors"
	"strings"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/supervisor"
)

// The codes with which actors answer, besides those of package protocol. They
// are part of the wire format.
const (
	// CodeNoActor: no actor of that name takes such a message from this peer. It
	// does not say whether there is one.
	CodeNoActor = "no_such_actor"
	// CodeStopped: the actor has stopped.
	CodeStopped = "actor_stopped"
	// CodeNotHandled: the message was lost with an incarnation of the actor.
	CodeNotHandled = "not_handled"
	// CodeFull: the mailbox had no room. CodeBusy: it may have some soon.
	CodeFull = "mailbox_full"
	CodeBusy = "mailbox_busy"
	// CodePanicked: the reason of the end of an actor that panicked.
	CodePanicked = "panicked"
	// CodeFenced: an incarnation was abandoned.
	CodeFenced = "fenced"
	// CodeFailed: the reason of any other end.
	CodeFailed = "failed"
)

var codes = []string{
	CodeNoActor, CodeStopped, CodeNotHandled, CodeFull, CodeBusy, CodePanicked, CodeFenced, CodeFailed,
	protocol.CodeUnsupportedType, protocol.CodeInvalidContent, protocol.CodeHandlerFailed,
	protocol.CodeHandlerTimeout, protocol.CodeOverloaded, protocol.CodeShuttingDown,
}

// own are the errors of actors and their codes.
var own = []namedError{
	{CodeNoActor, actors.ErrNoActor}, {CodeStopped, actors.ErrStopped},
	{CodeNotHandled, actors.ErrNotRun}, {CodeFull, actors.ErrMailboxFull}, {CodeFenced, actors.ErrFenced},
}

// others are what an agent answers in the place of its actors.
var others = []namedError{
	{CodeBusy, actors.ErrMailboxFull}, {protocol.CodeOverloaded, actors.ErrMailboxFull},
	{protocol.CodeShuttingDown, actors.ErrStopped}, {protocol.CodeUnsupportedType, actors.ErrNoActor},
}

var texts = map[string]string{
	CodeNoActor: "no actor of this name takes such messages from you", CodeStopped: "the actor has stopped",
	CodeNotHandled: "the message was not handled", CodeFull: "the mailbox is full", CodeBusy: "the mailbox is full",
	CodePanicked: "the actor panicked", CodeFenced: "the incarnation was abandoned", CodeFailed: "the actor failed",
}

func refusal(code string) *channel.RemoteError {
	return &channel.RemoteError{Code: code, Message: texts[code]}
}

// Refusal is how everything is refused that a peer cannot reach, so that it
// cannot tell what there is.
var Refusal = refusal(CodeNoActor)

// errBusy is what a full mailbox answers that may have room soon.
var errBusy = refusal(CodeBusy)

// failure returns what a peer is told of an error: nil when it has no business
// with it.
func failure(named []namedError, err error) *channel.RemoteError {
	for _, n := range named {
		if errors.Is(err, n.err) {
			return &channel.RemoteError{Code: n.code, Message: err.Error()}
		}
	}
	var told *channel.RemoteError
	if errors.As(err, &told) {
		return told
	}
	for _, n := range own {
		if errors.Is(err, n.err) {
			return refusal(n.code)
		}
	}
	return nil
}

// received makes the error that an asker gets of what the peer has told.
func received(named []namedError, told *channel.RemoteError) error {
	for _, list := range [][]namedError{named, own, others} {
		for _, n := range list {
			if n.code == told.Code {
				return &FarError{Err: n.err, Told: told}
			}
		}
	}
	return told
}

// FarError is an error that an actor far away has answered with, or the reason
// of its end.
type FarError struct {
	// Err is the error that the code stands for.
	Err error
	// Told is what the peer has said.
	Told *channel.RemoteError
}

// Error is what the peer has said.
func (e *FarError) Error() string { return e.Told.Message }

// Unwrap returns both: errors.Is finds either.
func (e *FarError) Unwrap() []error { return []error{e.Err, e.Told} }

// supervisedPrefix is what comes before a code of package supervisor.
const supervisedPrefix = "supervisor."

// End is how the end of an actor is told.
type End struct {
	Generation uint64 `json:"generation,omitempty"`
	Code       string `json:"code,omitempty"` // empty: a normal end
	Message    string `json:"message,omitempty"`
}

// ending says of a Down what a peer may know.
func ending(named []namedError, d actors.Down) End {
	e := End{Generation: d.Generation}
	var panicked *supervisor.PanicError
	var supervised *supervisor.Error
	if d.Reason == nil {
		return e
	}
	if told := failure(named, d.Reason); told != nil {
		e.Code, e.Message = told.Code, told.Message
		return e
	}
	switch {
	case errors.As(d.Reason, &panicked):
		e.Code = CodePanicked
	case errors.As(d.Reason, &supervised):
		e.Code = supervisedPrefix + supervised.Code
	default:
		e.Code = CodeFailed
	}
	e.Message = texts[e.Code]
	return e
}

// down makes the Down of an actor called name of what its agent has told.
func (e End) down(named []namedError, name string) actors.Down {
	d := actors.Down{Actor: name, Generation: e.Generation}
	told := &channel.RemoteError{Code: e.Code, Message: e.Message}
	switch {
	case e.Code == "":
	case e.Code == CodePanicked:
		d.Reason = &supervisor.PanicError{Value: texts[CodePanicked]}
	case strings.HasPrefix(e.Code, supervisedPrefix):
		reason := &supervisor.Error{Code: strings.TrimPrefix(e.Code, supervisedPrefix)}
		told.Message = reason.Error()
		d.Reason = &FarError{Err: reason, Told: told}
	default:
		d.Reason = received(named, told)
	}
	return d
}
