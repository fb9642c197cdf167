package session

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/pando-agents/pando/protocol"
)

// TestScenarios runs the texts under testdata, which are also the manual of
// this package; run with -rewrite to write their results anew. Commands:
//
//	new role=… [peer=…] [caps=(…)] [heartbeat=… wait=… …]
//	connected [epoch=N]             a connection is up; the next epoch
//	receive type=… [id= reply-to= sender= channel= seq= epoch=]   data below
//	alive [epoch=N]
//	send TYPE [id= reply-to= deadline=D epoch=N]   "request" waits for a reply
//	cancel id=…
//	tick D                          D goes by; ticks come when asked for
//	lost CODE [reason=(…)] [final] [epoch=N]
//	dial-failed [final]
//	close [reason=(…)] [code=N]
//	snapshot
func TestScenarios(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		t.Parallel()
		p := &player{start: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return p.run(t, d)
		})
	})
}

// player carries out the commands of one scenario.
type player struct {
	start  time.Time
	now    time.Time
	c      *checker
	role   Role
	peer   string
	epoch  uint64
	ids    int // message ids of this side: m1, m2 …
	peers  int // and of the other: p1, p2 …
	output strings.Builder
}

func (p *player) run(t *testing.T, d *datadriven.TestData) string {
	p.output.Reset()
	if d.Cmd == "new" {
		p.create(t, d)
		return p.output.String()
	}
	if d.Cmd == "snapshot" {
		return p.snapshot()
	}
	if d.Cmd == "tick" {
		p.pass(t, duration(t, d.CmdArgs[0].Key))
	} else {
		p.step(t, p.event(t, d))
	}
	if p.output.Len() == 0 {
		return "nothing\n"
	}
	return p.output.String()
}

func (p *player) create(t *testing.T, d *datadriven.TestData) {
	cfg := Config{
		Role: Dialler, Self: "alice", Peer: "bob",
		NewID: func() string { p.ids++; return "m" + strconv.Itoa(p.ids) },
		Rand:  func() float64 { return 1 },
	}
	for _, arg := range d.CmdArgs {
		if err := configure(t, &cfg, arg); err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	if cfg.Role == Dialler && !d.HasArg("channel") {
		cfg.ChannelID = "ch"
	}
	*p = player{start: p.start, now: p.start, role: cfg.Role, peer: cfg.Peer}
	c, err := newChecker(cfg)
	if err != nil {
		fmt.Fprintf(&p.output, "error: %v\n", err)
		return
	}
	p.c = c
	fmt.Fprintf(&p.output, "%v\n", c.s.State())
}

func configure(t *testing.T, cfg *Config, arg datadriven.CmdArg) error {
	one := strings.Join(arg.Vals, ", ")
	durations := map[string]*time.Duration{
		"heartbeat": &cfg.Heartbeat, "ping-interval": &cfg.PingInterval, "pong-timeout": &cfg.PongTimeout,
		"open-timeout": &cfg.OpenTimeout, "close-timeout": &cfg.CloseTimeout, "close-grace": &cfg.CloseGrace,
		"max-reconnect": &cfg.MaxReconnect, "wait": &cfg.Wait,
		"backoff-initial": &cfg.Backoff.Initial, "backoff-max": &cfg.Backoff.Max,
	}
	if into, ok := durations[arg.Key]; ok {
		*into = duration(t, one)
		return nil
	}
	switch arg.Key {
	case "role":
		if one == "acceptor" {
			cfg.Role, cfg.Self, cfg.Peer = Acceptor, "bob", "alice"
		}
	case "peer":
		cfg.Peer = one
	case "channel":
		cfg.ChannelID = one
	case "caps":
		cfg.Capabilities = arg.Vals
	case "max-pending":
		cfg.MaxPending, _ = strconv.Atoi(one)
	case "rand":
		f, err := strconv.ParseFloat(one, 64)
		cfg.Rand = func() float64 { return f }
		return err
	case "retry-first":
		cfg.RetryFirst = true
	default:
		return fmt.Errorf("unknown setting %q", arg.Key)
	}
	return nil
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var eventOf = map[string]EventKind{
	"connected": EventConnected, "receive": EventReceived, "alive": EventAlive, "send": EventSend,
	"cancel": EventCancel, "lost": EventLost, "dial-failed": EventDialFailed, "close": EventCloseAsked,
}

// event translates a command.
func (p *player) event(t *testing.T, d *datadriven.TestData) *Event {
	ev := &Event{Kind: eventOf[d.Cmd], Epoch: p.c.epoch, At: p.now}
	text := func(key string) string {
		arg, _ := d.Arg(key)
		return strings.Join(arg.Vals, ", ")
	}
	number := func(key string) uint64 {
		n, err := strconv.ParseUint(text(key), 10, 64)
		if err != nil {
			d.Fatalf(t, "%s: %v", key, err)
		}
		return n
	}
	switch ev.Kind {
	case EventConnected:
		if !d.HasArg("epoch") {
			p.epoch++
		}
		ev.Epoch = p.epoch
	case EventReceived:
		p.peers++
		ev.Message = protocol.Envelope{
			MessageID: "p" + strconv.Itoa(p.peers), ChannelID: "ch", Sender: p.peer,
			Type: text("type"), ReplyTo: text("reply-to"), Actor: text("actor"), Data: []byte(d.Input),
		}
		p.overrideMeta(d, &ev.Message, text)
	case EventSend:
		if ev.Type = d.CmdArgs[0].Key; ev.Type == "untyped" {
			ev.Type = ""
		}
		ev.Request = ev.Type == protocol.TypeRequest
		ev.ID, ev.ReplyTo, ev.Data, ev.Epoch = text("id"), text("reply-to"), []byte(d.Input), 0
		ev.Actor = text("actor")
		if d.HasArg("deadline") {
			ev.Deadline = p.now.Add(duration(t, text("deadline")))
		}
	case EventCancel:
		ev.ID = text("id")
	case EventLost:
		ev.Code, _ = strconv.Atoi(d.CmdArgs[0].Key)
		ev.Reason, ev.Final = text("reason"), d.HasArg("final")
	case EventDialFailed:
		ev.Err, ev.Final = errors.New("connection refused"), d.HasArg("final")
	case EventCloseAsked:
		ev.Reason = text("reason")
		if d.HasArg("code") {
			ev.Code = int(number("code"))
		}
	case EventAlive:
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	if d.HasArg("epoch") {
		ev.Epoch = number("epoch")
	}
	return ev
}

func (p *player) overrideMeta(d *datadriven.TestData, m *protocol.Envelope, text func(string) string) {
	if d.HasArg("id") {
		m.MessageID = text("id")
	}
	if d.HasArg("sender") {
		m.Sender = text("sender")
	}
	if d.HasArg("channel") {
		m.ChannelID = text("channel")
	}
	m.Sequence, _ = strconv.ParseInt(text("seq"), 10, 64)
}

// pass lets time go by, ticking whenever the session asked for it.
func (p *player) pass(t *testing.T, d time.Duration) {
	end := p.now.Add(d)
	for at := p.c.armed; !at.IsZero() && !at.After(end); at = p.c.armed {
		p.now = at
		fmt.Fprintf(&p.output, "[%v]\n", p.now.Sub(p.start))
		p.step(t, &Event{Kind: EventTick, At: p.now})
	}
	p.now = end
}

func (p *player) step(t *testing.T, ev *Event) {
	effects, err := p.c.step(ev)
	for i := range effects {
		p.show(&effects[i])
	}
	if err != nil {
		t.Errorf("after %v: %v", ev.Kind, err)
	}
}

func (p *player) show(e *Effect) {
	words := []string{e.Kind.String()}
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	switch e.Kind {
	case EffectWrite:
		words = append(words, p.message(&e.Message, true)...)
		if e.Control {
			add("control")
		}
	case EffectDeliver:
		words = append(words, p.message(&e.Message, false)...)
	case EffectResolve:
		add("%s with %s", e.ID, strings.Join(p.message(&e.Message, false), " "))
	case EffectFail, EffectDropped:
		add("%s %s", e.ID, e.Reason)
	case EffectOpened:
		add("peer has %v", e.Capabilities)
		if e.Reopened {
			add("again")
		}
	case EffectDisconnect:
		add("%d %q", e.Code, e.Reason)
	case EffectArm:
		words = []string{"next tick " + e.At.Sub(p.start).String()}
	case EffectStateChanged:
		words = []string{fmt.Sprintf("%v -> %v", e.From, e.To)}
	case EffectClosed:
		add("%d %q", e.Code, e.Reason)
	}
	if e.Err != nil {
		add("(%v)", e.Err)
	}
	if e.Epoch > 1 {
		add("epoch=%d", e.Epoch)
	}
	p.output.WriteString(strings.Join(words, " ") + "\n")
}

func (p *player) message(m *protocol.Envelope, written bool) []string {
	words := []string{m.Type, m.MessageID}
	if m.ReplyTo != "" {
		words = append(words, "reply-to="+m.ReplyTo)
	}
	if m.Actor != "" {
		words = append(words, fmt.Sprintf("actor=%s waits=%dms", m.Actor, m.Timeout))
	}
	if written {
		words = append(words, "seq="+strconv.FormatInt(m.Sequence, 10))
	}
	if m.ChannelID != "ch" {
		words = append(words, "channel="+m.ChannelID)
	}
	if len(m.Data) > 0 {
		words = append(words, string(m.Data))
	}
	return words
}

func (p *player) snapshot() string {
	v := p.c.s.Snapshot()
	text := fmt.Sprintf("%v channel=%s epoch=%d up=%v pando=%v sent=%d received=%d gaps=%d pending=%d attempts=%d\n%+v\n",
		v.State, v.ChannelID, v.Epoch, v.Connected, v.Pando, v.Sent, v.Received, v.Gaps, v.Pending, v.Attempts, v.Counters)
	if !v.NextDial.IsZero() {
		text += fmt.Sprintf("next dial %v\n", v.NextDial.Sub(p.start))
	}
	return text
}
