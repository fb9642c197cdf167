package session

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPromisesHoldForAnyHistory runs random histories against the checker.
func TestPromisesHoldForAnyHistory(t *testing.T) {
	t.Parallel()
	anyOp := rapid.Custom(func(t *rapid.T) op {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes")
		return op{b[0], b[1], b[2], b[3]}
	})
	rapid.Check(t, func(t *rapid.T) {
		setup := rapid.Byte().Draw(t, "setup")
		ops := rapid.SliceOfN(anyOp, 0, 80).Draw(t, "ops")
		trace := playOps(t, setup, ops)
		if again := playOps(t, setup, ops); !slices.Equal(trace, again) {
			t.Fatal("the same events had other effects")
		}
	})
}

// FuzzSteps does the same for histories that are found by coverage.
func FuzzSteps(f *testing.F) {
	f.Add([]byte{16, 6, 0, 1, 0, 1, 3, 0x11, 0})                            // dialler, request, reply
	f.Add([]byte{28, 6, 0, 0x71, 0, 13, 0, 0, 0, 14, 0, 0, 0, 10, 0, 0, 0}) // request, loss, redial
	f.Add([]byte{29, 13, 0, 0, 0, 0, 0, 0, 0, 1, 12, 0, 0})                 // acceptor, loss, back again
	f.Add([]byte{17, 1, 7, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0})                 // acceptor, channel.close
	f.Add([]byte{5, 0, 0, 0, 0, 1, 4, 0, 0})                                // message before open
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 4*500 {
			return
		}
		var ops []op
		for b := data[1:]; len(b) >= 4; b = b[4:] {
			ops = append(ops, op{b[0], b[1], b[2], b[3]})
		}
		playOps(t, data[0], ops)
	})
}

func playOps(t rapid.TB, setup byte, ops []op) []string {
	w, err := newWorld(setup)
	if err == nil {
		err = w.run(ops)
	}
	if err == nil {
		err = w.end()
	}
	if err != nil {
		for _, line := range w.trace {
			t.Log(line)
		}
		t.Fatal(err)
	}
	return w.trace
}
