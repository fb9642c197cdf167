package server

import "fmt"

// Error is what this package's functions fail with. Match it by code with
// errors.Is against one of the Err values, or take it out with errors.As.
type Error struct {
	Code string // stable, see the Err values
	Op   string // what was being done
	Err  error  // the cause
}

// The codes of Error. Compare with errors.Is.
var (
	ErrOptions = &Error{Code: "options"} // the options contradict themselves or are out of range
	ErrStore   = &Error{Code: "store"}   // the database cannot be opened, read or written
	ErrKey     = &Error{Code: "key"}     // a key file or certificate is missing, unreadable or of the wrong kind
	ErrServe   = &Error{Code: "serve"}   // the listener failed, or requests outlived the shutdown
)

// Error returns the operation, the code and the cause on one line.
func (e *Error) Error() string {
	if e.Err == nil {
		return "identity registry: " + e.Code
	}
	return fmt.Sprintf("identity registry: %s: %s: %v", e.Op, e.Code, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

func failed(kind *Error, op string, err error) error {
	return &Error{Code: kind.Code, Op: op, Err: err}
}
