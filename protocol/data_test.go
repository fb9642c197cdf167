package protocol

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestErrorDataIsReadBack(t *testing.T) {
	t.Parallel()
	data := ErrorData(CodeHandlerFailed, "it \"failed\"", "e-1")
	if want := `{"message":"it \"failed\"","code":"handler_failed","id":"e-1"}`; string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	if code, message, id := ParseErrorData(data); code != CodeHandlerFailed || message != `it "failed"` || id != "e-1" {
		t.Errorf("got %q, %q, %q", code, message, id)
	}
	if got, want := string(ErrorData("c", "m", "")), `{"message":"m","code":"c"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestErrorDataOfAnyPeerIsRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 600)
	cases := []struct{ data, code, message, id string }{
		{`{"message": "Unsupported message type: x"}`, "", "Unsupported message type: x", ""},
		{`{"message":5,"code":null,"id":["x"]}`, "", "", ""},
		{`{"id":7,"code":"c","message":"m"}`, "c", "m", ""},
		{`{"extra":{"message":"no"},"message":"m\u00e9"}`, "", "mé", ""},
		{`{"code":"` + strings.Repeat("x", 129) + `","message":"x` + long + `"}`, "", "x" + long[:1022], ""},
		{`{}`, "", "", ""},
		{``, "", "", ""},
		{`null`, "", "", ""},
		{`["message"]`, "", "", ""},
		{`{"message":"m","code":"c`, "", "m", ""},
		{`{"message`, "", "", ""},
		{"{\"message\":\"\xff\"}", "", "", ""},
		{strings.Repeat(`{"message":`, 20000), "", "", ""},
	}
	for _, c := range cases {
		code, message, id := ParseErrorData([]byte(c.data))
		if code != c.code || message != c.message || id != c.id {
			t.Errorf("%.60s: got %q, %q, %q", c.data, code, message, id)
		}
		if !utf8.ValidString(message) {
			t.Errorf("%.60s: message is not UTF-8", c.data)
		}
	}
}

func TestOpenDataIsReadBack(t *testing.T) {
	t.Parallel()
	data := OpenData([]string{"json", "pando.1"})
	if want := `{"protocol_version":"1.0","capabilities":["json","pando.1"]}`; string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	version, capabilities := ParseOpenData(data)
	if version != Version || !reflect.DeepEqual(capabilities, []string{"json", "pando.1"}) {
		t.Errorf("got %q, %q", version, capabilities)
	}
	if got, want := string(OpenData(nil)), `{"protocol_version":"1.0","capabilities":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOpenDataOfAnyPeerIsRead(t *testing.T) {
	t.Parallel()
	many := make([]string, 100)
	for i := range many {
		many[i] = strings.Repeat("c", i+1)
	}
	cases := []struct {
		data         string
		version      string
		capabilities []string
	}{
		{`{"protocol_version": "9.9"}`, "9.9", nil},
		{`{"capabilities": [ "json" , "x" ] , "protocol_version" : "1.0"}`, "1.0", []string{"json", "x"}},
		{`{"protocol_version":1.0,"capabilities":"json"}`, "", nil},
		{`{"capabilities":{"json":true}}`, "", nil},
		{`{"capabilities":[1,"a",null,["b"],{"c":["d"]},"","e"]}`, "", []string{"a", "e"}},
		{`{"capabilities":[ ]}`, "", nil},
		{`{"capabilities":["a","b"`, "", nil},
		{`{"capabilities":["` + strings.Repeat("x", 129) + `","a"]}`, "", []string{"a"}},
		{string(OpenData(many)), "1.0", many[:64]},
		{`{}`, "", nil},
		{``, "", nil},
		{`[]`, "", nil},
	}
	for _, c := range cases {
		version, capabilities := ParseOpenData([]byte(c.data))
		if version != c.version || !reflect.DeepEqual(capabilities, c.capabilities) {
			t.Errorf("%.60s: got %q, %q", c.data, version, capabilities)
		}
	}
}

func TestCloseDataIsReadBack(t *testing.T) {
	t.Parallel()
	if got, want := string(CloseData("agent_shutdown")), `{"reason":"agent_shutdown"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := string(CloseAckData("bye")), `{"acknowledged":true,"reason":"bye"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	long := strings.Repeat("x", 2000)
	for data, want := range map[string]string{
		string(CloseData("agent_shutdown")): "agent_shutdown",
		string(CloseAckData("bye")):         "bye",
		string(CloseData(long)):             long[:1024],
		`{}`:                                "normal",
		``:                                  "normal",
		`{"reason":null}`:                   "normal",
		`{"reason":""}`:                     "normal",
		`{"reason":7}`:                      "normal",
		`"reason"`:                          "normal",
	} {
		if got := ParseCloseData([]byte(data)); got != want {
			t.Errorf("%.60s: got %q, want %q", data, got, want)
		}
	}
}

func TestStatesHaveTheirNames(t *testing.T) {
	t.Parallel()
	want := []string{"disconnected", "connecting", "connected", "reconnecting", "closing", "closed", "unknown"}
	for i, name := range want {
		if got := State(i).String(); got != name {
			t.Errorf("State(%d) is %q, want %q", i, got, name)
		}
	}
	if s := *new(State); s != StateDisconnected {
		t.Errorf("the zero State is %v", s)
	}
}

func TestErrorsAreMatchedByCodeAlone(t *testing.T) {
	t.Parallel()
	e := &Error{Code: CodeTooLarge, Message: "m", ReplyTo: "r"}
	if !e.Is(&Error{Code: CodeTooLarge}) || e.Is(&Error{Code: CodeTooDeep}) || e.Is(nil) {
		t.Error("Is does not compare codes")
	}
	if got := (&Error{Code: CodeTooLarge}).Error(); got != "protocol: too_large" {
		t.Errorf("got %q", got)
	}
}
