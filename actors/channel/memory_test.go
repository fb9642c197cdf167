package channel

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestMemoryHasRoomForWhatWasAskedAndAtMostTwiceThat(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 511, 512, 513, 4096, 4097, 65535, 65536, 65537, 1 << 20} {
		m := newMemory(n)
		if len(m.b) != 0 || cap(m.b) < n || cap(m.b) > max(2*n, 512) {
			t.Errorf("%d bytes: length %d, room %d", n, len(m.b), cap(m.b))
		}
		m.release()
	}
}

func TestMemoryIsGivenBackByTheLastOfItsHolders(t *testing.T) {
	t.Parallel()
	m := newMemory(100)
	m.b = append(m.b, "text"...)
	other := m.share()
	m.release()
	if string(other.b) != "text" {
		t.Errorf("after one of two holders has released it: %q", other.b)
	}
	other.release()
	var none *memory
	none.share().release()
}

func TestMemoryThatHasBeenGivenBackIsUsedAgain(t *testing.T) {
	if n := testing.AllocsPerRun(1000, func() { newMemory(5000).release() }); n != 0 {
		t.Errorf("%v allocations although all is given back", n)
	}
	if n := testing.AllocsPerRun(1000, func() { newMemory(5000).share().release() }); n == 0 {
		t.Error("memory is used again although somebody holds it")
	}
}

func TestWhatIsMarshalledIsWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		map[string]any{"text": "<grüße & \u2028>", "n": 1.5}, struct{ A []int }{[]int{1}}, &struct{}{},
		map[string]string{"long": strings.Repeat("x", 100_000)}, json.Number("7"), nil,
	} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		m, err := marshal(v)
		if err != nil || string(m.b) != string(want) {
			t.Errorf("%.60s, %v, want %.60s", m.b, err, want)
		}
		m.release()
	}
	var unsupported *json.UnsupportedTypeError
	if _, err := marshal(make(chan int)); !errors.As(err, &unsupported) {
		t.Errorf("error %v", err)
	}
	if m, err := marshal("after an error"); err != nil || string(m.b) != `"after an error"` {
		t.Errorf("%v, %v", m, err)
	}
}
