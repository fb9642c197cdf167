package channel

import (
	"strings"
	"testing"
)

// Intervals between monotonic readings do not change when the clock of the
// machine is put forward or back (package time).
func TestDefaultClockIsMonotonic(t *testing.T) {
	t.Parallel()
	env := &Env{}
	env.Prepare()
	if now := env.Now().String(); !strings.Contains(now, " m=") {
		t.Fatalf("%s has no monotonic reading", now)
	}
}
