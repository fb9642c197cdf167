package session

import (
	"slices"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// closingPhase is what a closing session waits for.
type closingPhase uint8

const (
	notClosing closingPhase = iota
	awaitAck                // dialler: channel.close is written
	awaitPeer               // acceptor: acknowledged, the dialler is to close the WebSocket
	awaitEnd                // the WebSocket close handshake runs
)

// Session is one channel. Make it with New.
type Session struct {
	cfg     Config
	out     []Effect // the effects of the step under way
	scratch []Effect
	pending map[string]request

	at   time.Time     // of the event under way
	base time.Time     // of the first event; what is remembered is relative to it
	now  time.Duration // at - base

	timers    timers
	numbers   numbers
	count     Counters
	channelID string
	openID    string // message id of the channel.open that awaits its accept
	epoch     uint64

	state      protocol.State
	phase      closingPhase
	up         bool // a connection is up
	opened     bool // and the channel is open on it
	everOpened bool
	pando      bool // both sides have CapPando
	pinged     bool // a ping is out and nothing has come since
	dialling   bool // an attempt is under way
	started    bool // base is set
	peak       uint16

	attempts int // redials since the last quiet period
	openedAt time.Duration
	lastSeen time.Duration

	lastFailure *Error // of the outage under way

	endCode   int // what EffectClosed will say
	endReason string
	endErr    error
}

// New returns a session in state connecting. The only error is an *Error with
// CodeInvalidConfig.
func New(cfg Config) (*Session, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Session{cfg: cfg, channelID: cfg.ChannelID, state: protocol.StateConnecting}
	s.dialling = cfg.Role == Dialler
	s.timers.init()
	return s, nil
}

// State returns where the channel stands.
func (s *Session) State() protocol.State { return s.state }

// Step takes one event and returns what is to be done, in order. The slice
// and what it refers to are valid until the next Step.
func (s *Session) Step(ev *Event) []Effect {
	s.scratch = s.AppendStep(s.scratch[:0], ev)
	return s.scratch
}

// AppendStep is Step with the caller's memory: it appends the effects to dst
// and keeps nothing of it. Many idle sessions can share one buffer that way,
// and do not hold on to their last message.
func (s *Session) AppendStep(dst []Effect, ev *Event) []Effect {
	if s.state == protocol.StateClosed {
		return dst
	}
	if !s.started {
		s.base, s.started = ev.At, true
	}
	s.at, s.now = ev.At, ev.At.Sub(s.base)
	s.out = dst
	s.dispatch(ev)
	s.arm()
	out := s.out
	s.out = nil
	return out
}

func (s *Session) dispatch(ev *Event) {
	switch ev.Kind {
	case EventReceived:
		s.received(ev)
	case EventSend:
		s.send(ev)
	case EventAlive:
		if s.current(ev.Epoch) {
			s.seen()
		}
	case EventTick:
		s.tick()
	case EventCancel:
		s.cancel(ev.ID)
	case EventConnected:
		s.connected(ev.Epoch)
	case EventLost:
		if s.current(ev.Epoch) {
			s.connectionEnded(ev.Code, ev.Reason, ev.Err, ev.Final)
		}
	case EventDialFailed:
		s.dialFailed(ev.Err, ev.Final)
	case EventCloseAsked:
		s.closeAsked(ev.Code, ev.Reason)
	}
}

// current tells the connection that is up from one that is history.
func (s *Session) current(epoch uint64) bool { return s.up && epoch == s.epoch }

// emit appends an effect; the pointer is good until the next emit.
func (s *Session) emit(kind EffectKind) *Effect {
	n := len(s.out)
	s.out = slices.Grow(s.out, 1)[:n+1]
	e := &s.out[n]
	*e = Effect{}
	e.Kind = kind
	return e
}

// write emits a message of this side and returns it; the pointer is good until
// the next emit.
func (s *Session) write(id, typ string, data []byte, replyTo string, control bool) *protocol.Envelope {
	if id == "" {
		id = s.cfg.NewID()
	}
	e := s.emit(EffectWrite)
	e.Control = control
	e.Epoch = s.epoch
	m := &e.Message // in place: a literal would be built elsewhere and copied
	m.MessageID = id
	m.ChannelID = s.channelID
	m.Sequence = s.numbers.next()
	m.Time = s.at
	m.Sender = s.cfg.Self
	m.Recipient = s.cfg.Peer
	m.ReplyTo = replyTo
	m.Type = typ
	m.Data = data
	return m
}

func (s *Session) drop(why, id string) {
	s.count.Dropped++
	e := s.emit(EffectDropped)
	e.Reason = why
	e.ID = id
}

func (s *Session) setState(to protocol.State) {
	if s.state == to {
		return
	}
	e := s.emit(EffectStateChanged)
	e.From, e.To = s.state, to
	if to == protocol.StateReconnecting {
		e.Err = s.lastFailure
	}
	s.state = to
}

// endAs remembers what EffectClosed is to say; the first cause stands.
func (s *Session) endAs(code int, reason string, err error) {
	if s.endCode == 0 {
		s.endCode, s.endReason, s.endErr = code, reason, err
	}
}

// finish is the end of the session.
func (s *Session) finish() {
	s.failPending(FailClosed)
	s.up = false
	s.timers.init()
	s.setState(protocol.StateClosed)
	e := s.emit(EffectClosed)
	e.Code, e.Reason, e.Err = s.endCode, s.endReason, s.endErr
}
