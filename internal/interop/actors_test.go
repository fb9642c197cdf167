package interop_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/remote"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/supervisor"
)

// stall is what actors that sell take.
type stall interface{ forStall() }

type (
	// price asks what something costs, stock what there is, as a list.
	price struct {
		actors.Reply[offer]
		Item string `json:"item"`
	}
	stock struct{ actors.Reply[[]string] }
	// put adds to the stock and has no answer; fall panics.
	put struct {
		Item string `json:"item"`
	}
	fall struct{ actors.Reply[int] }
)

// offer is an answer that is an object of its own.
type offer struct {
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

func (price) forStall() {}
func (stock) forStall() {}
func (put) forStall()   {}
func (fall) forStall()  {}

var errSoldOut = errors.New("sold out")

var stalls = remote.NewProtocol[stall](
	remote.Message[price]("stall.price"), remote.Message[stock]("stall.stock"),
	remote.Message[put]("stall.put"), remote.Message[fall]("stall.fall"),
	remote.Error("sold_out", errSoldOut),
)

// seller is the actor.
type seller struct{ items []string }

func (s *seller) Receive(_ *actors.Context[stall], m stall) {
	switch m := m.(type) {
	case put:
		s.items = append(s.items, m.Item)
	case stock:
		m.Send(s.items)
	case price:
		for _, item := range s.items {
			if item == m.Item {
				m.Send(offer{item, 100 * len(item)})
				return
			}
		}
		m.Fail(errSoldOut)
	case fall:
		panic("told to")
	}
}

// sell has an agent sell.
func sell(t *testing.T, a *agent, name string, opts ...pando.ExposeOption) actors.Ref[stall] {
	t.Helper()
	ref, err := pando.Spawn(t.Context(), a.Agent,
		actors.Spec[stall]{Name: name, New: func() actors.Actor[stall] { return new(seller) }},
		func(s *supervisor.Spec) { s.Restart = supervisor.Transient })
	if err == nil {
		err = pando.Expose(a.Agent, name, ref, stalls, opts...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func provePythonAsksActors(t *testing.T, c *caller) {
	a := c.callee(t)
	sell(t, a, "seller", pando.ByType())
	id, _ := c.open(t, a, a.url)
	for _, item := range []string{"pear", "fig"} {
		if _, err := c.Send(within(t, patience), id, "stall.put", map[string]string{"item": item}, ""); err != nil {
			t.Fatal(err)
		}
	}
	sameJSON(t, c.answer(t, id, "stall.stock", map[string]any{}), []byte(`{"value":["pear","fig"]}`))
	sameJSON(t, c.answer(t, id, "stall.price", map[string]any{"item": "pear", "colour": "green"}), []byte(`{"item":"pear","cents":400}`))

	if code, text := c.refusal(t, id, "stall.price"); code != "sold_out" || text != errSoldOut.Error() {
		t.Errorf("an error with a name: %q, %q", code, text)
	}
	m, err := c.Request(within(t, patience), id, "stall.price", map[string]any{"item": 7})
	if err != nil {
		t.Fatal(err)
	}
	if code, text, _ := protocol.ParseErrorData(m.Content.Data); code != protocol.CodeInvalidContent || !strings.Contains(text, "item") {
		t.Errorf("a field of the wrong kind: %q, %q", code, text)
	}
	if code, _ := c.refusal(t, id, "stall.fall"); code != remote.CodeNotHandled {
		t.Errorf("an actor that crashes answers with code %q", code)
	}
	sameJSON(t, c.answer(t, id, "stall.stock", map[string]any{}), []byte(`{"value":null}`)) // a new life
}

func provePythonSeesNoActor(t *testing.T, c *caller) {
	hidden := map[string]func(t *testing.T, a *agent){
		"there is no actor":         func(*testing.T, *agent) {},
		"it takes nothing by type":  func(t *testing.T, a *agent) { sell(t, a, "seller") },
		"it is for others":          func(t *testing.T, a *agent) { sell(t, a, "seller", pando.ByType(), pando.ToPeers(a.ID())) },
		"it does not take the type": func(t *testing.T, a *agent) { sell(t, a, "seller", pando.ByType()) },
	}
	for why, prepare := range hidden {
		a := c.callee(t)
		prepare(t, a)
		messageType := "stall.price"
		if strings.Contains(why, "type") && !strings.Contains(why, "nothing") {
			messageType = "stall.prize"
		}
		id, _ := c.open(t, a, a.url)
		if code, text := c.refusal(t, id, messageType); code != protocol.CodeUnsupportedType || text != "unsupported message type: "+messageType {
			t.Errorf("%s: %q, %q", why, code, text)
		}
	}
}

// plain is what the Python agent of package pypeer takes, by type.
type plain interface{ forPython() }

type (
	echoed struct {
		actors.Reply[echoed] `json:"-"`
		Text                 string `json:"text"`
	}
	silent  struct{ actors.Reply[echoed] }
	failing struct{ actors.Reply[echoed] }
	unknown struct{ actors.Reply[echoed] }
	// started is answered with a type of its own.
	started struct {
		actors.Reply[map[string]int]
		Number int `json:"number"`
	}
)

func (echoed) forPython()  {}
func (silent) forPython()  {}
func (failing) forPython() {}
func (unknown) forPython() {}
func (started) forPython() {}

var plains = remote.NewProtocol[plain](
	remote.Message[echoed]("echo"), remote.Message[silent]("silent"), remote.Message[failing]("fail"),
	remote.Message[unknown]("no.such.type"), remote.Message[started]("task.start"),
)

// ref is the Python agent as a Pando agent sees it, which may be as it dials it.
func (l *listener) ref(t *testing.T, name string, opts ...pando.Option) (*agent, actors.Ref[plain]) {
	t.Helper()
	opts = append([]pando.Option{pando.WithEndpoints(map[string]string{l.id: l.URL})}, opts...)
	a := l.pando(t, []identity.Credentials{l.credentials}, opts...)
	ref, err := pando.RefTo(a.Agent, l.id+name, plains)
	if err != nil {
		t.Fatal(err)
	}
	return a, ref
}

func askEcho(t *testing.T, ref actors.Ref[plain], text string) (string, error) {
	t.Helper()
	got, err := actors.Ask(within(t, patience), ref, func(r actors.Reply[echoed]) plain { return echoed{r, text} })
	return got.Text, err
}

func provePandoRefersToPython(t *testing.T, l *listener) {
	_, ref := l.ref(t, "")
	if text, err := askEcho(t, ref, "grüß dich"); text != "grüß dich" || err != nil {
		t.Fatalf("echo: %q, %v", text, err)
	}
	got, err := actors.Ask(within(t, patience), ref, func(r actors.Reply[map[string]int]) plain { return started{r, 7} })
	if err != nil || got["number"] != 7 {
		t.Errorf("an answer of a type of its own: %v, %v", got, err)
	}
	if err := ref.Tell(within(t, patience), echoed{Text: "nobody waits"}); err != nil {
		t.Errorf("tell: %v", err)
	}
	for text, m := range map[string]func(actors.Reply[echoed]) plain{
		"deliberate failure": func(r actors.Reply[echoed]) plain { return failing{r} },
		"no.such.type":       func(r actors.Reply[echoed]) plain { return unknown{r} },
	} {
		_, err := actors.Ask(within(t, patience), ref, m)
		var told *pando.RemoteError
		if !errors.As(err, &told) || !strings.Contains(told.Message, text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err = actors.Ask(within(t, 300*time.Millisecond), ref, func(r actors.Reply[echoed]) plain { return silent{r} })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	if text, err := askEcho(t, ref, "still there"); text != "still there" || err != nil {
		t.Errorf("after the errors: %q, %v", text, err)
	}
}

func provePythonHasNoActors(t *testing.T, l *listener) {
	_, ref := l.ref(t, "/echo")
	if _, err := askEcho(t, ref, "hello"); !errors.Is(err, actors.ErrNoActor) {
		t.Errorf("ask: %v", err)
	}
	if err := ref.Tell(within(t, patience), echoed{}); !errors.Is(err, actors.ErrNoActor) {
		t.Errorf("tell: %v", err)
	}
	if d := downOf(t, ref, nil); !errors.Is(d.Reason, actors.ErrNoActor) {
		t.Errorf("watch: %v", d.Reason)
	}
}

func provePandoMayNotReferToPython(t *testing.T, l *listener) {
	a := l.pando(t, nil, pando.WithEndpoints(map[string]string{l.id: l.URL}))
	ref, err := pando.RefTo(a.Agent, l.id, plains)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := askEcho(t, ref, "hello"); !errors.Is(err, pando.ErrRefused) {
		t.Errorf("ask: %v", err)
	}
	if d := downOf(t, ref, nil); !errors.Is(d.Reason, actors.ErrLost) || !errors.Is(d.Reason, pando.ErrRefused) {
		t.Errorf("watch: %v", d.Reason)
	}
}

// downOf watches until the end, which comes after what meanwhile does.
func downOf(t *testing.T, ref actors.Ref[plain], meanwhile func()) actors.Down {
	t.Helper()
	down := make(chan actors.Down, 2)
	ref.OnDown(func(d actors.Down) { down <- d })
	if meanwhile != nil {
		meanwhile()
	}
	select {
	case d := <-down:
		return d
	case <-within(t, patience).Done():
		t.Fatal("nobody tells the end")
	}
	panic("unreachable")
}

func provePythonIsWatched(t *testing.T, l *listener) {
	l.Restart(t) // it went with the proof that killed it
	a, ref := l.ref(t, "", quick, pando.WithTimeouts(pando.Timeouts{Lost: 200 * time.Millisecond}))
	if _, err := askEcho(t, ref, "hello"); err != nil {
		t.Fatal(err)
	}
	d := downOf(t, ref, l.Kill)
	if !errors.Is(d.Reason, actors.ErrLost) || d.Actor != l.id {
		t.Errorf("down: %+v", d)
	}
	if ch := a.with(t, l.id); ch == nil || ch.State() != pando.StateReconnecting {
		t.Errorf("the channel: %v", ch)
	}
	l.Restart(t)
	if text, err := askEcho(t, ref, "back"); text != "back" || err != nil {
		t.Errorf("after the return: %q, %v", text, err)
	}
}
