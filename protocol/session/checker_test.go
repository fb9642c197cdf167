package session

import (
	"bytes"
	"fmt"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// checker runs a session and holds every step against the promises of the
// package. The scenarios, the properties and the fuzzer all go through it.
type checker struct {
	s       *Session
	role    Role
	state   protocol.State
	epoch   uint64 // of the last connection the session took
	up      bool   // as far as can be told from outside
	seq     int64
	first   bool            // nothing written on this connection yet
	pending map[string]bool // requests written and not ended
	closed  bool
	armed   time.Time // zero when no tick is asked for
}

// standing is what a new connection replaces.
type standing struct {
	epoch     uint64
	up, first bool
}

func newChecker(cfg Config) (*checker, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	return &checker{s: s, role: cfg.Role, state: s.State(), pending: map[string]bool{}}, nil
}

// step takes one event through the session. The error names a broken promise.
func (c *checker) step(ev *Event) ([]Effect, error) {
	stale := c.stale(ev)
	taken := ev.Kind == EventConnected && ev.Epoch > c.epoch && !c.closed
	before := standing{c.epoch, c.up, c.first}
	if taken {
		c.epoch, c.up, c.first = ev.Epoch, true, true
	}
	if ev.Kind == EventTick {
		c.armed = time.Time{}
	}
	if ev.Kind == EventCancel {
		delete(c.pending, ev.ID)
	}
	wasClosed := c.closed
	effects := c.s.Step(ev)
	if wasClosed && len(effects) > 0 {
		return effects, fmt.Errorf("%v after closed", effects[0].Kind)
	}
	if stale && len(effects) > 0 {
		return effects, fmt.Errorf("%v for an old epoch led to %v", ev.Kind, effects[0].Kind)
	}
	if ev.Kind == EventLost && !stale {
		c.up = false
	}
	for i := range effects {
		if err := c.effect(ev, &effects[i], before); err != nil {
			return effects, err
		}
		if effects[i].Kind == EffectClosed && i != len(effects)-1 {
			return effects, fmt.Errorf("%v after closed", effects[i+1].Kind)
		}
	}
	return effects, c.after(ev, effects)
}

func (c *checker) stale(ev *Event) bool {
	switch ev.Kind {
	case EventReceived, EventAlive, EventLost:
		return !c.up || ev.Epoch != c.epoch
	case EventConnected:
		return ev.Epoch <= c.epoch
	}
	return false
}

func (c *checker) effect(ev *Event, e *Effect, before standing) error {
	switch e.Kind {
	case EffectWrite:
		return c.write(ev, e)
	case EffectResolve, EffectFail:
		if !c.pending[e.ID] && (e.Kind == EffectResolve || ev.Kind != EventSend) {
			return fmt.Errorf("%v of %q, which does not wait", e.Kind, e.ID)
		}
		if ev.Kind != EventSend {
			delete(c.pending, e.ID)
		}
	case EffectStateChanged:
		if e.From != c.state || e.To == e.From {
			return fmt.Errorf("state went %v to %v from %v", e.From, e.To, c.state)
		}
		c.state = e.To
	case EffectDisconnect:
		if len(e.Reason) > maxCloseReason {
			return fmt.Errorf("close reason of %d bytes", len(e.Reason))
		}
		if ev.Kind == EventConnected && e.Epoch == ev.Epoch {
			c.epoch, c.up, c.first = before.epoch, before.up, before.first // turned away
		}
	case EffectAbort, EffectPing:
		if e.Epoch != c.epoch && e.Epoch != before.epoch {
			return fmt.Errorf("%v of epoch %d, now is %d", e.Kind, e.Epoch, c.epoch)
		}
	case EffectArm:
		if !c.armed.IsZero() && !e.At.Before(c.armed) {
			return fmt.Errorf("armed for %v, which is not before %v", e.At, c.armed)
		}
		c.armed = e.At
	case EffectDial:
		if c.role != Dialler {
			return fmt.Errorf("an acceptor dials")
		}
	case EffectClosed:
		c.closed, c.armed = true, time.Time{}
		if len(c.pending) > 0 {
			return fmt.Errorf("closed while %d requests wait", len(c.pending))
		}
	}
	return nil
}

func (c *checker) write(ev *Event, e *Effect) error {
	m := &e.Message
	if m.Sequence != c.seq+1 {
		return fmt.Errorf("wrote number %d after %d", m.Sequence, c.seq)
	}
	c.seq = m.Sequence
	if !c.up || e.Epoch != c.epoch {
		return fmt.Errorf("wrote on epoch %d, now is %d", e.Epoch, c.epoch)
	}
	if m.MessageID == "" || m.ChannelID == "" || m.Sender == "" || m.Recipient == "" || !m.Time.Equal(ev.At) {
		return fmt.Errorf("incomplete envelope %+v", *m)
	}
	if c.role == Acceptor {
		ack := m.Type == protocol.TypeClose && bytes.Contains(m.Data, []byte(`"acknowledged":true`))
		switch {
		case c.first != (m.Type == protocol.TypeAccept):
			return fmt.Errorf("acceptor wrote %s, first on this connection: %v", m.Type, c.first)
		case m.Type == protocol.TypeReject, m.Type == protocol.TypeOpen,
			m.Type == protocol.TypeClose && !ack,
			m.Type == protocol.TypeHeartbeat && ev.Kind != EventReceived:
			return fmt.Errorf("acceptor wrote %s of its own", m.Type)
		}
	} else if c.first != (m.Type == protocol.TypeOpen) {
		return fmt.Errorf("dialler wrote %s, first on this connection: %v", m.Type, c.first)
	}
	c.first = false
	if ev.Kind == EventSend && ev.Request {
		c.pending[m.MessageID] = true
	}
	return nil
}

// after checks what has to hold between steps.
func (c *checker) after(ev *Event, effects []Effect) error {
	v := c.s.Snapshot()
	switch {
	case v.State != c.state:
		return fmt.Errorf("state %v was not announced, last was %v", v.State, c.state)
	case c.closed != (v.State == protocol.StateClosed):
		return fmt.Errorf("state %v, closed %v", v.State, c.closed)
	case v.Pending != len(c.pending):
		return fmt.Errorf("%d requests wait, expected %d", v.Pending, len(c.pending))
	case v.Epoch != c.epoch:
		return fmt.Errorf("epoch %d, expected %d", v.Epoch, c.epoch)
	case c.closed && v.Connected:
		return fmt.Errorf("closed with a connection")
	case c.closed:
		return nil
	case c.s.timers.earliest() < c.s.timers.armed:
		return fmt.Errorf("something is due before the next tick")
	case v.State == protocol.StateConnected && !v.Connected:
		return fmt.Errorf("connected without a connection")
	}
	if ev.Kind == EventSend {
		ends := 0
		for i := range effects {
			switch effects[i].Kind {
			case EffectWrite, EffectFail, EffectDropped:
				ends++
			}
		}
		if ends != 1 {
			return fmt.Errorf("%d outcomes of one send", ends)
		}
	}
	return nil
}
