package supervisor

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// PanicError is a recovered panic. [Recovered] makes one.
type PanicError struct {
	// Value is what panic was called with.
	Value any
	// pcs is the stack, the innermost call first. It is kept as it comes: making it readable takes longer than a
	// restart, and most stacks are never read.
	pcs []uintptr
}

// maxFrames is how much of a stack is kept, from the panic outwards.
const maxFrames = 64

// Recovered returns the reason for the end of a function that did not return: a [*PanicError] with the stack if
// value, what recover has returned, is not nil, otherwise ErrGoexit, because only runtime.Goexit ends a function like
// that. It has to be called by the deferred function, or below it: that is when the stack still shows the origin.
func Recovered(value any) error {
	if value == nil {
		return ErrGoexit
	}
	var pcs [maxFrames]uintptr
	n := runtime.Callers(2, pcs[:])
	return &PanicError{Value: value, pcs: slices.Clone(pcs[:n])}
}

// Error is one line, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Stack returns the stack of the goroutine that panicked, from the panic outwards: for each call, of at most 64, a
// line with the function and a line with its place. It is made anew by each call.
func (e *PanicError) Stack() []byte {
	if len(e.pcs) == 0 {
		return nil
	}
	var origin, all bytes.Buffer
	out := &all
	frames := runtime.CallersFrames(e.pcs)
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Fprintf(out, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		// What comes before is about recovering.
		if out == &all && strings.HasSuffix(f.Function, "runtime.gopanic") {
			out = &origin
		}
	}
	if origin.Len() == 0 {
		return all.Bytes()
	}
	return origin.Bytes()
}
