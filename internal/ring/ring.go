// Package ring is a growing FIFO that gives its memory back after a burst.
package ring

// keep is the capacity that an emptied ring keeps.
const keep = 16

// Ring is a first-in, first-out queue. Its zero value is empty. It is not safe
// for concurrent use.
type Ring[T any] struct {
	buf  []T
	head int
	n    int
}

// Len returns how many elements wait.
func (r *Ring[T]) Len() int { return r.n }

// Push adds v at the end.
func (r *Ring[T]) Push(v T) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = v
	r.n++
}

// Peek returns the oldest value, which stays; false when there is none.
func (r *Ring[T]) Peek() (v T, ok bool) {
	if r.n == 0 {
		return v, false
	}
	return r.buf[r.head], true
}

// Pop takes the oldest element; ok is false when there is none.
func (r *Ring[T]) Pop() (v T, ok bool) {
	if r.n == 0 {
		return v, false
	}
	var zero T
	v, r.buf[r.head] = r.buf[r.head], zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 && len(r.buf) > keep {
		r.buf, r.head = nil, 0
	}
	return v, true
}

func (r *Ring[T]) grow() {
	size := max(4, 2*len(r.buf)) // a power of two, so that indices wrap with a mask
	next := make([]T, size)
	for i := range r.n {
		next[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
	}
	r.buf, r.head = next, 0
}
