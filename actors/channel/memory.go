package channel

import (
	"encoding/json"
	"math/bits"
	"sync"
	"sync/atomic"
)

// memory is bytes that are used again when nobody can hold them any more: what
// the channel marshals to send it, and what arrives for a handler of its own. What
// the application gave, or gets, is never in here, since it may keep it.
type memory struct {
	b      []byte
	shares atomic.Int32 // holders besides the first
}

// Memory comes in powers of two, so that a short text does not hold much more
// than it needs.
const (
	leastMemory = 9  // 512 B
	mostMemory  = 16 // 64 KiB; what is larger is left to the collector
)

var memories [mostMemory + 1]sync.Pool

// newMemory returns empty memory with room for n bytes.
func newMemory(n int) *memory {
	class := max(bits.Len(uint(max(n, 1)-1)), leastMemory)
	if class > mostMemory {
		return &memory{b: make([]byte, 0, n)}
	}
	if m, ok := memories[class].Get().(*memory); ok {
		return m
	}
	return &memory{b: make([]byte, 0, 1<<class)}
}

// share makes one more holder, who has to release m too; m may be nil.
func (m *memory) share() *memory {
	if m != nil {
		m.shares.Add(1)
	}
	return m
}

// release gives m back once all holders have; m may be nil.
func (m *memory) release() {
	if m == nil || m.shares.Add(-1) >= 0 {
		return
	}
	m.shares.Store(0)
	class := bits.Len(uint(cap(m.b))) - 1
	if class < leastMemory || class > mostMemory || cap(m.b) != 1<<class {
		return
	}
	m.b = m.b[:0]
	memories[class].Put(m)
}

// marshaller writes JSON to memory.
type marshaller struct {
	encoder *json.Encoder
	out     *memory
}

var marshallers = sync.Pool{New: func() any {
	m := new(marshaller)
	m.encoder = json.NewEncoder(m)
	return m
}}

// Write is called once by the encoder, with all of the text and a line feed.
func (m *marshaller) Write(p []byte) (int, error) {
	m.out = newMemory(len(p))
	m.out.b = append(m.out.b, p...)
	return len(p), nil
}

// marshal is json.Marshal to memory.
func marshal(v any) (*memory, error) {
	m := marshallers.Get().(*marshaller)
	err := m.encoder.Encode(v)
	out := m.out
	m.out = nil
	marshallers.Put(m)
	if err != nil {
		return nil, err
	}
	out.b = out.b[:len(out.b)-1]
	return out, nil
}
