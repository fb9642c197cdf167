package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const specExample = `{
  "meta": {
    "message_id": "5b0c8a5e-7a39-4a0e-9a52-0f6d3b1f3c11",
    "channel_id": "0d9f2f3a-3c0e-4a3e-8a8e-5f4f7a2f9b10",
    "sequence": 2,
    "timestamp": "2026-03-01T09:30:00.123456+00:00",
    "sender": "11111111-1111-4111-8111-111111111111",
    "recipient": "22222222-2222-4222-8222-222222222222",
    "reply_to": null
  },
  "content": { "type": "request", "data": { "text": "hello" } }
}`

func mustDecode(t *testing.T, frame string) Envelope {
	t.Helper()
	e, err := Decode([]byte(frame), Limits{})
	if err != nil {
		t.Fatalf("Decode(%q): %v", frame, err)
	}
	return e
}

func equal(a, b Envelope) bool {
	return a.MessageID == b.MessageID && a.ChannelID == b.ChannelID && a.Sequence == b.Sequence &&
		a.Timestamp == b.Timestamp && a.Time.Equal(b.Time) && a.Sender == b.Sender &&
		a.Recipient == b.Recipient && a.ReplyTo == b.ReplyTo && a.Type == b.Type &&
		a.Actor == b.Actor && a.Timeout == b.Timeout &&
		bytes.Equal(a.Data, b.Data)
}

func TestExampleOfTheSpecificationIsDecoded(t *testing.T) {
	t.Parallel()
	want := Envelope{
		MessageID: "5b0c8a5e-7a39-4a0e-9a52-0f6d3b1f3c11",
		ChannelID: "0d9f2f3a-3c0e-4a3e-8a8e-5f4f7a2f9b10",
		Sequence:  2,
		Timestamp: "2026-03-01T09:30:00.123456+00:00",
		Sender:    "11111111-1111-4111-8111-111111111111",
		Recipient: "22222222-2222-4222-8222-222222222222",
		Type:      "request",
		Data:      []byte(`{ "text": "hello" }`),
	}
	if got := mustDecode(t, specExample); !equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFrameMayBeReusedAfterDecode(t *testing.T) {
	t.Parallel()
	frame := []byte(specExample)
	e, err := Decode(frame, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	if want := mustDecode(t, specExample); !equal(e, want) {
		t.Errorf("got %+v, want %+v", e, want)
	}
}

func TestChangingDataLeavesTheStringsAlone(t *testing.T) {
	t.Parallel()
	e := mustDecode(t, specExample)
	clear(e.Data)
	e.Data = append(e.Data, bytes.Repeat([]byte("x"), 100)...)
	want := mustDecode(t, specExample)
	want.Data = e.Data
	if !equal(e, want) {
		t.Errorf("got %+v, want %+v", e, want)
	}
}

func TestDataInPlaceIsAPartOfTheFrameAndTheStringsAreNot(t *testing.T) {
	t.Parallel()
	frame := []byte(specExample)
	e, err := DecodeInPlace(frame, Limits{})
	want := mustDecode(t, specExample)
	if err != nil || !equal(e, want) {
		t.Fatalf("got %+v, %v, want %+v", e, err, want)
	}
	_ = append(e.Data, "more"...)
	if string(frame) != specExample {
		t.Error("appending to the data has changed the frame behind it")
	}
	copy(frame, bytes.Repeat([]byte("x"), len(frame)))
	if string(e.Data) != strings.Repeat("x", len(want.Data)) {
		t.Errorf("the data is not a part of the frame: %s", e.Data)
	}
	if e.Data = want.Data; !equal(e, want) {
		t.Errorf("strings have changed with the frame: %+v", e)
	}
}

// accepted holds frames that differ from the minimal one in one thing.
var accepted = []struct {
	name  string
	frame string
	want  Envelope
}{
	{"empty meta", `{"meta":{},"content":{"type":"channel.accept"}}`,
		Envelope{Type: "channel.accept"}},
	{"content first", `{"content":{"data":{},"type":"x"},"meta":{"sequence":7}}`,
		Envelope{Type: "x", Sequence: 7}},
	{"null everywhere in meta", `{"meta":{"message_id":null,"channel_id":null,"sequence":null,"timestamp":null,"sender":null,"recipient":null,"reply_to":null},"content":{"type":"x","data":null}}`,
		Envelope{Type: "x"}},
	{"for an actor", `{"meta":{"actor":"desk","timeout_ms":1500,"reply_to":"r"},"content":{"type":"x"}}`,
		Envelope{Type: "x", ReplyTo: "r", Actor: "desk", Timeout: 1500}},
	{"for no actor", `{"meta":{"timeout_ms":null,"actor":null},"content":{"type":"x"}}`,
		Envelope{Type: "x"}},
	{"unknown keys", `{"v":[1,{"a":null}],"meta":{"trace":{"a":{"b":[]}},"message_id":"m"},"content":{"type":"x","enc":"none"}}`,
		Envelope{MessageID: "m", Type: "x"}},
	{"sender_id wins", `{"meta":{"sender_id":"i","sender":"s"},"content":{"type":"x"}}`,
		Envelope{Sender: "i", Type: "x"}},
	{"sender_id wins from behind", `{"meta":{"sender":"s","sender_id":"i"},"content":{"type":"x"}}`,
		Envelope{Sender: "i", Type: "x"}},
	{"sender_id null wins", `{"meta":{"sender":"s","sender_id":null},"content":{"type":"x"}}`,
		Envelope{Type: "x"}},
	{"sender_id in other case is unknown", `{"meta":{"sender":"s","Sender_ID":"i"},"content":{"type":"x"}}`,
		Envelope{Sender: "s", Type: "x"}},
	{"least sequence", `{"meta":{"sequence":-9223372036854775808},"content":{"type":"x"}}`,
		Envelope{Sequence: -1 << 63, Type: "x"}},
	{"greatest sequence", `{"meta":{"sequence":9223372036854775807},"content":{"type":"x"}}`,
		Envelope{Sequence: 1<<63 - 1, Type: "x"}},
	{"negative zero", `{"meta":{"sequence":-0},"content":{"type":"x"}}`,
		Envelope{Type: "x"}},
	{"escaped key", `{"m\u0065ta":{"message\u005fid":"m"},"content":{"typ\u0065":"x"}}`,
		Envelope{MessageID: "m", Type: "x"}},
	{"escaped strings", `{"meta":{"message_id":"\u00e9\ud83d\ude00\n\/\"\\\b\f\r\t\u0000"},"content":{"type":"\u0072equest"}}`,
		Envelope{MessageID: "é😀\n/\"\\\b\f\r\t\x00", Type: "request"}},
	{"literal UTF-8", `{"meta":{"message_id":"é😀日本語, ","sender":"ß"},"content":{"type":"тип"}}`,
		Envelope{MessageID: "é😀日本語, ", Sender: "ß", Type: "тип"}},
	{"white space", " \t\r\n{ \"meta\" : { \"sequence\" : 1 } , \"content\" : { \"type\" : \"x\" } } \n",
		Envelope{Sequence: 1, Type: "x"}},
	{"big numbers in data", `{"meta":{},"content":{"type":"x","data":{"n":123456789012345678901234567890,"f":-1.5e+300,"z":0E-0}}}`,
		Envelope{Type: "x", Data: []byte(`{"n":123456789012345678901234567890,"f":-1.5e+300,"z":0E-0}`)}},
	{"keys in data that differ in case", `{"meta":{},"content":{"type":"x","data":{"a":1,"A":2}}}`,
		Envelope{Type: "x", Data: []byte(`{"a":1,"A":2}`)}},
	{"data looks like an envelope", `{"meta":{},"content":{"type":"x","data":{"meta":{"message_id":"no"},"type":"no"}}}`,
		Envelope{Type: "x", Data: []byte(`{"meta":{"message_id":"no"},"type":"no"}`)}},
	{"same keys in different objects", `{"meta":{"content":1,"type":2},"content":{"type":"x","meta":3,"data":{"a":{"a":{"a":[{"a":0},{"a":0}]}}}}}`,
		Envelope{Type: "x", Data: []byte(`{"a":{"a":{"a":[{"a":0},{"a":0}]}}}`)}},
}

func TestUnusualFramesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range accepted {
		if c.want.Data == nil {
			c.want.Data = []byte("{}")
		}
		if got := mustDecode(t, c.frame); !equal(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if got, err := DecodeInPlace([]byte(c.frame), Limits{}); err != nil || !equal(got, c.want) {
			t.Errorf("%s in place: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// refused holds frames and the code of the error for each. A message id, where
// there is one, is m.
var refused = []struct {
	frame string
	code  string
}{
	{`{"meta":{"actor":7},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"timeout_ms":1.5},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"timeout_ms":99999999999999999999},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"actor":"a","Actor":"b"},"content":{"type":"x"}}`, CodeInvalidJSON},
	// Not JSON.
	{``, CodeInvalidJSON},
	{` `, CodeInvalidJSON},
	{`{`, CodeInvalidJSON},
	{`{}}`, CodeInvalidJSON},
	{`nul`, CodeInvalidJSON},
	{`hello`, CodeInvalidJSON},
	{"\xef\xbb\xbf{}", CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x"}}{}`, CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x"}}x`, CodeInvalidJSON},
	{"{\"meta\":{},\"content\":{\"type\":\"x\"}}\x00", CodeInvalidJSON},
	{"{\"meta\":{},\x0c\"content\":{\"type\":\"x\"}}", CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x"},}`, CodeInvalidJSON},
	{`{,"meta":{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{}"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta" {},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{meta:{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{'meta':{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},/**/"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":NaN}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":Infinity}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":-Infinity}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":[1,]}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":[1 2]}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":[1}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"v":TRUE}}}`, CodeInvalidJSON},
	// Numbers.
	{`{"v":01}`, CodeInvalidJSON},
	{`{"v":-01}`, CodeInvalidJSON},
	{`{"v":-}`, CodeInvalidJSON},
	{`{"v":+1}`, CodeInvalidJSON},
	{`{"v":.5}`, CodeInvalidJSON},
	{`{"v":1.}`, CodeInvalidJSON},
	{`{"v":1.e3}`, CodeInvalidJSON},
	{`{"v":1e}`, CodeInvalidJSON},
	{`{"v":1e+}`, CodeInvalidJSON},
	{`{"v":0x10}`, CodeInvalidJSON},
	{`{"v":1_000}`, CodeInvalidJSON},
	{`-`, CodeInvalidJSON},
	{`1.`, CodeInvalidJSON},
	{`1e`, CodeInvalidJSON},
	// Strings.
	{`{"v":"`, CodeInvalidJSON},
	{`{"v":"\`, CodeInvalidJSON},
	{`{"v":"\x41"}`, CodeInvalidJSON},
	{`{"v":"\U0041"}`, CodeInvalidJSON},
	{`{"v":"\u004"}`, CodeInvalidJSON},
	{`{"v":"\u00g0"}`, CodeInvalidJSON},
	{`{"v":"\u00`, CodeInvalidJSON},
	{`{"v":"\ud800"}`, CodeInvalidJSON},
	{`{"v":"\udc00"}`, CodeInvalidJSON},
	{`{"v":"\udc00\ud800"}`, CodeInvalidJSON},
	{`{"v":"\ud800\ud800"}`, CodeInvalidJSON},
	{`{"v":"\ud800\u0041"}`, CodeInvalidJSON},
	{`{"v":"\ud800x"}`, CodeInvalidJSON},
	{`{"v":"\ud800\`, CodeInvalidJSON},
	{`{"v":"\ud800\u`, CodeInvalidJSON},
	{`{"\ud800":1}`, CodeInvalidJSON},
	{"{\"v\":\"a\nb\"}", CodeInvalidJSON},
	{"{\"v\":\"a\x00b\"}", CodeInvalidJSON},
	{"{\"v\":\"0123456\x1f\"}", CodeInvalidJSON},
	{"{\"v\":\"\xff\"}", CodeInvalidJSON},
	{"{\"v\":\"\xc0\xaf\"}", CodeInvalidJSON},
	{"{\"v\":\"\xed\xa0\x80\"}", CodeInvalidJSON},
	{"{\"v\":\"0123456\xf4\x90\x80\x80\"}", CodeInvalidJSON},
	{"{\"v\":\"\xe6\x97\"}", CodeInvalidJSON},
	{"{\"\xff\":1}", CodeInvalidJSON},
	// Repeated keys.
	{`{"meta":{},"meta":{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x"},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},"Meta":{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"META":{},"meta":{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},"m\u0065ta":{},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x","type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x","Type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{},"content":{"type":"x","data":{},"DATA":{}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m","sender":"a","SENDER":"a"},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m","sender":"a","ſender":"a"},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m","a":1,"b":2,"a":3},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m","a":1,"b":2,"A":3},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m","k":1,"\u212a":3},"content":{"type":"x"}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"a":1,"a":1}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"a":1,"\u0061":1}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"":1,"":1}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":{"l":[{"b":{"a":1,"c":{},"a":1}}]}}}`, CodeInvalidJSON},
	{`{"meta":{"message_id":"m","x":{"a":1,"a":1}},"content":{"type":"x"}}`, CodeInvalidJSON},
	// Not a message.
	{`1`, CodeInvalidMessage},
	{`"x"`, CodeInvalidMessage},
	{`null`, CodeInvalidMessage},
	{`["meta","content"]`, CodeInvalidMessage},
	{`{}`, CodeInvalidMessage},
	{`{"meta":{}}`, CodeInvalidMessage},
	{`{"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"Meta":{},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":null,"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":[],"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":"x","content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m"},"content":"x"}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m"},"content":null}`, CodeInvalidMessage},
	{`{"meta":{"message_id":1},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","channel_id":{}},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","timestamp":1},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sender":["a"]},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sender_id":true},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","recipient":false},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","reply_to":0},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sequence":"1"},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sequence":1.0},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sequence":1e3},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sequence":9223372036854775808},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m","sequence":true},"content":{"type":"x"}}`, CodeInvalidMessage},
	{`{"content":{"type":1},"meta":{"sequence":[],"message_id":"m"}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m","sequence":true},"content":{"type":1}}`, CodeInvalidMessage},
	{`{"meta":{"message_id":"m"},"content":7,"meta2":{}}`, CodeInvalidMessage},
	// Not content.
	{`{"meta":{"message_id":"m"},"content":{}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"data":{}}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"type":""}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"type":null}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"type":5}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"Type":"x"}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":[]}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":"{}"}}`, CodeInvalidContent},
	{`{"meta":{"message_id":"m"},"content":{"type":"x","data":1}}`, CodeInvalidContent},
	{`{"content":{"type":"x","data":1},"meta":{"message_id":"m"}}`, CodeInvalidContent},
}

func TestWrongFramesAreRefusedWithTheirCodeAndMessageID(t *testing.T) {
	t.Parallel()
	for _, c := range refused {
		e, err := Decode([]byte(c.frame), Limits{})
		var perr *Error
		if !errors.As(err, &perr) || perr.Code != c.code || !errors.Is(err, &Error{Code: c.code}) {
			t.Errorf("Decode(%q) = %+v, %v, want code %s", c.frame, e, err, c.code)
			continue
		}
		want := ""
		if strings.Contains(c.frame, `"message_id":"m"`) {
			want = "m"
		}
		if perr.ReplyTo != want {
			t.Errorf("Decode(%q): reply to %q, want %q", c.frame, perr.ReplyTo, want)
		}
		if perr.Message == "" || !strings.Contains(perr.Error(), perr.Message) {
			t.Errorf("Decode(%q): message %q in %q", c.frame, perr.Message, perr.Error())
		}
		if !equal(e, Envelope{}) {
			t.Errorf("Decode(%q): an envelope beside the error: %+v", c.frame, e)
		}
	}
}

func TestEveryPrefixOfAFrameIsInvalidJSON(t *testing.T) {
	t.Parallel()
	for _, c := range append(accepted, struct {
		name, frame string
		want        Envelope
	}{frame: specExample}) {
		frame := strings.TrimSpace(c.frame)
		for n := range len(frame) {
			if _, err := Decode([]byte(frame[:n]), Limits{}); !errors.Is(err, &Error{Code: CodeInvalidJSON}) {
				t.Errorf("Decode(%q): %v", frame[:n], err)
			}
		}
	}
}
