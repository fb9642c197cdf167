package identity

import (
	"fmt"
	"time"
)

// Error is what every function of this package fails with. Match it by code
// with errors.Is against one of the Err values, or read the fields after
// errors.As. It never holds a token, a proof or a secret.
type Error struct {
	Code       string        // stable, see the Err values
	Op         string        // what was being done
	Status     int           // HTTP status of the identity registry's answer, 0 if there was none
	RetryAfter time.Duration // how long the identity registry asks to wait, 0 if it did not say
	Err        error         // the cause
}

// The codes of Error. Compare with errors.Is.
var (
	ErrInvalidKey         = &Error{Code: "invalid_key"}         // not a key, or one of a kind or strength that is not accepted
	ErrInvalidProof       = &Error{Code: "invalid_proof"}       // a proof of possession that does not hold
	ErrInvalidToken       = &Error{Code: "invalid_token"}       // not an interaction token, or one that does not hold
	ErrInvalidCredentials = &Error{Code: "invalid_credentials"} // missing, partial or malformed credentials
	ErrRefused            = &Error{Code: "refused"}             // the identity registry says no: 400, 401, 403
	ErrNotFound           = &Error{Code: "not_found"}           // the identity registry does not know it: 404
	ErrInvalidRequest     = &Error{Code: "invalid_request"}     // the identity registry could not read the request: 422
	ErrRateLimited        = &Error{Code: "rate_limited"}        // 429, after all retries
	ErrUnavailable        = &Error{Code: "unavailable"}         // the identity registry cannot be reached or is failing
	ErrBadResponse        = &Error{Code: "bad_response"}        // an answer that is not one of an identity registry
	ErrForbiddenEndpoint  = &Error{Code: "forbidden_endpoint"}  // an endpoint that is none, or one that may not be dialled
	ErrReplayStoreFull    = &Error{Code: "replay_store_full"}   // no room to remember another proof
)

// Error returns the operation, the code, the status and the cause on one line.
func (e *Error) Error() string {
	s := e.Code
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

func fail(kind *Error, op, format string, args ...any) *Error {
	return &Error{Code: kind.Code, Op: op, Err: fmt.Errorf(format, args...)}
}
