package patterns

import (
	"context"

	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/supervisor"
)

// Code says what kind of error an Error is. Codes are stable.
type Code string

// Error is what this package adds to the errors of actors. Errors with the same
// code match under errors.Is.
type Error struct {
	Code Code
	// Reason says more, partly in the words of the other side.
	Reason string
	// Err is the cause, if there is one.
	Err error
}

// Errors to compare with under errors.Is.
var (
	// ErrNoQuorum: too few have answered.
	ErrNoQuorum = &Error{Code: "no_quorum"}
	// ErrNotAwaited: a target had not answered when enough others had.
	ErrNotAwaited = &Error{Code: "not_awaited"}
	// ErrGaveUp: workers have failed with a job; it may have been done.
	ErrGaveUp = &Error{Code: "gave_up"}
	// ErrRefused: the other side does not want it.
	ErrRefused = &Error{Code: "refused"}
	// ErrEnded: either side has ended it, as it should be.
	ErrEnded = &Error{Code: "ended"}
	// ErrCancelled: the other side does not want it any more.
	ErrCancelled = &Error{Code: "cancelled"}
	// ErrFailed: the other side has failed, with the error that is wrapped.
	ErrFailed = &Error{Code: "failed"}
	// ErrIdle: nobody has said anything for too long.
	ErrIdle = &Error{Code: "idle"}
	// ErrTooLong: it has taken too long as a whole.
	ErrTooLong = &Error{Code: "too_long"}
	// ErrPartnerLost: the other side has ended, or was not heard of any more.
	ErrPartnerLost = &Error{Code: "partner_lost"}
)

var texts = map[Code]string{
	ErrNoQuorum.Code:    "too few have answered",
	ErrNotAwaited.Code:  "not waited for: enough others have answered",
	ErrGaveUp.Code:      "workers have failed",
	ErrRefused.Code:     "refused",
	ErrEnded.Code:       "ended",
	ErrCancelled.Code:   "cancelled",
	ErrFailed.Code:      "the other side has failed",
	ErrIdle.Code:        "nobody has said anything for too long",
	ErrTooLong.Code:     "it has taken too long",
	ErrPartnerLost.Code: "the other side is lost",
}

// Error says what has happened, and why.
func (e *Error) Error() string {
	text := texts[e.Code]
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
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// named lets an error of this package go from agent to agent.
func named(e *Error) remote.Entry { return remote.Error("patterns."+string(e.Code), e) }

// guarded calls f, which is not ours. A panic in it, or a runtime.Goexit, which
// then unwinds no further than then, is an error.
func guarded[Q, R any](ctx context.Context, f func(context.Context, Q) (R, error), q Q, then func(R, error)) {
	var v R
	var err error
	done := false
	defer func() {
		if !done {
			err = supervisor.Recovered(recover())
		}
		then(v, err)
	}()
	v, err = f(ctx, q)
	done = true
}
