package pando

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/internal/ring"
	"github.com/pando-agents/pando/registry"
)

// links are the ways of one agent to the others.
type links struct {
	agent *Agent
	ctx   context.Context // ends with the agent
	stop  context.CancelFunc
	work  sync.WaitGroup // goroutines of links

	mu      sync.Mutex
	closed  bool
	byPeer  map[string]*peerLink
	watched map[*Channel]map[string]func() bool // what peers watch here
}

func (ls *links) init(a *Agent) {
	ls.agent = a
	ls.ctx, ls.stop = context.WithCancel(context.Background())
}

// to returns the link to an agent.
func (ls *links) to(peer string) *peerLink {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byPeer[peer]
	if l == nil {
		if ls.byPeer == nil {
			ls.byPeer = make(map[string]*peerLink)
		}
		l = &peerLink{links: ls, agent: ls.agent, peer: peer}
		ls.byPeer[peer] = l
	}
	return l
}

// find returns the link to an agent if there is one.
func (ls *links) find(peer string) *peerLink {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.byPeer[peer]
}

// spawn runs f until the agent has gone. False means that it has.
func (ls *links) spawn(f func()) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return false
	}
	ls.work.Go(f)
	return true
}

// close ends what the links do. The channels have ended already.
func (ls *links) close() {
	ls.mu.Lock()
	ls.closed = true
	all := make([]*peerLink, 0, len(ls.byPeer))
	for _, l := range ls.byPeer {
		all = append(all, l)
	}
	ls.mu.Unlock()
	ls.stop()
	for _, l := range all {
		l.lose(nil, ErrShuttingDown)
	}
	ls.work.Wait()
}

// What a link keeps of messages from actors, which do not wait, until there is a
// connection and room on it.
const (
	outboxMessages = 1024
	outboxBytes    = 4 << 20
)

// againAfter is how long after a failed attempt to reach an agent messages from
// actors are given up at once.
const againAfter = 500 * time.Millisecond

// peerLink is the way to one agent: a channel that either side has opened,
// found or made when it is needed.
type peerLink struct {
	links *links
	agent *Agent
	peer  string
	ch    atomic.Pointer[Channel]

	mu      sync.Mutex
	outbox  ring.Ring[*parcel]
	bytes   int
	pumping bool
	failed  time.Time // when the agent could not be reached
	why     error
	watches map[string]*watch
	alarm   func() bool // stops the timer that gives the watches up
}

var _ remote.Link = (*peerLink)(nil)

// parcel is a message that waits for its channel.
type parcel struct {
	to   remote.Address
	data []byte
	lost func(error)
}

// channel returns the channel to the peer, opened if there is none.
func (l *peerLink) channel(ctx context.Context) (*Channel, error) {
	if ch := l.ch.Load(); ch != nil && usable(ch) {
		return ch, nil
	}
	a := l.agent
	list, err := a.registry.With(ctx, l.peer)
	if err != nil && !errors.Is(err, registry.ErrUnavailable) {
		return nil, l.explain(err)
	}
	var waiting *Channel
	for _, ch := range list {
		switch {
		case ch.State() == StateConnected:
			l.ch.Store(ch)
			return ch, nil
		case ch.Err() == nil:
			waiting = ch
		}
	}
	url, announced, err := a.endpoint(ctx, l.peer)
	if err != nil {
		if waiting != nil && actors.MayWait(ctx) {
			return waiting, nil // the peer may come back: it knows where we are
		}
		return nil, l.explain(err)
	}
	ch, err := a.openAt(ctx, l.peer, url, announced, &a.config)
	if err != nil {
		a.directory.Failed(l.peer)
		return nil, l.explain(err)
	}
	l.ch.Store(ch)
	return ch, nil
}

// usable reports whether messages may be given to a channel: it is open, or this
// side will open it again.
func usable(ch *Channel) bool {
	switch ch.State() {
	case StateConnected:
		return true
	case StateConnecting, StateReconnecting:
		return ch.URL() != ""
	}
	return false
}

// explain gives an error of a channel the meaning that it has for actors.
func (l *peerLink) explain(err error) error {
	var told *RemoteError
	if err == nil || errors.As(err, &told) {
		return err
	}
	meaning := actors.ErrUnreachable
	switch {
	case errors.Is(err, ErrRefused), errors.Is(err, ErrTooLarge), errors.Is(err, ErrShuttingDown),
		errors.Is(err, actors.ErrNoActor), errors.Is(err, ErrInvalid):
		return err
	case errors.Is(err, ErrTimeout):
		meaning = context.DeadlineExceeded
	case errors.Is(err, ErrCanceled):
		meaning = context.Canceled
	case errors.Is(err, ErrTooManyPending):
		meaning = actors.ErrMailboxFull
	case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, ErrClosed), errors.Is(err, ErrLost):
		meaning = actors.ErrLost
	}
	if errors.Is(err, meaning) {
		return err
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

// knows says whether the peer of an open channel can take a message.
func knows(ch *Channel, to remote.Address) error {
	if to.Actor != "" && !ch.Resumable() {
		return fmt.Errorf("%w: agent %s knows no actors", actors.ErrNoActor, ch.Peer())
	}
	return nil
}

// Ask sends a request and returns the data of the answer.
func (l *peerLink) Ask(ctx context.Context, to remote.Address, data []byte) ([]byte, error) {
	ch, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := knows(ch, to); err != nil {
		return nil, err
	}
	m, err := ch.RequestTo(ctx, to.Actor, to.Type, data)
	if err != nil {
		return nil, l.explain(err)
	}
	return m.Data, nil
}

// open is channel that also waits until it is open: what the peer can do is
// known then.
func (l *peerLink) open(ctx context.Context) (*Channel, error) {
	ch, err := l.channel(ctx)
	if err != nil {
		return nil, err
	}
	if ch.State() != StateConnected {
		if err := ch.WaitOpen(ctx); err != nil {
			return nil, l.explain(err)
		}
	}
	return ch, nil
}

// Tell sends a message, or, for an actor, leaves it in the outbox.
func (l *peerLink) Tell(ctx context.Context, to remote.Address, data []byte, lost func(error)) error {
	if !actors.MayWait(ctx) {
		return l.post(to, data, lost)
	}
	ch, err := l.open(ctx)
	if err != nil {
		return err
	}
	if err := knows(ch, to); err != nil {
		return err
	}
	return l.explain(ch.SendTo(ctx, to.Actor, to.Type, data))
}

// post sends a message at once if it can, else leaves it in the outbox. It never
// waits.
func (l *peerLink) post(to remote.Address, data []byte, lost func(error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.pumping { // those who wait go first
		if ch := l.ch.Load(); ch != nil && ch.State() == StateConnected {
			if err := knows(ch, to); err != nil {
				return err
			}
			if taken, err := ch.TrySendTo(to.Actor, to.Type, data); taken || err != nil {
				return err
			}
		} else if l.why != nil && l.agent.env.Now().Sub(l.failed) < againAfter {
			return l.why
		}
	}
	if l.outbox.Len() >= outboxMessages || l.bytes+len(data) > outboxBytes && l.bytes > 0 {
		return actors.ErrMailboxFull
	}
	if !l.pumping {
		if !l.links.spawn(l.pump) {
			return ErrShuttingDown
		}
		l.pumping = true
	}
	l.outbox.Push(&parcel{to, data, lost})
	l.bytes += len(data)
	return nil
}

// pump sends what is in the outbox and ends when it is empty. What cannot be
// sent is lost, together with all that waits behind it: delivery is at most once,
// and never out of order.
func (l *peerLink) pump() {
	for {
		l.mu.Lock()
		p, ok := l.outbox.Peek()
		if !ok {
			l.pumping = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(l.links.ctx, l.agent.env.HandlerTimeout)
		err := l.Tell(ctx, p.to, p.data, nil)
		cancel()
		l.mu.Lock()
		dropped := []*parcel{}
		if err == nil || errors.Is(err, actors.ErrNoActor) || errors.Is(err, ErrTooLarge) {
			l.outbox.Pop()
			l.bytes -= len(p.data)
			if err != nil {
				dropped = append(dropped, p)
			}
		} else {
			l.failed, l.why, l.bytes = l.agent.env.Now(), err, 0
			for p, ok := l.outbox.Pop(); ok; p, ok = l.outbox.Pop() {
				dropped = append(dropped, p)
			}
		}
		l.mu.Unlock()
		l.drop(dropped, err)
	}
}

func (l *peerLink) drop(dropped []*parcel, err error) {
	if len(dropped) == 0 {
		return
	}
	l.agent.log.Warn("messages of actors lost", "peer", l.peer, "messages", len(dropped), "err", err)
	for _, p := range dropped {
		if p.lost != nil {
			l.guard(func() { p.lost(err) })
		}
	}
}

// guard keeps a panic of user code to itself.
func (l *peerLink) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.agent.log.Error("panic when told of a message or an actor", "peer", l.peer, "err", v)
		}
	}()
	f()
}
