package identity

import (
	"context"
	"sync"
	"time"
)

// ReplayStore remembers which proofs were used. Insert is one atomic step: it
// reports true for exactly one of all calls with the same key until expires
// has passed, also when they come at the same time. An error, such as
// ErrReplayStoreFull, means that the proof must not be accepted. A store that
// forgets when it restarts also has a method Since() time.Time; proofs issued
// before that time are refused.
type ReplayStore interface {
	Insert(ctx context.Context, key string, expires time.Time) (fresh bool, err error)
}

// defaultReplayEntries holds 120 s of more than a thousand handshakes a second.
const defaultReplayEntries = 1 << 17

// ReplayMemory is a ReplayStore in memory. It is safe for concurrent use and never blocks.
type ReplayMemory struct {
	now   func() time.Time
	max   int
	since time.Time

	mu    sync.Mutex
	seen  map[string]struct{}
	order []replayEntry // in the order of insertion, which is nearly that of expiry
	head  int           // order[:head] has been forgotten
}

type replayEntry struct {
	key     string
	expires time.Time
}

// NewReplayMemory returns an empty store for at most limit keys: beyond that
// Insert fails until some expire. 0 means 131072, about 20 MiB when full. now
// defaults to time.Now.
func NewReplayMemory(limit int, now func() time.Time) *ReplayMemory {
	if limit <= 0 {
		limit = defaultReplayEntries
	}
	if now == nil {
		now = time.Now
	}
	return &ReplayMemory{now: now, max: limit, since: now(), seen: map[string]struct{}{}}
}

// Since returns when the store started to remember.
func (m *ReplayMemory) Since() time.Time { return m.since }

// Insert implements ReplayStore. It fails with ErrReplayStoreFull only.
func (m *ReplayMemory) Insert(_ context.Context, key string, expires time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	if _, found := m.seen[key]; found {
		return false, nil
	}
	if len(m.seen) >= m.max {
		return false, fail(ErrReplayStoreFull, "remember proof", "%d proofs already", m.max)
	}
	m.seen[key] = struct{}{}
	m.order = append(m.order, replayEntry{key, expires})
	return true, nil
}

// forget drops expired keys from the front. One that expires earlier than its
// predecessors waits for them, which costs memory but never lets a replay in.
func (m *ReplayMemory) forget() {
	now := m.now()
	for m.head < len(m.order) && now.After(m.order[m.head].expires) {
		delete(m.seen, m.order[m.head].key)
		m.order[m.head] = replayEntry{}
		m.head++
	}
	if m.head > 0 && m.head*2 >= len(m.order) {
		n := copy(m.order, m.order[m.head:])
		clear(m.order[n:])
		m.order, m.head = m.order[:n], 0
	}
}
