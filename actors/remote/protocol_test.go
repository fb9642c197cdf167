package remote

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/actors"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
	"github.com/pando-agents/pando/supervisor"
)

type word interface{ isWord() }

type (
	say struct {
		actors.Reply[string]
		Text string   `json:"text"`
		List []string `json:"list,omitempty"`
	}
	hush  struct{}
	later struct{ At time.Time }
	other struct{}
)

func (say) isWord()    {}
func (hush) isWord()   {}
func (*later) isWord() {}

var errKnown = errors.New("known")

var words = NewProtocol[word](
	Message[say]("say", "tell"), Message[hush]("hush"), Message[*later]("later"), Error("known", errKnown),
)

func TestMessagesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, m := range []word{say{Text: "a\u2028b", List: []string{"x"}}, say{}, hush{}, &later{at}} {
		k, data, err := words.encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := protocol.CheckData(data, protocol.Limits{}); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		pointer, message := k.make()
		if err := decode(data, pointer); err != nil {
			t.Fatal(err)
		}
		if got := message(); !reflect.DeepEqual(got, m) {
			t.Fatalf("got %#v, want %#v", got, m)
		}
	}
	if got := words.Names(); !reflect.DeepEqual(got, []string{"hush", "later", "say"}) {
		t.Fatal(got)
	}
}

func TestAReplyIsNoPartOfTheMessage(t *testing.T) {
	t.Parallel()
	_, data, err := words.encode(say{Text: "x"})
	if err != nil || string(data) != `{"text":"x"}` {
		t.Fatalf("%s, %v", data, err)
	}
	k := words.kinds["tell"]
	pointer, message := k.make()
	if err := decode([]byte(`{"Reply":{"call":{}},"text":"y"}`), pointer); err != nil {
		t.Fatal(err)
	}
	if _, asked := actors.Pending(message()); asked {
		t.Fatal("a sender has made itself an asker")
	}
}

func TestAnswersOfAllTypesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	n := 7
	for _, v := range []any{
		5, "x", true, 1.5, []int{1, 2}, struct{ A, B int }{1, 2}, map[string]int{"a": 1}, time.Unix(1, 2).UTC(),
		[]byte("raw"), &n, (*int)(nil), []int(nil), json.RawMessage(`[1]`),
	} {
		data, err := encodeAnswer(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := protocol.CheckData(data, protocol.Limits{}); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		got := reflect.New(reflect.TypeOf(v))
		if err := decodeAnswer(data, got.Interface()); err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		if !reflect.DeepEqual(got.Elem().Interface(), v) {
			t.Fatalf("got %#v, want %#v", got.Elem().Interface(), v)
		}
	}
}

func TestAnswerOfAnotherTypeIsAnError(t *testing.T) {
	t.Parallel()
	var n int
	for _, data := range []string{`{}`, `{"value":"x"}`, `{"text":5}`, ``} {
		if err := decodeAnswer([]byte(data), &n); err == nil {
			t.Errorf("%s was taken for a number", data)
		}
	}
	if data, err := encodeAnswer(func() {}); err == nil {
		t.Errorf("a function was written as %s", data)
	}
}

func TestAProtocolThatMakesNoSensePanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"not a struct":        func() { Message[int]("n") },
		"no name":             func() { Message[hush]("") },
		"a name with blanks":  func() { Message[hush]("a b") },
		"a long name":         func() { Message[hush](strings.Repeat("x", 129)) },
		"a reserved name":     func() { Message[hush]("pando.watch") },
		"a channel's name":    func() { Message[hush]("channel.open") },
		"a name for answers":  func() { Message[hush]("response") },
		"a bad old name":      func() { Message[hush]("fine", "error") },
		"another type":        func() { NewProtocol[word](Message[other]("other")) },
		"a type twice":        func() { NewProtocol[word](Message[hush]("a"), Message[hush]("b")) },
		"a name twice":        func() { NewProtocol[word](Message[hush]("a"), Message[say]("b", "a")) },
		"an error code taken": func() { Error(CodeNoActor, errKnown) },
		"an error without":    func() { Error("x", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestActorNamesAreShortAndPlain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "A-1_b.c", strings.Repeat("x", 128)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "a/b", "a b", "é", "a\n", strings.Repeat("x", 129), "a\x00"} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestErrorsAndEndsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	for _, want := range []error{
		errKnown, actors.ErrNoActor, actors.ErrStopped, actors.ErrNotRun, actors.ErrMailboxFull, actors.ErrFenced,
	} {
		told := failure(words.errors, want)
		if told == nil || !errors.Is(received(words.errors, told), want) {
			t.Errorf("%v became %v", want, told)
		}
	}
	if told := failure(words.errors, errors.New("private")); told != nil {
		t.Errorf("told %v", told)
	}
	panicked := supervisor.Recovered("boom")
	for _, reason := range []error{nil, errKnown, actors.ErrStopped, actors.ErrFenced, panicked, supervisor.ErrTerminated, errors.New("private")} {
		e := ending(words.errors, actors.Down{Actor: "a", Generation: 3, Reason: reason})
		if strings.Contains(e.Message, "boom") || strings.Contains(e.Message, "private") {
			t.Errorf("%v is told as %+v", reason, e)
		}
		d := e.down(words.errors, "far/a")
		var p *supervisor.PanicError
		var told *channel.RemoteError
		switch {
		case d.Actor != "far/a" || d.Generation != 3 || (d.Reason == nil) != (reason == nil):
			t.Errorf("%v became %+v", reason, d)
		case reason == panicked && !errors.As(d.Reason, &p):
			t.Errorf("a panic became %v", d.Reason)
		case reason != nil && reason != panicked && !errors.Is(d.Reason, reason) && !errors.As(d.Reason, &told):
			t.Errorf("%v became %v", reason, d.Reason)
		}
	}
}

// FuzzMessage gives a protocol what a stranger may send.
func FuzzMessage(f *testing.F) {
	f.Add("say", []byte(`{"text":"x","list":["y"]}`))
	f.Add("tell", []byte(`{"text":5}`))
	f.Add("later", []byte(`{"At":"2031-01-02T03:04:05Z"}`))
	f.Add("nobody", []byte(`{}`))
	f.Add("hush", []byte(``))
	f.Fuzz(func(t *testing.T, messageType string, data []byte) {
		p, err := words.open(actors.Ref[word]{}, messageType, data)
		var told *channel.RemoteError
		if err != nil && (!errors.As(err, &told) || len(told.Message) > 512) || (err == nil) != (p != nil) {
			t.Fatalf("%v, %v", p, err)
		}
		var answer string
		_ = decodeAnswer(data, &answer)
	})
}
