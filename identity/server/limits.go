package server

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Rate is a number of requests per period. All of them may come at once; after
// that they are let through evenly. The zero Rate means the default of its field,
// a negative Requests means no limit.
type Rate struct {
	Requests int
	Per      time.Duration // default one minute
}

// Limits bound what clients can ask for. Zero fields mean the defaults.
type Limits struct {
	Address   Rate // all requests of one client address (IPv6: of one /64); default 120,000 a minute
	Principal Rate // requests of one authenticated agent, provider or operator; default 30,000 a minute
	Register  Rate // provider registrations, which need no credentials, per address; default 600 a minute

	AgentsPerUnclaimedProvider int // default 1000
	PermissionsPerAgent        int // default 1000
	Connections                int // open at once in Serve; default 4096
}

func (l Limits) withDefaults() Limits {
	rate := func(r *Rate, n int) {
		if r.Requests == 0 {
			r.Requests = n
		}
		if r.Per <= 0 {
			r.Per = time.Minute
		}
	}
	rate(&l.Address, 120_000)
	rate(&l.Principal, 30_000)
	rate(&l.Register, 600)
	for _, d := range []struct {
		field *int
		value int
	}{{&l.AgentsPerUnclaimedProvider, 1000}, {&l.PermissionsPerAgent, 1000}, {&l.Connections, 4096}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return l
}

// maxKeys bounds a limiter's memory. Whoever comes when it is full of clients
// that are still being counted shares one count with all the others who do.
const maxKeys = 1 << 16

// limiter counts per key with the generic cell rate algorithm: one time per key,
// the one at which its bucket will be full again.
type limiter struct {
	gap, burst time.Duration
	now        func() time.Time

	mu    sync.Mutex
	full  map[string]time.Time
	swept time.Time
}

func newLimiter(r Rate, now func() time.Time) *limiter {
	if r.Requests < 0 {
		return nil
	}
	return &limiter{gap: max(1, r.Per/time.Duration(r.Requests)), burst: r.Per, now: now, full: map[string]time.Time{}}
}

// take counts one request. A positive result refuses it and says how long to wait.
func (l *limiter) take(key string) time.Duration {
	if l == nil {
		return 0
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	full, known := l.full[key]
	if !known && len(l.full) >= maxKeys {
		l.forgetIdle(now)
		if len(l.full) >= maxKeys {
			key = ""
			full = l.full[key]
		}
	}
	if full.Before(now) {
		full = now
	}
	if last := now.Add(l.burst); full.After(last) { // the clock was put back
		full = last
		l.full[key] = full
	}
	full = full.Add(l.gap)
	if wait := full.Sub(now) - l.burst; wait > 0 {
		return wait
	}
	l.full[key] = full
	return 0
}

// forgetIdle looks at every key, so it does that once a second at most.
func (l *limiter) forgetIdle(now time.Time) {
	if age := now.Sub(l.swept); age >= 0 && age < time.Second {
		return
	}
	l.swept = now
	for key, full := range l.full {
		if !full.After(now) {
			delete(l.full, key)
		}
	}
}

// addressOf is the key under which a client address is counted: an IPv6 user
// usually has a whole /64 to choose from.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64)
	return p.String()
}
