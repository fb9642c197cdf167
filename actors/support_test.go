package actors

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is an actor made of functions, each of which may be nil.
type probe struct {
	receive func(c *Context[any], m any)
	start   func(c *Context[any]) error
	stop    func(reason error)
	idle    func()
}

func (p *probe) Receive(c *Context[any], m any) {
	if f, ok := m.(func()); ok {
		f()
		return
	}
	if p.receive != nil {
		p.receive(c, m)
	}
}

func (p *probe) Start(c *Context[any]) error {
	if p.start == nil {
		return nil
	}
	return p.start(c)
}

func (p *probe) Stop(reason error) {
	if p.stop != nil {
		p.stop(reason)
	}
}

func (p *probe) Idle() {
	if p.idle != nil {
		p.idle()
	}
}

type exited struct {
	generation uint64
	reason     error
}

// rig is an actor and its supervisor, which is the test.
type rig struct {
	*Process[any]
	t     *testing.T
	sys   *System
	exits chan exited
	logs  *logBuffer
}

func newRig(t *testing.T, capacity int, factory func() Actor[any]) *rig {
	t.Helper()
	logs := &logBuffer{}
	sys := NewSystem(SystemOptions{Logger: slog.New(slog.NewTextHandler(logs, nil))})
	r := &rig{t: t, sys: sys, exits: make(chan exited, 64), logs: logs}
	r.Process = New(sys, Spec[any]{Name: "probe", Capacity: capacity, New: factory})
	t.Cleanup(func() {
		r.Kill(nil)
		sys.Close()
	})
	return r
}

// running returns a rig whose first incarnation has started.
func running(t *testing.T, capacity int, p *probe) *rig {
	t.Helper()
	r := newRig(t, capacity, func() Actor[any] { return p })
	r.mustStart(1)
	return r
}

func (r *rig) start(ctx context.Context, generation uint64) error {
	return r.Start(ctx, supervisor.Incarnation{Generation: generation, Exit: func(reason error) {
		r.exits <- exited{generation, reason}
	}})
}

func (r *rig) mustStart(generation uint64) {
	r.t.Helper()
	if err := r.start(r.t.Context(), generation); err != nil {
		r.t.Fatalf("start of incarnation %d: %v", generation, err)
	}
}

// tell sends messages, which must be accepted.
func (r *rig) tell(messages ...any) {
	r.t.Helper()
	for _, m := range messages {
		if err := r.Ref().Tell(r.t.Context(), m); err != nil {
			r.t.Fatalf("tell %v: %v", m, err)
		}
	}
}

// ended returns how the next incarnation ends.
func (r *rig) ended(generation uint64) error {
	r.t.Helper()
	e := <-r.exits
	if e.generation != generation {
		r.t.Fatalf("incarnation %d ended (%v), want the end of %d", e.generation, e.reason, generation)
	}
	return e.reason
}

// noMoreEnds fails the test when an end was told that nobody has asked for.
func (r *rig) noMoreEnds() {
	r.t.Helper()
	select {
	case e := <-r.exits:
		r.t.Fatalf("incarnation %d ended once more: %v", e.generation, e.reason)
	default:
	}
}

// hold keeps the actor in user code until release is called. It returns when
// the actor is there.
func (r *rig) hold() (release func()) {
	r.t.Helper()
	there, gate := make(chan struct{}), make(chan struct{})
	r.tell(func() { close(there); <-gate })
	<-there
	release = sync.OnceFunc(func() { close(gate) })
	r.t.Cleanup(release)
	return release
}

// letter is a message that counts what becomes of it.
type letter struct {
	n      int
	mu     sync.Mutex
	lost   []error
	isLost chan struct{} // closed when it is lost
}

func newLetters(n int) []*letter {
	letters := make([]*letter, n)
	for i := range letters {
		letters[i] = &letter{n: i, isLost: make(chan struct{})}
	}
	return letters
}

func (l *letter) NotHandled(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, err)
	if len(l.lost) == 1 {
		close(l.isLost)
	}
}

func (l *letter) losses() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.lost...)
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
