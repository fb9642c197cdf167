package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"
)

// links is what a shell has that protoactor-go knows of. Most have none. Its
// fields are guarded by the mutex of the Process.
type links struct {
	pid      *actor.PID
	watchers []*actor.PID
	gone     bool // the watchers have been told
}

var _ actor.Mailbox = (*mailbox[int])(nil)

// PID returns the address of the actor for code of protoactor-go. It is
// registered when it is first asked for, and belongs to the mailbox: a restart
// keeps it, an abandonment takes it away. It is nil while the actor is stopped.
func (r Ref[M]) PID() *actor.PID {
	p := r.process
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shell.Load()
	if s == nil {
		return nil
	}
	if s.links == nil {
		// Not through Props: its actor context brings the machinery that the
		// shell replaces, and half a kilobyte for each actor.
		registry := p.sys.protoSystem().ProcessRegistry
		pid, _ := registry.Add(actor.NewActorProcess(&s.box), registry.NextID()+"/"+p.spec.Name)
		s.links = &links{pid: pid}
	}
	return s.links.pid
}

// unregister takes the PID out of the process registry and tells the
// protoactor-go actors that watch it. Nobody registers it any more: the Process
// has forgotten the shell.
func (s *shell[M]) unregister() {
	s.p.mu.Lock()
	l := s.links
	if l == nil {
		s.p.mu.Unlock()
		return
	}
	watchers := l.watchers
	l.watchers, l.gone = nil, true
	s.p.mu.Unlock()
	s.p.sys.protoSystem().ProcessRegistry.Remove(l.pid)
	for _, w := range watchers {
		s.terminated(w)
	}
}

// watch takes a protoactor-go actor that wants to hear of the end; one that
// comes too late hears of it at once.
func (s *shell[M]) watch(watcher *actor.PID) {
	s.p.mu.Lock()
	gone := s.links.gone
	if !gone {
		s.links.watchers = append(s.links.watchers, watcher)
	}
	s.p.mu.Unlock()
	if gone {
		s.terminated(watcher)
	}
}

func (s *shell[M]) unwatch(watcher *actor.PID) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.links.watchers = slices.DeleteFunc(s.links.watchers, watcher.Equal)
}

func (s *shell[M]) terminated(watcher *actor.PID) {
	if process, ok := s.p.sys.protoSystem().ProcessRegistry.Get(watcher); ok {
		process.SendSystemMessage(watcher, &actor.Terminated{Who: s.links.pid})
	}
}

// PostUserMessage is how protoactor-go code reaches the actor through its PID.
// It has no way to refuse: what is not an M, or finds no room, is a dead letter.
func (m *mailbox[M]) PostUserMessage(message any) {
	_, body, _ := actor.UnwrapEnvelope(message)
	v, ok := body.(M)
	if !ok {
		m.owner.p.lost(body, ErrNotRun)
		return
	}
	if err := m.push(v); err != nil && err != errDropped {
		m.owner.p.lost(v, err)
	}
}

// PostSystemMessage takes protoactor-go's own system messages. Whoever has the
// PID may hold on to this mailbox after its end.
func (m *mailbox[M]) PostSystemMessage(message any) {
	if w, ok := message.(*actor.Watch); !m.pushSystem(message) && ok {
		m.owner.terminated(w.Watcher)
	}
}

// RegisterHandlers is part of actor.Mailbox. The shell has registered itself.
func (m *mailbox[M]) RegisterHandlers(actor.MessageInvoker, actor.Dispatcher) {}

// Start is part of actor.Mailbox; there is nothing to do.
func (m *mailbox[M]) Start() {}

// UserMessageCount returns the user messages waiting.
func (m *mailbox[M]) UserMessageCount() int {
	waiting, _, _ := m.load()
	return waiting
}
