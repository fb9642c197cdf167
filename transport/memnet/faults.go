package memnet

import "time"

// SetLatency sets how long data takes on the connections to a listener's address
// or host, on open ones for what is written from now on.
func (n *Network) SetLatency(addr string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency[addr] = d
	for c := range n.conns {
		if matches(addr, string(c.remote)) {
			c.in.setLatency(d)
			c.out.setLatency(d)
		}
	}
}

// Cut resets all connections from or to addr; both ends see a reset at once.
// New connections can be made.
func (n *Network) Cut(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if (link{a: addr}).covers(string(c.local), string(c.remote)) {
			c.in.reset()
			c.out.reset()
			delete(n.conns, c)
		}
	}
}

// Refuse makes new dials to addr fail, or no longer fail. Open connections stay.
func (n *Network) Refuse(addr string, refuse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if refuse {
		n.refused[addr] = true
	} else {
		delete(n.refused, addr)
	}
}

// Freeze stops everything from and to addr, without an error on either side:
// data stays on the way, writes block when the buffers are full, dials wait.
// [Network.Heal] lets it go on.
func (n *Network) Freeze(addr string) { n.freeze(link{a: addr}, false) }

// Partition freezes what is between two addresses or hosts.
func (n *Network) Partition(a, b string) { n.freeze(link{a, b}, false) }

// HalfOpen makes the connections of addr those of a host that has vanished: no
// data arrives, and nobody is told. Heal resets them: the host is back and does
// not know them.
func (n *Network) HalfOpen(addr string) { n.freeze(link{a: addr}, true) }

func (n *Network) freeze(l link, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen[l] = lost
	for c := range n.conns {
		if l.covers(string(c.local), string(c.remote)) {
			c.in.freeze(true)
			c.out.freeze(true)
			c.lost = c.lost || lost
		}
	}
}

// Heal ends every Freeze, Partition and HalfOpen that names addr.
func (n *Network) Heal(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.frozen {
		if l.a == addr || l.b == addr {
			delete(n.frozen, l)
		}
	}
	for c := range n.conns {
		if n.isFrozen(c) {
			continue
		}
		if c.lost {
			c.in.reset()
			c.out.reset()
			delete(n.conns, c)
			continue
		}
		c.in.freeze(false)
		c.out.freeze(false)
	}
	close(n.healed)
	n.healed = make(chan struct{})
}

func (n *Network) isFrozen(c *conn) bool {
	for l := range n.frozen {
		if l.covers(string(c.local), string(c.remote)) {
			return true
		}
	}
	return false
}
