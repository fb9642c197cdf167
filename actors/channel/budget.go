package channel

import (
	"context"
	"sync"
)

// budget is a number of bytes that may be under way at once. One that is larger
// than all of it passes alone, so that nothing waits for ever.
type budget struct {
	mu   sync.Mutex
	max  int
	used int
	wake chan struct{} // closed when bytes come back; nil while nobody waits
}

// try takes n bytes if it need not wait for them.
func (b *budget) try(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > 0 && b.used+n > b.max {
		return false
	}
	b.used += n
	return true
}

// acquire takes n bytes, waiting for them until ctx ends or stop is closed.
func (b *budget) acquire(ctx context.Context, stop <-chan struct{}, n int) bool {
	for {
		b.mu.Lock()
		if b.used == 0 || b.used+n <= b.max {
			b.used += n
			b.mu.Unlock()
			return true
		}
		if b.wake == nil {
			b.wake = make(chan struct{})
		}
		wake := b.wake
		b.mu.Unlock()
		select {
		case <-wake:
		case <-stop:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// release gives n bytes back.
func (b *budget) release(n int) {
	b.mu.Lock()
	b.used -= n
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
	b.mu.Unlock()
}

// drained returns a channel that is closed when bytes come back; nil when none
// are under way.
func (b *budget) drained() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used == 0 {
		return nil
	}
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}
