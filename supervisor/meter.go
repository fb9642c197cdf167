package supervisor

import (
	"math"
	"time"
)

// A meter counts the failures since the last quiet period. It needs no list of times: a failure either comes
// after a quiet period, and then is the first, or it adds one.
type meter struct {
	count int32
	// open is the number of children that have failed and are not up again. While there is one it is not quiet:
	// a back-off or a slow start would otherwise pass for a time without failures.
	open int32
	mark time.Duration // when the last failure was, or the last recovery
}

// fail counts a failure and returns their number. again says that the child was already recovering.
func (m *meter) fail(at, quiet time.Duration, again bool) int {
	if !again {
		if m.open == 0 && at-m.mark >= quiet {
			m.count = 0
		}
		m.open++
	}
	if m.count < math.MaxInt32 {
		m.count++
	}
	m.mark = at
	return int(m.count)
}

// settle says that a child that was recovering is up.
func (m *meter) settle(at time.Duration) {
	m.open--
	m.mark = at
}

// leave says that a child that was recovering is gone for good.
func (m *meter) leave() { m.open-- }

// delay is the back-off before the restart that follows the n-th failure since a quiet period.
func (b Backoff) delay(n int, random func() float64) time.Duration {
	if n <= 1 {
		return 0
	}
	bound := float64(b.Initial) * math.Pow(b.Factor, float64(n-2))
	return time.Duration(random() * min(bound, float64(b.Max)))
}
