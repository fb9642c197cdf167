package pando

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/protocol"
)

// The messages with which agents watch each other's actors.
const (
	typeWatch   = remote.Reserved + "watch"   // a request, for an actor
	typeUnwatch = remote.Reserved + "unwatch" // for the agent
	typeDown    = remote.Reserved + "down"    // for the agent
)

// maxWatches is how many watches a peer may have on one channel.
const maxWatches = 4096

// watchBody is the data of all of them.
type watchBody struct {
	Watch string `json:"watch"`
	// Instance is which life of an agent it is, Generation which one of the
	// actor: what a watch that is renewed after a broken connection expects, and
	// what the answer tells.
	Instance   string `json:"instance,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	// End is what typeDown tells.
	End *remote.End `json:"end,omitempty"`
}

// watch is one that an actor, or anybody, of this agent has on an actor of
// another.
type watch struct {
	link  *peerLink
	id    string
	actor string
	f     func(end remote.End, unknown error)
	over  atomic.Bool // f has been called, or must not be any more

	// Guarded by the mutex of the link.
	ch         *Channel // that it was agreed on
	instance   string
	generation uint64
}

// Watch asks the agent to tell when an actor ends.
func (l *peerLink) Watch(actor string, f func(end remote.End, unknown error)) (unwatch func() bool) {
	w := &watch{link: l, id: l.agent.env.NewID(), actor: actor, f: f}
	l.mu.Lock()
	if l.watches == nil {
		l.watches = make(map[string]*watch)
	}
	l.watches[w.id] = w
	l.mu.Unlock()
	if !l.links.spawn(w.agree) {
		w.tell(remote.End{}, ErrShuttingDown)
	}
	return w.stop
}

// agree asks the agent of the actor for the watch, or for its renewal.
func (w *watch) agree() {
	l := w.link
	ctx, cancel := context.WithTimeout(l.links.ctx, l.agent.env.ConnectTimeout)
	defer cancel()
	ch, err := l.open(ctx)
	if err == nil {
		err = knows(ch, remote.Address{Actor: w.actor})
	}
	if err != nil {
		w.refused(err)
		return
	}
	l.mu.Lock()
	body := watchBody{Watch: w.id, Instance: w.instance, Generation: w.generation}
	w.ch = ch // from now on its end is ours
	l.mu.Unlock()
	if ch.Err() != nil {
		w.tell(remote.End{}, ch.Err())
		return
	}
	if w.actor == "" {
		return // an agent without actors: its channel is all there is to watch
	}
	data, _ := json.Marshal(body)
	m, err := ch.RequestTo(ctx, w.actor, typeWatch, data)
	if err != nil {
		w.refused(err)
		return
	}
	if err := json.Unmarshal(m.Data, &body); err != nil {
		w.refused(err)
		return
	}
	l.mu.Lock()
	w.instance, w.generation = body.Instance, body.Generation
	l.mu.Unlock()
	if w.over.Load() {
		l.unwatch(w)
	}
}

// refused ends a watch that could not be agreed on. A connection that is lost
// meanwhile is no refusal: the watch is renewed when it comes back.
func (w *watch) refused(err error) {
	var told *RemoteError
	switch {
	case errors.As(err, &told):
		w.tell(remote.End{Code: told.Code, Message: told.Message}, nil)
	case errors.Is(err, actors.ErrNoActor):
		w.tell(remote.End{Code: remote.CodeNoActor}, nil)
	case errors.Is(err, ErrOutcomeUnknown):
	default:
		w.tell(remote.End{}, err)
	}
}

// tell ends the watch, once.
func (w *watch) tell(end remote.End, unknown error) {
	if w.over.Swap(true) {
		return
	}
	w.forget()
	if unknown != nil && !errors.Is(unknown, actors.ErrLost) {
		unknown = fmt.Errorf("%w: %w", actors.ErrLost, unknown)
	}
	w.link.guard(func() { w.f(end, unknown) })
}

func (w *watch) forget() {
	w.link.mu.Lock()
	delete(w.link.watches, w.id)
	w.link.mu.Unlock()
}

// stop takes the watch back. It reports whether it has prevented the call.
func (w *watch) stop() bool {
	if w.over.Swap(true) {
		return false
	}
	w.forget()
	w.link.unwatch(w)
	return true
}

// unwatch tells the agent of the actor, if that is easily done: it forgets the
// watch at the latest when the channel ends.
func (l *peerLink) unwatch(w *watch) {
	l.mu.Lock()
	ch := w.ch
	l.mu.Unlock()
	if ch == nil || w.actor == "" {
		return
	}
	data, _ := json.Marshal(watchBody{Watch: w.id})
	_, _ = ch.TrySendTo("", typeUnwatch, data)
}

// pick returns the watches for which want is true. want is called with the
// mutex held.
func (l *peerLink) pick(want func(*watch) bool) (list []*watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.watches {
		if want(w) {
			list = append(list, w)
		}
	}
	return list
}

// lose gives up the watches on one channel, or all if it is nil.
func (l *peerLink) lose(ch *Channel, why error) {
	for _, w := range l.pick(func(w *watch) bool { return ch == nil || w.ch == ch }) {
		w.tell(remote.End{}, why)
	}
}

// changed is called when a channel can be written to, has lost its connection or
// has ended. It does not wait.
func (ls *links) changed(ch *Channel, state protocol.State) {
	l := ls.find(ch.Peer())
	if state == StateClosed {
		ls.forgetWatched(ch)
	}
	if l == nil {
		return
	}
	switch state {
	case StateConnected:
		if old := l.ch.Load(); old == nil || !usable(old) {
			l.ch.CompareAndSwap(old, ch)
		}
		l.disarm()
		for _, w := range l.pick(func(w *watch) bool { return w.ch == ch }) {
			ls.spawn(w.agree)
		}
	case StateReconnecting:
		l.armFor(ch)
	case StateClosed:
		l.ch.CompareAndSwap(ch, nil)
		l.lose(ch, ch.Err())
	}
}

// armFor gives the watches on a channel up when its connection does not come
// back in time.
func (l *peerLink) armFor(ch *Channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watches) == 0 || l.alarm != nil {
		return
	}
	l.alarm = l.agent.env.AfterFunc(l.agent.config.timeouts.Lost, func() {
		l.mu.Lock()
		l.alarm = nil
		l.mu.Unlock()
		if ch.State() != StateConnected {
			l.lose(ch, fmt.Errorf("no connection for %v", l.agent.config.timeouts.Lost))
		}
	})
}

func (l *peerLink) disarm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alarm != nil {
		l.alarm()
		l.alarm = nil
	}
}

// The other side: what peers watch here.

// handleForActor handles a message of a peer that is for an actor of this agent.
func (a *Agent) handleForActor(ctx context.Context, m *Message) (any, error) {
	if strings.HasPrefix(m.Type, remote.Reserved) {
		return a.links.watchAsked(m)
	}
	return a.table.Handle(ctx, m)
}

// reservedSpec finds how the messages of agents among themselves are handled.
func (a *Agent) reservedSpec(messageType string) *channel.Spec {
	switch messageType {
	case typeDown, typeUnwatch:
		return a.reserved
	}
	return nil
}

func (a *Agent) handleReserved(_ context.Context, m *Message) (any, error) {
	none := (*Reply)(nil)
	var body watchBody
	if m.Decode(&body) != nil {
		return none, nil
	}
	switch m.Type {
	case typeUnwatch:
		a.links.unwatchAsked(m.Channel(), body.Watch)
	case typeDown:
		l := a.links.find(m.Peer)
		if l == nil || body.End == nil {
			return none, nil
		}
		l.mu.Lock()
		w := l.watches[body.Watch]
		l.mu.Unlock()
		if w != nil {
			w.tell(*body.End, nil)
		}
	}
	return none, nil
}

// watchAsked answers a peer that wants to watch an actor, or to go on.
func (ls *links) watchAsked(m *Message) (any, error) {
	var body watchBody
	if m.Type != typeWatch || m.Decode(&body) != nil || body.Watch == "" || m.Timeout == 0 {
		return nil, remote.Refusal
	}
	ch, id := m.Channel(), strings.Clone(body.Watch)
	instance := ls.agent.instance
	if body.Instance != "" && body.Instance != instance {
		return nil, &RemoteError{Code: remote.CodeStopped, Message: "the agent has been started again"}
	}
	ls.unwatchAsked(ch, id)
	if !ls.reserve(ch, id) {
		return nil, &RemoteError{Code: protocol.CodeOverloaded, Message: "too many watches"}
	}
	generation, unwatch, ok := ls.agent.table.Watch(m.Peer, m.Actor, body.Generation, func(end remote.End) {
		ls.unwatchAsked(ch, id)
		ls.tellDown(ch, id, end)
	})
	if !ok {
		ls.unwatchAsked(ch, id)
		return nil, remote.Refusal
	}
	ls.keep(ch, id, unwatch)
	return watchBody{Watch: id, Instance: instance, Generation: generation}, nil
}

// reserve makes room for a watch of a peer.
func (ls *links) reserve(ch *Channel, id string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || ch.Err() != nil || len(ls.watched[ch]) >= maxWatches {
		return false
	}
	if ls.watched == nil {
		ls.watched = make(map[*Channel]map[string]func() bool)
	}
	if ls.watched[ch] == nil {
		ls.watched[ch] = make(map[string]func() bool)
	}
	ls.watched[ch][id] = func() bool { return false }
	return true
}

// keep notes how a watch is ended, unless it has been meanwhile.
func (ls *links) keep(ch *Channel, id string, unwatch func() bool) {
	ls.mu.Lock()
	_, there := ls.watched[ch][id]
	if there {
		ls.watched[ch][id] = unwatch
	}
	ls.mu.Unlock()
	if !there {
		unwatch()
	}
}

func (ls *links) unwatchAsked(ch *Channel, id string) {
	ls.mu.Lock()
	unwatch := ls.watched[ch][id]
	delete(ls.watched[ch], id)
	ls.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
}

// forgetWatched ends what a peer watches through a channel that has ended.
func (ls *links) forgetWatched(ch *Channel) {
	ls.mu.Lock()
	all := ls.watched[ch]
	delete(ls.watched, ch)
	ls.mu.Unlock()
	for _, unwatch := range all {
		unwatch()
	}
}

// tellDown tells a peer of an end. What cannot be written now is written when
// the channel is open again.
func (ls *links) tellDown(ch *Channel, id string, end remote.End) {
	data, _ := json.Marshal(watchBody{Watch: id, End: &end})
	if taken, _ := ch.TrySendTo("", typeDown, data); taken {
		return
	}
	ls.spawn(func() {
		ctx, cancel := context.WithTimeout(ls.ctx, ls.agent.env.HandlerTimeout)
		defer cancel()
		_ = ch.SendTo(ctx, "", typeDown, data)
	})
}
