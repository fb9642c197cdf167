package transport

import "sync"

const (
	chunkSize    = 16 << 10 // one read
	maxPooled    = 64 << 10 // larger outbound buffers are left to the collector
	firstBuffer  = 2 << 10
	maxWire      = 64 << 10 // bytes joined for one write, so that control frames need not wait longer
	controlSpace = 64 << 10 // bytes that may wait in the control lane
)

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// buffer is a queue of whole frames; what is before off has been taken out.
type buffer struct {
	b   []byte
	off int
}

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, firstBuffer)} }}

func (q *buffer) size() int {
	if q == nil {
		return 0
	}
	return len(q.b) - q.off
}

// release gives q back to the pool; q may be nil.
func (q *buffer) release() {
	if q == nil || cap(q.b) > maxPooled {
		return
	}
	q.b, q.off = q.b[:0], 0
	buffers.Put(q)
}

// appendTo appends a frame to the lane *q, which is made when it is nil.
func appendTo(q **buffer, client bool, op byte, payload []byte) {
	if *q == nil {
		*q = buffers.Get().(*buffer)
	}
	l := *q
	if l.off > len(l.b)/2 && len(l.b)+len(payload)+maxHeader > cap(l.b) {
		l.b = l.b[:copy(l.b, l.b[l.off:])]
		l.off = 0
	}
	l.b = appendFrame(l.b, client, op, payload)
}
