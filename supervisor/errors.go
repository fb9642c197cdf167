package supervisor

import "fmt"

// The codes of [Error]. They are stable.
const (
	CodeNotRunning     = "not_running"
	CodeRunning        = "already_running"
	CodeInvalidSpec    = "invalid_spec"
	CodeDuplicate      = "duplicate_id"
	CodeNotFound       = "not_found"
	CodeWouldDeadlock  = "would_deadlock"
	CodeStartFailed    = "start_failed"
	CodeStartTimeout   = "start_timeout"
	CodeBudgetExceeded = "budget_exceeded"
	CodeTerminated     = "terminated"
	CodeRestarted      = "restarted"
	CodeAbandoned      = "abandoned"
	CodeEnded          = "ended"
	CodeGoexit         = "goexit"
	CodeTooMany        = "too_many"
	CodeAutoShutdown   = "auto_shutdown"
)

// Error is the error of this package. [errors.Is] matches it by its code with the Err variables.
type Error struct {
	// Code is one of the Code constants.
	Code string
	// Child is the id of the child concerned, if there is one.
	Child string
	// Err is the reason, if there is one.
	Err error
}

// The errors of this package, for [errors.Is].
var (
	// ErrNotRunning: the supervisor is not being served, or is stopping.
	ErrNotRunning error = &Error{Code: CodeNotRunning}
	// ErrRunning: Serve was called while an earlier call has not returned, or Delete for a child that is not down.
	ErrRunning error = &Error{Code: CodeRunning}
	// ErrInvalidSpec: a [Spec] is not valid, or not in these [Options].
	ErrInvalidSpec error = &Error{Code: CodeInvalidSpec}
	// ErrDuplicate: there is a child with that id, perhaps one that is down or still stopping.
	ErrDuplicate error = &Error{Code: CodeDuplicate}
	// ErrNotFound: there is no child with that id, or it is being removed.
	ErrNotFound error = &Error{Code: CodeNotFound}
	// ErrWouldDeadlock: a child in its own start called StartChild, or a child asked for its own end.
	ErrWouldDeadlock error = &Error{Code: CodeWouldDeadlock}
	// ErrStartFailed: the start of a child returned an error, panicked or took too long.
	ErrStartFailed error = &Error{Code: CodeStartFailed}
	// ErrStartTimeout: the start took longer than [Spec.StartTimeout]. It comes inside an ErrStartFailed.
	ErrStartTimeout error = &Error{Code: CodeStartTimeout}
	// ErrBudgetExceeded: more failures than the [Budget] allows. The last failure is inside.
	ErrBudgetExceeded error = &Error{Code: CodeBudgetExceeded}
	// ErrTerminated: the child was stopped by Terminate, or because its supervisor stops.
	ErrTerminated error = &Error{Code: CodeTerminated}
	// ErrRestarted: the incarnation was stopped by Restart, or together with a sibling, which is named and whose
	// failure is inside. Seen as a reason by the incarnation only.
	ErrRestarted error = &Error{Code: CodeRestarted}
	// ErrAbandoned: the child was removed, but what it was doing goes on: it did not stop in time.
	ErrAbandoned error = &Error{Code: CodeAbandoned}
	// ErrEnded: a Permanent child ended normally, or a child ended before it was ready.
	ErrEnded error = &Error{Code: CodeEnded}
	// ErrGoexit: the child called [runtime.Goexit].
	ErrGoexit error = &Error{Code: CodeGoexit}
	// ErrTooMany: the supervisor has [Options.MaxChildren] already.
	ErrTooMany error = &Error{Code: CodeTooMany}
	// ErrAutoShutdown: the supervisor stops because a significant child, which is named, has ended. Seen as a
	// reason by the other children only.
	ErrAutoShutdown error = &Error{Code: CodeAutoShutdown}
)

// Error says which child, what, and why.
func (e *Error) Error() string {
	text := e.text()
	if e.Child != "" {
		text = fmt.Sprintf("child %q: %s", e.Child, text)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) text() string {
	switch e.Code {
	case CodeNotRunning:
		return "supervisor not running"
	case CodeRunning:
		return "already running"
	case CodeInvalidSpec:
		return "invalid child spec"
	case CodeDuplicate:
		return "id already in use"
	case CodeNotFound:
		return "no such child"
	case CodeWouldDeadlock:
		return "would wait for itself"
	case CodeStartFailed:
		return "start failed"
	case CodeStartTimeout:
		return "start timed out"
	case CodeBudgetExceeded:
		return "restart budget exceeded"
	case CodeTerminated:
		return "terminated"
	case CodeRestarted:
		return "restarted"
	case CodeAbandoned:
		return "did not stop in time and was abandoned"
	case CodeEnded:
		return "ended unasked"
	case CodeGoexit:
		return "called runtime.Goexit"
	case CodeTooMany:
		return "too many children"
	case CodeAutoShutdown:
		return "significant child ended"
	}
	return e.Code
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code that names no other child.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Child == "" || t.Child == e.Child)
}

// invalid says what is wrong with a spec.
type invalid string

func (e invalid) Error() string { return string(e) }
