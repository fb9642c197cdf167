package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// addFrames seeds a fuzz target with all frames that other tests use.
func addFrames(f *testing.F) {
	f.Add([]byte(specExample))
	for _, c := range accepted {
		f.Add([]byte(c.frame))
	}
	for _, c := range refused {
		f.Add([]byte(c.frame))
	}
	for _, dir := range []string{"testdata/golden", "testdata/golden/refused"} {
		for _, frames := range goldenFrames(f, dir) {
			for _, frame := range frames {
				f.Add([]byte(frame))
			}
		}
	}
	f.Add([]byte(frameWithData(object(100, "k%d"))))
	f.Add([]byte(frameWithData(deep(62))))
	f.Add([]byte(frameWithData(deep(63))))
}

func FuzzDecode(f *testing.F) {
	addFrames(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		e, err := Decode(frame, Limits{})
		if !bytes.Equal(before, frame) {
			t.Fatal("the frame was changed")
		}
		if err != nil {
			var perr *Error
			if !errors.As(err, &perr) || perr.Code == "" || perr.Message == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if same, err := DecodeInPlace(frame, Limits{}); err != nil || !equal(same, e) {
			t.Fatalf("in place: %+v, %v, want %+v", same, err, e)
		}
		if !json.Valid(frame) {
			t.Fatal("accepted, but not JSON")
		}
		if err := CheckData(e.Data, Limits{}); err != nil {
			t.Fatalf("data: %v", err)
		}
		ParseErrorData(e.Data)
		ParseOpenData(e.Data)
		ParseCloseData(e.Data)
		encoded := AppendEncode(nil, &e)
		if !json.Valid(encoded) {
			t.Fatalf("encoded as %q, which is not JSON", encoded)
		}
		// Encoding may add up to 300 bytes of keys and nulls.
		again, err := Decode(encoded, Limits{MaxBytes: len(frame) + 300})
		if err != nil {
			t.Fatalf("encoded as %q: %v", encoded, err)
		}
		if !equal(again, e) {
			t.Fatalf("encoded as %q: got %+v, want %+v", encoded, again, e)
		}
	})
}

// FuzzDecodeAgainstStdlib compares Decode with a slow decoder made of
// encoding/json and the rules that it lacks.
func FuzzDecodeAgainstStdlib(f *testing.F) {
	addFrames(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > defaultMaxBytes {
			t.Skip()
		}
		e, err := Decode(frame, Limits{})
		if errors.Is(err, &Error{Code: CodeTooDeep}) {
			if bytes.Count(frame, []byte("{"))+bytes.Count(frame, []byte("[")) <= defaultMaxDepth {
				t.Fatal("too deep with too few brackets")
			}
			return
		}
		why := notStrict(frame)
		if refused := errors.Is(err, &Error{Code: CodeInvalidJSON}); refused != (why != "") {
			t.Fatalf("got %v, the slow decoder finds %q", err, why)
		}
		if err == nil {
			checkAgainstStdlib(t, frame, e)
		} else if why == "" && acceptable(frame) {
			t.Fatalf("got %v, the slow decoder finds nothing wrong", err)
		}
	})
}

// notStrict says why a frame is not JSON as Decode asks for, empty if it is.
func notStrict(frame []byte) string {
	switch {
	case !utf8.Valid(frame):
		return "not UTF-8"
	case !json.Valid(frame):
		return "not JSON"
	case loneSurrogate(frame):
		return "lone surrogate"
	}
	d := json.NewDecoder(bytes.NewReader(frame))
	d.UseNumber()
	return repeatedKey(d, true, 0)
}

func loneSurrogate(frame []byte) bool {
	high := false
	for i := 0; i < len(frame); i++ {
		r := uint64(0)
		if frame[i] == '\\' {
			if frame[i+1] == 'u' {
				r, _ = strconv.ParseUint(string(frame[i+2:i+6]), 16, 16)
				i += 5
			} else {
				i++
			}
		}
		low := 0xdc00 <= r && r < 0xe000
		if high != low {
			return true
		}
		high = 0xd800 <= r && r < 0xdc00
	}
	return high
}

// repeatedKey reads one value. In the envelope, its meta and its content keys
// are compared without case.
func repeatedKey(d *json.Decoder, part bool, depth int) string {
	token, err := d.Token()
	if err != nil && err != io.EOF {
		return err.Error()
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return ""
	}
	var keys []string
	for d.More() {
		inner := false
		if delim == '{' {
			key, _ := d.Token()
			name := key.(string)
			for _, other := range keys {
				if name == other || part && strings.EqualFold(name, other) {
					return "repeated key"
				}
			}
			keys = append(keys, name)
			inner = part && depth == 0 && (name == "meta" || name == "content")
		}
		if why := repeatedKey(d, inner, depth+1); why != "" {
			return why
		}
	}
	d.Token()
	return ""
}

// acceptable reports whether strict JSON is an envelope.
func acceptable(frame []byte) bool {
	var parts, meta, content map[string]json.RawMessage
	if json.Unmarshal(frame, &parts) != nil || !isObject(parts["meta"]) || !isObject(parts["content"]) ||
		json.Unmarshal(parts["meta"], &meta) != nil || json.Unmarshal(parts["content"], &content) != nil {
		return false
	}
	for _, key := range []string{"message_id", "channel_id", "timestamp", "sender", "sender_id", "recipient", "reply_to", "actor"} {
		var s string
		if value, ok := meta[key]; ok && (json.Unmarshal(value, &s) != nil || len(s) > defaultMaxString) {
			return false
		}
	}
	for _, key := range []string{"sequence", "timeout_ms"} {
		var n int64
		if value, ok := meta[key]; ok && json.Unmarshal(value, &n) != nil {
			return false
		}
	}
	var typ string
	if json.Unmarshal(content["type"], &typ) != nil || typ == "" || len(typ) > defaultMaxString {
		return false
	}
	data, ok := content["data"]
	return !ok || isObject(data) || string(data) == "null"
}

func isObject(value json.RawMessage) bool {
	return len(value) > 0 && value[0] == '{'
}

// checkAgainstStdlib compares an accepted envelope with what encoding/json
// finds under the same keys.
func checkAgainstStdlib(t *testing.T, frame []byte, e Envelope) {
	t.Helper()
	if !acceptable(frame) {
		t.Fatalf("accepted %q", frame)
	}
	var parts, meta, content map[string]json.RawMessage
	if err := json.Unmarshal(frame, &parts); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.Unmarshal(parts["meta"], &meta), json.Unmarshal(parts["content"], &content)); err != nil {
		t.Fatal(err)
	}
	text := func(in map[string]json.RawMessage, key string) (s string) {
		if value, ok := in[key]; ok {
			if err := json.Unmarshal(value, &s); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	want := Envelope{
		MessageID: text(meta, "message_id"),
		ChannelID: text(meta, "channel_id"),
		Timestamp: text(meta, "timestamp"),
		Sender:    text(meta, "sender"),
		Recipient: text(meta, "recipient"),
		ReplyTo:   text(meta, "reply_to"),
		Actor:     text(meta, "actor"),
		Type:      text(content, "type"),
		Data:      content["data"],
	}
	if _, ok := meta["sender_id"]; ok {
		want.Sender = text(meta, "sender_id")
	}
	if value, ok := meta["sequence"]; ok {
		if err := json.Unmarshal(value, &want.Sequence); err != nil {
			t.Fatal(err)
		}
	}
	if value, ok := meta["timeout_ms"]; ok {
		if err := json.Unmarshal(value, &want.Timeout); err != nil {
			t.Fatal(err)
		}
	}
	if !isObject(want.Data) {
		want.Data = []byte(emptyObject)
	}
	if !equal(e, want) {
		t.Fatalf("got %+v, want %+v", e, want)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("m", "c", "2026-03-01T09:30:00+00:00", "s", "r", "m0", "request", int64(1))
	f.Add("\x00\"\\\xff", "é\xe6\x97", "\ud7ff\U0010ffff", "\u2028", "", "", "\xed\xa0\x80", int64(-1))
	f.Add(strings.Repeat("x", 40)+"\n", strings.Repeat("é", 40)+"\xff\x1f", "t", "</script>", "\x7f", "a", "b", int64(1)<<62)
	f.Fuzz(func(t *testing.T, id, channel, timestamp, sender, recipient, replyTo, typ string, sequence int64) {
		e := Envelope{MessageID: id, ChannelID: channel, Sequence: sequence, Timestamp: timestamp,
			Sender: sender, Recipient: recipient, ReplyTo: replyTo, Type: typ}
		frame := AppendEncode(nil, &e)
		var s stdEnvelope
		if err := json.Unmarshal(frame, &s); err != nil || !utf8.Valid(frame) {
			t.Fatalf("%q: %v", frame, err)
		}
		got, err := Decode(frame, Limits{MaxBytes: len(frame), MaxString: len(frame)})
		if typ == "" {
			if !errors.Is(err, &Error{Code: CodeInvalidContent}) {
				t.Fatalf("%q: %v", frame, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		// string([]rune(s)) turns each invalid byte into U+FFFD.
		for _, text := range []*string{&e.MessageID, &e.ChannelID, &e.Timestamp, &e.Sender, &e.Recipient, &e.ReplyTo, &e.Type} {
			*text = string([]rune(*text))
		}
		e.Data = []byte(emptyObject)
		if !equal(got, e) {
			t.Fatalf("%q: got %+v, want %+v", frame, got, e)
		}
	})
}
