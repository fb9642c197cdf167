package pypeer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/internal/pypeer"
)

// sdkSession is one channel that the SDK opens through a relay of its own.
type sdkSession struct {
	t       *testing.T
	ctx     context.Context
	client  *pypeer.Client
	relay   *pypeer.Relay
	channel string
	// passed is how many frames must have passed by now.
	passed int
	// keep is how many frames the transcript keeps; 0 means all.
	keep int
}

// sdkScenarios are played by the Python client. Each opens and closes its channel.
var sdkScenarios = map[string]func(*sdkSession){
	"sdk-requests": func(s *sdkSession) {
		s.open(0)
		s.request("request", `{"text":"hello"}`)
		s.request("request", `{"text":""}`)
		s.request("request", `{"question":"without a text"}`)
		s.request("task.start", `{"steps":["plan","act"],"urgent":true,"deadline":null}`)
		s.request("slow", `{"seconds":0.01}`)
		s.close()
	},
	"sdk-errors": func(s *sdkSession) {
		s.open(0)
		s.request("event", `{"name":"nobody listens"}`)
		s.request("fail", `{}`)
		s.request("slow", `{"seconds":"not a number"}`)
		s.request("no.such.type", `{}`)
		s.send("silent", `{"answer":"none"}`)
		s.request("request", `{"text":"still there"}`)
		s.close()
	},
	"sdk-heartbeat": func(s *sdkSession) {
		s.open(50 * time.Millisecond)
		s.wait(4)
		s.keep = s.passed
		s.close()
	},
	"sdk-plain": func(s *sdkSession) {
		s.open(0)
		s.plain("echo", `{"no timestamp":"added"}`, "")
		s.plain("echo", `{"reply":"to an earlier message"}`, "33333333-3333-4333-8333-333333333333")
		s.close()
	},
	"sdk-values": func(s *sdkSession) {
		s.open(0)
		for _, data := range []string{
			`{"text":"Zażółć gęślą jaźń, Ὀδυσσεύς, 漢字, עברית, 🌳🌲👩‍🚀"}`,
			`{"text":"quote \" backslash \\ slash / controls \b\f\n\r\t\u0000\u001f\u007f lines \u2028\u2029 <&>"}`,
			`{"Größe":1,"":"empty key","a.b":"c","meta":{"content":{}}}`,
			`{"beyond double":9007199254740993,"beyond int64":[9223372036854775808,-9223372036854775809,` + strings.Repeat("1234567890", 6) + `]}`,
			`{"floats":[0.1,-0.0,1e300,1E-7,123456789.125,5e-324,1.0]}`,
			`{"empty":[{},[],""],"literals":[true,false,null]}`,
			`{"deep":` + strings.Repeat(`{"d":[`, 25) + `"bottom"` + strings.Repeat(`]}`, 25) + `}`,
			`{"text":"` + strings.Repeat("long ", 500) + `"}`,
		} {
			s.request("echo", data)
		}
		s.close()
	},
	"sdk-not-json": func(s *sdkSession) {
		s.open(0)
		s.request("echo", `{"number":NaN}`)
		s.request("echo", `{"number":[Infinity,-Infinity,1e999]}`)
		s.request("echo", `{"text":"half a pair \ud83d"}`)
		s.plain("echo", `["a list"]`, "")
		s.plain("request", `"a string"`, "")
		s.close()
	},
}

func (s *sdkSession) open(heartbeat time.Duration) {
	s.t.Helper()
	var err error
	if s.channel, err = s.client.Open(s.ctx, listener, s.relay.URL, heartbeat); err != nil {
		s.t.Fatal(err)
	}
	s.wait(2)
}

// request sends a message that is answered. It reads the answer off the relay,
// because not every answer can be reported as JSON.
func (s *sdkSession) request(typ, data string) {
	s.t.Helper()
	s.send(typ, data)
	s.wait(1)
}

// send sends a message that is not answered.
func (s *sdkSession) send(typ, data string) {
	s.t.Helper()
	if _, err := s.client.Send(s.ctx, s.channel, typ, pypeer.JSON(data), ""); err != nil {
		s.t.Fatal(err)
	}
	s.wait(1)
}

// plain sends by the SDK's lower level a message that is answered.
func (s *sdkSession) plain(typ, data, replyTo string) {
	s.t.Helper()
	if _, err := s.client.SendPlain(s.ctx, s.channel, typ, pypeer.JSON(data), replyTo); err != nil {
		s.t.Fatal(err)
	}
	s.wait(2)
}

// wait waits for n more frames.
func (s *sdkSession) wait(n int) {
	s.t.Helper()
	s.passed += n
	_, err := s.relay.Wait(s.ctx, func(frames []pypeer.Frame) bool { return len(frames) >= s.passed })
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sdkSession) close() {
	s.t.Helper()
	if err := s.client.Close(s.ctx, s.channel, "normal"); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.relay.Wait(s.ctx, ended); err != nil {
		s.t.Fatal(err)
	}
}

// step is one frame of a client that does not use the SDK.
type step struct {
	frame string
	// answered tells whether the server answers; it never answers twice.
	answered bool
}

// rawScenarios show how the Python server takes what its own client never sends.
var rawScenarios = map[string][]step{
	"raw-open": {
		{raw("m1", `"channel_id":"",`, `"channel.open"`, `{}`), true},
		{raw("m2", ``, `"channel.open"`, `{}`), true},
		{raw("m3", `"channel_id":"c1",`, `"channel.open"`, `{"protocol_version":"9.9","capabilities":[]}`), true},
		{raw("m4", `"channel_id":"c2",`, `"channel.open"`, `{"protocol_version":"1.0","capabilities":["json","x.more"]}`), true},
		{`{"meta":{"channel_id":"c3"},"content":{"type":"channel.open"}}`, true},
		{raw("m5", `"channel_id":"never opened",`, `"request"`, `{"text":"hi"}`), true},
	},
	"raw-close": {
		{raw("m1", `"channel_id":"c1",`, `"channel.open"`, `{}`), true},
		{raw("m2", `"channel_id":"c1",`, `"channel.close"`, `{"reason":"going home"}`), true},
		{raw("m3", `"channel_id":"c1",`, `"request"`, `{"text":"after the close"}`), true},
		{raw("m4", `"channel_id":"c1",`, `"channel.close"`, `{}`), true},
		{`{"meta":{},"content":{"type":"channel.close"}}`, true},
		{raw("m5", `"channel_id":"c1",`, `"channel.close"`, `null`), true},
	},
	"raw-meta": {
		{`{"meta":{},"content":{"type":"request","data":{"text":"no meta"}}}`, true},
		{`{"meta":{},"content":{"type":"channel.heartbeat"}}`, true},
		{`{"meta":{"sender":"x","sender_id":"y"},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"sender":"x","sender_id":null},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":null,"channel_id":null,"reply_to":null},"content":{"type":"request","data":{}}}`, true},
		{`{"extra":[1,2],"content":{"more":true,"data":{"text":"t"},"type":"request"},"meta":{"sequence":-7,"priority":{"x":1}}}`, true},
		{"\r\n\t{ \"meta\" : { \"message_id\" : \"m\\u0031\" } ,\n \"content\" : { \"type\" : \"re\\u0071uest\" , \"data\" : { } } }\n", true},
	},
	"raw-types": {
		{raw("m1", ``, `"channel.accept"`, `{}`), true},
		{raw("m2", ``, `"channel.reject"`, `{"reason":"no"}`), true},
		{raw("m3", ``, `"response"`, `{}`), true},
		{raw("m4", ``, `"event"`, `{}`), true},
		{raw("m5", ``, `"error"`, `{"message":"mine"}`), true},
		{raw("m6", ``, `"Request"`, `{}`), true},
	},
	"raw-malformed": {
		{`hello`, true},
		{`{"meta":{},"content":`, true},
		{`{}`, true},
		{`[]`, true},
		{`{"meta":{}}`, true},
		{`{"content":{"type":"request"}}`, true},
		{`{"meta":{"message_id":"m1"},"content":{}}`, true},
		{`{"meta":{"message_id":"m2"},"content":{"data":{}}}`, true},
		{`{"meta":{"message_id":"m3"},"content":"request"}`, true},
		{`{"meta":{"message_id":"m4"},"content":[]}`, true},
		{`{"meta":{"message_id":"m5"},"content":null}`, true},
		{`{"meta":{"message_id":"m6"},"content":{"type":""}}`, true},
		{`{"meta":{"message_id":"m7"},"content":{"type":null}}`, true},
		{`{"meta":{"message_id":"m8"},"content":{"type":7}}`, true},
		{`{"meta":{"message_id":"m9"},"content":{"type":{}}}`, true},
		{`7`, false},
		{`"text"`, true},
		{`null`, false},
		{`{"meta":null,"content":{"type":"request"}}`, false},
		{`{"meta":[],"content":{"type":"request"}}`, false},
		{`{"meta":{"message_id":"still here"},"content":{"type":"channel.heartbeat"}}`, true},
	},
	"raw-ambiguous": {
		{`{"meta":{"message_id":"m1"},"content":{"type":"event","type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":"m2"},"Meta":{"message_id":"M2"},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":"m3","sender":"a","sender":"b"},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":"m4"},"content":{"type":"echo","data":{"k":1,"k":2}}}`, true},
		{`{"meta":{"message_id":5},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":"m6","sequence":"1"},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":"m7","sequence":1.5},"content":{"type":"request","data":{}}}`, true},
		{`{"meta":{"message_id":"m8"},"content":{"type":"request","data":[]}}`, true},
		{`{"meta":{"message_id":"m9"},"content":{"type":"request"}}`, true},
	},
}

// raw writes an envelope as the dialling agent would, with extra keys in meta.
func raw(id, extra, typ, data string) string {
	return `{"meta":{"message_id":"` + id + `",` + extra + `"sequence":1,"timestamp":"2026-03-01T09:30:00.123456+00:00",` +
		`"sender":"` + dialler + `","recipient":"` + listener + `","reply_to":null},"content":{"type":` + typ + `,"data":` + data + `}}`
}
