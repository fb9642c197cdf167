package registry

import (
	"slices"
	"sync/atomic"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
)

type queryKind uint8

const (
	askOpen queryKind = iota
	askAccept
	askID
	askPeer
	askAll
	askCrash
	tellClosed
)

// query is what the registry actor is asked.
type query struct {
	kind   queryKind
	config channel.Config
	env    *channel.Env
	id     string
	gone   *channel.Channel
	reply  chan answer
	taken  atomic.Bool // by the registrar, or back by an asker who left
}

type answer struct {
	channel *channel.Channel
	spawned bool // the asker is the one to start it
	list    []*channel.Channel
	err     error
}

// NotHandled tells the asker that the actor failed or stopped.
func (q *query) NotHandled(err error) {
	if q.reply != nil {
		q.reply <- answer{err: err}
	}
}

// target is what dialled channels are shared by.
type target struct{ peer, url string }

// registrar is one incarnation of the registry actor: the index.
type registrar struct {
	records  *records
	byID     map[string]*channel.Channel
	byPeer   map[string]map[*channel.Channel]struct{}
	byTarget map[target]*channel.Channel
}

var _ actors.Starter[*query] = (*registrar)(nil)

// Start rebuilds the index from the records.
func (x *registrar) Start(*actors.Context[*query]) error {
	x.byID = map[string]*channel.Channel{}
	x.byPeer = map[string]map[*channel.Channel]struct{}{}
	x.byTarget = map[target]*channel.Channel{}
	for _, ch := range x.records.all() {
		x.enter(ch)
	}
	return nil
}

// Receive answers one query. It never waits for anything. A query whose asker
// has left is not looked at: a channel spawned for it would never be started,
// and be in everybody's way.
func (x *registrar) Receive(_ *actors.Context[*query], q *query) {
	if q.taken.Swap(true) {
		return
	}
	switch q.kind {
	case askOpen:
		q.reply <- x.open(q)
	case askAccept:
		q.reply <- x.accept(q)
	case askID:
		ch := x.byID[q.id]
		if ch == nil {
			q.reply <- answer{err: ErrNotFound}
			return
		}
		q.reply <- answer{channel: ch}
	case askPeer:
		q.reply <- answer{list: x.with(q.id)}
	case askAll:
		q.reply <- answer{list: x.records.all()}
	case tellClosed:
		x.forget(q.gone)
	case askCrash:
		panic("registry actor was told to crash")
	}
}

// open finds the channel to a target or spawns it: asking one actor makes it a
// single flight.
func (x *registrar) open(q *query) answer {
	ch := x.byTarget[target{q.config.Peer, q.config.URL}]
	if ch != nil && ch.Err() == nil {
		return answer{channel: ch}
	}
	return x.spawn(q)
}

// accept finds the channel that a peer wants to take up again, or spawns one.
func (x *registrar) accept(q *query) answer {
	ch := x.byID[q.config.ID]
	switch {
	case ch == nil || ch.Err() != nil:
		return x.spawn(q)
	case ch.Peer() == q.config.Peer && ch.URL() == "" && ch.Resumable():
		return answer{channel: ch}
	}
	return answer{err: ErrInUse}
}

func (x *registrar) spawn(q *query) answer {
	ch, err := channel.New(q.env, q.config)
	if err != nil {
		return answer{err: err}
	}
	if err := x.records.add(ch); err != nil {
		return answer{err: err}
	}
	x.enter(ch)
	return answer{channel: ch, spawned: true}
}

func (x *registrar) enter(ch *channel.Channel) {
	x.byID[ch.ID()] = ch
	if x.byPeer[ch.Peer()] == nil {
		x.byPeer[ch.Peer()] = map[*channel.Channel]struct{}{}
	}
	x.byPeer[ch.Peer()][ch] = struct{}{}
	if ch.URL() != "" {
		x.byTarget[target{ch.Peer(), ch.URL()}] = ch
	}
}

func (x *registrar) forget(ch *channel.Channel) {
	if x.byID[ch.ID()] == ch {
		delete(x.byID, ch.ID())
	}
	if t := (target{ch.Peer(), ch.URL()}); x.byTarget[t] == ch {
		delete(x.byTarget, t)
	}
	delete(x.byPeer[ch.Peer()], ch)
	if len(x.byPeer[ch.Peer()]) == 0 {
		delete(x.byPeer, ch.Peer())
	}
}

// with lists the channels with peer, oldest first.
func (x *registrar) with(peer string) []*channel.Channel {
	list := make([]*channel.Channel, 0, len(x.byPeer[peer]))
	for ch := range x.byPeer[peer] {
		list = append(list, ch)
	}
	slices.SortFunc(list, func(a, b *channel.Channel) int { return a.Since().Compare(b.Since()) })
	return list
}
