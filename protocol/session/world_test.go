package session

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pando-agents/pando/protocol"
)

// op is one step of a random run, in four bytes, so that the properties and
// the fuzzer can share what they mean.
type op struct{ kind, a, b, c byte }

// world turns ops into events that make some sense where the session stands:
// mostly about the current connection, replies mostly to what waits.
type world struct {
	c     *checker
	now   time.Time
	epoch uint64
	ids   int
	last  string // id of the last message written
	trace []string
}

var (
	worldTypes = []string{
		protocol.TypeOpen, protocol.TypeAccept, protocol.TypeRequest, protocol.TypeResponse,
		protocol.TypeEvent, protocol.TypeError, protocol.TypeHeartbeat, protocol.TypeClose,
		protocol.TypeReject, "channel.other", "made.up", protocol.TypeAccept, protocol.TypeOpen,
	}
	worldData = []string{
		`{"protocol_version":"1.0","capabilities":["json","pando.1"]}`,
		`{"protocol_version":"1.0","capabilities":["json"]}`,
		`{"acknowledged":true,"reason":"done"}`, `{"protocol_version":"2.0"}`, `{}`, ``, `[`,
		`{"protocol_version":"1.0","capabilities":["pando.1"]}`,
	}
	worldCodes = []int{1006, 1000, 1001, 1005, 1008, 1011, 1013, 4000, 0}
)

func newWorld(setup byte) (*world, error) {
	w := &world{now: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
	dice := 0
	cfg := Config{
		Role: Dialler, Self: "alice", Peer: "bob", ChannelID: "ch",
		NewID:      func() string { w.ids++; return "m" + strconv.Itoa(w.ids) },
		Rand:       func() float64 { dice++; return float64(dice%10) / 10 },
		MaxPending: 4,
		RetryFirst: setup&2 != 0,
	}
	if setup&1 != 0 {
		cfg.Role, cfg.Self, cfg.Peer, cfg.ChannelID = Acceptor, "bob", "alice", ""
	}
	if setup&4 != 0 {
		cfg.Heartbeat, cfg.MaxReconnect, cfg.Wait = 7*time.Second, time.Minute, time.Minute
	}
	if setup&8 != 0 {
		cfg.Wait = 30 * time.Second
	}
	c, err := newChecker(cfg)
	w.c = c
	if err == nil && setup&16 != 0 { // start with an open channel of two Pando peers
		first := byte(1) // channel.accept
		if cfg.Role == Acceptor {
			first = 0 // channel.open
		}
		if err = w.run([]op{{0, 0, 0, 0}, {1, first, 0, 0}}); err == nil && c.state != protocol.StateConnected {
			err = errors.New("did not open")
		}
	}
	return w, err
}

func (w *world) run(ops []op) error {
	for _, o := range ops {
		if err := w.step(w.event(o)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) step(ev *Event) error {
	effects, err := w.c.step(ev)
	w.trace = append(w.trace, fmt.Sprintf("%v %s", ev.Kind, ev.At.Format("05.000")))
	for i := range effects {
		e := &effects[i]
		w.trace = append(w.trace, fmt.Sprintf("  %v %q %q %d %v %q", e.Kind, e.ID, e.Reason, e.Code, e.At, e.Message.Type))
		if e.Kind == EffectWrite {
			w.last = e.Message.MessageID
		}
	}
	return err
}

// event makes an event of an op. Kinds that end a channel are rarer.
func (w *world) event(o op) *Event {
	w.now = w.now.Add(time.Duration(o.c%5) * 300 * time.Millisecond)
	ev := &Event{At: w.now, Epoch: w.someEpoch(o.c >> 3)}
	switch o.kind % 16 {
	case 0:
		ev.Kind = EventConnected
		if o.a%4 != 3 {
			w.epoch++
			ev.Epoch = w.epoch
		}
	case 1, 2, 3, 4, 5:
		ev.Kind = EventReceived
		ev.Message = w.message(o)
	case 6, 7, 8:
		ev.Kind = EventSend
		ev.Type = worldTypes[2+int(o.a%3)]
		ev.Request = ev.Type == protocol.TypeRequest
		if o.b%8 != 0 {
			ev.ID = "r" + strconv.Itoa(int(o.b%8))
		}
		if o.b&8 != 0 {
			ev.Epoch = 0
		}
		if o.b&16 != 0 {
			ev.Deadline = w.now.Add(time.Duration(o.b>>4) * time.Second)
		}
	case 9:
		ev.Kind = EventCancel
		ev.ID = "r" + strconv.Itoa(int(o.b%8))
	case 10, 11, 12:
		ev.Kind = EventTick
		if o.a%4 != 3 && w.c.armed.After(w.now) {
			w.now = w.c.armed
			ev.At = w.now
		}
	case 13:
		ev.Kind = EventLost
		ev.Code = worldCodes[int(o.a)%len(worldCodes)]
		ev.Final = o.b%16 == 15
	case 14:
		ev.Kind, ev.Err, ev.Final = EventDialFailed, errors.New("refused"), o.b%16 == 15
	default:
		ev.Kind = EventAlive
		if o.a%8 == 7 {
			ev.Kind, ev.Code = EventCloseAsked, worldCodes[int(o.b)%len(worldCodes)]
		}
	}
	return ev
}

func (w *world) message(o op) protocol.Envelope {
	m := protocol.Envelope{
		MessageID: "p" + strconv.Itoa(int(o.b)), ChannelID: "ch", Sequence: int64(int8(o.b)),
		Sender: w.c.s.cfg.Peer, Type: worldTypes[int(o.a)%len(worldTypes)],
		Data: []byte(worldData[int(o.a>>4)%len(worldData)]),
	}
	switch o.b % 8 {
	case 1, 2, 3, 4:
		m.ReplyTo = "r" + strconv.Itoa(int(o.b>>4)%8)
	case 5:
		m.ReplyTo = w.last
	case 6:
		m.ReplyTo = "nobody"
	}
	switch o.c >> 3 {
	case 29:
		m.Sender = "mallory"
	case 30:
		m.Sender = ""
	case 31:
		m.ChannelID = ""
	}
	return m
}

func (w *world) someEpoch(b byte) uint64 {
	switch b % 8 {
	case 6:
		return w.epoch - min(w.epoch, 1)
	case 7:
		return w.epoch + 1
	}
	return w.c.epoch
}

// end closes the channel and lets time do the rest: whatever happened before,
// a session that is to close does so in bounded time.
func (w *world) end() error {
	if err := w.step(&Event{Kind: EventCloseAsked, At: w.now}); err != nil {
		return err
	}
	for range 10 {
		if w.c.closed {
			return nil
		}
		if w.c.armed.IsZero() {
			return errors.New("waits for nothing and is not closed")
		}
		if w.c.armed.After(w.now) {
			w.now = w.c.armed
		}
		if err := w.step(&Event{Kind: EventTick, At: w.now}); err != nil {
			return err
		}
	}
	return errors.New("does not close")
}
