package protocol

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEnvelopeIsEncodedInTheOrderOfTheSpecification(t *testing.T) {
	t.Parallel()
	e := mustDecode(t, specExample)
	e.Data = []byte(`{"text":"hello"}`)
	want := strings.NewReplacer(" ", "", "\n", "").Replace(specExample)
	if got := string(AppendEncode(nil, &e)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEmptyFieldsAreEncodedAsNullOrEmptyObject(t *testing.T) {
	t.Parallel()
	e := Envelope{Type: TypeEvent, Sequence: -1 << 63, Time: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)}
	want := `before{"meta":{"message_id":"","channel_id":"","sequence":-9223372036854775808,` +
		`"timestamp":"2026-03-01T09:30:00+00:00","sender":null,"recipient":null,"reply_to":null},` +
		`"content":{"type":"event","data":{}}}`
	if got := string(AppendEncode([]byte("before"), &e)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want = strings.Replace(want, `"2026-03-01T09:30:00+00:00"`, "null", 1)
	e.Time = time.Time{}
	if got := string(AppendEncode([]byte("before"), &e)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimestampTextIsEncodedBeforeTime(t *testing.T) {
	t.Parallel()
	e := Envelope{Type: "x", Timestamp: "yesterday", Time: time.Unix(1, 0)}
	if got := string(AppendEncode(nil, &e)); !strings.Contains(got, `"timestamp":"yesterday"`) {
		t.Errorf("got %s", got)
	}
}

func TestStringsAreEscapedAsJSONAsks(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long enough for whole words, ", 5)
	cases := map[string]string{
		"":                               `""`,
		"plain":                          `"plain"`,
		"\"\\/\b\f\n\r\t":                `"\"\\/\b\f\n\r\t"`,
		"\x00\x01\x1f\x7f":               "\"\\u0000\\u0001\\u001f\x7f\"",
		"é😀日本語\u2028<&>":                 "\"é😀日本語\u2028<&>\"",
		"a\xffb":                         "\"a\ufffdb\"",
		"\xe6\x97":                       "\"\ufffd\ufffd\"",
		"\xed\xa0\x80":                   "\"\ufffd\ufffd\ufffd\"",
		long + "\"" + long:               `"` + long + `\"` + long + `"`,
		long + "\xff" + long + "\x01":    `"` + long + "\ufffd" + long + `\u0001"`,
		"seven b":                        `"seven b"`,
		"eight by":                       `"eight by"`,
		strings.Repeat("é", 40) + "\\":   `"` + strings.Repeat("é", 40) + `\\"`,
		strings.Repeat("x", 31) + "\"":   `"` + strings.Repeat("x", 31) + `\""`,
		strings.Repeat("x", 32) + "\n":   `"` + strings.Repeat("x", 32) + `\n"`,
		strings.Repeat("x", 33) + "\xff": `"` + strings.Repeat("x", 33) + "\ufffd\"",
	}
	for in, want := range cases {
		if got := string(appendString(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// TestEveryByteIsFoundAtEveryPosition guards the eight-at-a-time scan, whose
// borrows could mistake a neighbour.
func TestEveryByteIsFoundAtEveryPosition(t *testing.T) {
	t.Parallel()
	for _, around := range []byte{'a', ' ', '!', '#', '[', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
		for at := range 70 {
			b := []byte(strings.Repeat(string(rune(0)), 70))
			for c := range 256 {
				for i := range b {
					b[i] = around
				}
				b[at] = byte(c)
				wantEnd, wantASCII := 70, true
				if c == '"' || c == '\\' || c < ' ' {
					wantEnd = at
				}
				for _, x := range b[:wantEnd] {
					wantASCII = wantASCII && x < 0x80
				}
				if end, ascii := plain(b, 0); end != wantEnd || ascii != wantASCII {
					t.Fatalf("%#x among %#x at %d: %d %v, want %d %v", c, around, at, end, ascii, wantEnd, wantASCII)
				}
			}
		}
	}
}

func TestTimestampIsWrittenAsPythonWritesIt(t *testing.T) {
	t.Parallel()
	cases := []struct {
		t    time.Time
		want string
	}{
		{time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC), "2026-03-01T09:30:00.123456+00:00"},
		{time.Date(2026, 12, 31, 23, 59, 59, 999999999, time.UTC), "2026-12-31T23:59:59.999999+00:00"},
		{time.Date(2026, 3, 1, 9, 30, 7, 1000, time.UTC), "2026-03-01T09:30:07.000001+00:00"},
		{time.Date(2026, 3, 1, 9, 30, 7, 999, time.UTC), "2026-03-01T09:30:07+00:00"},
		{time.Date(2026, 3, 1, 1, 30, 0, 500000000, time.FixedZone("", 2*3600)), "2026-02-28T23:30:00.500000+00:00"},
		{time.Time{}, "0001-01-01T00:00:00+00:00"},
		{time.Date(12345, 1, 2, 3, 4, 5, 0, time.UTC), "12345-01-02T03:04:05+00:00"},
	}
	for _, c := range cases {
		if got := FormatTimestamp(c.t); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestEncodingIntoEnoughRoomDoesNotAllocate(t *testing.T) {
	for name, e := range benchmarkMessages() {
		dst := AppendEncode(nil, &e)
		if n := testing.AllocsPerRun(100, func() { dst = AppendEncode(dst[:0], &e) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestDecodingAllocatesOnce(t *testing.T) {
	messages := benchmarkMessages()
	messages["sixteen keys"] = Envelope{Type: "x", Data: []byte(object(fewKeys, "k%d"))}
	for name, e := range messages {
		frame := AppendEncode(nil, &e)
		n := testing.AllocsPerRun(100, func() {
			if _, err := Decode(frame, Limits{}); err != nil {
				t.Error(err)
			}
		})
		if n != 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestEncodedFramesMeanTheSameToEncodingJSON(t *testing.T) {
	t.Parallel()
	e := Envelope{MessageID: "m\n\"é", ChannelID: "c\\", Sequence: 3, Timestamp: "t\x00", Sender: "s",
		Recipient: "\u2028", ReplyTo: "r", Type: "тип", Data: []byte(`{"a":[1,2]}`)}
	var s stdEnvelope
	if err := json.Unmarshal(AppendEncode(nil, &e), &s); err != nil {
		t.Fatal(err)
	}
	got := Envelope{MessageID: s.Meta.MessageID, ChannelID: s.Meta.ChannelID, Sequence: s.Meta.Sequence,
		Timestamp: s.Meta.Timestamp, Sender: *s.Meta.Sender, Recipient: *s.Meta.Recipient,
		ReplyTo: *s.Meta.ReplyTo, Type: s.Content.Type, Data: s.Content.Data}
	if !equal(got, e) {
		t.Errorf("got %+v, want %+v", got, e)
	}
}

func TestCheckDataAcceptsWhatDecodeAccepts(t *testing.T) {
	t.Parallel()
	cases := []struct {
		data string
		code string
	}{
		{``, ""},
		{`{}`, ""},
		{`{"a":[1,{"b":"c"}]}`, ""},
		{deep(defaultMaxDepth - dataDepth + 1), ""},
		{deep(defaultMaxDepth - dataDepth + 2), CodeTooDeep},
		{`{"a":"` + strings.Repeat("x", defaultMaxBytes) + `"}`, CodeTooLarge},
		{` {}`, CodeInvalidContent},
		{`[]`, CodeInvalidContent},
		{`null`, CodeInvalidContent},
		{`{} `, CodeInvalidJSON},
		// In an envelope this would be well-formed.
		{`{}},"x":{`, CodeInvalidJSON},
		{`{"a":1,"a":2}`, CodeInvalidJSON},
		{`{"a":NaN}`, CodeInvalidJSON},
		{`{`, CodeInvalidJSON},
	}
	for _, c := range cases {
		err := CheckData([]byte(c.data), Limits{})
		if c.code == "" && err != nil || c.code != "" && !errors.Is(err, &Error{Code: c.code}) {
			t.Errorf("CheckData(%.40q): %v, want code %q", c.data, err, c.code)
		}
		if c.code != "" && c.code != CodeTooDeep {
			continue
		}
		frame := AppendEncode(nil, &Envelope{Type: "x", Data: []byte(c.data)})
		if code := decodeCode(string(frame), Limits{}); code != c.code {
			t.Errorf("Decode with data %.40q: code %q, want %q", c.data, code, c.code)
		}
	}
}
