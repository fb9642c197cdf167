package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/supervisor"
)

// Table holds the named actors of one agent. The zero Table is empty and ready
// for use. It is safe for concurrent use.
type Table struct {
	mu     sync.RWMutex
	byName map[string]*entry
	byType map[string]*entry // of messages that are for no actor by name
}

// ErrName says that an actor cannot have a name, or a message type: it is taken,
// or not valid.
var ErrName = errors.New("name cannot be used")

// entry is one named actor.
type entry struct {
	name  string
	ref   any // an actors.Ref
	stats func() supervisor.Stats
	*exposure
}

// exposure is what makes an actor one that others can reach.
type exposure struct {
	types  []string
	byType bool
	peers  map[string]struct{} // nil: everybody who has a channel
	named  []namedError
	open   func(messageType string, data []byte) (*parcel, error)
	number func() uint64
	onDown func(generation uint64, f func(actors.Down)) (unwatch func() bool)
	waits  bool
	stuck  atomic.Bool // it had no room the last time

	dropped atomic.Uint64
}

// parcel is a message that has been decoded.
type parcel struct {
	reply bool
	// deliver puts it in the mailbox. cancel says that nobody waits for the
	// answer any more.
	deliver func(ctx context.Context, answer func(any, error)) (cancel func(error), err error)
}

// Name enters an actor under a name, for its own agent.
func Name[M any](t *Table, name string, ref actors.Ref[M]) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[name] != nil {
		return fmt.Errorf("%w: there is an actor %s", ErrName, name)
	}
	t.enter(&entry{name: name, ref: ref, stats: ref.Stats})
	return nil
}

func (t *Table) enter(e *entry) {
	if t.byName == nil {
		t.byName = make(map[string]*entry)
	}
	t.byName[e.name] = e
}

// Remove takes an actor out, and what exposes it.
func (t *Table) Remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byName[name]
	delete(t.byName, name)
	t.dropTypes(e)
}

func (t *Table) dropTypes(e *entry) {
	for k, v := range t.byType {
		if v == e {
			delete(t.byType, k)
		}
	}
}

// Exposing says who may reach an actor.
type Exposing struct {
	// Peers are the agents that may; nil means all that have a channel to this
	// one, which takes the permission of both.
	Peers []string
	// ByType also gives the actor the messages of its protocol that are for no
	// actor by name: those of peers that speak plain protocol 1.0.
	ByType bool
}

// Expose lets other agents reach an actor of this agent under a name, with the
// messages of p. The name may be new, or that of the same actor.
func Expose[M any](t *Table, name string, ref actors.Ref[M], p *Protocol[M], x Exposing) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	e := &entry{name: name, ref: ref, stats: ref.Stats, exposure: &exposure{
		types: p.Names(), byType: x.ByType, named: p.errors, number: ref.Generation, onDown: ref.OnDownOf, waits: ref.Waits(),
		open: func(messageType string, data []byte) (*parcel, error) { return p.open(ref, messageType, data) },
	}}
	if x.Peers != nil {
		e.peers = make(map[string]struct{}, len(x.Peers))
		for _, id := range x.Peers {
			e.peers[id] = struct{}{}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.byName[name]
	if old != nil && old.ref != any(ref) {
		return fmt.Errorf("%w: there is another actor %s", ErrName, name)
	}
	if x.ByType {
		for n := range p.kinds {
			if other := t.byType[n]; other != nil && other != old {
				return fmt.Errorf("%w: actor %s takes messages of type %s", ErrName, other.name, n)
			}
		}
	}
	t.dropTypes(old)
	t.enter(e)
	for n := range p.kinds {
		if !x.ByType {
			break
		}
		if t.byType == nil {
			t.byType = make(map[string]*entry)
		}
		t.byType[n] = e
	}
	return nil
}

// Lookup returns the actor of that name: the way of its own agent.
func Lookup[M any](t *Table, name string) (actors.Ref[M], error) {
	t.mu.RLock()
	e := t.byName[name]
	t.mu.RUnlock()
	if e != nil {
		if ref, ok := e.ref.(actors.Ref[M]); ok {
			return ref, nil
		}
	}
	return actors.Ref[M]{}, fmt.Errorf("actor %s: %w", name, actors.ErrNoActor)
}

// TakesType reports whether an actor takes messages of that type that are for no
// actor by name.
func (t *Table) TakesType(messageType string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byType[messageType] != nil
}

// find returns the actor that a message is for, if its sender may reach it.
func (t *Table) find(peer, actor, messageType string) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.byName[actor]
	if actor == "" {
		e = t.byType[messageType]
	}
	if e == nil || e.exposure == nil {
		return nil
	}
	if _, ok := e.peers[peer]; e.peers != nil && !ok {
		return nil
	}
	return e
}

// Handle delivers a message that has come over a channel: it is a handler that
// answers later. Which actors there are, hidden ones included, cannot be seen
// from what is refused.
func (t *Table) Handle(_ context.Context, m *channel.Message) (any, error) {
	asked := m.Timeout > 0 || m.Actor == "" && m.Type != protocol.TypeEvent
	e := t.find(m.Peer, m.Actor, m.Type)
	var p *parcel
	err := error(Refusal)
	if e != nil {
		p, err = e.open(m.Type, m.Data)
	}
	if err != nil && m.Actor == "" && refused(err) {
		err = &channel.RemoteError{Code: protocol.CodeUnsupportedType, Message: "unsupported message type: " + clip(m.Type)}
	}
	switch {
	case err != nil && asked:
		return nil, err
	case err != nil:
		return (*channel.Reply)(nil), nil
	case !asked || !p.reply:
		if _, err := e.ask(p, nil); err != nil && asked {
			return nil, err
		}
		if asked && m.Actor != "" {
			return json.RawMessage(empty), nil
		}
		if asked {
			return nil, nil
		}
		return (*channel.Reply)(nil), nil
	}
	promise, err := m.Promise()
	if err != nil {
		return nil, err
	}
	cancel, err := e.ask(p, func(v any, err error) { e.answer(promise, v, err) })
	if err != nil {
		promise.Answer(nil, err)
		return channel.Later, nil
	}
	promise.OnBroken(cancel)
	return channel.Later, nil
}

func refused(err error) bool {
	var told *channel.RemoteError
	return errors.As(err, &told) && told.Code == CodeNoActor
}

// answer tells the asker. Errors that it has no business with are logged by the
// channel.
func (x *exposure) answer(promise *channel.Promise, v any, err error) {
	if err != nil {
		if told := failure(x.named, err); told != nil {
			err = told
		}
		promise.Answer(nil, err)
		return
	}
	data, err := encodeAnswer(v)
	if err != nil {
		err = fmt.Errorf("encode answer: %w", err)
	}
	promise.Answer(json.RawMessage(data), err)
}

// roomPatience is how long a message from afar waits for room in a mailbox that
// had some the last time. Those behind it wait with it.
const roomPatience = 100 * time.Millisecond

// atOnce is the context of deliveries that do not wait.
var atOnce = actors.Impatient(context.Background())

// ask puts a message in the mailbox; a nil answer is for those that want none.
func (e *entry) ask(p *parcel, answer func(any, error)) (cancel func(error), err error) {
	cancel, err = p.deliver(atOnce, answer)
	if !errors.Is(err, actors.ErrMailboxFull) {
		e.stuck.Store(false)
		return cancel, e.told(err)
	}
	if e.waits && !e.stuck.Load() {
		ctx, done := context.WithTimeout(context.Background(), roomPatience)
		defer done()
		cancel, err = p.deliver(ctx, answer)
		e.stuck.Store(errors.Is(err, actors.ErrMailboxFull))
	}
	if err != nil && answer == nil {
		e.dropped.Add(1)
	}
	if e.waits && errors.Is(err, actors.ErrMailboxFull) {
		return nil, errBusy
	}
	return cancel, e.told(err)
}

func (x *exposure) told(err error) error {
	if err == nil {
		return nil
	}
	if told := failure(x.named, err); told != nil {
		return told
	}
	return err
}

// open decodes a message.
func (p *Protocol[M]) open(ref actors.Ref[M], messageType string, data []byte) (*parcel, error) {
	k := p.kinds[messageType]
	if k == nil {
		return nil, Refusal
	}
	pointer, message := k.make()
	if err := decode(data, pointer); err != nil {
		return nil, &channel.RemoteError{Code: protocol.CodeInvalidContent, Message: err.Error()}
	}
	return &parcel{reply: k.reply, deliver: func(ctx context.Context, answer func(any, error)) (func(error), error) {
		err := actors.Deliver(ctx, ref, pointer, func() M { return message().(M) }, answer)
		if err != nil || answer == nil {
			return nil, err
		}
		pending, _ := actors.Pending(pointer)
		return func(err error) { pending.Fail(err) }, nil
	}}, nil
}

// Watch calls f once, when an incarnation of the actor has ended: that with the
// number generation, or, if it is 0, the one in charge. It returns the number.
// False means that the peer cannot reach such an actor.
func (t *Table) Watch(peer, actor string, generation uint64, f func(End)) (_ uint64, unwatch func() bool, ok bool) {
	e := t.find(peer, actor, "")
	if e == nil || actor == "" {
		return 0, nil, false
	}
	if generation == 0 {
		generation = e.number()
	}
	return generation, e.onDown(generation, func(d actors.Down) { f(ending(e.named, d)) }), true
}

// Info is what there is to see of a named actor.
type Info struct {
	Name    string           `json:"name"`
	Exposed bool             `json:"exposed"`
	Peers   []string         `json:"peers"` // null: all
	Types   []string         `json:"types,omitempty"`
	ByType  bool             `json:"by_type,omitempty"`
	Mailbox supervisor.Stats `json:"-"`
	// Dropped counts messages from afar that found no room.
	Dropped uint64 `json:"dropped"`
}

// List returns the named actors, sorted by name.
func (t *Table) List() []Info {
	t.mu.RLock()
	list := make([]Info, 0, len(t.byName))
	for _, e := range t.byName {
		i := Info{Name: e.name, Mailbox: e.stats()}
		if x := e.exposure; x != nil {
			i.Exposed, i.Types, i.ByType, i.Dropped = true, x.types, x.byType, x.dropped.Load()
			if x.peers != nil {
				i.Peers = make([]string, 0, len(x.peers))
			}
			for id := range x.peers {
				i.Peers = append(i.Peers, id)
			}
			slices.Sort(i.Peers)
		}
		list = append(list, i)
	}
	t.mu.RUnlock()
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list
}
