package session

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/protocol"
)

var start = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

func testConfig(role Role) Config {
	return Config{
		Role: role, Self: "alice", Peer: "bob", ChannelID: "ch",
		NewID: func() string { return "m" },
		Rand:  func() float64 { return 1 },
	}
}

// openSession returns a dialler with an open channel of two Pando peers.
func openSession(t testing.TB) *Session {
	t.Helper()
	s, err := New(testConfig(Dialler))
	if err != nil {
		t.Fatal(err)
	}
	s.Step(&Event{Kind: EventConnected, Epoch: 1, At: start})
	s.Step(&Event{Kind: EventReceived, Epoch: 1, At: start, Message: protocol.Envelope{
		Type: protocol.TypeAccept, Data: protocol.OpenData([]string{CapPando}),
	}})
	if s.State() != protocol.StateConnected {
		t.Fatalf("state %v", s.State())
	}
	return s
}

func TestConfigThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Config){
		"no role":           func(c *Config) { c.Role = 0 },
		"unknown role":      func(c *Config) { c.Role = 3 },
		"no self":           func(c *Config) { c.Self = "" },
		"no peer":           func(c *Config) { c.Peer = "" },
		"no channel id":     func(c *Config) { c.ChannelID = "" },
		"long channel id":   func(c *Config) { c.ChannelID = strings.Repeat("x", 129) },
		"no ids":            func(c *Config) { c.NewID = nil },
		"no randomness":     func(c *Config) { c.Rand = nil },
		"negative limit":    func(c *Config) { c.MaxPending = -1 },
		"negative time":     func(c *Config) { c.CloseGrace = -1 },
		"shrinking backoff": func(c *Config) { c.Backoff.Factor = 0.5 },
	} {
		cfg := testConfig(Dialler)
		spoil(&cfg)
		s, err := New(cfg)
		if s != nil || !errors.Is(err, &Error{Code: CodeInvalidConfig}) {
			t.Errorf("%s: session %v, error %v", name, s, err)
		}
	}
	cfg := testConfig(Acceptor)
	cfg.ChannelID, cfg.Rand = "", nil
	if _, err := New(cfg); err != nil {
		t.Errorf("acceptor without channel id and randomness: %v", err)
	}
}

func TestAcceptorWithAChannelIDTakesNoOther(t *testing.T) {
	t.Parallel()
	s, err := New(testConfig(Acceptor))
	if err != nil {
		t.Fatal(err)
	}
	s.Step(&Event{Kind: EventConnected, Epoch: 1, At: start})
	got := s.Step(&Event{Kind: EventReceived, Epoch: 1, At: start, Message: protocol.Envelope{
		Type: protocol.TypeOpen, ChannelID: "other",
	}})
	if len(got) == 0 || got[0].Kind != EffectDisconnect || got[0].Code != 1008 {
		t.Fatalf("effects %+v", got)
	}
}

func TestWrittenMessageIsACompleteEnvelope(t *testing.T) {
	t.Parallel()
	s := openSession(t)
	at := start.Add(3 * time.Second)
	got := s.Step(&Event{
		Kind: EventSend, At: at, ID: "e1", Type: "made.up", ReplyTo: "x", Data: []byte(`{"a":1}`),
	})
	if len(got) != 1 || got[0].Kind != EffectWrite || got[0].Epoch != 1 || got[0].Control {
		t.Fatalf("effects %+v", got)
	}
	m := got[0].Message
	if m.MessageID != "e1" || m.ChannelID != "ch" || m.Sequence != 2 || !m.Time.Equal(at) ||
		m.Sender != "alice" || m.Recipient != "bob" || m.ReplyTo != "x" || m.Type != "made.up" || string(m.Data) != `{"a":1}` {
		t.Fatalf("message %+v", m)
	}
}

func TestAppendStepKeepsNothingOfTheCallersMemory(t *testing.T) {
	t.Parallel()
	s := openSession(t)
	buf := make([]Effect, 1, 8)
	buf[0].Kind = EffectPing
	got := s.AppendStep(buf, &Event{Kind: EventSend, At: start, Type: "event"})
	if len(got) != 2 || got[0].Kind != EffectPing || got[1].Kind != EffectWrite || &got[0] != &buf[0] {
		t.Fatalf("effects %+v", got)
	}
	if s.out != nil {
		t.Fatal("the session still holds the buffer")
	}
}

func TestCauseOfAClosedChannelCanBeMatched(t *testing.T) {
	t.Parallel()
	cause := errors.New("handshake refused")
	s, err := New(testConfig(Dialler))
	if err != nil {
		t.Fatal(err)
	}
	got := s.Step(&Event{Kind: EventDialFailed, At: start, Err: cause})
	last := got[len(got)-1]
	if last.Kind != EffectClosed || !errors.Is(last.Err, &Error{Code: CodeOpenFailed}) || !errors.Is(last.Err, cause) {
		t.Fatalf("effect %+v", last)
	}
	if errors.Is(last.Err, &Error{Code: CodeLost}) {
		t.Fatal("matches another code")
	}
}

// The codes of RFC 6455 §7.4.1 after which it makes no sense to try again, and
// those of the application (§7.4.2).
func TestOnlySomeCloseCodesMakeADiallerStayAway(t *testing.T) {
	t.Parallel()
	final := map[int]bool{1000: true, 1002: true, 1003: true, 1005: true, 1007: true, 1008: true, 1010: true}
	for code := 1000; code < 5000; code++ {
		s := openSession(t)
		got := s.Step(&Event{Kind: EventLost, Epoch: 1, At: start, Code: code})
		last := got[len(got)-1]
		if want := final[code] || code >= 4000; (last.Kind == EffectClosed) != want {
			t.Errorf("after %d: %v", code, last.Kind)
		}
	}
}

func TestCloseReasonIsCutToFitACloseFrame(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"short":                     "short",
		"not \xff text":             "not  text",
		strings.Repeat("x", 200):    strings.Repeat("x", 123),
		strings.Repeat("ö", 100):    strings.Repeat("ö", 61),
		strings.Repeat("\xff", 200): "",
	} {
		s := openSession(t)
		got := s.Step(&Event{Kind: EventCloseAsked, At: start, Code: 1013, Reason: in})
		if got[0].Kind != EffectDisconnect || got[0].Reason != want {
			t.Errorf("%q became %q", in, got[0].Reason)
		}
	}
}

// A burst of requests must not leave its map behind in an idle channel.
func TestMemoryOfManyPendingRequestsIsGivenBack(t *testing.T) {
	t.Parallel()
	s := openSession(t)
	for i := range 1000 {
		s.Step(&Event{Kind: EventSend, At: start, ID: strconv.Itoa(i), Type: "request", Request: true})
	}
	for i := range 1000 {
		s.Step(&Event{Kind: EventReceived, Epoch: 1, At: start, Message: protocol.Envelope{
			Type: "response", ReplyTo: strconv.Itoa(i),
		}})
	}
	if v := s.Snapshot(); v.Pending != 0 || v.Counters.Resolved != 1000 {
		t.Fatalf("%+v", v)
	}
	if s.pending != nil {
		t.Fatal("the map is still there")
	}
}

func TestRequestAndReplyDoNotAllocate(t *testing.T) {
	s := openSession(t)
	exchange := exchanger(s)
	exchange()
	if n := testing.AllocsPerRun(1000, exchange); n != 0 {
		t.Fatalf("%v allocations for a request and its reply", n)
	}
}

// exchanger returns a function that sends a request with a deadline and takes
// its reply.
func exchanger(s *Session) func() {
	at := start
	send := Event{Kind: EventSend, ID: "r1", Type: "request", Data: []byte(`{"text":"hi"}`), Request: true}
	reply := Event{Kind: EventReceived, Epoch: 1, Message: protocol.Envelope{
		MessageID: "p1", ChannelID: "ch", Sequence: 1, Sender: "bob", ReplyTo: "r1", Type: "response", Data: []byte(`{}`),
	}}
	return func() {
		at = at.Add(time.Millisecond)
		send.At, send.Deadline, reply.At = at, at.Add(30*time.Second), at
		s.Step(&send)
		s.Step(&reply)
	}
}

// BenchmarkExchange compares one request and its reply with the least that
// could be done instead: remembering the id and forgetting it.
func BenchmarkExchange(b *testing.B) {
	b.Run("session", func(b *testing.B) {
		exchange := exchanger(openSession(b))
		b.ReportAllocs()
		for b.Loop() {
			exchange()
		}
	})
	b.Run("answer", func(b *testing.B) {
		s := openSession(b)
		in := Event{Kind: EventReceived, Epoch: 1, At: start, Message: protocol.Envelope{
			MessageID: "p1", ChannelID: "ch", Sender: "bob", Type: "request", Data: []byte(`{}`),
		}}
		out := Event{Kind: EventSend, At: start, Epoch: 1, ReplyTo: "p1", ID: "m", Type: "response", Data: []byte(`{}`)}
		b.ReportAllocs()
		for b.Loop() {
			s.Step(&in)
			s.Step(&out)
		}
	})
	b.Run("map-only", func(b *testing.B) {
		m := map[string]request{}
		b.ReportAllocs()
		for b.Loop() {
			m["r1"] = request{}
			delete(m, "r1")
		}
	})
}
