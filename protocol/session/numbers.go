package session

// numbers counts messages in both directions. Nothing is enforced: 1.0
// acceptors number everything 0 or 1, and the control lane may overtake. What
// is kept is what a resumed connection has to agree on.
type numbers struct {
	sent     int64 // last number written; goes on over connections
	received int64 // highest number seen on this connection
	gaps     uint64
}

func (n *numbers) next() int64 {
	n.sent++
	return n.sent
}

// connected starts the peer's side anew: what an earlier connection of a peer
// reached says nothing about this one until both agree on it.
func (n *numbers) connected() { n.received = 0 }

func (n *numbers) arrived(seq int64) {
	if seq <= n.received {
		return
	}
	if n.received > 0 && seq != n.received+1 {
		n.gaps++
	}
	n.received = seq
}
