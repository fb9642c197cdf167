package registry

import (
	"slices"
	"sync"

	"github.com/pando-agents/pando/actors/channel"
)

// records are the channels of an agent, kept where no crash of an actor reaches
// them.
type records struct {
	max, maxPerPeer int

	mu     sync.Mutex
	live   map[string]*channel.Channel // by Channel.Key
	byPeer map[string]int
}

func newRecords(o Options) *records {
	if o.MaxChannels <= 0 {
		o.MaxChannels = 100_000
	}
	if o.MaxPerPeer <= 0 {
		o.MaxPerPeer = 1024
	}
	return &records{
		max: o.MaxChannels, maxPerPeer: o.MaxPerPeer,
		live: map[string]*channel.Channel{}, byPeer: map[string]int{},
	}
}

// add enters a channel, within the limits.
func (rs *records) add(ch *channel.Channel) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.live) >= rs.max || rs.byPeer[ch.Peer()] >= rs.maxPerPeer {
		return ErrLimit
	}
	rs.live[ch.Key()] = ch
	rs.byPeer[ch.Peer()]++
	return nil
}

func (rs *records) remove(ch *channel.Channel) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.live[ch.Key()] != ch {
		return
	}
	delete(rs.live, ch.Key())
	if rs.byPeer[ch.Peer()]--; rs.byPeer[ch.Peer()] == 0 {
		delete(rs.byPeer, ch.Peer())
	}
}

func (rs *records) byKey(key string) *channel.Channel {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.live[key]
}

func (rs *records) full(peer string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.live) < rs.max && rs.byPeer[peer] < rs.maxPerPeer {
		return false
	}
	for _, ch := range rs.live {
		if ch.Peer() == peer && ch.Waiting() {
			return false // it may come to take that one up again
		}
	}
	return true
}

// all returns the channels, oldest first.
func (rs *records) all() []*channel.Channel {
	rs.mu.Lock()
	list := make([]*channel.Channel, 0, len(rs.live))
	for _, ch := range rs.live {
		list = append(list, ch)
	}
	rs.mu.Unlock()
	slices.SortFunc(list, func(a, b *channel.Channel) int { return a.Since().Compare(b.Since()) })
	return list
}
